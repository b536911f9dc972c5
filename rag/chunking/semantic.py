"""The semantic chunker: cut a document into slices where its meaning shifts.

A chunk never crosses a heading, never exceeds a number of tokens, and begins and ends where a sentence
does (a sentence above the limit is cut at the best place inside it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.chunking.base import CountTokens, SlicingChunker, estimate_tokens
from rag.chunking.offsets import place, sections, structure_of, without_margins
from rag.core import embedders
from rag.core.errors import ConfigError
from rag.core.passages import STRUCTURE
from rag.core.text import Span, sentences, stripped
from rag.core.vectors import embed

_FENCE = re.compile(r"^[ \t]{0,3}(```+|~~~+)[^\n]*$", re.MULTILINE)
# Where to cut a sentence above the limit: after the closest match of the best kind that there is.
_LOOK_BACK = 500  # most characters before the goal that are searched for a cut
_CUTS = (re.compile(r"[;:]\s+|\n"), re.compile(r"[,)\]}>|]\s+"), re.compile(r"\s+"))


class SemanticChunker(SlicingChunker):
    r"""Cuts where the meaning shifts, within headings and a limit of tokens.

    A section that fits is one chunk. In a longer one, sentences are taken up to `max_tokens`, and the
    cut falls at the largest shift of meaning after `min_tokens`; a shift above the document's
    `breakpoint_percentile` cuts anywhere. Chunks leave out repeated page headers and footers.

    Parameters
    ----------
    embedder : Embeddings, optional
        Embeds sentences; without one, all shifts count the same.
    count_tokens : callable, optional
        Texts to their numbers of tokens; by default a high estimate. Pass the embedding model's
        count, so that it truncates no chunk.
    max_tokens, min_tokens : int
        Most tokens of a chunk, never exceeded, and fewest, where the section is long enough.
    buffer_size : int
        Sentences on each side of a boundary that are compared.
    breakpoint_percentile : float
        In [0, 100].
    overlap_percentage : float
        Most of a chunk's tokens that the next chunk of the section repeats, in whole sentences, in
        percent, in [0, 50]. 0 by default, since the index scores a chunk with its neighbours
        (`rag.index.search.hybrid_score`); useful with other stores and retrievers.

    Examples
    --------
    >>> from langchain_core.documents import Document
    >>> text = "# Leave\nTake 28 days.\n# Pay\nPaid on the 25th."
    >>> structure = {"body": 0, "pages": [], "headings": [(0, 1, "Leave"), (22, 1, "Pay")]}
    >>> document = Document(text, metadata={"source": "a.md", "structure": structure})
    >>> [chunk.metadata["section"] for chunk in SemanticChunker().split_documents([document])]
    [['Leave'], ['Pay']]
    """

    #: Incremented when the same settings cut differently.
    version = 3

    def __init__(
        self,
        embedder: Embeddings | None = None,
        count_tokens: CountTokens | None = None,
        *,
        max_tokens: int = 64,
        min_tokens: int = 16,
        buffer_size: int = 2,
        breakpoint_percentile: float = 95.0,
        overlap_percentage: float = 0.0,
    ) -> None:
        if not max_tokens >= 8 or not 0 <= min_tokens <= max_tokens:
            raise ConfigError(
                f"max_tokens is {max_tokens} and min_tokens {min_tokens}: "
                "give at least 8, and min_tokens not above max_tokens"
            )
        if buffer_size < 1 or not 0 <= breakpoint_percentile <= 100:
            raise ConfigError(
                f"buffer_size is {buffer_size} and breakpoint_percentile {breakpoint_percentile:g}: give at "
                "least 1, and between 0 and 100"
            )
        if not 0 <= overlap_percentage <= 50:
            raise ConfigError(f"overlap_percentage is {overlap_percentage}: give one between 0 and 50")
        self.embedder = embedder
        self.count_tokens = count_tokens or estimate_tokens
        self.max_tokens, self.min_tokens = max_tokens, min_tokens
        self.buffer_size, self.breakpoint_percentile = buffer_size, breakpoint_percentile
        self.overlap_percentage = overlap_percentage

    @property
    def fingerprint(self) -> str:
        """The settings that decide where cuts fall."""
        model = "NoneType" if self.embedder is None else embedders.fingerprint(self.embedder)
        return (
            f"semantic/{self.version} max_tokens={self.max_tokens} min_tokens={self.min_tokens} "
            f"buffer_size={self.buffer_size} breakpoint_percentile={self.breakpoint_percentile:g} "
            f"embedder={model}" + (f" overlap={self.overlap_percentage:g}" if self.overlap_percentage else "")
        )

    def _split(self, document: Document) -> Iterator[Document]:
        text = document.page_content
        metadata = dict(document.metadata)
        structure = structure_of(document)
        metadata.pop(STRUCTURE, None)
        spans = list(without_margins(structure.get("margins", ()), sections(text, structure)))
        units: list[Span] = []
        counts: list[int] = []
        borders = []
        for start, end, _ in spans:
            for span, count in self._units(text, start, end):
                units.append(span)
                counts.append(count)
            borders.append(len(units))
        shifts = self._shifts(text, units)
        limit = float(np.percentile(shifts, self.breakpoint_percentile)) if len(shifts) else 2.0
        first = 0
        for (_, _, path), last in zip(spans, borders, strict=True):
            for low, high in self._group(counts, shifts, limit, first, last):
                start, end = units[low][0], units[high - 1][1]
                yield Document(
                    page_content=text[start:end],
                    metadata={
                        **metadata, "start": start, "end": end, "section": path,
                        **place(text, structure, start, end),
                    },
                )  # fmt: skip
            first = last

    def _units(self, text: str, start: int, end: int) -> list[tuple[Span, int]]:
        """Return a section's sentences and code blocks, with their tokens, none above `max_tokens`."""
        spans: list[Span] = []
        at = start
        for whole in _fenced(text, start, end):
            spans += sentences(text, at, whole[0])
            whole = stripped(text, *whole)
            small = self.count_tokens([text[slice(*whole)]])[0] <= self.max_tokens
            spans += [whole] if small else sentences(text, *whole)
            at = whole[1]
        spans += sentences(text, at, end)
        counts = self.count_tokens([text[a:b] for a, b in spans])
        out: list[tuple[Span, int]] = []
        for span, count in zip(spans, counts, strict=True):
            out += [(span, count)] if count <= self.max_tokens else self._cut(text, span, count)
        return out

    def _cut(self, text: str, span: Span, count: int) -> list[tuple[Span, int]]:
        """Cut a span in two, and the halves again, until all pieces fit `max_tokens`."""
        pieces: list[tuple[Span, int]] = []
        waiting = [(span, count)]
        while waiting:
            (start, end), count = waiting.pop()
            if count <= self.max_tokens or end - start <= 1:
                pieces.append(((start, end), count))
                continue
            parts = -(-count // self.max_tokens)
            goal = start + max(1, (end - start) * (parts // 2) // parts)
            cut = _best_cut(text, start, goal, end)
            halves = [stripped(text, start, cut), stripped(text, cut, end)]
            halves = [half for half in halves if half[0] < half[1]]
            counted = self.count_tokens([text[a:b] for a, b in halves])
            waiting += reversed(list(zip(halves, counted, strict=True)))
        return pieces

    def _shifts(self, text: str, units: Sequence[Span]) -> npt.NDArray[np.float64]:
        """Return the cosine distance between the sentences before and after each inner boundary."""
        count = len(units)
        if self.embedder is None or count < 2:
            return np.zeros(max(count - 1, 0))
        vectors = embed(self.embedder, [text[a:b] for a, b in units]).astype(np.float64)
        sums = np.vstack([np.zeros(vectors.shape[1]), np.cumsum(vectors, axis=0)])
        middle = np.arange(1, count)
        before = sums[middle] - sums[np.maximum(middle - self.buffer_size, 0)]
        behind = sums[np.minimum(middle + self.buffer_size, count)] - sums[middle]
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(behind, axis=1)
        dots = np.einsum("ij,ij->i", before, behind)
        out: npt.NDArray[np.float64] = 1 - np.divide(dots, norms, out=np.zeros(count - 1), where=norms > 0)
        return out

    def _group(
        self,
        counts: Sequence[int],
        shifts: npt.NDArray[np.float64],
        limit: float,
        first: int,
        last: int,
    ) -> Iterator[Span]:
        """Yield the chunks of one section's units, ``first`` to ``last`` (exclusive)."""
        begin = first
        fresh = self.max_tokens * (1 - self.overlap_percentage / 100)  # the rest is for the overlap
        while first < last:
            total, end = counts[first], first + 1
            best, best_shift = 0, -1.0
            while end < last:
                if total >= self.min_tokens:
                    shift = float(shifts[end - 1])
                    if shift >= best_shift:  # the later of equals: fuller chunks
                        best, best_shift = end, shift
                    rest = last - end > 3 or sum(counts[end:last]) >= self.min_tokens
                    if self.embedder is not None and shift > limit and rest:
                        break
                if total + counts[end] > fresh:
                    break
                total += counts[end]
                end += 1
            cut = last if end == last else (best or end)
            yield self._with_overlap(counts, first, cut, begin), cut
            first = cut

    def _with_overlap(self, counts: Sequence[int], first: int, end: int, begin: int) -> int:
        """Return the unit that a chunk begins with, including the overlap that fits."""
        most = min(self.max_tokens * self.overlap_percentage / 100, self.max_tokens - sum(counts[first:end]))
        while first > begin and counts[first - 1] <= most:
            first -= 1
            most -= counts[first]
        return first


def _fenced(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the spans of closed code fences."""
    opened: tuple[int, str] | None = None
    for line in _FENCE.finditer(text, start, end):
        if opened is None:
            opened = (line.start(), line[1])
        elif line[1].startswith(opened[1]) and not line.group().strip(" \t`~"):
            yield opened[0], line.end()
            opened = None


def _best_cut(text: str, start: int, goal: int, end: int) -> int:
    low = max(start + (goal - start) // 2, goal - _LOOK_BACK)
    for pattern in _CUTS:
        cuts = [match.end() for match in pattern.finditer(text, low, goal)]
        if cuts:
            return cuts[-1]
    return min(max(goal, start + 1), end - 1)
