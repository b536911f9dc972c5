"""The trimmer: candidates are weighed against the question, and packed into a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field

from rag.core.cpu_slots import turn
from rag.core.passages import Candidate, Hit
from rag.trimming.packing import KEPT, NO_ROOM, passages, pick
from rag.trimming.relevance import Scores, cover
from rag.trimming.units import Unit, units_of
from rag.usage.tokens import estimate_tokens

#: Candidates longer than this are taken apart into sentences by the strategy "passages".
LONG_CHARS = 480
_WHOLE = 1 << 62


class BudgetTrimmer(BaseDocumentCompressor):
    """Fills a budget with the most evidence.

    Candidates are ranked by their own score and by how much of the question's words they cover
    (`rag.trimming.relevance`), and taken best first while they fit. What was said already is left
    out; a row of a table brings the table's head along; pieces that stand side by side in a document
    become one passage; passages go out best document first, and in reading order inside a document.

    Parameters
    ----------
    budget : int
        Most characters or tokens of the passages' texts together; never exceeded. What the prompt
        puts around the passages is not counted.
    unit : {"chars", "tokens"}
        Tokens are estimated, high rather than low (`rag.usage.tokens`), unless `count_tokens` is given,
        e.g. a `rag.usage.tokens.TokenCounter` of a model.
    strategy : {"passages", "sentences", "chunks"}
        Candidates longer than about two sentences are taken apart into sentences ("passages"); all
        are ("sentences"); or all are taken whole, by their own scores alone ("chunks").
    embedder : Embeddings, optional
        Gives single words their vectors (in `rag`'s pipeline the static model, which is quick);
        without one, words are compared by their stems. One that is paid for or slow would be asked
        for every new word of every candidate.
    cover_weight : float
        Weight of the cover beside the candidates' scores, both standardised over the candidates.

    Examples
    --------
    >>> trimmer = BudgetTrimmer(budget=40)
    >>> found = [Document("Staff take 28 days of leave.", metadata={"source": "a.md", "score": 2.0}),
    ...          Document("The canteen opens at noon.", metadata={"source": "b.md", "score": 1.0})]
    >>> [kept.page_content for kept in trimmer.compress_documents(found, "How much leave?")]
    ['Staff take 28 days of leave.']
    >>> [(item.source, item.why) for item in trimmer.trim(found, "How much leave?")[1]]
    [('a.md', 'kept'), ('b.md', 'no room')]
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    budget: int = Field(default=4000, ge=1)
    unit: Literal["chars", "tokens"] = "chars"
    strategy: Literal["passages", "sentences", "chunks"] = "passages"
    embedder: Embeddings | None = None
    count_tokens: Callable[[str], int] = estimate_tokens
    cover_weight: float = Field(default=0.5, ge=0)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the passages to send, in the order of sending; each a slice of a document."""
        return [hit.to_document() for hit in self.trim(documents, query)[0]]

    @turn()
    def trim(self, documents: Sequence[Document], query: str) -> tuple[list[Hit], list[Candidate]]:
        """Return the passages to send, and of every candidate what became of it and why."""
        hits = [Hit.from_document(document) for document in documents]
        longest = {"chunks": _WHOLE, "passages": LONG_CHARS, "sentences": 0}[self.strategy]
        placed = [Hit.is_placed(document) for document in documents]
        units, heads = units_of(hits, longest=longest, placed=placed)
        scores = self._scores(units, heads, query)
        picked, why = pick(units, scores, self.budget, self.size)
        chosen = passages(units, scores, picked)
        while sum(self.size(hit.text) for hit in chosen) > self.budget:
            # A foreign token counter need not add up; give way from the worst unit on.
            worst = min(picked - heads, key=lambda number: float(scores[number]))
            picked.remove(worst)
            picked -= {head for head in heads if not any(units[number].head == head for number in picked)}
            why[worst] = NO_ROOM
            chosen = passages(units, scores, picked)
        return chosen, _report(hits, units, scores, why)

    def size(self, text: str) -> int:
        """Return what a text takes of the budget."""
        return len(text) if self.unit == "chars" else self.count_tokens(text)

    def _scores(self, units: Sequence[Unit], heads: set[int], query: str) -> Scores:
        """Return the units' scores; a table's head has none, it comes with a row."""
        scores = np.full(len(units), -np.inf)
        real = [number for number in range(len(units)) if number not in heads]
        if not real:
            return scores
        own = _finite(np.array([units[number].hit.score for number in real], np.float64))
        if self.strategy != "chunks" and self.cover_weight:
            texts = [units[number].text for number in real]
            follows = [
                units[number].gap is not None and following == number + 1
                for number, following in zip(real, [*real[1:], -1], strict=True)
            ]
            covered = cover(texts, follows, query, self.embedder)
            own = _standard(own) + self.cover_weight * _standard(covered)
        scores[real] = own
        return scores


def _finite(values: Scores) -> Scores:
    """Return scores in which those that are no numbers, as a stranger may give them, are the lowest."""
    known = np.isfinite(values)
    return np.clip(np.where(known, values, values[known].min() if known.any() else 0.0), -1e100, 1e100)


def _standard(values: Scores) -> Scores:
    deviation = values.std()
    return (values - values.mean()) / deviation if deviation > 1e-12 else np.zeros_like(values)


def _report(
    hits: Sequence[Hit], units: Sequence[Unit], scores: Scores, why: dict[int, str]
) -> list[Candidate]:
    parts: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        parts.setdefault(unit.candidate, []).append(number)
    values = scores.tolist()
    out = []
    for at, hit in enumerate(hits):
        own = parts.get(at, ())
        kept = sum([len(units[number].text) for number in own if why[number] == KEPT])
        said = {why[number] for number in own}
        reason = said.pop() if len(said) == 1 else "kept in part" if kept else NO_ROOM
        if not own:
            reason = "held by another candidate" if hit.text.strip() else "blank"
        score = max([values[number] for number in own], default=float("-inf"))
        out.append(Candidate(
            hit.source, hit.start, hit.end, None if score == float("-inf") else score,
            min(1.0, kept / max(len(hit.text), 1)), reason,
        ))  # fmt: skip
    return out
