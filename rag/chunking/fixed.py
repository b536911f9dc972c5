"""Simple chunkers, as in other libraries: pieces packed up to a size, with an overlap."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence

from langchain_core.documents import Document

from rag.chunking.base import CountTokens, SlicingChunker, estimate_tokens
from rag.chunking.offsets import Section, place, sections, structure_of, without_margins
from rag.core.errors import ConfigError
from rag.core.passages import STRUCTURE
from rag.core.text import Span, stripped

_WORD = re.compile(r"\S+")


class _PackingChunker(SlicingChunker):
    """Packs pieces of a text into chunks.

    Parameters
    ----------
    count_tokens : callable, optional
        Texts to their numbers of tokens; by default a high estimate.
    max_tokens : int
        Most tokens of a chunk, never exceeded.
    overlap_percentage : float
        Most of a chunk's tokens that the next chunk repeats, in percent, in [0, 90].
    """

    name: str
    version = 2

    def __init__(
        self,
        count_tokens: CountTokens | None = None,
        *,
        max_tokens: int = 300,
        overlap_percentage: float = 20.0,
    ) -> None:
        if max_tokens < 8 or not 0 <= overlap_percentage <= 90:
            raise ConfigError(
                f"max_tokens is {max_tokens} and overlap_percentage {overlap_percentage:g}: give at least 8, "
                "and between 0 and 90"
            )
        self.count_tokens = count_tokens or estimate_tokens
        self.max_tokens, self.overlap_percentage = max_tokens, overlap_percentage

    @property
    def fingerprint(self) -> str:
        """The settings that decide where cuts fall."""
        return (
            f"{self.name}/{self.version} max_tokens={self.max_tokens} "
            f"overlap_percentage={self.overlap_percentage:g}"
        )

    def _split(self, document: Document) -> Iterator[Document]:
        text, structure = document.page_content, structure_of(document)
        metadata = {name: value for name, value in document.metadata.items() if name != STRUCTURE}
        paths = [(start, path) for start, _, path in sections(text, structure)]
        body: list[Section] = [(int(structure["body"]), len(text), [])]
        at = 0
        for first, last, _ in without_margins(structure.get("margins", ()), body):
            spans = (span for group in self._groups(text, first, last) for span in self._pack(group))
            for start, end in spans:
                while at + 1 < len(paths) and paths[at + 1][0] <= start:
                    at += 1
                yield Document(
                    page_content=text[start:end],
                    metadata={
                        **metadata, "start": start, "end": end, "section": paths[at][1],
                        **place(text, structure, start, end),
                    },
                )  # fmt: skip

    @abstractmethod
    def _groups(self, text: str, start: int, end: int) -> Iterator[list[tuple[Span, int]]]:
        """Yield groups of pieces with their tokens, none above `max_tokens`; chunks do not cross groups."""

    def _pack(self, pieces: Sequence[tuple[Span, int]]) -> Iterator[Span]:
        """Yield the spans of the chunks: as many pieces as fit, the overlap first."""
        first = 0
        overlap = self.max_tokens * self.overlap_percentage / 100
        while first < len(pieces):
            total, end = 0, first
            while end < len(pieces) and (end == first or total + pieces[end][1] <= self.max_tokens):
                total += pieces[end][1]
                end += 1
            yield pieces[first][0][0], pieces[end - 1][0][1]
            if end == len(pieces):
                return
            kept, back = 0, end
            while back - 1 > first and kept + pieces[back - 1][1] <= overlap:
                back -= 1
                kept += pieces[back][1]
            # The overlap must leave room for the next piece.
            while back < end and kept + pieces[end][1] > self.max_tokens:
                kept -= pieces[back][1]
                back += 1
            first = back

    def _words(self, text: str, start: int, end: int) -> list[tuple[Span, int]]:
        """Return the words of a span; those above `max_tokens` are halved until they fit."""
        waiting = [match.span() for match in _WORD.finditer(text, start, end)][::-1]
        counts = self.count_tokens([text[a:b] for a, b in reversed(waiting)])[::-1]
        todo = list(zip(waiting, counts, strict=True))
        out: list[tuple[Span, int]] = []
        while todo:
            (low, high), count = todo.pop()
            if count <= self.max_tokens or high - low < 2:
                out.append(((low, high), count))
                continue
            middle = (low + high) // 2
            left, right = self.count_tokens([text[low:middle], text[middle:high]])
            todo += [((middle, high), right), ((low, middle), left)]
        return out


class FixedChunker(_PackingChunker):
    """Cuts chunks of one size, between any two words; Knowledge Bases' "fixed-size".

    The parameters are those of Knowledge Bases' fixed-size chunking, with its defaults of 300 tokens and
    20 % (FixedSizeChunkingConfiguration, Bedrock API reference, November 2026).

    Examples
    --------
    >>> from langchain_core.documents import Document
    >>> chunks = FixedChunker(max_tokens=8, overlap_percentage=0).split_documents(
    ...     [Document("one two three four five six seven eight nine")]
    ... )
    >>> [chunk.page_content for chunk in chunks]
    ['one two three four five six', 'seven eight nine']
    """

    name = "fixed"

    def _groups(self, text: str, start: int, end: int) -> Iterator[list[tuple[Span, int]]]:
        yield self._words(text, start, end)


class RecursiveChunker(_PackingChunker):
    r"""Packs paragraphs up to a size; splits larger ones at lines, then sentence ends, then words.

    It works as LangChain's RecursiveCharacterTextSplitter, on spans.

    Examples
    --------
    >>> from langchain_core.documents import Document
    >>> text = "One two three.\n\nFour five six seven.\n\nEight."
    >>> chunks = RecursiveChunker(max_tokens=9, overlap_percentage=0).split_documents([Document(text)])
    >>> [chunk.page_content for chunk in chunks]
    ['One two three.', 'Four five six seven.\n\nEight.']
    """

    name = "recursive"
    _separators = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n"), re.compile(r"(?<=[.!?])\s+"))

    def _groups(self, text: str, start: int, end: int) -> Iterator[list[tuple[Span, int]]]:
        yield from self._split_at(text, [(start, end)], 0)

    def _split_at(self, text: str, spans: Sequence[Span], level: int) -> Iterator[list[tuple[Span, int]]]:
        """Yield groups of pieces, splitting spans above `max_tokens` at the next separator."""
        trimmed = (stripped(text, *span) for span in spans)
        spans = [span for span in trimmed if span[0] < span[1]]
        group: list[tuple[Span, int]] = []
        for span, count in zip(spans, self.count_tokens([text[a:b] for a, b in spans]), strict=True):
            if count <= self.max_tokens:
                group.append((span, count))
                continue
            yield group
            group = []
            if level < len(self._separators):
                yield from self._split_at(text, _between(self._separators[level], text, *span), level + 1)
            else:
                yield self._words(text, *span)
        yield group


def _between(separator: re.Pattern[str], text: str, start: int, end: int) -> list[Span]:
    """Return the spans between a separator's matches."""
    out, at = [], start
    for match in separator.finditer(text, start, end):
        out.append((at, match.start()))
        at = match.end()
    return [*out, (at, end)]
