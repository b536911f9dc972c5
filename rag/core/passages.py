"""Passages: what flows from retrieval to the prompt.

Offsets are characters into a document's loaded text, end exclusive; pages are 1-based and
inclusive; times are seconds; money is US dollars.
"""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Protocol

from rag.core.displayable import Displayable
from rag.core.plain import from_fields, shallow

if TYPE_CHECKING:
    from langchain_core.documents import Document

#: A heading path, outermost heading first; empty above the first heading.
Section = tuple[str, ...]
#: Where sections begin: an offset in the document, and the heading path from there on.
SectionBreaks = tuple[tuple[int, Section], ...]

#: Metadata keys that `rag` writes itself; a user's key of the same name gets a ``_`` behind it.
RESERVED = (
    "source", "doc_id", "chunk_id", "start", "end", "gap", "page_start", "page_end",
    "page_breaks", "section", "section_breaks", "table_head", "table_head_start",
)  # fmt: skip

#: The key under which a loader hands the places of pages and headings to the chunker.
STRUCTURE = "structure"

#: Any number; the plain types first, as an instance check of an abstract one takes twenty times as long.
_WHOLE, _NUMBER = (int, Integral), (float, int, Real)
#: Keys of a Document's metadata that are read if the value has this type; ``True`` and ``False`` never are.
_READ: dict[str, Any] = {
    "source": (str, int), "doc_id": (str, int), "chunk_id": (str, int), "start": _WHOLE, "end": _WHOLE,
    "gap": str, "page_start": _WHOLE, "page_end": _WHOLE, "section": str, "table_head": str,
    "table_head_start": _WHOLE, "score": _NUMBER, "dense": _NUMBER, "lexical": _NUMBER, "page_breaks": (),
    "section_breaks": (),
}  # fmt: skip
#: Keys that may also hold a list of values of this type.
_SEVERAL: dict[str, Any] = {"page_breaks": _WHOLE, "section": str}

_WRITTEN = (*RESERVED, "score", "dense", "lexical")
_written = operator.attrgetter(*_WRITTEN)


@dataclass(frozen=True, slots=True, repr=False)
class Hit(Displayable):
    """A piece of a document: ``loaded_text[start:end] == text``.

    Attributes
    ----------
    score : float
        Higher is better. Cosine in [-1, 1] (dense), BM25 (lexical), or both with their
        surroundings (hybrid; `rag.index.search.hybrid_score`).
    dense, lexical : float or None
        The score of each arm of the search: cosine in [-1, 1], and BM25 >= 0.
    page_breaks : tuple of int
        Offsets in the document, inside the text, at which a new page begins.
    section : tuple of str
        The heading path, outermost first, of the section in which the text begins.
    section_breaks : tuple of (int, tuple of str)
        Offsets in the document, inside the text, at which another section begins, with its heading path.
    gap : str or None
        The white space between this chunk and the document's next; None behind the last.
    table_head, table_head_start : str and int, or None
        Of rows of a table: the lines of its head, and where these begin in the document.
    placed : bool
        False for a passage of another retriever that gives no offsets: `start` and `end` then count
        from the beginning of that passage.
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
    section: Section = ()
    section_breaks: SectionBreaks = ()
    table_head: str | None = None
    table_head_start: int | None = None
    dense: float | None = None
    lexical: float | None = None
    placed: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_document(self) -> Document:
        """Return the hit as LangChain's ``Document``; `from_document` is the inverse.

        A hit that is not `placed` gives no ``start`` and ``end``.
        """
        from langchain_core.documents import Document

        meta = dict(self.metadata)
        for name, value in zip(_WRITTEN, _written(self), strict=True):
            if isinstance(value, tuple):
                if value:
                    meta[name] = list(value)
            elif value is not None:
                meta[name] = value
        if self.section_breaks:
            meta["section_breaks"] = _listed(self.section_breaks)
        if not self.placed:
            del meta["start"], meta["end"]
        return Document(page_content=self.text, metadata=meta, id=self.chunk_id or None)

    @classmethod
    def from_document(cls, document: Document) -> Hit:
        """Read a ``Document`` of any retriever; one without offsets is not `placed`, and counts as whole.

        A reserved key whose value has another type is the user's, and stays in the metadata.
        """
        meta: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        for name, value in document.metadata.items():
            kind = _READ.get(name)
            if kind is None:
                meta[name] = value
            elif isinstance(value, kind) and value is not True and value is not False:
                fields[name] = value
            elif name in _SEVERAL and _all(value, _SEVERAL[name]):
                fields[name] = tuple(value)
            elif name == "section_breaks" and _are_breaks(value):
                fields[name] = tuple((int(at), tuple(path)) for at, path in value)
            elif value is not None:
                meta[name] = value
        text, start = document.page_content, fields.get("start")
        if start is None and isinstance(meta.get("start_index"), _WHOLE):
            start = meta.pop("start_index")
        placed, start = start is not None, int(start or 0)
        if isinstance(fields.get("section"), str):
            fields["section"] = (fields["section"],) if fields["section"] else ()
        fields.update(
            source=str(fields.get("source") or document.id or "unknown"), start=start,
            end=start + len(text), score=float(fields.get("score", 0.0)), placed=placed,
            doc_id=str(fields.get("doc_id", "")), chunk_id=str(fields.get("chunk_id") or document.id or ""),
        )  # fmt: skip
        if "table_head" not in fields:
            fields.pop("table_head_start", None)
        return cls(text=text, metadata=meta, **fields)

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
            section=self.section_at(start),
            section_breaks=tuple(turn for turn in self.section_breaks if start < turn[0] < end),
        )  # fmt: skip

    def section_at(self, at: int) -> Section:
        """Return the heading path of the section that holds an offset of the document."""
        return next((path for begin, path in reversed(self.section_breaks) if begin <= at), self.section)

    @property
    def place(self) -> str:
        """Where a person would look: ``source, p. 3, Section > Subsection``."""
        return place_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``--json`` and ``--output`` write them.

        Dates in the metadata become text; ``dates`` then names their keys, so that `from_dict` restores them.
        """
        out = shallow(self)
        out["section"], out["page_breaks"] = list(self.section), list(self.page_breaks)
        out["section_breaks"] = _listed(self.section_breaks)
        out["metadata"] = {key: _plain(value) for key, value in self.metadata.items()}
        dates = {
            key: "datetime" if isinstance(value, dt.datetime) else "date"
            for key, value in self.metadata.items()
            if isinstance(value, dt.date)
        }
        return {**out, "dates": dates} if dates else out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Hit:
        """Read what `to_dict` returned, also after it was written as JSON."""
        read = {"date": dt.date.fromisoformat, "datetime": dt.datetime.fromisoformat}
        dates = values.get("dates") or {}
        metadata = {
            key: read[dates[key]](value) if key in dates else value
            for key, value in (values.get("metadata") or {}).items()
        }
        return from_fields(cls, {**values, "metadata": metadata})


