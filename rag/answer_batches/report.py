"""What became of a batch of questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rag.core.answers import Answer
from rag.core.displayable import Displayable


@dataclass(frozen=True, slots=True, repr=False)
class AnswerReport(Displayable):
    """The answers of a batch.

    Attributes
    ----------
    done : bool
        Whether every question has its answer; otherwise there are none yet.
    ids : tuple
        The ids of the questions, in their order; by default their numbers, from 1.
    answers : tuple of Answer
        In the order of the questions.
    notes : tuple of str
        How many were answered at half price, how many on demand and why, and what both cost.
    batch_usd, on_demand_usd : float or None
        What the calls of the model cost, in US dollars; None if no price is known.

    Examples
    --------
    >>> report = pipe.batch(questions, s3="s3://documents/batch")           # doctest: +SKIP
    >>> dict(zip(report.ids, report.answers))                               # doctest: +SKIP
    """

    done: bool
    ids: tuple[Any, ...] = ()
    answers: tuple[Answer, ...] = ()
    notes: tuple[str, ...] = ()
    batch_usd: float | None = 0.0
    on_demand_usd: float | None = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "done": self.done, "ids": list(self.ids), "answers": [each.to_dict() for each in self.answers],
            "notes": list(self.notes), "batch_usd": self.batch_usd, "on_demand_usd": self.on_demand_usd,
        }  # fmt: skip
