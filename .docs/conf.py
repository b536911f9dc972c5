"""Sphinx's settings: Markdown by MyST, notebooks as saved, docstrings in numpy's convention, all local."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import faiss  # noqa: F401  # reports how it was loaded to a log; before Sphinx listens, not amid its lines
from ipython_pygments_lexers import IPython3Lexer

import rag

project = "rag"
release = version = rag.__version__
html_title = f"rag {release}"
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
root_doc = "index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
language = "en"

# Pages load nothing from elsewhere: the theme has no web fonts, and widgets, mathematics and diagrams,
# whose scripts would come from a CDN, are left out.
html_theme = "furo"
html_copy_source = html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]
html_show_search_summary = False  # would be fetched, which browsers refuse for files
html_show_sphinx = html_show_copyright = False
nb_ipywidgets_js: dict[str, str] = {}
nb_execution_mode = "off"
myst_enable_extensions: list[str] = []
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config, model_fields, model_post_init"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True
numpydoc_show_class_members = False
default_role = "py:obj"

# A link that leads nowhere, or a name that does not exist, fails the build (`-W` in build.py).
nitpicky = True
_NAME = re.compile(r"rag(\.\w+)+")


def _exists(name: str) -> bool:
    """Tell whether a dotted name is a module, or something in one."""
    try:
        import_module(name)
    except ImportError:
        above, _, last = name.rpartition(".")
        return bool(above) and _holds(above, last)
    return True


def _holds(name: str, attribute: str) -> bool:
    try:
        return hasattr(import_module(name), attribute)
    except ImportError:
        above, _, last = name.rpartition(".")
        owner = getattr(import_module(above), last, None) if above else None
        return hasattr(owner, attribute)


def _shown_as_code(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Show a Python name that has no page as code; one of ``rag`` must exist."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    return contnode if not _NAME.fullmatch(target) or _exists(target) else None


def setup(app: Any) -> None:
    """Register what Sphinx calls."""
    app.connect("missing-reference", _shown_as_code)
    app.add_lexer("python", IPython3Lexer)  # cells may have lines such as `!pytest`
