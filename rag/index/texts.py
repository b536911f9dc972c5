"""Rebuild the documents' texts from the chunks of an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.core.passages import Hit

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


def piece_at(pieces: Pieces, begin: int, end: int) -> str | None:
    """Return the text between two offsets of a document; None where the index does not hold it in one piece.

    Examples
    --------
    >>> piece_at([(0, "Leave is"), (20, "28 days.")], 20, 27), piece_at([(0, "Leave is")], 6, 12)
    ('28 days', None)
    """
    for start, text in pieces:
        if start <= begin and end <= start + len(text):
            return text[begin - start : end - start]
    return None


def occurrences(pieces: Pieces, wanted: str) -> list[int]:
    """Return the offsets in a document at which a text begins.

    Examples
    --------
    >>> occurrences([(10, "28 days, not 28 weeks")], "28")
    [10, 23]
    """
    found = []
    for start, text in pieces:
        at = text.find(wanted)
        while at >= 0:
            found.append(start + at)
            at = text.find(wanted, at + 1)
    return found
