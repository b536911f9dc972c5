"""Find quotes in passages, make citations of them, and narrow long ones to the sentences that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import unescape

from rag.core.citations import Citation
from rag.core.passages import Hit
from rag.core.quantities import figures
from rag.core.text import Span, fold, sentences
from rag.generation.support import content

#: The passage of a quote, and the quote's offsets in the document.
Place = tuple[Hit, int, int]
_MOST_WORDS = 0.8  # of the words that a claim shares with a span, the share that its narrower part must have


def find_quote(text: str, quote: str) -> tuple[int, int] | None:
    r"""Return the offsets of a quote in a text, word for word; white space and case aside.

    A quote must begin and end at the edges of words ("5 days" does not stand in "15 days").

    Examples
    --------
    >>> find_quote("Paid on the\n25th.", "paid on the 25th")
    (0, 16)
    """
    plain = quote.strip()
    if not plain:
        return None
    same = _standing(text, plain)  # most quotes are exact, and nothing need be folded
    if same is not None:
        return same, same + len(plain)
    wanted = fold(quote)[0].strip()
    folded, origin = fold(text)
    at = _standing(folded, wanted) if wanted else None
    return None if at is None else (origin[at], origin[at + len(wanted) - 1] + 1)


def _standing(text: str, words: str) -> int | None:
    """Return the offset of words in a text that begin and end at the edges of words."""
    at = text.find(words)
    while at >= 0:
        end = at + len(words)
        left = at == 0 or not (text[at - 1].isalnum() and words[0].isalnum())
        right = end == len(text) or not (text[end].isalnum() and words[-1].isalnum())
        if left and right:
            return at
        at = text.find(words, at + 1)
    return None


def place_in(hits: Sequence[Hit], quote: str, document: int | None = None) -> Place | None:
    """Return where a quote stands: in the passage of that number, from 1, else in another; None if in none.

    Words that the prompt had to escape are looked up as they stand, too.
    """
    order = list(range(len(hits)))
    if document is not None and 0 < document <= len(order):
        order.insert(0, order.pop(document - 1))
    for words in dict.fromkeys((quote, unescape(quote))):
        for hit in (hits[number] for number in order):
            span = find_quote(hit.text, words)
            if span:
                return hit, hit.start + span[0], hit.start + span[1]
    return None


def citation_of(
    hits: Sequence[Hit], quote: str, document: int | None, place: Place | None, *, supports: bool = True
) -> Citation:
    """Return the citation of a quote, without its number; not verified if it has no place."""
    if place is None:
        source = hits[document - 1].source if document is not None and 0 < document <= len(hits) else ""
        return Citation(0, source, 0, 0, quote, verified=False, supports=False)
    span = place[0].narrowed(*place[1:])
    return Citation(
        0, span.source, span.start, span.end, span.text, True, span.page_start, span.page_end, span.section,
        supports, span.section_breaks,
    )  # fmt: skip


def numbered(citations: list[Citation], citation: Citation) -> tuple[Citation, bool]:
    """Return a citation with its number, and whether it is a new one, which is then added to the others."""
    for known in citations:
        if replace(known, number=0) == citation:
            return known, False
    citations.append(replace(citation, number=len(citations) + 1))
    return citations[-1], True


def narrowed(text: str, start: int, end: int, claim: str) -> Span:
    """Return the part of ``text[start:end]`` that supports a claim.

    It is the shortest run of whole sentences with every number that the claim shares with the span, and
    with four fifths or more of the words that it shares with it; the first of equally short ones. So the
    part contains every number of the claim that the span contains. If they share nothing, it is the span.

    Examples
    --------
    >>> text = "Pay day is the 25th. Leave is 28 days in Europe. Dogs are welcome."
    >>> text[slice(*narrowed(text, 0, len(text), "You get 28 days of leave."))]
    'Leave is 28 days in Europe.'
    """
    spans = sentences(text, start, end)
    words = content(claim)
    needed = [figure.needs for figure in figures(claim) if figure.needs]
    offered = [
        (
            words & content(text[a:b]),
            {form for figure in figures(text[a:b]) for form in figure.offers} if needed else set[str](),
        )
        for a, b in spans
    ]
    all_words = set[str]().union(*(shared for shared, _ in offered))
    all_forms = set[str]().union(*(forms for _, forms in offered))
    wanted = [needs for needs in needed if needs & all_forms]
    if not all_words and not wanted:
        return start, end
    best = (start, end)
    for first in range(len(spans)):
        held, forms = set[str](), set[str]()
        for (_, stop), (shared, more) in zip(spans[first:], offered[first:], strict=True):
            held, forms = held | shared, forms | more
            if len(held) >= _MOST_WORDS * len(all_words) and all(needs & forms for needs in wanted):
                if stop - spans[first][0] < best[1] - best[0]:
                    best = (spans[first][0], stop)
                break
    return best
