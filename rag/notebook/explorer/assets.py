"""The page's script and style sheet, from the files in ``page/``.

A widget has one ECMAScript module. Its files are joined in the order of `MODULES`, without a tool: each
declares functions and constants of its own names, imports and exports nothing, and a last line exports what
anywidget calls. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

#: The explorer's files, in their order.
MODULES = ("elements.js", "filter.js", "controls.js", "side.js", "explorer.js")


def script(names: Sequence[str] = MODULES, room: str = "rag.notebook.explorer") -> str:
    """Return the files of a page as one module, which exports ``render``."""
    folder = files(room).joinpath("page")
    joined = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return f'"use strict";\n{joined}\nexport default {{ render }};\n'


def styles(*own: tuple[str, str]) -> str:
    """Return the displays' style sheet, and those of a page: each a room and a file's name."""
    sheets = [("rag.notebook", "style.css"), *own]
    return "\n".join(files(room).joinpath(name).read_text(encoding="utf-8") for room, name in sheets)
