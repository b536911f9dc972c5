"""Find the offsets of another store's passages in an index's documents, ignoring white space."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from rag.core.passages import Hit, joined

_CACHED_DOCUMENTS = 128


@runtime_checkable
class IndexedDocuments(Protocol):
    """The part of `rag.Index` that locating passages and checking filters need."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The type of each field that a filter can use."""

    def check(self, where: Any) -> Any:
        """Return a filter bound to the schema."""

    def scan(self, where: Any = None) -> Iterator[Hit]:
        """Yield all chunks that match a filter."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A part of a document that the index holds without a gap.

    Attributes
    ----------
    whole : Hit
        The part as one hit.
    chunks : sequence of Hit
        Its chunks, in order.
    letters : str
        Its text without white space.
    offsets : array of int
        For each letter its offset in the text.
    """

    whole: Hit
    chunks: Sequence[Hit]
    letters: str
    offsets: array[int]

    def find(self, letters: str) -> Iterator[Hit]:
        """Yield every occurrence of the letters, in order."""
        at = self.letters.find(letters)
        while at >= 0:
            start, end = self.offsets[at], self.offsets[at + len(letters) - 1] + 1
            yield self._part(start, end)
            at = self.letters.find(letters, at + 1)

    def _part(self, start: int, end: int) -> Hit:
        whole = self.whole
        first = next(chunk for chunk in reversed(self.chunks) if chunk.start <= whole.start + start)
        rest = whole.text[end:]
        gap = rest[: len(rest) - len(rest.lstrip())] if rest.strip() else whole.gap
        return replace(
            whole.narrowed(whole.start + start, whole.start + end), gap=gap, section=first.section,
            table_head=first.table_head, table_head_start=first.table_head_start,
            dense=None, lexical=None,
        )  # fmt: skip


class PassageLocator:
    """Finds passages in an index's documents; caches the texts of the last 128.

    Parameters
    ----------
    index : IndexedDocuments
    """

    def __init__(self, index: IndexedDocuments) -> None:
        self._index = index
        self._runs = functools.lru_cache(maxsize=_CACHED_DOCUMENTS)(self._read)

    def find(self, source: str, text: str, page: int | None = None) -> Hit | None:
        """Return the slice of the document that equals the passage, or None if there is none.

        Of several occurrences the first on the passage's page is returned, or else the first.
        """
        letters = "".join(text.split())
        if not letters:
            return None
        first = None
        for run in self._runs(source):
            for hit in run.find(letters):
                if page is None or hit.page_start is None or hit.page_start == page:
                    return hit
                first = first or hit
        return first

    def _read(self, source: str) -> list[_Run]:
        chunks = sorted(self._index.scan({"source": source}), key=lambda hit: (hit.start, hit.end))
        runs: list[list[Hit]] = []
        for chunk in chunks:
            last = runs[-1][-1] if runs else None
            if last is None or chunk.start > last.end + len(last.gap or ""):
                runs.append([chunk])
            elif chunk.end > last.end:
                start = max(chunk.start, last.end)
                runs[-1][-1] = replace(last, gap=(last.gap or "")[: start - last.end])
                runs[-1].append(chunk.narrowed(start, chunk.end))
        return [_run(pieces) for pieces in runs]


def _run(chunks: Sequence[Hit]) -> _Run:
    whole = joined(chunks)
    offsets = array("I", (at for at, letter in enumerate(whole.text) if not letter.isspace()))
    return _Run(whole, chunks, "".join(whole.text.split()), offsets)
