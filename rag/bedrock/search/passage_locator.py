"""Where passages of another store stand in an index's documents, white space aside."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.core.passages import Hit, joined

_TEXTS = 128  # documents whose texts are remembered


@dataclass(frozen=True, slots=True)
class _Run:
    """A piece of a document that the index holds without a break.

    Attributes
    ----------
    whole : Hit
        The piece as one.
    chunks : sequence of Hit
        What it is made of.
    letters : str
        Its text without white space.
    places : array of int
        For each letter its place in the text.
    """

    whole: Hit
    chunks: Sequence[Hit]
    letters: str
    places: array[int]

    def find(self, letters: str) -> Iterator[Hit]:
        """Yield where letters stand, in order."""
        at = self.letters.find(letters)
        while at >= 0:
            start, end = self.places[at], self.places[at + len(letters) - 1] + 1
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


class Texts:
    """The texts of an index's documents, to find passages in.

    Parameters
    ----------
    index : Index
    """

    def __init__(self, index: Any) -> None:
        self._index = index
        self._runs = functools.lru_cache(maxsize=_TEXTS)(self._read)

    def find(self, source: str, text: str, page: int | None = None) -> Hit | None:
        """Return a passage as a slice of its document, white space aside; None where it is not there.

        Of several places, the first on its page is taken, or the first.
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
                begun = max(chunk.start, last.end)
                runs[-1][-1] = replace(last, gap=(last.gap or "")[: begun - last.end])
                runs[-1].append(chunk.narrowed(begun, chunk.end))
        return [_run(pieces) for pieces in runs]


def _run(chunks: Sequence[Hit]) -> _Run:
    whole = joined(chunks)
    places = array("I", (at for at, letter in enumerate(whole.text) if not letter.isspace()))
    return _Run(whole, chunks, "".join(whole.text.split()), places)
