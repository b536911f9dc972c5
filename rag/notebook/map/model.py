"""What the map knows, without a browser: places, colours, the question and its hits, and a selection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.core.drawn import drawn
from rag.core.errors import RagError, UsageError
from rag.core.format import shortened
from rag.core.passages import Hit
from rag.index.filters.where import Or, Test, flat
from rag.index.vector_blocks import hits_at, positions_of, values
from rag.notebook.map.messages import Ask, Hello, Point, Select, message_of
from rag.notebook.map.projection import projected

#: Colours, and the most members of a legend: what is rarer is "other". The last place is what has no value.
MOST_COLOURS = 8
OTHER, NONE = "other", "no value"
#: Characters of a chunk that are shown, and selected chunks that are listed in the page.
_BEGINNING, _LISTED = 240, 50
Reply = dict[str, Any]


class ChunkMap:
    """An index's chunks in two dimensions.

    Parameters
    ----------
    pipe : Pipeline
    color : str, optional
        A field; its most frequent values have colours.
    question : str
        Shown with its hits.
    k : int
        How many hits are shown.

    Attributes
    ----------
    places : ndarray of float32, shape (chunks, 2)
        In the order in which the chunks are stored.
    selected_rows : tuple of int
        The positions of the selected chunks in that order.
    """

    def __init__(self, pipe: Any, *, color: str | None = None, question: str = "", k: int = 8) -> None:
        self.pipe, self.index, self.color, self.k = pipe, pipe.index, color, k
        if not len(self.index):
            raise UsageError(f"{self.index.path} holds no chunks: build it first")
        self.legend: list[tuple[str, int]] = [("chunks", len(self.index))]
        self.codes: npt.NDArray[np.uint8] = np.zeros(len(self.index), np.uint8)
        if color is not None:
            self.codes, self.legend = coloured(values(self.index, color))
        self.places, self.axes = projected(self.index)
        self.question = question
        self.hits: tuple[Hit, ...] = ()
        self.selected_rows: tuple[int, ...] = ()

    @property
    def selected(self) -> tuple[Hit, ...]:
        """The selected chunks, in the order in which they are stored."""
        return tuple(hits_at(self.index, self.selected_rows))

    @property
    def where(self) -> str:
        """A filter that matches exactly the selected chunks; empty if nothing is selected.

        By the map's field, if the selection is exactly the chunks of some of its values; else by the chunks'
        ids, of which a filter holds 500 at most.

        Raises
        ------
        UsageError
            More than 500 chunks are selected and no values of the field are exactly these.
        """
        if not self.selected_rows:
            return ""
        by_field = self._by_field()
        if by_field:
            return by_field
        if len(self.selected_rows) > 500:
            raise UsageError(
                f"{len(self.selected_rows):,} selected chunks are no filter that can be written: select at "
                "most 500, or all chunks of some values of the map's field, or use `selected`"
            )
        return Test("chunk_id", "in", tuple(hit.chunk_id for hit in self.selected)).to_string()

    def _by_field(self) -> str:
        """Return the filter of the legend's values whose chunks are the selection; empty if there is none."""
        if self.color is None or self.index.schema.get(self.color) not in ("string", "boolean"):
            return ""
        chosen = np.zeros(len(self.codes), bool)
        chosen[list(self.selected_rows)] = True
        named = [name for name, _ in self.legend]
        codes = sorted({*self.codes[chosen].tolist()})
        if any(named[code] in (OTHER, NONE) for code in codes):
            return ""
        if not np.array_equal(np.isin(self.codes, codes), chosen):
            return ""
        boolean = self.index.schema[self.color] == "boolean"
        tests = [Test(self.color, "==", named[code] == "true" if boolean else named[code]) for code in codes]
        return (tests[0] if len(tests) == 1 else flat(Or, tests)).to_string()

    # ------------------------------------------------------------------ messages

    def replies(self, message: Any) -> Iterator[tuple[Reply, list[bytes]]]:
        """Do what a message of the browser asks; yield replies, each with its buffers."""
        kind = ""
        try:
            checked = message_of(message)
            kind = checked.do
            yield from self._done(checked)
        except RagError as error:
            yield {"kind": "error", "part": kind, "text": str(error)}, []
        except Exception as error:  # a stage of the user's: said in the page, as nothing reads this thread
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            yield {"kind": "error", "part": kind, "text": text}, []

    def _done(self, message: Hello | Ask | Point | Select) -> Iterator[tuple[Reply, list[bytes]]]:
        if isinstance(message, Hello):
            yield self._points()
            if self.question.strip():
                yield self._asked(self.question), []
        elif isinstance(message, Ask):
            yield self._asked(message.question), []
        elif isinstance(message, Point):
            yield self._point(message.at), []
        else:
            yield self._select(message), []

    def _points(self) -> tuple[Reply, list[bytes]]:
        least, most = self.places.min(axis=0), self.places.max(axis=0)
        reply = {
            "kind": "points", "count": len(self.places), "least": least.tolist(), "most": most.tolist(),
            "legend": [[drawn(name), count] for name, count in self.legend], "color": self.color or "",
            "question": self.question, "spread": [round(float(each), 3) for each in self.axes.spread],
            "about": f"{self.index.path.name}: {len(self.index):,} chunks",
        }  # fmt: skip
        return reply, [np.ascontiguousarray(self.places).tobytes(), self.codes.tobytes()]

    def _asked(self, question: str) -> Reply:
        """Return where a question lies, and its hits."""
        if not question.strip():
            self.question, self.hits = "", ()
            return {"kind": "question", "at": None, "hits": [], "text": ""}
        hits = tuple(self.index.search(question, self.k))
        place = self.axes.place(np.asarray(self.index.question_vector(question), np.float32)[None])
        self.question, self.hits = question, hits
        rows = positions_of(self.index, [hit.chunk_id for hit in hits])
        return {"kind": "question", "at": place[0].tolist(), "hits": rows,
                "text": f"{len(hits)} hits of “{drawn(shortened(question, 60))}”"}  # fmt: skip

    def _point(self, at: int) -> Reply:
        """Return what stands at a place, as text."""
        if at >= len(self.places):
            raise UsageError(f"there is no chunk {at:,}: there are {len(self.places):,}")
        (hit,) = hits_at(self.index, [at])
        return {"kind": "point", "at": at, **_shown(hit), "value": drawn(self.legend[self.codes[at]][0])}

    def _select(self, message: Select) -> Reply:
        if message.value is not None:
            rows = np.flatnonzero(self.codes == message.value)
        elif message.hits:
            rows = np.array(positions_of(self.index, [hit.chunk_id for hit in self.hits]), np.int64)
        else:
            rows = inside(self.places, np.array(message.lasso, np.float64).reshape(-1, 2))
        self.selected_rows = tuple(rows.tolist())
        try:
            where = self.where
        except UsageError as error:
            where, why = "", str(error)
        else:
            why = ""
        listed = [_shown(hit) for hit in hits_at(self.index, self.selected_rows[:_LISTED])]
        return {
            "kind": "selected", "count": len(rows), "where": where if len(where) <= 400 else "", "why": why,
            "rows": self.selected_rows if len(rows) <= 20_000 else (), "listed": listed,
        }  # fmt: skip


