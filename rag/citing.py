"""A reply and its context to verified citations.

The model writes ``<cite doc="N">exact words</cite>``. Each quote is looked up in the passage that
it names; what stands there word for word (white space, case and typographic quotes aside) becomes a
citation with its offsets in the source, and ``[n]`` in the text. What does not is marked ``[n?]``,
or dropped if asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Literal

from rag.records import Citation, Hit
from rag.text import fold

_TAG = re.compile(r'[ \t]*<cite\s+doc\s*=\s*"?(\d{1,6})"?\s*>(.*?)</cite\s*>', re.DOTALL)
_NO_ANSWER = re.compile(r"\s*<no_answer\s*/?>(?:\s*</no_answer>)?\s*", re.IGNORECASE)
_OPENING = "<cite"
_LONGEST_TAG = 8_000  # a quote that is still open after so many characters is no quote

OnFail = Literal["flag", "drop"]


class ReplyReader:
    """Reads a reply as it comes; gives its text with ``[n]``, and its citations.

    Parameters
    ----------
    hits : sequence of Hit
        The passages, in the order in which the prompt numbers them from 1.
    on_fail : {"flag", "drop"}
        What becomes of a citation whose quote does not stand in the passages.

    Examples
    --------
    >>> hit = Hit("a.md", 10, 35, "Anyone may declare SEV-1.", 1.0)
    >>> reader = ReplyReader([hit])
    >>> list(reader.feed('Anyone.<cite doc="1">Anyone may</cite>'))[0]
    'Anyone.'
    >>> reader.citations[0].start, reader.citations[0].end
    (10, 20)
    """

    def __init__(self, hits: Sequence[Hit], on_fail: OnFail = "flag") -> None:
        self._hits, self._on_fail = hits, on_fail
        self._buffer = ""
        self._started = False
        self.answered = True
        self.citations: list[Citation] = []
        self._text: list[str] = []

    @property
    def text(self) -> str:
        """The reply so far, as the user sees it."""
        return "".join(self._text).strip()

    def feed(self, piece: str) -> Iterator[str | Citation]:
        """Read more of the reply; yield text and citations that are complete now."""
        self._buffer += piece
        yield from self._drain(final=False)

    def close(self) -> Iterator[str | Citation]:
        """Read the end of the reply; yield what was held back."""
        yield from self._drain(final=True)

    def _drain(self, *, final: bool) -> Iterator[str | Citation]:
        if not self._started and not self._start(final):
            return
        while match := _TAG.search(self._buffer):
            yield from self._emit(self._buffer[: match.start()])
            self._buffer = self._buffer[match.end() :]
            citation, new = self._cite(int(match[1]), match[2])
            if citation is not None:
                if new:
                    yield citation
                mark = "" if citation.verified else "?"
                yield from self._emit(f" [{citation.number}{mark}]")
        keep = 0 if final else self._held_back()
        ready = self._buffer[: len(self._buffer) - keep]
        self._buffer = self._buffer[len(ready) :]
        yield from self._emit(ready)

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

    def _emit(self, text: str) -> Iterator[str]:
        if text:
            self._text.append(text)
            yield text

    def _cite(self, document: int, quote: str) -> tuple[Citation | None, bool]:
        """Return the citation of a quote, and whether it is a new one."""
        quote = quote.strip()
        place = self._find(document, quote) or self._find(document, unescape(quote))
        number = len(self.citations) + 1
        if place is None:
            if self._on_fail == "drop":
                return None, False
            source = self._hits[document - 1].source if 0 < document <= len(self._hits) else ""
            citation = Citation(number, source, 0, 0, quote, verified=False)
        else:
            hit, start, end = place
            for known in self.citations:
                if known.verified and (known.source, known.start, known.end) == (
                    hit.source,
                    start,
                    end,
                ):
                    return known, False
            span = hit.narrowed(start, end)
            citation = Citation(
                number, hit.source, start, end, span.text, True,
                span.page_start, span.page_end, hit.section,
            )  # fmt: skip
        self.citations.append(citation)
        return citation, True

    def _find(self, document: int, quote: str) -> tuple[Hit, int, int] | None:
        """Find a quote in the passage it names, else in another of the passages."""
        order = list(range(len(self._hits)))
        if 0 < document <= len(order):
            order.insert(0, order.pop(document - 1))
        for number in order:
            found = find_quote(self._hits[number].text, quote)
            if found:
                hit = self._hits[number]
                return hit, hit.start + found[0], hit.start + found[1]
        return None


def find_quote(text: str, quote: str) -> tuple[int, int] | None:
    r"""Return where a quote stands in a text, word for word; white space and case aside.

    A quote must begin and end at words' edges ("5 days" does not stand in "15 days").

    Examples
    --------
    >>> find_quote("Paid on the\n25th.", "paid on the 25th")
    (0, 16)
    """
    wanted = fold(quote)[0].strip()
    if not wanted:
        return None
    folded, origin = fold(text)
    at = folded.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        left = at == 0 or not (folded[at - 1].isalnum() and wanted[0].isalnum())
        right = end == len(folded) or not (folded[end].isalnum() and wanted[-1].isalnum())
        if left and right:
            return origin[at], origin[end - 1] + 1
        at = folded.find(wanted, at + 1)
    return None


def read_reply(reply: str, hits: Sequence[Hit], on_fail: OnFail = "flag") -> ReplyReader:
    """Read a whole reply."""
    reader = ReplyReader(hits, on_fail)
    for _ in reader.feed(reply):
        pass
    for _ in reader.close():
        pass
    return reader
