"""A reply and its context to verified citations.

The model writes ``<cite doc="N">exact words</cite>``, or its API gives the citation beside the text.
Each quote is looked up in the passage that it names; what stands there word for word (white space,
case and typographic quotes aside) becomes a citation with its offsets in the source, and ``[n]`` in
the text. Then the sentence that cites it is checked against its quotes: each number of the sentence
must stand in one of them, or in the question. A quote that stands nowhere, and one whose part of the
sentence has a number that no quote has, is marked ``[n?]``, or dropped if asked.

What a sentence says is known only at its end: from a sentence's first citation to its end the text is
held back, so that what is streamed is what the answer says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape
from typing import Literal

from rag.core.answers import Citation
from rag.core.passages import Hit
from rag.core.quantities import figures, missing
from rag.core.text import Span, fold, sentences
from rag.generation.support import Support, cited_sentences, content, support

_TAG = re.compile(r'[ \t]*<cite\s+doc\s*=\s*"?(\d{1,6})"?\s*>(.*?)</cite\s*>', re.DOTALL)
_NO_ANSWER = re.compile(r"\s*<no_answer\s*/?>(?:\s*</no_answer>)?\s*", re.IGNORECASE)
_OPENING = "<cite"
_LONGEST_TAG = 8_000  # a quote that is still open after so many characters is no quote
_LONGEST_HELD = 2_000  # a sentence that has not ended so many characters behind a citation ends there
_MOST_WORDS = 0.8  # of the words that a claim shares with a passage, how many its narrower part must have

OnFail = Literal["flag", "drop"]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A citation whose sentence has not ended: where it stands in the sentence, and what it quotes."""

    at: int
    quote: str
    document: int | None
    place: tuple[Hit, int, int] | None
    whole: bool  # it names more than the words that matter, and may be narrowed


