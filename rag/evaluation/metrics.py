"""How much of the evidence is in a context, and how high the right documents stand in a ranking.

Both are what a reader of the numbers can count with a pencil; a mean over questions is one over
these values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rag.evaluation.golden_set import Span

#: Copies of shorter spans are not looked for: a few words stand in many places without saying the same.
SHORTEST_COPY = 20

_Pieces = Mapping[str, Sequence[tuple[int, int]]]


class Overlap(NamedTuple):
    """What a context and the evidence share, in [0, 1].

    Attributes
    ----------
    recall : float
        Evidence characters that reached the context, of all evidence characters.
    precision : float
        The same, of all characters in the context; 0 for an empty context.
    iou : float
        The same, of the characters of either (intersection over union).
    """

    recall: float
    precision: float
    iou: float


class Ranking(NamedTuple):
    """How high the gold documents stand, in [0, 1]."""

    ndcg: float
    recall: float
    mrr: float


def overlap(
    evidence: Iterable[Span],
    context: Iterable[Span],
    copies: Mapping[Span, Sequence[Span]] | None = None,
) -> Overlap:
    """Compare a context with the evidence, character by character; overlaps count once.

    Parameters
    ----------
    evidence, context : iterable of Span
        `evidence` holds at least one span.
    copies : mapping of Span to sequence of Span, optional
        For each merged evidence span (`merged`) the other places where the same text stands; the
        place that is covered best counts. Where two evidence spans share a copy, precision and IoU
        are bounded by 1.

    Examples
    --------
    >>> overlap([Span("a.md", 0, 100)], [Span("a.md", 50, 150), Span("b.md", 0, 100)])
    Overlap(recall=0.5, precision=0.25, iou=0.2)
    """
    wanted = merged(evidence)
    held = merged(context)
    pieces: dict[str, list[tuple[int, int]]] = {}
    for source, start, end in held:
        pieces.setdefault(source, []).append((start, end))
    total, used = _length(wanted), _length(held)
    both = sum(
        max(_shared(pieces, place) for place in (span, *(copies or {}).get(span, ()))) for span in wanted
    )
    return Overlap(
        both / total, min(both / used, 1.0) if used else 0.0, min(both / max(used + total - both, 1), 1.0)
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap or touch; in order of source and start.

    Examples
    --------
    >>> merged([Span("a", 5, 9), Span("a", 0, 5), Span("b", 0, 2)])
    [Span(source='a', start=0, end=9), Span(source='b', start=0, end=2)]
    """
    out: list[Span] = []
    for span in sorted(spans):
        if out and span.source == out[-1].source and span.start <= out[-1].end:
            out[-1] = Span(span.source, out[-1].start, max(out[-1].end, span.end))
        else:
            out.append(span)
    return out


def ranking(gold: Mapping[str, float], sources: Iterable[str], k: int) -> Ranking:
    """Score a ranking of documents; a document counts at its first hit.

    nDCG has the grade as gain and a discount of ``log2(rank + 1)`` (Järvelin and Kekäläinen, 2002);
    recall is bounded by what k places can hold, ``min(k, len(gold))``; MRR is 1 / the rank of the
    first gold document, 0 if there is none among the k.

    Parameters
    ----------
    gold : mapping of str to float
        Grades above 0; not empty.
    sources : iterable of str
        Best first.
    k : int
        Places that count, at least 1.

    Examples
    --------
    >>> ranking({"a": 1, "b": 1}, ["x", "a", "a"], k=10).mrr
    0.5
    """
    ranked = list(dict.fromkeys(sources))[:k]
    gained = _dcg(gold.get(source, 0.0) for source in ranked)
    best = _dcg(sorted(gold.values(), reverse=True)[:k])
    found = [rank for rank, source in enumerate(ranked, 1) if source in gold]
    return Ranking(gained / best, len(found) / min(len(gold), k), 1 / found[0] if found else 0.0)


def _dcg(grades: Iterable[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _length(spans: Iterable[Span]) -> int:
    return sum(span.end - span.start for span in spans)


def _shared(pieces: _Pieces, span: Span) -> int:
    return sum(
        max(0, min(span.end, end) - max(span.start, start)) for start, end in pieces.get(span.source, ())
    )
