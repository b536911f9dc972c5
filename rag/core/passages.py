"""Passages: what flows from retrieval to the prompt.

Offsets are characters into a document's loaded text, end exclusive; pages are 1-based and
inclusive; times are seconds; money is US dollars.
"""

from __future__ import annotations

import datetime as dt
import itertools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from langchain_core.documents import Document

#: Metadata keys that `rag` writes itself; a user's key of the same name gets a ``_`` behind it.
RESERVED = (
    "source", "doc_id", "chunk_id", "start", "end", "gap", "page_start", "page_end",
    "page_breaks", "section", "table_head", "table_head_start",
)  # fmt: skip

#: The key under which a loader hands the places of pages and headings to the chunker.
STRUCTURE = "structure"

#: Any number; the plain types first, as asking an abstract one takes twenty times as long.
_WHOLE, _NUMBER = (int, Integral), (float, int, Real)
#: What is read from a Document's metadata if it has this type, ``True`` and ``False`` left out.
_READ: dict[str, Any] = {
    "source": (str, int), "doc_id": (str, int), "chunk_id": (str, int), "start": _WHOLE, "end": _WHOLE,
    "gap": str, "page_start": _WHOLE, "page_end": _WHOLE, "section": str, "table_head": str,
    "table_head_start": _WHOLE, "score": _NUMBER, "dense": _NUMBER, "lexical": _NUMBER, "page_breaks": (),
}  # fmt: skip
#: Or this, if it is a list of these.
_SEVERAL: dict[str, Any] = {"page_breaks": _WHOLE, "section": str}

_WRITTEN = (*RESERVED, "score", "dense", "lexical")
_written = operator.attrgetter(*_WRITTEN)


@dataclass(frozen=True, slots=True)
class Hit:
    """A piece of a document: ``loaded_text[start:end] == text``.

    Attributes
    ----------
    score : float
        Higher is better. Cosine in [-1, 1] (dense), BM25 (lexical), or both with their
        surroundings (hybrid; `rag.index.search.hybrid_score`).
    dense, lexical : float or None
        What each arm of the search said: cosine in [-1, 1], and BM25 >= 0.
    page_breaks : tuple of int
        Offsets in the document, inside the text, at which a new page begins.
    gap : str or None
        The white space between this chunk and the document's next; None behind the last.
    table_head, table_head_start : str and int, or None
        Of rows of a table: the lines of its head, and where these begin in the document.
    """

    source: str
    start: int
    end: int
    text: str
    score: float
    doc_id: str = ""
    chunk_id: str = ""
    gap: str | None = None
    page_start: int | None = None
    page_end: int | None = None
    page_breaks: tuple[int, ...] = ()
    section: tuple[str, ...] = ()
    table_head: str | None = None
    table_head_start: int | None = None
    dense: float | None = None
    lexical: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> Document:
        """Return the hit as LangChain's ``Document``; the inverse of `from_document`."""
        from langchain_core.documents import Document

        meta = dict(self.metadata)
        for name, value in zip(_WRITTEN, _written(self), strict=True):
            if isinstance(value, tuple):
                if value:
                    meta[name] = list(value)
            elif value is not None:
                meta[name] = value
        return Document(page_content=self.text, metadata=meta, id=self.chunk_id or None)

    @classmethod
    def from_document(cls, document: Document) -> Hit:
        """Read a ``Document`` of any retriever; one without offsets counts as whole.

        A key of ours with a value of another type is the user's, and stays in the metadata.
        """
        meta: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for name, value in document.metadata.items():
            kind = _READ.get(name)
            if kind is None:
                meta[name] = value
            elif isinstance(value, kind) and value is not True and value is not False:
                found[name] = value
            elif name in _SEVERAL and _all(value, _SEVERAL[name]):
                found[name] = tuple(value)
            elif value is not None:
                meta[name] = value
        text, own = document.page_content, found.get
        start = own("start")
        if start is None:
            start = meta.pop("start_index") if isinstance(meta.get("start_index"), _WHOLE) else 0
        if isinstance(own("section"), str):
            found["section"] = (found["section"],) if found["section"] else ()
        found.update(
            source=str(own("source") or document.id or "unknown"), start=int(start),
            end=int(start) + len(text), score=float(own("score", 0.0)), doc_id=str(own("doc_id", "")),
            chunk_id=str(own("chunk_id") or document.id or ""),
        )  # fmt: skip
        if "table_head" not in found:
            found.pop("table_head_start", None)
        return cls(text=text, metadata=meta, **found)

    @staticmethod
    def is_placed(document: Document) -> bool:
        """Tell whether a ``Document`` says where in its source it stands."""
        found = document.metadata.get
        return isinstance(found("start"), _WHOLE) or isinstance(found("start_index"), _WHOLE)

    def narrowed(self, start: int, end: int) -> Hit:
        """Return the part of this hit from `start` to `end` (offsets in the document)."""
        if (start, end) == (self.start, self.end) and (self.page_start is None) == (self.page_end is None):
            return self
        first = last = self.page_start
        if self.page_start is not None:
            first = self.page_start + sum(at <= start for at in self.page_breaks)
            last = self.page_start + sum(at < end for at in self.page_breaks)
        return replace(
            self, start=start, end=end, text=self.text[start - self.start : end - self.start],
            gap=self.gap if end == self.end else None, page_start=first, page_end=last,
            page_breaks=tuple(at for at in self.page_breaks if start < at < end),
        )  # fmt: skip

    @property
    def place(self) -> str:
        """Where a person would look: ``source, p. 3, Section > Subsection``."""
        return place_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``--json`` and ``--output`` write them."""
        out = asdict(self)
        out["section"], out["page_breaks"] = list(self.section), list(self.page_breaks)
        out["metadata"] = {key: _plain(value) for key, value in self.metadata.items()}
        return out


def _all(values: Any, kind: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)


def joined(pieces: Sequence[Hit], chunk_id: str = "") -> Hit:
    """Return hits that stand side by side in a document, with their gaps between, as one.

    Score and arms are those of the first; `gap` is that of the last.
    """
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return first
    breaks = {at for piece in pieces for at in piece.page_breaks}
    if first.page_start is not None:  # a page may also begin between two pieces
        breaks |= {
            behind.start for before, behind in itertools.pairwise(pieces)
            if behind.page_start != before.page_end
        }  # fmt: skip
    return replace(
        first, end=last.end, page_end=last.page_end, gap=last.gap, page_breaks=tuple(sorted(breaks)),
        text="".join(piece.text + (piece.gap or "") for piece in pieces[:-1]) + last.text,
        chunk_id=chunk_id,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a trimmer made of a chunk that was retrieved.

    Attributes
    ----------
    score : float or None
        What it was ranked by, of its best part; None where it had no part of its own.
    kept : float
        The share of its characters that reached the context, in [0, 1].
    why : str
        ``"kept"``, ``"kept in part"``, ``"no room"``, ``"said already"``, ``"held by another
        candidate"`` (all of it) or ``"blank"``.
    """

    source: str
    start: int
    end: int
    score: float | None
    kept: float
    why: str


