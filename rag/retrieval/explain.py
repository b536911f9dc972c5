"""Where a passage was lost on its way to the model, and what would have kept it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from rag.core.displayable import Displayable
from rag.core.errors import UsageError, near_miss
from rag.core.passages import Context, Hit
from rag.core.plain import from_fields
from rag.index.filters.bind import Bound
from rag.index.filters.where import field as column
from rag.retrieval.search import HybridSearch
from rag.usage.tokens import room_chars

_SPAN = re.compile(r"(?P<source>.+):(?P<start>\d+)-(?P<end>\d+)")
#: Ranks are told up to here; what lies behind is "below".
_DEEPEST = 5000
#: Sources that are looked into first for a text: those that a search for it finds.
_FIRST = 30
#: How often a budget is doubled in search of one that would have kept the passage.
_DOUBLINGS = 8


@dataclass(frozen=True, slots=True, repr=False)
class Explanation(Displayable):
    """What became of a passage.

    Attributes
    ----------
    stage : {"kept", "not loaded", "quarantined", "filter", "retriever", "trimmer"}
        Where it was lost; ``"kept"`` if it is in the context.
    said : str
        What happened, in a sentence.
    advice : tuple of str
        What would have kept it.
    chunks : tuple of Hit
        The chunks that hold it.
    ranks : mapping of str to int or None
        The best of them in ``"dense"``, ``"lexical"`` and ``"hybrid"`` order, from 1, among the
        `matched` chunks; None below `_DEEPEST`, or where no word of the question occurs.
    kept : float
        The share of its characters that is in the context.
    """

    question: str
    expected: str
    stage: str
    said: str
    advice: tuple[str, ...] = ()
    chunks: tuple[Hit, ...] = ()
    ranks: Mapping[str, int | None] = field(default_factory=dict)
    matched: int = 0
    kept: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        own = asdict(self)
        return {**own, "advice": list(self.advice), "chunks": [hit.to_dict() for hit in self.chunks]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Explanation:
        """Read what `to_dict` returned, also after it was written as JSON."""
        return from_fields(cls, values)


def explain(pipe: Any, question: str, expect: str, **options: Any) -> Explanation:
    """Follow a passage through the stages of a question.

    Parameters
    ----------
    pipe : Pipeline
    question : str
    expect : str
        Words of the passage, as they stand in it (white space and case aside); or a source; or
        ``source:start-end``.
    **options
        Those of `Pipeline.context`.

    Raises
    ------
    UsageError
        Nothing is expected.
    """
    if not expect.strip():
        raise UsageError("nothing is expected: give a passage's words, or a source")
    index = pipe.index
    spans = _find(index, expect)
    if not spans:
        return _missing(index, question, expect)
    chunks = tuple(hit for hits, _, _ in spans for hit in hits)
    retriever = pipe.retriever
    where = index.both(_filter_of(retriever), options.get("where"))
    matched = index.count(where)
    out = Explanation(question, expect, "", "", chunks=chunks, matched=matched)
    ids = [hit.chunk_id for hit in chunks]
    if where is not None and not index.count(where & column("chunk_id").isin(ids)):
        return _filtered(index, out, where, ids)
    weight = retriever.lexical_weight if isinstance(retriever, HybridSearch) else 1.0
    ranks = _ranks(index, question, set(ids), where, weight)
    context = pipe.context(question, **options)
    kept = max(_share(context, start, end, hits[0].source) for hits, start, end in spans)
    out = replace(out, ranks=ranks, kept=kept)
    if kept > 0:
        part = "" if kept > 0.99 else f": {kept:.0%} of it"
        return replace(out, stage="kept", said=f"it is in the context{part}")
    room = room_chars(context.budget, context.unit)
    own = retriever.candidates(room) if isinstance(retriever, HybridSearch) else None
    k = options.get("k") or own
    mode = str(options.get("mode") or getattr(retriever, "mode", "hybrid"))
    rank = ranks.get(mode)
    if isinstance(retriever, HybridSearch) and k is not None and (rank is None or rank > k):
        return _unranked(out, mode, rank, k)
    if not isinstance(retriever, HybridSearch) and not _returned(pipe, question, options, spans):
        said = f"it was not among what the retriever {type(retriever).__name__} returned"
        return replace(out, stage="retriever", said=said, advice=("a larger [retriever] k",))
    return _trimmed(pipe, out, options, context, spans)


@runtime_checkable
class _SearchesStore(Protocol):
    """LangChain's VectorStoreRetriever, whose import takes longer than a search."""

    search_kwargs: dict[str, Any]


