"""Records that show themselves: HTML in a notebook, a few lines of text elsewhere.

How each looks is the room `rag.notebook`, which is found by name and imported when something is first
shown: records import nothing for it, and a command that shows nothing loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

_REGISTRY = "rag.notebook.registry"


class Displayable:
    """Shows itself as `rag.notebook.registry` says; a class's own ``__str__`` and ``__repr__`` precede it.

    All fields of a record are in ``to_dict()`` and in ``rich.inspect(record)``.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return _display(self, "line")

    def __str__(self) -> str:
        return _display(self, "text")

    def _repr_html_(self) -> str:
        return _display(self, "html")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return both forms: Jupyter shows the richest that it can, and saves the other with it."""
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def _display(value: Displayable, form: Literal["line", "text", "html"]) -> str:
    try:
        display = import_module(_REGISTRY).display_of(value)
        return str(getattr(display, form)())
    except Exception as error:  # a repr that raises hides from a debugger what it is wanted for
        return f"{type(value).__qualname__} (cannot be displayed: {type(error).__name__})"
