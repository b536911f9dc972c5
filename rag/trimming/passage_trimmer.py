"""Trim retrieved passages: weigh them against the question, and pack the best into a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rag.core.cpu_slots import turn
from rag.core.passages import Candidate, Hit
from rag.trimming.coverage import Scores, cover
from rag.trimming.packing import KEPT, NO_ROOM, pack
from rag.trimming.units import Unit, units_of
from rag.usage.tokens import estimate_tokens

#: Candidates longer than this are taken apart into sentences by the strategy "passages".
LONG_CHARS = 480
_WHOLE = 1 << 62


class PassageTrimmer(BaseModel):
    """Fill a budget with the most evidence.

    Candidates are ranked by their own scores and by the share of the question's words that they cover
    (`rag.trimming.coverage`), and taken best first while they fit. Repeated text is left out; a row of a
    table brings the table's head along; neighbours in a document become one passage. The passages of the
    best document come first, those of one document in reading order.

    Parameters
    ----------
    budget : int
        Most characters or tokens of the passages' texts together; never exceeded. The text that the
        prompt puts around the passages is not counted.
    unit : {"chars", "tokens"}
        Tokens are estimated, high rather than low (`rag.usage.tokens`), unless you give `count_tokens`,
        e.g. a `rag.usage.tokens.TokenCounter` of a model.
    strategy : {"passages", "sentences", "chunks"}
        Candidates longer than about two sentences are split into sentences ("passages"); all are
        ("sentences"); or all are taken whole, by their own scores alone ("chunks").
    embedder : Embeddings, optional
        Embeds single words (in `rag`'s pipeline the static model, which is fast); without one, words are
        compared by their stems. It embeds every new word of every candidate: choose none that is slow or
        costs money.
    cover_weight : float
        Weight of the coverage beside the candidates' scores, both standardised over the candidates.

    Examples
    --------
    >>> trimmer = PassageTrimmer(budget=40)
    >>> hits = [Hit("a.md", 0, 28, "Staff take 28 days of leave.", 2.0),
    ...         Hit("b.md", 0, 26, "The canteen opens at noon.", 1.0)]
    >>> passages, candidates = trimmer.trim(hits, "How much leave?")
    >>> [hit.text for hit in passages]
    ['Staff take 28 days of leave.']
    >>> [(candidate.source, candidate.why) for candidate in candidates]
    [('a.md', 'kept'), ('b.md', 'no room')]
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    budget: int = Field(default=4000, ge=1)
    unit: Literal["chars", "tokens"] = "chars"
    strategy: Literal["passages", "sentences", "chunks"] = "passages"
    embedder: Any = None
    count_tokens: Callable[[str], int] = estimate_tokens
    cover_weight: float = Field(default=0.5, ge=0)

    @turn()
    def trim(self, hits: Sequence[Hit], question: str) -> tuple[list[Hit], list[Candidate]]:
        """Return the passages to send, in the order of sending, and what became of each candidate."""
        longest = {"chunks": _WHOLE, "passages": LONG_CHARS, "sentences": 0}[self.strategy]
        units, heads = units_of(hits, longest=longest)
        scores = self._scores(units, heads, question)
        kept, why = pack(units, heads, scores, self.budget, self.size)
        return kept, _report(hits, units, scores, why)

    def size(self, text: str) -> int:
        """Return how much of the budget a text takes."""
        return len(text) if self.unit == "chars" else self.count_tokens(text)

    def _scores(self, units: Sequence[Unit], heads: set[int], query: str) -> Scores:
        """Return the units' scores; a table's head has none, it comes with a row."""
        scores = np.full(len(units), -np.inf)
        real = [number for number in range(len(units)) if number not in heads]
        if not real:
            return scores
        values = _finite(np.array([units[number].hit.score for number in real], np.float64))
        if self.strategy != "chunks" and self.cover_weight:
            texts = [units[number].text for number in real]
            follows = [
                units[number].gap is not None and following == number + 1
                for number, following in zip(real, [*real[1:], -1], strict=True)
            ]
            covered = cover(texts, follows, query, self.embedder)
            values = _standard(values) + self.cover_weight * _standard(covered)
        scores[real] = values
        return scores


def _finite(values: Scores) -> Scores:
    """Return scores in which NaN and infinities, as foreign retrievers may give them, are the lowest."""
    known = np.isfinite(values)
    return np.clip(np.where(known, values, values[known].min() if known.any() else 0.0), -1e100, 1e100)


def _standard(values: Scores) -> Scores:
    deviation = values.std()
    return (values - values.mean()) / deviation if deviation > 1e-12 else np.zeros_like(values)


def _report(
    hits: Sequence[Hit], units: Sequence[Unit], scores: Scores, why: dict[int, str]
) -> list[Candidate]:
    """Return what became of each candidate, in the order of the candidates."""
    parts: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        parts.setdefault(unit.candidate, []).append(number)
    values = scores.tolist()
    out = []
    for at, hit in enumerate(hits):
        numbers = parts.get(at, ())
        kept = sum([len(units[number].text) for number in numbers if why[number] == KEPT])
        reasons = {why[number] for number in numbers}
        reason = reasons.pop() if len(reasons) == 1 else "kept in part" if kept else NO_ROOM
        if not numbers:
            reason = "held by another candidate" if hit.text.strip() else "blank"
        score = max([values[number] for number in numbers], default=float("-inf"))
        out.append(Candidate(
            hit.source, hit.start, hit.end, None if score == float("-inf") else score,
            min(1.0, kept / max(len(hit.text), 1)), reason,
        ))  # fmt: skip
    return out