def _filter_of(retriever: Any) -> Any:
    """Return the filter that a retriever adds to every question's."""
    if isinstance(retriever, _SearchesStore):
        return retriever.search_kwargs.get("filter", retriever.search_kwargs.get("where"))
    return retriever.where if isinstance(retriever, HybridSearch) else None


_Found = tuple[list[Hit], int, int]  # the chunks, and the passage's offsets


def _find(index: Any, expect: str) -> list[_Found]:
    """Return the passages that are meant: chunks, and offsets in their document."""
    sources = {record.source for record in index.sources if record.chunks}
    span = _SPAN.fullmatch(expect)
    if expect in sources or (span and span["source"] in sources):
        source = expect if expect in sources else span["source"] if span else ""
        hits = _chunks(index, source)
        start, end = (int(span["start"]), int(span["end"])) if span and source != expect else (0, 1 << 62)
        inside = [hit for hit in hits if hit.start < end and start < hit.end]
        return [([hit], max(start, hit.start), min(end, hit.end)) for hit in inside]
    likely = dict.fromkeys(hit.source for hit in index.search(expect, k=200, mode="lexical"))
    first = list(likely)[:_FIRST]
    for source in first:
        found = _within(_chunks(index, source), expect)
        if found:
            return found
    rest = sorted(sources - set(first)) if len(sources) <= 2000 else []
    return next((found for source in rest if (found := _within(_chunks(index, source), expect))), [])


def _chunks(index: Any, source: str) -> list[Hit]:
    return sorted(index.scan(column("source") == source), key=lambda hit: hit.start)


def _within(hits: Sequence[Hit], expect: str) -> list[_Found]:
    """Return where words stand in the chunks of a document, also across their borders."""
    words = re.compile(r"\s+".join(map(re.escape, expect.split())), re.IGNORECASE)
    text, starts = "", []
    for hit in hits:
        starts.append(len(text))
        text += hit.text + "\n"
    match = words.search(text)
    if match is None:
        return []
    inside = [
        (hit, at) for hit, at in zip(hits, starts, strict=True)
        if at < match.end() and match.start() < at + len(hit.text)
    ]  # fmt: skip
    first, last = inside[0], inside[-1]
    return [([hit for hit, _ in inside], first[0].start + match.start() - first[1],
             last[0].start + match.end() - last[1])]  # fmt: skip


def _missing(index: Any, question: str, expect: str) -> Explanation:
    span = _SPAN.fullmatch(expect)
    name = span["source"] if span else expect
    records = {record.source: record for record in index.sources}
    if name in records and records[name].reason:
        record = records[name]
        said = f"{name} is in quarantine: it {record.reason}"
        return Explanation(question, expect, "quarantined", said, (record.advice,))
    if name in records:
        return Explanation(question, expect, "not loaded", f"no chunk of {name} holds these characters")
    bad = sum(bool(record.reason) for record in records.values())
    said = "no file of the index has this name, and no chunk holds these words"
    advice = ["give fewer of the passage's words, as they stand in the document"]
    if "/" in expect or "." in expect.strip()[-6:]:
        meant = near_miss(name, records) if len(records) < 2000 else ""
        advice.append(f"if a file is meant: {meant if meant.startswith('did') else 'check its path'}")
    if bad:
        advice.append(f"{bad} files are in quarantine: see `rag quarantine {index.path}`")
    return Explanation(question, expect, "not loaded", said, tuple(advice))


