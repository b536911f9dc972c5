"""Draft golden questions for an index: from its documents' form, or with a chat model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rag.core.calls import Call
from rag.core.errors import BudgetError, UsageError
from rag.core.passages import Hit
from rag.core.progress import Progress, tracked
from rag.evaluation.drafting.draft import Draft
from rag.evaluation.drafting.filtering import Sieve, chosen, spread
from rag.evaluation.drafting.model import FEWEST_CHARS, ModelDrafter
from rag.evaluation.drafting.offline import Drafter
from rag.evaluation.drafting.units import Documents
from rag.evaluation.golden_set import Questions, lines, question_of
from rag.index.filters.where import field as column
from rag.usage.collector import Collector

#: Drafts from documents' form that are tried for one that is wanted, and passages shown to a model.
_TRIED, _SHOWN = 8, 3
#: What a table's heads and a document's headings ask is vaguer than what its sentences do.
_RANKS = {"table": 1, "heading": 2}
#: The most documents that are read: with more, a sample of so many.
_DOCUMENTS = 400
#: What an interruption leaves of drafts.
KEPT = "drafts that came are yours; what a model's replies cost is in the ledger"


class Suggestions:
    """Drafts as they come, and what became of the rest; iterate it once.

    Attributes
    ----------
    dropped : Counter of str
        Drafts that were left out, by reason.
    calls : tuple of Call
        Calls to the model, with their costs.
    notes : tuple of str
        What the user should know; complete after the last draft.

    Examples
    --------
    >>> found = suggest(rag.Pipeline("indexes/handbook"), 10)              # doctest: +SKIP
    >>> rows = [draft.row() for draft in found]                            # doctest: +SKIP
    """

    def __init__(
        self, count: int, dropped: Counter[str], drafts: Iterator[Draft], collector: Collector
    ) -> None:
        if count < 1:
            raise UsageError(f"count is {count}: set it to 1 or more")
        self.dropped = dropped
        self._count, self._drafts, self._collector = count, drafts, collector
        self._notes: list[str] = []

    @property
    def calls(self) -> tuple[Call, ...]:
        """Calls to the model so far."""
        return self._collector.calls

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self._collector.notes, *self._notes)

    def __iter__(self) -> Iterator[Draft]:
        done = 0
        try:
            for draft in self._collector.through(self._drafts):
                yield draft
                done += 1
                if done == self._count:
                    return
        except BudgetError as error:
            if not done:
                raise
            self._notes.append(f"{error}; what was drafted before is kept")
            return
        if done < self._count:
            left = ", ".join(f"{count} {why}" for why, count in self.dropped.most_common())
            why = f"left out: {left}" if left else "there is no more to ask about"
            self._notes.append(f"{done} of {self._count} drafts; {why}")


def suggest(
    pipe: Any,
    count: int = 20,
    *,
    model: Any = None,
    against: Questions | None = None,
    seed: int = 0,
    tag: str = "golden",
    progress: Progress | None = None,
) -> Suggestions:
    """Draft questions with their evidence from the documents of an index.

    A draft is kept if the pipeline's default context for it holds all of its evidence, no sentence of
    another document in that context answers it as well (`rag.evaluation.drafting.filtering`), and neither
    `against` nor a draft before asks nearly the same. Where another document is as good, the question names
    its document's title, and is tried again. Drafts come from as many documents and sections as there are;
    the same seed gives the same ones.

    Parameters
    ----------
    pipe : Pipeline
    count : int
        The most drafts.
    model : Runnable over messages, optional
        Writes the questions, one for each passage, paid for and within the budget of `pipe`; without one they
        come from sentences of a plain form, questions that documents answer themselves, tables and headings.
    against : str, Path, or iterable, optional
        A golden set whose questions are not drafted again.
    seed : int
    tag : str
        Recorded with the calls.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    UsageError
        `count` is less than 1.
    SourceError
        `against` cannot be read.
    BudgetError
        The first call must not be made; a later one ends the drafts with a note.

    Examples
    --------
    >>> for draft in suggest(rag.Pipeline("indexes/handbook"), 2):         # doctest: +SKIP
    ...     print(draft.question)
    """
    sieve = Sieve(pipe)
    known = known_questions(against)

    def drafts() -> Iterator[Draft]:
        if model is None:
            found = Drafter(Documents(_chunks(pipe.index, seed))).drafts()
            tried = spread(
                found, seed, lambda each: each.span.source if each.span else "",
                lambda each: (each.section, each.kind),
                lambda each: _RANKS.get(each.kind, 0),
            )[: _TRIED * count]  # fmt: skip
            yield from chosen(tracked(progress, "drafts", tried, "draft", kept=KEPT), known, sieve)
            return
        shown = [hit for hit in _chunks(pipe.index, seed) if len(hit.text) >= FEWEST_CHARS]
        shown.sort(key=lambda hit: (hit.source, hit.start))
        shown = spread(shown, seed, lambda hit: hit.source, lambda hit: (hit.section,))[: _SHOWN * count]
        replies = ModelDrafter(model, sieve.dropped).drafts(
            tracked(progress, "drafts", shown, "passage", kept=KEPT)
        )
        yield from chosen(replies, known, sieve)

    meter = pipe.meter.tagged(tag)
    return Suggestions(count, sieve.dropped, drafts(), Collector(meter, tag=meter.label))


def known_questions(against: Questions | None) -> list[str]:
    """Return the questions of a golden set, drafts among them; none without one."""
    return [] if against is None else [question_of(line).question for line in lines(against)]


def _chunks(index: Any, seed: int) -> Iterator[Hit]:
    """Yield an index's chunks; of many documents, those of some that the seed chooses."""
    sources = sorted(record.source for record in index.sources if record.chunks)
    if len(sources) <= _DOCUMENTS:
        yield from index.scan()
        return
    some = random.Random(seed).sample(sources, _DOCUMENTS)
    yield from index.scan(column("source").isin(some))
