"""Metrics of one question: evidence in a context, and gold documents in a ranking.

All can be checked by hand; reported means are means of these values over questions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rag.evaluation.golden_set import Span

#: Shorter spans have no copies: a few words occur in many places without the same meaning.
SHORTEST_COPY = 20

_Pieces = Mapping[str, Sequence[tuple[int, int]]]


class Overlap(NamedTuple):
    """The overlap of a context and the evidence; all values in [0, 1].

    Attributes
    ----------
    recall : float
        Evidence characters in the context, divided by all evidence characters.
    precision : float
        Evidence characters in the context, divided by all its characters; 0 for an empty context.
    iou : float
        Intersection over union: evidence characters in the context, divided by the characters that
        are in the evidence, the context or both.
    """

    recall: float
    precision: float
    iou: float


class Ranking(NamedTuple):
    """The ranking metrics of the gold documents; all values in [0, 1]."""

    ndcg: float
    recall: float
    mrr: float


def overlap(
    evidence: Iterable[Span],
    context: Iterable[Span],
    copies: Mapping[Span, Sequence[Span]] | None = None,
) -> Overlap:
    """Compare a context with the evidence, character by character; a character counts once.

    Parameters
    ----------
    evidence, context : iterable of Span
        `evidence` holds at least one span.
    copies : mapping of Span to sequence of Span, optional
        Other places of the same text, for each merged evidence span (`merged`); the place that the
        context covers best counts. Precision and IoU are capped at 1, because two evidence spans can
        share a copy.

    Examples
    --------
    >>> overlap([Span("a.md", 0, 100)], [Span("a.md", 50, 150), Span("b.md", 0, 100)])
    Overlap(recall=0.5, precision=0.25, iou=0.2)
    """
    evidence_spans = merged(evidence)
    context_spans = merged(context)
    pieces: dict[str, list[tuple[int, int]]] = {}
    for source, start, end in context_spans:
        pieces.setdefault(source, []).append((start, end))
    total, used = _length(evidence_spans), _length(context_spans)
    both = sum(
        max(_shared(pieces, place) for place in (span, *(copies or {}).get(span, ())))
        for span in evidence_spans
    )
    return Overlap(
        both / total, min(both / used, 1.0) if used else 0.0, min(both / max(used + total - both, 1), 1.0)
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap or touch, and sort them by source and start.

    Examples
    --------
    >>> merged([Span("a", 5, 9), Span("a", 0, 5), Span("b", 0, 2)])
    [Span(source='a', start=0, end=9), Span(source='b', start=0, end=2)]
    """
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.source == joined[-1].source and span.start <= joined[-1].end:
            joined[-1] = Span(span.source, joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def ranking(gold: Mapping[str, float], sources: Iterable[str], k: int) -> Ranking:
    """Score a ranking of documents; a document counts at the rank of its first hit.

    nDCG uses the grade as gain and the discount ``log2(rank + 1)`` (Järvelin and Kekäläinen, 2002);
    recall divides by what k ranks can hold, ``min(k, len(gold))``; MRR is 1 / the rank of the first
    gold document, or 0 if none is among the first k.

    Parameters
    ----------
    gold : mapping of str to float
        Grades above 0; not empty.
    sources : iterable of str
        Best first.
    k : int
        Ranks that count, at least 1.

    Examples
    --------
    >>> ranking({"a": 1, "b": 1}, ["x", "a", "a"], k=10).mrr
    0.5
    """
    ranked = list(dict.fromkeys(sources))[:k]
    gained = _dcg(gold.get(source, 0.0) for source in ranked)
    best = _dcg(sorted(gold.values(), reverse=True)[:k])
    gold_ranks = [rank for rank, source in enumerate(ranked, 1) if source in gold]
    mrr = 1 / gold_ranks[0] if gold_ranks else 0.0
    return Ranking(gained / best, len(gold_ranks) / min(len(gold), k), mrr)


def _dcg(grades: Iterable[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _length(spans: Iterable[Span]) -> int:
    return sum(span.end - span.start for span in spans)


def _shared(pieces: _Pieces, span: Span) -> int:
    return sum(
        max(0, min(span.end, end) - max(span.start, start)) for start, end in pieces.get(span.source, ())
    )