def _shown(hit: Hit) -> dict[str, str]:
    return {"place": drawn(shortened(hit.place, 120)), "text": drawn(shortened(hit.text, _BEGINNING))}


def coloured(found: Sequence[Any]) -> tuple[npt.NDArray[np.uint8], list[tuple[str, int]]]:
    """Return a colour's number for each value, and the legend: the most frequent values, "other", "no value".

    Of a list its first member counts.

    Examples
    --------
    >>> coloured(["a", "b", "a", None])
    (array([0, 1, 0, 2], dtype=uint8), [('a', 2), ('b', 1), ('no value', 1)])
    """
    texts = [_text(value) for value in found]
    counts = Counter(text for text in texts if text is not None)
    first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    legend = first if len(first) <= MOST_COLOURS else first[: MOST_COLOURS - 1]
    numbers = {name: number for number, (name, _) in enumerate(legend)}
    rest = sum(count for _, count in first[len(legend) :])
    missing = len(texts) - counts.total()
    other = len(legend)
    none = other + (1 if rest else 0)
    codes = np.array([none if text is None else numbers.get(text, other) for text in texts], np.uint8)
    ends = ([(OTHER, rest)] if rest else []) + ([(NONE, missing)] if missing else [])
    return codes, [*legend, *ends]


def _text(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return str(value[0]) if value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def inside(places: npt.NDArray[np.float32], lasso: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return which places are inside a polygon, by how often a ray to the right crosses it (even: outside).

    Parameters
    ----------
    places : ndarray of float32, shape (n, 2)
    lasso : ndarray of float64, shape (corners, 2)
        Closed by itself.

    Examples
    --------
    >>> square = np.array([[0, 0], [2, 0], [2, 2], [0, 2.0]])
    >>> inside(np.array([[1, 1], [3, 1], [-1, 1]], np.float32), square)
    array([0])
    """
    if len(lasso) < 3:
        return np.zeros(0, np.int64)
    least, most = lasso.min(axis=0), lasso.max(axis=0)
    near = np.flatnonzero(((places >= least) & (places <= most)).all(axis=1))
    x, y = places[near, 0].astype(np.float64), places[near, 1].astype(np.float64)
    odd = np.zeros(len(near), bool)
    for (ax, ay), (bx, by) in zip(lasso, np.roll(lasso, -1, axis=0), strict=True):
        crosses = (ay > y) != (by > y)
        if ay != by:
            odd ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return near[odd]