def _all(values: Any, kind: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)


def _are_breaks(values: Any) -> bool:
    """Tell whether a value has the form ``[[offset, [heading, …]], …]``."""
    return _all(values, (list, tuple)) and all(
        len(pair) == 2 and isinstance(pair[0], _WHOLE) and _all(pair[1], str) for pair in values
    )


def _listed(breaks: SectionBreaks) -> list[list[Any]]:
    """Return section breaks as JSON has them."""
    return [[at, list(path)] for at, path in breaks]


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
    section, turns = first.section, list[tuple[int, Section]]()
    for piece in pieces:
        for turn in ((piece.start, piece.section), *piece.section_breaks):
            if turn[1] != section:
                turns.append(turn)
                section = turn[1]
    return replace(
        first, end=last.end, page_end=last.page_end, gap=last.gap, page_breaks=tuple(sorted(breaks)),
        section_breaks=tuple(turns),
        text="".join(piece.text + (piece.gap or "") for piece in pieces[:-1]) + last.text,
        chunk_id=chunk_id,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """What became of a retrieved chunk in the trimmer.

    Attributes
    ----------
    score : float or None
        The score by which its best part was ranked; None if other candidates hold all of it.
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


@dataclass(frozen=True, slots=True, repr=False)
class Context(Displayable):
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
            "candidates": [shallow(candidate) for candidate in self.candidates],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Context:
        """Read what `to_dict` returned, also after it was written as JSON."""
        return from_fields(cls, values)

    @property
    def fates(self) -> str:
        """How many candidates were kept, and how many were left out for which reason; empty if unknown.

        For example ``of 28 candidates 23 kept, 5 no room``.
        """
        counts = Counter(candidate.why for candidate in self.candidates)
        reasons = ", ".join(f"{count} {why}" for why, count in counts.most_common())
        return f"of {len(self.candidates)} candidates {reasons}" if counts else ""

    @property
    def size(self) -> str:
        """How much of the budget is used: ``3969 of 4000 chars in 2 passages``."""
        return f"{self.used} of {self.budget} {self.unit} in {len(self.hits)} passages"


class Place(Protocol):
    """A span of a document, as far as a person needs it to look the span up."""

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
    def section(self) -> Section:
        """The heading path of the section in which it begins."""

    @property
    def section_breaks(self) -> SectionBreaks:
        """The sections that begin inside it."""


def place_of(spot: Place) -> str:
    """Return where a person would look: ``source, p. 3, Section > Subsection``.

    Of several sections the headings above all of them are named once: ``Leave > Paid time off; Sick leave``.
    """
    parts = [spot.source]
    if spot.page_start is not None:
        same = spot.page_end in (None, spot.page_start)
        parts.append(f"p. {spot.page_start}" if same else f"pp. {spot.page_start}-{spot.page_end}")
    paths = [path for path in sections_of(spot) if path]
    if paths:
        above = shared_parents(paths)
        parts.append(" > ".join([*above, "; ".join(" > ".join(path[len(above) :]) for path in paths)]))
    return ", ".join(parts)


def sections_of(spot: Place) -> list[Section]:
    """Return the heading paths of the sections that a span runs over, in order, each once."""
    return list(dict.fromkeys([spot.section, *(path for _, path in spot.section_breaks)]))


def shared_parents(paths: Sequence[Section]) -> Section:
    """Return the headings that stand above all of some sections.

    Examples
    --------
    >>> shared_parents([("Leave", "Paid time off"), ("Leave", "Sick leave", "Pay")])
    ('Leave',)
    """
    levels = zip(*(path[:-1] for path in paths), strict=False)
    return tuple(level[0] for level in itertools.takewhile(lambda level: len(set(level)) == 1, levels))


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    # The caller may change what it is given.
    return value if value is None or isinstance(value, str | int | float) else copy.deepcopy(value)
