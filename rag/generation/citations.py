"""Turn a reply and its context into verified citations.

The model writes ``<cite doc="N">exact words</cite>`` (`rag.generation.tags`), or its API gives the citation
beside the text. Each quote is looked up in the passage that it names, then in the others. A quote that
stands there word for word (white space, case and typographic quotes aside) becomes a citation with its
offsets in the source, and ``[n]`` in the text. Then the sentence that cites it is checked against its
quotes: each number of the sentence must stand in one of them, or in the question. A citation is marked
``[n?]`` if its quote is in no passage, or if its part of the sentence states a number that no quote
contains; on request it is dropped instead. Marks that the model writes itself are shown in round brackets
(`rag.generation.marks`): every ``[n]`` and ``[n?]`` of the text is a citation of ours.

A sentence is known only at its end. From its first citation to its end the text is held back, so that the
pieces of a stream always join to the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from rag.core.citations import Citation, Support
from rag.core.passages import Hit
from rag.core.quantities import missing
from rag.core.text import sentences
from rag.generation.marks import MarkFilter
from rag.generation.quotes import Place, citation_of, narrowed, numbered, place_in
from rag.generation.support import cited_sentences, support
from rag.generation.tags import Quote, TagReader

_LONGEST_HELD = 2_000  # characters: a sentence that goes on so long behind a citation ends there
EMPTY = "the model's reply is empty: ask again, or allow more output tokens"
UNSUPPORTED = "no sentence of the answer is supported by a citation: check it before you rely on it"

OnFail = Literal["flag", "drop"]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A citation whose sentence has not ended.

    Attributes
    ----------
    at : int
        Its offset in the held text.
    place : Place or None
        Where the quote stands; None if it is in no passage.
    whole : bool
        Whether it quotes more than the words that matter, and may be narrowed.
    """

    at: int
    quote: str
    document: int | None
    place: Place | None
    whole: bool

    @property
    def words(self) -> str:
        """The words of the source that it quotes."""
        if self.place is None:
            return ""
        hit, start, end = self.place
        return hit.text[start - hit.start : end - hit.start]