@dataclass(frozen=True, slots=True)
class Context:
    """What is sent to the model: pieces in the order of sending, within a budget.

    Attributes
    ----------
    used, budget : int
        In `unit`: ``"chars"`` or ``"tokens"`` (estimated, never under).
    candidates : tuple of Candidate
        What became of every chunk that was retrieved; empty where the trimmer does not say.
    """

    hits: tuple[Hit, ...]
    used: int
    budget: int
    unit: str
    candidates: tuple[Candidate, ...] = ()

    @property
    def text(self) -> str:
        """The passages as plain text, each below its place, ``[…]`` where text between is left out."""
        lines: list[str] = []
        before: Hit | None = None
        for hit in self.hits:
            if before is None or before.source != hit.source:
                lines += ["", hit.place] if lines else [hit.place]
            else:
                lines += ["[…]"] if hit.start > before.end else []
                lines += [hit.place] if hit.place != before.place else []
            lines.append(hit.text)
            before = hit
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "hits": [hit.to_dict() for hit in self.hits],
            "used": self.used, "budget": self.budget, "unit": self.unit,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from rag.notebook.display import context_html

        return context_html(self)


class Placed(Protocol):
    """Anything with a place in a document."""

    @property
    def source(self) -> str:
        """The document's path or URI."""

    @property
    def page_start(self) -> int | None:
        """The first page, from 1."""

    @property
    def page_end(self) -> int | None:
        """The last page."""

    @property
    def section(self) -> tuple[str, ...]:
        """The heading path."""


def place_of(spot: Placed) -> str:
    """Return where a person would look: ``source, p. 3, Section > Subsection``."""
    parts = [spot.source]
    if spot.page_start is not None:
        same = spot.page_end in (None, spot.page_start)
        parts.append(f"p. {spot.page_start}" if same else f"pp. {spot.page_start}-{spot.page_end}")
    if spot.section:
        parts.append(" > ".join(spot.section))
    return ", ".join(parts)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else value
