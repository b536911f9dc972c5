"""The explorer in a notebook: carries messages between the browser and `rag.notebook.explorer.model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.core.extras import require
from rag.notebook.explorer.assets import script, styles
from rag.notebook.explorer.latest import Latest

if TYPE_CHECKING:
    from rag.core.answers import Answer
    from rag.core.passages import Context, Hit

anywidget = require("anywidget", extra="notebook")
_HERE = "rag.notebook.explorer"
#: The page's files, in their order.
_MODULES = ("elements", "filter", "controls", "side", "explorer")


class ExplorerWidget(anywidget.AnyWidget):  # type: ignore[misc, name-defined]
    """An explorer that is shown where it stands last in a cell.

    Attributes
    ----------
    model : Explorer
        What it does, without a browser.
    """

    _esm = script(*((_HERE, f"page/{name}.js") for name in _MODULES))
    _css = styles((_HERE, "page/explorer.css"))

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._latest = Latest(self.send)
        self.on_msg(self._received)

    @property
    def where(self) -> str:
        """The filter of side A, as a string; empty for none."""
        return str(self.model.sides["A"].where)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The hits of side A, best first."""
        return tuple(self.model.sides["A"].hits)

    @property
    def context(self) -> Context | None:
        """What the model would be sent, of side A."""
        context: Context | None = self.model.sides["A"].context
        return context

    @property
    def answer(self) -> Answer | None:
        """The answer of side A."""
        answer: Answer | None = self.model.sides["A"].answer
        return answer

    def _received(self, _: Any, content: Any, buffers: Any) -> None:
        """Start what the browser asks for; a later question of the same kind overtakes it."""
        do = str(content.get("do", "")) if isinstance(content, dict) else ""
        side = str(content.get("side", "")) if isinstance(content, dict) else ""
        lane = f"{_LANES[do]}-{side}" if do in _LANES and side in ("A", "B") else "other"
        self._latest.submit(lane, lambda: self.model.replies(content))


#: Of what overtakes each other; closing a side overtakes its search.
_LANES = {"look": "look", "drop": "look", "answer": "answer", "ask": "ask", "why": "why", "golden": "golden"}