class ReplyReader:
    """Read a reply as it comes; give its text with ``[n]``, and its citations.

    Parameters
    ----------
    hits : sequence of Hit
        The passages, in the order in which the prompt numbers them from 1.
    on_fail : {"flag", "drop"}
        How to treat a citation that does not support its sentence.
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
        self._tags, self._filter = TagReader(), MarkFilter()
        self._claim = ""  # the text that is not settled; each mark is a space in it
        self._shown = 0  # how much of that has been yielded
        self._marks: list[_Mark] = []
        self._space = ""
        self._text: list[str] = []
        self.citations: list[Citation] = []

    @property
    def text(self) -> str:
        """The reply so far, as the user sees it: the texts yielded, joined."""
        return "".join(self._text)

    @property
    def answered(self) -> bool:
        """Whether the reply holds text, and does not state that there is no answer."""
        return self._tags.answers and bool(self._text)

    @cached_property
    def support(self) -> Support:
        """Which sentences the citations support, to be read after `close`.

        A reply that states that there is no answer, and cites nothing, claims nothing.
        """
        if not self._tags.answers and not self.citations:
            return Support(None, ())
        return support(self.text, self.citations, self._question)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the text, to be read after `close`."""
        if not self._text:
            return (EMPTY,)
        return (UNSUPPORTED,) if self.support.share == 0 else ()

    def feed(self, piece: str) -> Iterator[str | Citation]:
        """Read more of the reply; yield the text and citations that are complete now."""
        yield from self._read(self._tags.feed(piece))

    def cite(self, quote: str, document: int | None = None) -> Iterator[str | Citation]:
        """Take a citation that the model's API gives beside the text, for the text so far.

        Such a citation quotes its source in large pieces, often the whole passage. It is narrowed to the
        sentences that support the citing sentence; see `rag.generation.quotes.narrowed`.

        Parameters
        ----------
        quote : str
            The source's words, as the API gives them; empty for the whole passage.
        document : int, optional
            The passage's number, from 1.
        """
        yield from self._read(self._tags.flush())
        self._hold(quote, document, whole=True)

    def close(self) -> Iterator[str | Citation]:
        """Read the end of the reply; yield what was held back."""
        yield from self._read(self._tags.close())
        if self._marks:
            yield from self._settle(len(self._claim))
        yield from self._show(self._filter.close())

    def _read(self, parts: Iterator[str | Quote]) -> Iterator[str | Citation]:
        for part in parts:
            if isinstance(part, str):
                yield from self._take(part)
            else:
                self._hold(part.words, part.document, broken=part.broken)

    def _take(self, text: str) -> Iterator[str | Citation]:
        """Take text of the reply; yield what need not be held back."""
        self._claim += text
        if self._marks:
            end = self._end_of_claim()
            if end is None:
                return
            yield from self._settle(end)
        yield from self._emit(self._claim[self._shown :])
        self._shown = len(self._claim)

    def _hold(self, quote: str, document: int | None, *, whole: bool = False, broken: bool = False) -> None:
        """Keep a citation until its sentence has ended."""
        if not self._marks:  # the sentences before it are complete and no longer needed
            spans = sentences(self._claim)
            begin = spans[-1][0] if spans else 0
            self._claim, self._shown = self._claim[begin:], self._shown - begin
        quote = quote.strip()
        quote += "…" * broken  # which no passage has: what was broken off is not known to be a quote
        place = None if broken else place_in(self._hits, quote, document)
        if whole and not quote and document is not None and 0 < document <= len(self._hits):
            hit = self._hits[document - 1]
            place = (hit, hit.start, hit.end)
        self._marks.append(_Mark(len(self._claim), quote, document, place, whole))
        self._claim += " "

    def _end_of_claim(self) -> int | None:
        """Return the offset at which the text behind the sentence begins; None while that is uncertain.

        Once a second sentence has begun, no further text changes where the first one ends.
        """
        last = self._marks[-1].at
        limit = max(self._marks[0].at + _LONGEST_HELD, last + 1)
        spans = cited_sentences(self._claim[:limit], [mark.at for mark in self._marks])
        end = next((start for start, _ in spans[1:] if start > last), None)
        return limit if end is None and len(self._claim) >= limit else end

    def _settle(self, end: int) -> Iterator[str | Citation]:
        """Yield the held text of the sentence that ends there, with its citations and marks."""
        claim, marks = self._claim[:end], [_narrowed(mark, self._claim[:end]) for mark in self._marks]
        self._claim, self._marks = self._claim[end:], []
        failing, shown, before = _failing(claim, marks, self._question), self._shown, 0
        for mark in marks:
            yield from self._emit(claim[shown : mark.at])
            if claim[shown : mark.at].strip():
                before = 0
            shown = mark.at + 1
            citation, new = self._cite(mark, supports=mark not in failing)
            if citation is None or citation.number == before:  # the same mark twice adds nothing
                continue
            yield from self._show(self._filter.close())
            if new:
                yield citation
            before = citation.number
            yield self._mark(f"[{before}{'?' if citation.verdict else ''}]")
        yield from self._emit(claim[shown:])
        self._shown = 0

    def _emit(self, text: str) -> Iterator[str]:
        """Yield text of the model, without marks of its own."""
        yield from self._show(self._filter.feed(text))

    def _show(self, text: str) -> Iterator[str]:
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
        """Return a citation, and whether it is a new one; None if it is dropped."""
        citation = citation_of(self._hits, mark.quote, mark.document, mark.place, supports=supports)
        if self._on_fail == "drop" and citation.verdict:
            return None, False
        return numbered(self.citations, citation)


def _narrowed(mark: _Mark, claim: str) -> _Mark:
    """Return a mark that quotes no more than the sentences that support its claim."""
    if not mark.whole or mark.place is None:
        return mark
    hit, start, end = mark.place
    begin, stop = narrowed(hit.text, start - hit.start, end - hit.start, claim)
    return replace(mark, place=(hit, hit.start + begin, hit.start + stop))


def _failing(claim: str, marks: Sequence[_Mark], question: str) -> list[_Mark]:
    """Return the marks that do not support their part of a sentence.

    A number that none of the sentence's quotes contains speaks against the marks that come next behind
    it or, if none does, against the last ones before it.
    """
    failing: list[_Mark] = []
    for figure in missing(claim, [*(mark.words for mark in marks), question]):
        first = next((mark.at for mark in marks if mark.at >= figure.end), marks[-1].at)
        failing += [
            mark for mark in marks
            if not claim[min(first, mark.at) : max(first, mark.at)].strip()
        ]  # fmt: skip
    return failing


def read_reply(reply: str, hits: Sequence[Hit], on_fail: OnFail = "flag", question: str = "") -> ReplyReader:
    """Read a whole reply."""
    reader = ReplyReader(hits, on_fail, question)
    for _ in (*reader.feed(reply), *reader.close()):
        pass
    return reader
