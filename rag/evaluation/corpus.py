"""Rebuild the documents' texts from an index, and locate verbatim copies of evidence in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rag.core.passages import Hit
from rag.evaluation.golden_set import Question, Span
from rag.evaluation.metrics import SHORTEST_COPY, merged

#: The start of each piece of a document, and its text.
Pieces = list[tuple[int, str]]


def assemble(chunks: Iterable[Hit]) -> dict[str, Pieces]:
    """Join the chunks of each document into as few pieces of text as possible.

    Chunks join if they overlap, touch, or are separated by white space that the index recorded. A new
    piece begins where the text between two chunks is unknown (a page's footer, for example).

    Parameters
    ----------
    chunks : iterable of Hit
        In any order.

    Returns
    -------
    dict of str to list of (int, str)
        The pieces of each source in order: the offset in the loaded text, and the text from there.
    """
    by_source: dict[str, list[Hit]] = {}
    for chunk in chunks:
        by_source.setdefault(chunk.source, []).append(chunk)
    return {source: _joined(sorted(hits, key=lambda hit: (hit.start, hit.end)))
            for source, hits in by_source.items()}  # fmt: skip


def _joined(hits: Sequence[Hit]) -> Pieces:
    pieces: list[tuple[int, list[str]]] = []
    end, gap = -1, None
    for hit in hits:
        if pieces and gap is not None and hit.start == end + len(gap):
            pieces[-1][1].extend((gap, hit.text))
        elif pieces and hit.start <= end:
            pieces[-1][1].append(hit.text[max(end - hit.start, 0) :])
        else:
            pieces.append((hit.start, [hit.text]))
        if hit.end >= end:
            end, gap = hit.end, hit.gap
    return [(start, "".join(parts)) for start, parts in pieces]


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
        text = _slice(texts[span.source], span)
        unknown += text is None
        if text is not None and (elsewhere := tuple(_occurrences(texts, text, except_at=span))):
            copies_of[span] = elsewhere
    return copies_of, unknown


def _slice(pieces: Pieces, span: Span) -> str | None:
    for start, text in pieces:
        if start <= span.start and span.end <= start + len(text):
            return text[span.start - start : span.end - start]
    return None


def _occurrences(texts: Mapping[str, Pieces], wanted: str, except_at: Span) -> Iterable[Span]:
    for source, pieces in texts.items():
        for start, text in pieces:
            at = text.find(wanted)
            while at >= 0:
                occurrence = Span(source, start + at, start + at + len(wanted))
                if occurrence != except_at:
                    yield occurrence
                at = text.find(wanted, at + 1)