class ReplyReader:
    """Reads a reply as it comes; gives its text with ``[n]``, and its citations.

    Parameters
    ----------
    hits : sequence of Hit
        The passages, in the order in which the prompt numbers them from 1.
    on_fail : {"flag", "drop"}
        What becomes of a citation that does not bear out its sentence.
    question : str
        Its numbers may be repeated without a source.

    Examples
    --------
    >>> hit = Hit("a.md", 10, 35, "Anyone may declare SEV-1.", 1.0)
    >>> reader = ReplyReader([hit])
    >>> [*reader.feed('Anyone.<cite doc="1">Anyone may</cite>')]
    ['Anyone.']
    >>> [piece if isinstance(piece, str) else piece.start for piece in reader.close()]
    [10, ' [1]']
    """

    def __init__(self, hits: Sequence[Hit], on_fail: OnFail = "flag", question: str = "") -> None:
        self._hits, self._on_fail, self._question = hits, on_fail, question
        self._buffer = ""  # of the reply, what may still become a tag
        self._claim = ""  # of its text, what is not settled; each mark is a space in it
        self._shown = 0  # how much of that has been given out
        self._marks: list[_Mark] = []
        self._started = False
        self._space = ""
        self._text: list[str] = []
        self.answered = True
        self.citations: list[Citation] = []

    @property
    def text(self) -> str:
        """The reply so far, as the user sees it: what has been yielded, joined."""
        return "".join(self._text)

    @property
    def support(self) -> Support:
        """Which sentences the citations support; a reply that says it has no answer claims nothing."""
        if not self.answered and not self.citations:
            return Support(None, ())
        return support(self.text, self.citations, self._question)

    def feed(self, piece: str) -> Iterator[str | Citation]:
        """Read more of the reply; yield text and citations that are complete now."""
        self._buffer += piece
        yield from self._drain(final=False)

    def cite(self, quote: str, document: int | None = None) -> Iterator[str | Citation]:
        """Take a citation that the model's API gives beside the text, for the text so far.

        Such a citation names its source's words in large pieces, often the whole passage. It is
        narrowed to those sentences in it that bear out the sentence that cites it; see `narrowed`.

        Parameters
        ----------
        quote : str
            The source's words, as the API gives them; empty for the whole passage.
        document : int, optional
            The passage's number, from 1.
        """
        yield from self._drain(final=True)
        self._hold(quote, document, whole=True)

    def close(self) -> Iterator[str | Citation]:
        """Read the end of the reply; yield what was held back."""
        yield from self._drain(final=True)
        if self._marks:
            yield from self._settle(len(self._claim))

    def _drain(self, *, final: bool) -> Iterator[str | Citation]:
        if not self._started and not self._start(final):
            return
        while match := _TAG.search(self._buffer):
            yield from self._say(self._buffer[: match.start()])
            self._buffer = self._buffer[match.end() :]
            self._hold(match[2], int(match[1]), whole=False)
        keep = 0 if final else self._held_back()
        ready = self._buffer[: len(self._buffer) - keep]
        self._buffer = self._buffer[len(ready) :]
        yield from self._say(ready)

    def _start(self, final: bool) -> bool:
        """Look for ``<no_answer/>`` at the reply's beginning; false while that is undecided."""
        head = self._buffer.lstrip().lower()
        match = _NO_ANSWER.match(self._buffer)
        if match:
            self.answered = False
            self._buffer = self._buffer[match.end() :]
        elif (
            not final and ("<no_answer".startswith(head) or head.startswith("<no_answer")) and len(head) < 40
        ):
            return False
        self._started = True
        return True

    def _held_back(self) -> int:
        """Return how much of the buffer's end could still become a tag, with the spaces before it."""
        buffer = self._buffer
        at = buffer.find(_OPENING)  # whole tags are gone: this one has no end yet
        if at < 0 or len(buffer) - at > _LONGEST_TAG:
            at = buffer.rfind("<")
            if at < 0 or not _OPENING.startswith(buffer[at:]):
                at = len(buffer)
        return len(buffer) - len(buffer[:at].rstrip(" \t"))

    def _say(self, text: str) -> Iterator[str | Citation]:
        """Take text of the reply; yield what need not be held back."""
        self._claim += text
        if self._marks:
            end = self._end_of_claim()
            if end is None:
                return
            yield from self._settle(end)
        yield from self._emit(self._claim[self._shown :])
        self._shown = len(self._claim)

    def _hold(self, quote: str, document: int | None, *, whole: bool) -> None:
        """Keep a citation until its sentence has ended."""
        if not self._marks:  # forget the sentences before: nothing will be asked of them
            spans = sentences(self._claim)
            begin = spans[-1][0] if spans else 0
            self._claim, self._shown = self._claim[begin:], self._shown - begin
        quote = quote.strip()
        place = self._find(document, quote) or self._find(document, unescape(quote))
        if whole and not quote and document is not None and 0 < document <= len(self._hits):
            hit = self._hits[document - 1]
            place = (hit, hit.start, hit.end)
        self._marks.append(_Mark(len(self._claim), quote, document, place, whole))
        self._claim += " "

    def _end_of_claim(self) -> int | None:
        """Return where the text behind the sentence begins; None where that is not certain yet.

        Once a second sentence has begun, no further text changes where the first one ends.
        """
        last = self._marks[-1].at
        limit = max(self._marks[0].at + _LONGEST_HELD, last + 1)
        spans = cited_sentences(self._claim[:limit], [mark.at for mark in self._marks])
        end = next((start for start, _ in spans[1:] if start > last), None)
        return limit if end is None and len(self._claim) >= limit else end

    def _settle(self, end: int) -> Iterator[str | Citation]:
        """Yield the held text of the sentence that ends there, with what it cites."""
        claim, marks = self._claim[:end], [self._narrowed(mark, self._claim[:end]) for mark in self._marks]
        self._claim, self._marks = self._claim[end:], []
        failing, shown, before = _failing(claim, marks, self._question), self._shown, 0
        for mark in marks:
            yield from self._emit(claim[shown : mark.at])
            if claim[shown : mark.at].strip():
                before = 0
            shown = mark.at + 1
            citation, new = self._cite(mark, supports=mark not in failing)
            if citation is None or citation.number == before:  # the same twice at one place says nothing
                continue
            if new:
                yield citation
            before = citation.number
            yield self._mark(f"[{before}{'' if citation.verified and citation.supports else '?'}]")
        yield from self._emit(claim[shown:])
        self._shown = 0

    def _emit(self, text: str) -> Iterator[str]:
        """Yield text, but for white space at the reply's end, which is kept until more comes."""
        text = self._space + text
        body = text.rstrip() if self._text else text.strip()
        self._space = text[len(text.rstrip()) :] if self._text or body else ""
        if body:
            self._text.append(body)
            yield body

    def _mark(self, mark: str) -> str:
        """Return a mark as it is shown: behind the last word, whatever white space the model put there."""
        self._text.append(f" {mark}" if self._text else mark)
        return self._text[-1]

    def _cite(self, mark: _Mark, *, supports: bool) -> tuple[Citation | None, bool]:
        """Return a citation, and whether it is a new one; None where it is dropped."""
        if mark.place is None:
            hits, document = self._hits, mark.document or 0
            source = hits[document - 1].source if 0 < document <= len(hits) else ""
            found = Citation(0, source, 0, 0, mark.quote, verified=False, supports=False)
        else:
            hit, start, end = mark.place
            span = hit.narrowed(start, end)
            found = Citation(
                0, hit.source, start, end, span.text, True,
                span.page_start, span.page_end, hit.section, supports,
            )  # fmt: skip
        if self._on_fail == "drop" and not (found.verified and supports):
            return None, False
        for known in self.citations:
            if replace(known, number=0) == found:
                return known, False
        citation = replace(found, number=len(self.citations) + 1)
        self.citations.append(citation)
        return citation, True

    def _find(self, document: int | None, quote: str) -> tuple[Hit, int, int] | None:
        """Find a quote in the passage it names, else in another of the passages."""
        order = list(range(len(self._hits)))
        if document is not None and 0 < document <= len(order):
            order.insert(0, order.pop(document - 1))
        for number in order:
            found = find_quote(self._hits[number].text, quote)
            if found:
                hit = self._hits[number]
                return hit, hit.start + found[0], hit.start + found[1]
        return None

    def _narrowed(self, mark: _Mark, claim: str) -> _Mark:
        if not mark.whole or mark.place is None:
            return mark
        hit, start, end = mark.place
        begin, stop = narrowed(hit.text, start - hit.start, end - hit.start, claim)
        return replace(mark, place=(hit, hit.start + begin, hit.start + stop))