def _filtered(index: Any, out: Explanation, where: Bound, ids: Sequence[str]) -> Explanation:
    mine = column("chunk_id").isin(ids)
    failing = [part for part in where.parts if not index.count(part & mine)]
    hit = out.chunks[0]
    has = []
    for name in sorted({name for part in failing for name in part.fields()}):
        value = hit.metadata.get(name, getattr(hit, name, None))
        has.append(f"{name} is {value!r}" if value is not None else f"it has no {name}")
    said = f"the filter leaves {hit.source} out: {', '.join(has) or 'no part of it alone does'}"
    advice = tuple(f"without {part.to_string()}" for part in failing)
    return replace(out, stage="filter", said=said, advice=advice)


def _ranks(
    index: Any, question: str, ids: set[str], where: Any, weight: float
) -> dict[str, int | None]:  # fmt: skip
    out: dict[str, int | None] = {}
    for mode in ("dense", "lexical", "hybrid"):
        hits = index.search(
            question, k=_DEEPEST, where=where, mode=mode, lexical_weight=weight, spread=False
        )  # fmt: skip
        out[mode] = next((rank for rank, hit in enumerate(hits, 1) if hit.chunk_id in ids), None)
    return out


def _unranked(out: Explanation, mode: str, rank: int | None, k: int) -> Explanation:
    place = f"rank {rank}" if rank else f"below rank {_DEEPEST}, or has no word of the question"
    said = f"it was not among the {k} chunks retrieved: {place} of {out.matched} ({mode})"
    advice = [f"-k {rank}"] if rank else []
    better = {name: place for name, place in out.ranks.items() if place and place <= k}
    advice += [f"--mode {name} (rank {place})" for name, place in sorted(better.items(), key=lambda p: p[1])]
    if not advice:
        advice = ["a filter, or a question in the passage's own words"]
    return replace(out, stage="retriever", said=said, advice=tuple(advice))


def _returned(pipe: Any, question: str, options: Mapping[str, Any], spans: Sequence[_Found]) -> bool:
    """Tell whether a retriever that is not ours returns any part of the passages, or may do so."""
    for hit in pipe.retrieve(question, **options):
        for chunks, start, end in spans:
            if hit.source == chunks[0].source and (not hit.placed or (hit.start < end and start < hit.end)):
                return True
    return False


def _fates(context: Context, spans: Sequence[_Found]) -> set[str]:
    """Return what became of the candidates that hold any part of the passages."""
    return {
        candidate.why for candidate in context.candidates for hits, start, end in spans
        if candidate.source == hits[0].source and candidate.start < end and start < candidate.end
    }  # fmt: skip


def _trimmed(
    pipe: Any, out: Explanation, options: Mapping[str, Any], context: Context, spans: Sequence[_Found]
) -> Explanation:
    if "said already" in _fates(context, spans):
        said = "it was retrieved, and left out as other passages of the context say it already"
        return replace(out, stage="trimmer", said=said)
    said = f"it was retrieved, and cut by the budget of {context.budget} {context.unit}"
    fits = context.budget

    def kept(budget: int) -> bool:
        found = pipe.context(out.question, **{**options, "budget": budget})
        return any(_share(found, start, end, hits[0].source) > 0 for hits, start, end in spans)

    try:
        for _ in range(_DOUBLINGS):
            fits *= 2
            if kept(fits):
                break
        else:
            why = "what it says stands in another passage that was kept, or the trimmer leaves it out"
            return replace(out, stage="trimmer", said=f"{said}; {why}")
    except UsageError:  # a trimmer without a budget
        return replace(out, stage="trimmer", said="it was retrieved, and left out by the trimmer")
    low = fits // 2
    while fits - low > max(1, fits // 50):
        middle = (low + fits) // 2
        low, fits = (low, middle) if kept(middle) else (middle, fits)
    return replace(out, stage="trimmer", said=said, advice=(f"--budget {fits}",))


def _share(context: Context, start: int, end: int, source: str) -> float:
    """Return how much of a span is in the context."""
    held = sum(
        max(0, min(end, hit.end) - max(start, hit.start)) for hit in context.hits if hit.source == source
    )  # fmt: skip
    return min(1.0, held / max(end - start, 1))
