"""What the reranker reads at once: a question, headings, and passages that follow each other.

    [CLS] question [SEP] headings [SEP] passage passage … [SEP]

Passages that stand side by side in one section are one sequence, so that each is read with its neighbours
and no token is read twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rag.embedding.wordpiece import token_ids

#: The most tokens of a question, of its headings, and of passages that are read together.
QUESTION, HEADINGS, RUN = 48, 24, 160
#: Hits whose scores say how far apart two scores of the retriever are.
SPREAD = 32
_GAP, _CLS, _SEP = 4, 101, 102


class Passage(NamedTuple):
    """A hit, as far as the reranker looks at it."""

    source: str
    start: int
    end: int
    text: str
    section: tuple[str, ...]


class Read(NamedTuple):
    """Token ids, where the question's and the passages' stand, and the passages' numbers and tokens."""

    ids: list[int]
    question: slice
    passages_start: int
    spans: list[tuple[int, slice]]


def sequences(question: str, passages: Sequence[Passage]) -> list[Read]:
    """Return what is read for a question; every passage is in one sequence."""
    asked = token_ids([question])[0][:QUESTION]
    tokens = [ids[:RUN] for ids in token_ids([passage.text for passage in passages])]
    return [_read(asked, passages, tokens, run) for run in runs(passages, [len(ids) for ids in tokens])]


def runs(passages: Sequence[Passage], lengths: Sequence[int]) -> list[list[int]]:
    """Return the passages' numbers, those together that follow each other in one section."""
    out: list[list[int]] = []
    size = 0
    for number in sorted(range(len(passages)), key=lambda number: passages[number][:2]):
        if out and size + lengths[number] <= RUN and _follows(passages[out[-1][-1]], passages[number]):
            out[-1].append(number)
            size += lengths[number]
        else:
            out.append([number])
            size = lengths[number]
    return out


def standard(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the retriever's scores in standard deviations of the first `SPREAD`, from their mean."""
    values = np.asarray(scores, np.float64)
    return np.asarray((values - values[:SPREAD].mean()) / (values[:SPREAD].std() or 1.0))


def _follows(one: Passage, other: Passage) -> bool:
    near = one.source == other.source and 0 <= other.start - one.end <= _GAP
    return near and one.section == other.section


def _read(
    asked: list[int], passages: Sequence[Passage], tokens: Sequence[list[int]], run: Sequence[int]
) -> Read:
    headings = token_ids([" > ".join(passages[run[0]].section)])[0][-HEADINGS:]
    ids = [_CLS, *asked, _SEP]
    passages_start = len(ids)
    ids += [*headings, _SEP]
    spans = []
    for number in run:
        # A passage without words has the token that follows.
        spans.append((number, slice(len(ids), len(ids) + max(len(tokens[number]), 1))))
        ids += tokens[number]
    return Read([*ids, _SEP], slice(1, 1 + len(asked)), passages_start, spans)
