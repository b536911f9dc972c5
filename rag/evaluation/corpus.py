"""Locate verbatim copies of evidence in the documents of an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rag.evaluation.golden_set import Question, Span
from rag.evaluation.metrics import SHORTEST_COPY, merged
from rag.index.texts import Pieces, assemble, occurrences, piece_at


def copies(index: Any, questions: Iterable[Question]) -> tuple[dict[Span, tuple[Span, ...]], int]:
    """Locate verbatim copies of the questions' evidence in the documents of an index.

    The text of every chunk is read; spans under `SHORTEST_COPY` characters are skipped.

    Returns
    -------
    dict of Span to tuple of Span
        The copies of each merged evidence span that has any.
    int
        Spans whose text the index does not hold in one piece: their copies are unknown.
    """
    texts = assemble(index.scan())
    spans = {span for question in questions for span in merged(question.evidence)}
    copies_of: dict[Span, tuple[Span, ...]] = {}
    unknown = 0
    for span in spans:
        if span.end - span.start < SHORTEST_COPY or span.source not in texts:
            continue
        text = piece_at(texts[span.source], span.start, span.end)
        unknown += text is None
        if text is not None and (elsewhere := tuple(_occurrences(texts, text, except_at=span))):
            copies_of[span] = elsewhere
    return copies_of, unknown


def _occurrences(texts: Mapping[str, Pieces], wanted: str, except_at: Span) -> Iterable[Span]:
    for source, pieces in texts.items():
        for at in occurrences(pieces, wanted):
            occurrence = Span(source, at, at + len(wanted))
            if occurrence != except_at:
                yield occurrence
