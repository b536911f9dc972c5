"""Read the tags of a reply as it comes: ``<cite doc="N">exact words</cite>`` and ``<no_answer/>``.

No tag is ever passed on as text. If the reply ends inside an open tag, the words so far are a quote that
was broken off, and never count as verified. If another tag is opened first, or 8,000 characters follow,
only the tag is left out, and its words stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST_QUOTE = 8_000  # characters; a quote that is still open after so many is none
_OPENING = r"<cite(?:[\s/][^<>]{0,200})?>"
_OPEN = re.compile(_OPENING, re.IGNORECASE)
_TAG = re.compile(
    rf"(?P<open>{_OPENING})"
    rf"(?:(?<=/>)|(?P<quote>(?:[^<]|(?!{_OPENING})<){{0,{_LONGEST_QUOTE}}}?)</cite\s{{0,9}}>)",
    re.IGNORECASE,
)
_LONGEST_CLOSING = len("</cite>") + 9
_STRAY = re.compile(rf"{_OPENING}|</cite\s{{0,9}}>|</?no_answer\s{{0,9}}/?>", re.IGNORECASE)
# The end of a text that more text could complete to a tag.
_BEGUN = re.compile(
    r"<(?:/?(?:c(?:i(?:te?)?)?)?|cite[\s/][^<>]{0,200}|/cite\s{0,9}|"
    r"/?n(?:o(?:_(?:a(?:n(?:s(?:w(?:er?)?)?)?)?)?)?)?|/?no_answer\s{0,9}/?)\Z",
    re.IGNORECASE,
)
_DOCUMENT = re.compile(r"doc\w*\s*=\s*[\"'“]?\s*(\d{1,6})", re.IGNORECASE)
_NO_ANSWER = re.compile(r"\s*<no_answer\s{0,9}/?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote of a reply.

    Attributes
    ----------
    document : int or None
        The number of the passage that it names, from 1.
    broken : bool
        Whether the reply ended inside it.
    """

    words: str
    document: int | None
    broken: bool = False


class TagReader:
    """Splits a reply that comes in pieces into text and quotes.

    Attributes
    ----------
    answers : bool
        False if the reply begins with ``<no_answer/>``.

    Examples
    --------
    >>> tags = TagReader()
    >>> [*tags.feed('Anyone. <cite doc="1">Anyone may'), *tags.feed("</cite> Ask <ci"), *tags.close()]
    ['Anyone.', Quote(words='Anyone may', document=1, broken=False), ' Ask', ' ']
    """

    def __init__(self) -> None:
        self.answers = True
        self._buffer = ""  # what may still become a tag, with the blanks before it
        self._started = False
        self._last = " "  # the last character that was passed on

    def feed(self, piece: str) -> Iterator[str | Quote]:
        """Read more of the reply; yield what is complete now."""
        self._buffer += piece
        self._start()
        yield from self._complete()
        opened = self._opened()
        begun = opened or _BEGUN.search(self._buffer)
        cut = begun.start() if begun else len(self._buffer)
        cut = len(self._buffer[:cut].rstrip(" \t"))
        yield from self._take(cut)

    def flush(self) -> Iterator[str | Quote]:
        """Yield all that was held back as text, for a citation that comes beside the text here."""
        yield from self._complete()
        yield from self._take(len(self._buffer))

    def close(self) -> Iterator[str | Quote]:
        """Read the end of the reply; yield what was held back."""
        yield from self._complete()
        opened = self._opened()
        if opened:
            words = _BEGUN.sub("", self._buffer[opened.end() :])
            yield from self._take(len(self._buffer[: opened.start()].rstrip(" \t")))
            if words.strip():
                yield Quote(words, _number(opened[0]), broken=True)
        else:
            self._buffer = _BEGUN.sub("", self._buffer)
            yield from self._take(len(self._buffer))

    def _start(self) -> None:
        """Look for ``<no_answer/>`` at the reply's beginning, until that is decided."""
        if self._started:
            return
        match = _NO_ANSWER.match(self._buffer)
        self.answers = match is None
        begun = _BEGUN.match(self._buffer.lstrip())
        self._started = bool(match or (self._buffer.strip() and not begun))

    def _complete(self) -> Iterator[str | Quote]:
        """Yield the complete tags of the buffer, and the text before each."""
        while match := _TAG.search(self._buffer):
            rest = self._buffer[match.end() :]
            yield from self._take(len(self._buffer[: match.start()].rstrip(" \t")))
            self._buffer = rest
            yield Quote(match["quote"] or "", _number(match["open"]))

    def _opened(self) -> re.Match[str] | None:
        """Return the tag of the buffer that is open and may still be closed: the last one."""
        opened = list(_OPEN.finditer(self._buffer))[-1:]
        longest = _LONGEST_QUOTE + _LONGEST_CLOSING
        return next((match for match in opened if len(self._buffer) - match.end() <= longest), None)

    def _take(self, count: int) -> Iterator[str]:
        """Yield the first characters of the buffer without tags that are open or closed alone."""
        text, self._buffer = self._buffer[:count], self._buffer[count:]
        at = 0
        for match in _STRAY.finditer(text):
            yield from self._text(text[at : match.start()])
            if not match[0].startswith("</") and not self._last.isspace():
                yield from self._text(" ")  # the words before and behind the tag are two
            at = match.end()
        yield from self._text(text[at:])

    def _text(self, text: str) -> Iterator[str]:
        if text:
            self._last = text[-1]
            yield text


def _number(opening: str) -> int | None:
    match = _DOCUMENT.search(opening)
    return int(match[1]) if match else None
