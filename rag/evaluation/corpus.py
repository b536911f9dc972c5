"""The documents' texts as an index holds them, and where else an evidence span stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rag.core.passages import Hit
from rag.evaluation.golden_set import Question, Span
from rag.evaluation.metrics import SHORTEST_COPY, merged

#: The start of each piece of a document, and its text.
Pieces = list[tuple[int, str]]


def assemble(chunks: Iterable[Hit]) -> dict[str, Pieces]:
    """Put documents together from their chunks.

    Chunks that overlap, or have only a known gap of white space between them, join into one piece.
    Where it is not known what stands between two (a page's footer, say), a new piece begins.

    Parameters
    ----------
    chunks : iterable of Hit
        In any order.

    Returns
    -------
    dict of str to list of (int, str)
        For each source its pieces in order; each is the loaded text from its start on.
    """
    found: dict[str, list[Hit]] = {}
    for chunk in chunks:
        found.setdefault(chunk.source, []).append(chunk)
    return {source: _joined(sorted(hits, key=lambda hit: (hit.start, hit.end)))
            for source, hits in found.items()}  # fmt: skip


def _joined(hits: Sequence[Hit]) -> Pieces:
    out: list[tuple[int, list[str]]] = []
    end, gap = -1, None
    for hit in hits:
        if out and gap is not None and hit.start == end + len(gap):
            out[-1][1].extend((gap, hit.text))
        elif out and hit.start <= end:
            out[-1][1].append(hit.text[max(end - hit.start, 0) :])
        else:
            out.append((hit.start, [hit.text]))
        if hit.end >= end:
            end, gap = hit.end, hit.gap
    return [(start, "".join(parts)) for start, parts in out]


def copies(index: Any, questions: Iterable[Question]) -> tuple[dict[Span, tuple[Span, ...]], int]:
    """Find the verbatim copies of evidence spans in the documents of an index.

    Reads the text of every chunk; spans below `SHORTEST_COPY` characters are left out.

    Returns
    -------
    dict of Span to tuple of Span
        For each merged evidence span that has copies, where they stand.
    int
        Spans whose own text the index does not hold as one piece: their copies are not known.
    """
    texts = assemble(index.scan())
    wanted = {span for question in questions for span in merged(question.evidence)}
    out: dict[Span, tuple[Span, ...]] = {}
    unknown = 0
    for span in wanted:
        if span.end - span.start < SHORTEST_COPY or span.source not in texts:
            continue
        text = _slice(texts[span.source], span)
        unknown += text is None
        if text is not None and (places := tuple(_places(texts, text, span))):
            out[span] = places
    return out, unknown


def _slice(pieces: Pieces, span: Span) -> str | None:
    for start, text in pieces:
        if start <= span.start and span.end <= start + len(text):
            return text[span.start - start : span.end - start]
    return None


def _places(texts: Mapping[str, Pieces], wanted: str, own: Span) -> Iterable[Span]:
    for source, pieces in texts.items():
        for start, text in pieces:
            at = text.find(wanted)
            while at >= 0:
                place = Span(source, start + at, start + at + len(wanted))
                if place != own:
                    yield place
                at = text.find(wanted, at + 1)
