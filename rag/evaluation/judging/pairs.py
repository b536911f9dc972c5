"""Two answers side by side, judged in both orders: only what both orders say counts.

A judge may prefer whichever answer stands first (L. Zheng et al., "Judging LLM-as-a-Judge", NeurIPS 2023).
So each pair is judged twice with sides swapped. A verdict that changes with the order is no win for either,
and the share of such verdicts is told, as is the side that they favour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rag.core.displayable import Displayable
from rag.core.errors import GenerationError, UsageError
from rag.core.format import counted
from rag.core.progress import Progress, Task
from rag.core.table import Table
from rag.evaluation.answers import AnswersEvaluation
from rag.evaluation.in_order import in_order
from rag.evaluation.judging.agreement import wilson
from rag.evaluation.judging.graders import case_of
from rag.evaluation.judging.judge import Case, Judge

_SWAPPED = {"first": "second", "second": "first", "tie": "tie"}
_KEPT = "verdicts are not kept; what they cost is in the ledger"


@dataclass(frozen=True, slots=True)
class Pair:
    """One question's answers, compared.

    Attributes
    ----------
    winner : {"a", "b", "tie", "inconsistent"}
    forward, backward : {"first", "second", "tie"}
        The verdict with a standing first, and with b standing first.
    reason : str
        Of the first verdict.
    """

    id: str
    winner: str
    forward: str
    backward: str
    reason: str

    @property
    def favoured(self) -> str:
        """The side that a verdict which changes with the order favours; empty for any other."""
        return self.forward if self.forward == self.backward and self.forward != "tie" else ""


@dataclass(frozen=True, slots=True, repr=False)
class Pairs(Displayable):
    """All pairs of two systems.

    Attributes
    ----------
    errors : mapping of str to str
        Why questions are not compared, by id.
    """

    a: str
    b: str
    judge: str
    pairs: tuple[Pair, ...] = field(repr=False)
    errors: Mapping[str, str] = field(default_factory=dict)

    def count(self, winner: str) -> int:
        """Return how many pairs have this outcome."""
        return sum(each.winner == winner for each in self.pairs)

    @property
    def win_rate(self) -> tuple[float, float, float]:
        """The share of a's wins among those of a and b, and its 95 % interval (Wilson)."""
        wins, losses = self.count("a"), self.count("b")
        low, high = wilson(wins, wins + losses)
        return (wins / (wins + losses) if wins + losses else 0.5), low, high

    @property
    def inconsistent(self) -> float:
        """The share of pairs whose verdict changes with the order: the judge's position bias."""
        return self.count("inconsistent") / len(self.pairs) if self.pairs else 0.0

    @property
    def favours(self) -> str:
        """``"first"`` or ``"second"``, whichever side changing verdicts favour more often; empty for none."""
        first = sum(each.favoured == "first" for each in self.pairs)
        second = sum(each.favoured == "second" for each in self.pairs)
        return "" if first == second else "first" if first > second else "second"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not compared, and why."""
        if not self.errors:
            return ()
        return (f"{counted(len(self.errors), 'pair')} without a verdict: {next(iter(self.errors.values()))}",)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        share, low, high = self.win_rate
        return {
            "a": self.a, "b": self.b, "judge": self.judge, "wins_a": self.count("a"),
            "wins_b": self.count("b"), "ties": self.count("tie"), "inconsistent": self.count("inconsistent"),
            "favours": self.favours, "win_rate": {"mean": share, "low": low, "high": high},
            "pairs": [asdict(each) for each in self.pairs], "errors": dict(self.errors),
        }  # fmt: skip

    def table(self) -> Table:
        """Return a table of the outcomes."""
        share, low, high = self.win_rate
        favours = f", mostly for the {self.favours} answer" if self.favours else ""
        rows = [
            (f"{self.a} is better", str(self.count("a"))), (f"{self.b} is better", str(self.count("b"))),
            ("tie", str(self.count("tie"))),
            (f"changes with the order{favours}", str(self.count("inconsistent"))),
            (f"{self.a}'s share of the wins", f"{share:.2f} [{low:.2f}, {high:.2f}]"),
        ]  # fmt: skip
        return Table(
            f"{self.judge} on {counted(len(self.pairs), 'pair')}, each in both orders", ("outcome", ""), rows
        )


def compare(
    judge: Judge,
    cases: Mapping[str, tuple[Case, str]],
    *,
    names: Sequence[str] = ("a", "b"),
    parallel: int = 4,
    run: Callable[..., Any] = lambda function, *args: function(*args),
    progress: Progress | None = None,
) -> Pairs:
    """Judge pairs of answers in both orders.

    Parameters
    ----------
    judge : Judge
    cases : mapping of str to (Case, str)
        By the question's id: a case with a's answer, and b's answer.
    names : sequence of str
        What the two systems are called.
    parallel : int
        Pairs that are judged at the same time.
    run : callable
        Calls a function so that what it spends is collected (`rag.evaluation.judging.graders.Spending.run`).
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    UsageError
        There is nothing to compare.
    BudgetError
        A call must not be made.

    Examples
    --------
    >>> pairs = compare(judge, {"1": (Case("How long?", "28 days."), "4 weeks.")})     # doctest: +SKIP
    >>> pairs.win_rate, pairs.inconsistent                                             # doctest: +SKIP
    ((0.5, 0.0, 1.0), 0.0)
    """
    if not cases:
        raise UsageError("there is no question that both systems answered")

    def one(item: tuple[str, tuple[Case, str]]) -> Pair | tuple[str, str]:
        name, (case, other) = item
        try:
            return run(_pair, judge, name, case, other)  # type: ignore[no-any-return]
        except GenerationError as error:
            return name, str(error)

    items = [*cases.items()]
    found: list[Pair | tuple[str, str]] = []
    with Task(progress, "pairs", of=len(items), unit="pair", kept=_KEPT) as task:
        for each in in_order(lambda at: one(items[at]), len(items), parallel):
            found.append(each)
            task.show(len(found))
    pairs = tuple(each for each in found if isinstance(each, Pair))
    errors = dict(each for each in found if not isinstance(each, Pair))
    return Pairs(names[0], names[1], judge.name, pairs, errors)


def cases_of(a: AnswersEvaluation, b: AnswersEvaluation) -> dict[str, tuple[Case, str]]:
    """Return the answers of two systems to the same questions as cases to `compare`.

    The judge sees the passages that a was given; questions that the documents do not answer, and those to
    which a model gave no answer, are left out.
    """
    others = {each.question.id: each.answer for each in b.questions}
    return {
        each.question.id: (case_of(each.question, each.answer), other.text)
        for each in a.questions
        if each.question.answerable and each.answer is not None
        and (other := others.get(each.question.id)) is not None
    }  # fmt: skip


def _pair(judge: Judge, name: str, case: Case, other: str) -> Pair:
    forward, reason = judge.better(case, other)
    backward, _ = judge.better(replace(case, answer=other), case.answer)
    winner = {"first": "a", "second": "b", "tie": "tie"}[forward]
    if _SWAPPED[backward] != forward:
        winner = "inconsistent"
    return Pair(name, winner, forward, backward, reason)
