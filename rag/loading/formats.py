"""Which parser reads which file. The only place to add a format."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rag.loading.structure import Parsed

Parser = Callable[..., Parsed]

#: By suffix: the parser as ``module:function``, and whether it runs in a worker process.
FORMATS: dict[str, tuple[str, bool]] = {
    ".md": ("plain:parse_markdown", False),
    ".markdown": ("plain:parse_markdown", False),
    ".mdx": ("plain:parse_markdown", False),
    ".html": ("html:parse_html", True),
    ".htm": ("html:parse_html", True),
    ".xhtml": ("html:parse_html", True),
    ".pdf": ("pdf:parse_pdf", True),
    ".docx": ("docx:parse_docx", True),
}
#: Everything else is read as text if it is text.
DEFAULT = ("plain:parse_text", False)


def parser_of(path: Path) -> tuple[str, bool]:
    """Return the parser's name for a file, and whether it must run in a worker process."""
    return FORMATS.get(path.suffix.lower(), DEFAULT)


def parser(name: str) -> Parser:
    """Import a parser by its name in `FORMATS`."""
    module, _, function = name.partition(":")
    found: Parser = getattr(import_module(f"rag.loading.{module}"), function)
    return found
