"""The map in a notebook: carries messages between the browser and `rag.notebook.map.model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.core.extras import require
from rag.notebook.explorer.assets import script, styles
from rag.notebook.explorer.latest import Latest

if TYPE_CHECKING:
    from rag.core.passages import Hit

anywidget = require("anywidget", extra="notebook")
_HERE, _ELEMENTS = "rag.notebook.map", ("rag.notebook.explorer", "page/elements.js")


class MapWidget(anywidget.AnyWidget):  # type: ignore[misc, name-defined]
    """A map that is shown where it stands last in a cell.

    Attributes
    ----------
    model : ChunkMap
        What it does, without a browser.
    """

    _esm = script(_ELEMENTS, *((_HERE, f"page/{name}.js") for name in ("canvas", "pointer", "map")))
    _css = styles(("rag.notebook.explorer", "page/explorer.css"), (_HERE, "page/map.css"))

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._latest: Latest[tuple[dict[str, Any], list[bytes]]] = Latest(lambda reply: self.send(*reply))
        self.on_msg(self._received)

    @property
    def selected(self) -> tuple[Hit, ...]:
        """The selected chunks, in the order in which they are stored."""
        return tuple(self.model.selected)

    @property
    def where(self) -> str:
        """A filter that matches exactly the selected chunks; see `rag.notebook.map.model.ChunkMap.where`."""
        return str(self.model.where)

    def _received(self, _: Any, content: Any, buffers: Any) -> None:
        """Start what the browser asks for; a later message of the same kind overtakes it."""
        do = content.get("do") if isinstance(content, dict) else None
        lane = do if do in ("hello", "ask", "point", "select") else "other"
        self._latest.submit(lane, lambda: self.model.replies(content))
