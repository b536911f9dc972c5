"""The script and the style sheet of a page, from the files in ``page/``.

A widget has one ECMAScript module. Its files are joined in their order, without a tool: each declares
functions and constants of its own names, imports and exports nothing, and a last line exports what anywidget
calls. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

from importlib.resources import files


def script(*names: tuple[str, str]) -> str:
    """Return files, each a room and a path in it, as one module, which exports ``render``."""
    joined = "\n".join(_text(room, path) for room, path in names)
    return f'"use strict";\n{joined}\nexport default {{ render }};\n'


def styles(*names: tuple[str, str]) -> str:
    """Return the displays' style sheet, and those of a page: each a room and a path in it."""
    return "\n".join(_text(room, path) for room, path in (("rag.notebook", "style.css"), *names))


def _text(room: str, path: str) -> str:
    return files(room).joinpath(path).read_text(encoding="utf-8")