def _failing(claim: str, marks: Sequence[_Mark], question: str) -> list[_Mark]:
    """Return the marks that do not bear out their part of a sentence.

    A number that none of the sentence's quotes has speaks against the marks that come next behind it,
    or, if none does, against the last ones before.
    """
    quotes = [_words(mark) for mark in marks]
    failing: list[_Mark] = []
    for figure in missing(claim, [*quotes, question]):
        first = next((mark.at for mark in marks if mark.at >= figure.end), marks[-1].at)
        failing += [
            mark for mark in marks
            if not claim[min(first, mark.at) : max(first, mark.at)].strip()
        ]  # fmt: skip
    return failing


def _words(mark: _Mark) -> str:
    """Return the words of the source that a mark stands on."""
    if mark.place is None:
        return ""
    hit, start, end = mark.place
    return hit.text[start - hit.start : end - hit.start]


def narrowed(text: str, start: int, end: int, claim: str) -> Span:
    """Return the part of ``text[start:end]`` that bears out a claim.

    It is the shortest run of whole sentences that has every number which the claim shares with the
    span, and four fifths or more of the words that it shares with it; the first of equal ones. So a
    number that the span bears out, its part bears out. Where they share nothing, it is all of the span.

    Examples
    --------
    >>> text = "Pay day is the 25th. Leave is 28 days in Europe. Dogs are welcome."
    >>> text[slice(*narrowed(text, 0, len(text), "You get 28 days of leave."))]
    'Leave is 28 days in Europe.'
    """
    spans = sentences(text, start, end)
    words = content(claim)
    needed = [figure.needs for figure in figures(claim) if figure.needs]
    had = [
        (
            words & content(text[a:b]),
            {form for figure in figures(text[a:b]) for form in figure.offers} if needed else set[str](),
        )
        for a, b in spans
    ]
    all_words = set[str]().union(*(shared for shared, _ in had))
    all_forms = set[str]().union(*(forms for _, forms in had))
    wanted = [needs for needs in needed if needs & all_forms]
    if not all_words and not wanted:
        return start, end
    best = (start, end)
    for first in range(len(spans)):
        got, forms = set[str](), set[str]()
        for (_, stop), (shared, said) in zip(spans[first:], had[first:], strict=True):
            got, forms = got | shared, forms | said
            if len(got) >= _MOST_WORDS * len(all_words) and all(needs & forms for needs in wanted):
                if stop - spans[first][0] < best[1] - best[0]:
                    best = (spans[first][0], stop)
                break
    return best


def find_quote(text: str, quote: str) -> tuple[int, int] | None:
    r"""Return where a quote stands in a text, word for word; white space and case aside.

    A quote must begin and end at words' edges ("5 days" does not stand in "15 days").

    Examples
    --------
    >>> find_quote("Paid on the\n25th.", "paid on the 25th")
    (0, 16)
    """
    plain = quote.strip()
    if not plain:
        return None
    same = _standing(text, plain)  # most quotes are exact, and then nothing need be folded
    if same is not None:
        return same, same + len(plain)
    wanted = fold(quote)[0].strip()
    folded, origin = fold(text)
    at = _standing(folded, wanted) if wanted else None
    return None if at is None else (origin[at], origin[at + len(wanted) - 1] + 1)


def _standing(text: str, words: str) -> int | None:
    """Return where words stand in a text between words' edges."""
    at = text.find(words)
    while at >= 0:
        end = at + len(words)
        left = at == 0 or not (text[at - 1].isalnum() and words[0].isalnum())
        right = end == len(text) or not (text[end].isalnum() and words[-1].isalnum())
        if left and right:
            return at
        at = text.find(words, at + 1)
    return None


def read_reply(reply: str, hits: Sequence[Hit], on_fail: OnFail = "flag", question: str = "") -> ReplyReader:
    """Read a whole reply."""
    reader = ReplyReader(hits, on_fail, question)
    for _ in reader.feed(reply):
        pass
    for _ in reader.close():
        pass
    return reader
