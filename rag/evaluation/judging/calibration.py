"""How far a judge agrees with people, and which biases it has.

Agreement is Cohen's kappa with its 95 % interval: of scores weighted by the square of their distance, of
passes and failures as it is (`rag.evaluation.judging.agreement`). A judge of ordinal scores that are labelled
as passes passes an answer from `PASSES` on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.core.displayable import Displayable
from rag.core.errors import GenerationError, UsageError
from rag.core.progress import Progress, Task
from rag.core.table import Table
from rag.evaluation.in_order import in_order
from rag.evaluation.judging import biases
from rag.evaluation.judging.agreement import Kappa, cohen_kappa, confusion
from rag.evaluation.judging.biases import Bias
from rag.evaluation.judging.graders import Spending
from rag.evaluation.judging.judge import Judge
from rag.evaluation.judging.labels import Label
from rag.evaluation.judging.rubric import SCORES

#: The least score of an answer that passes.
PASSES = 4
#: With fewer labels a kappa's interval is wide, and that for large samples is not right either.
FEW = 30
#: Answers that are judged again to look for biases, by rubric.
PROBES = 20
_KEPT = "verdicts are not kept; what they cost is in the ledger"


@dataclass(frozen=True, slots=True, repr=False)
class Calibration(Displayable):
    """A judge beside people, on one rubric.

    Attributes
    ----------
    kappa : Kappa
        Weighted for scores.
    plain : Kappa
        Not weighted: of scores, how often they are the same.
    categories : tuple
        The ratings: 1 to 5, or False and True.
    table_of : tuple of tuple of int
        How often each pair of ratings occurs; people's by row, the judge's by column.
    biases : tuple of Bias
    failed : int
        Answers that the judge gave no verdict on.
    unprobed : int
        Verdicts that failed when answers were judged again in other forms.
    """

    judge: str
    rubric: str
    kappa: Kappa
    plain: Kappa
    categories: tuple[Any, ...]
    table_of: tuple[tuple[int, ...], ...] = field(repr=False)
    biases: tuple[Bias, ...] = ()
    failed: int = 0
    unprobed: int = 0

    @property
    def found(self) -> list[Bias]:
        """The biases that the judge has."""
        return [each for each in self.biases if each.found]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "judge": self.judge, "rubric": self.rubric, "kappa": self.kappa.to_dict(),
            "plain_kappa": self.plain.to_dict(), "categories": list(self.categories),
            "table": [list(row) for row in self.table_of],
            "biases": [asdict(each) for each in self.biases], "failed": self.failed,
            "unprobed": self.unprobed,
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Return a table of agreement with the biases, and one of all pairs of ratings."""
        kind = "kappa" if isinstance(self.categories[0], bool) else "weighted kappa"
        rows = [(kind, f"{self.kappa}, {self.kappa.name}")]
        if kind != "kappa":
            rows.append(("kappa", str(self.plain)))
        rows.append(("equal ratings", f"{self.plain.observed:.0%}; by chance {self.plain.expected:.0%}"))
        rows += [(f"{each.name}{' (!)' if each.found else ''}", each.detail) for each in self.biases]
        names = [str(each).lower() if isinstance(each, bool) else str(each) for each in self.categories]
        return [
            Table(f"{self.judge}, {self.rubric}, beside people on {self.kappa.count} answers",
                  ("measure", ""), rows),
            Table("people's ratings by row, the judge's by column", ("", *names),
                  [(name, *map(str, row)) for name, row in zip(names, self.table_of, strict=True)]),
        ]  # fmt: skip


def calibrate(
    judge: Judge,
    labels: Sequence[Label],
    *,
    spending: Spending | None = None,
    probes: int = PROBES,
    parallel: int = 4,
    progress: Progress | None = None,
) -> dict[str, Calibration]:
    """Let a judge judge what people have judged, and compare.

    Parameters
    ----------
    judge : Judge
    labels : sequence of Label
        `rag.evaluation.judging.labels.read_labels`; those of other rubrics are left
        out.
    spending : Spending, optional
        Records what it costs.
    probes : int
        How many answers of each rubric are judged again in other forms, to look for biases; 0 for none.
    parallel : int
        Answers that are judged at the same time.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Returns
    -------
    dict of str to Calibration
        By rubric.

    Raises
    ------
    UsageError
        No label is of one of the judge's rubrics, or lacks what a rubric needs.
    GenerationError
        The judge gave no verdict at all.
    BudgetError
        A call must not be made.

    Examples
    --------
    >>> found = calibrate(Judge(model, ["faithfulness"]), read_labels("labels.jsonl"))  # doctest: +SKIP
    >>> print(found["faithfulness"].kappa)                                             # doctest: +SKIP
    0.71 [0.58, 0.84]
    """
    spending = spending or Spending()
    wanted = labels_of(judge, labels)
    tasks = _Tasks(spending, parallel, progress)
    scores = tasks.run([(judge.verdict, label.case, label.rubric) for label in wanted])
    if not any(scores):
        raise GenerationError(tasks.failures[0])
    rated = [(label, each.score) for label, each in zip(wanted, scores, strict=True) if each is not None]
    return {
        name: _calibration(judge, name, sum(each.rubric == name for each in wanted),
                           [each for each in rated if each[0].rubric == name],
                           _Tasks(spending, parallel, None), probes)
        for name in dict.fromkeys(each.rubric for each in wanted)
    }  # fmt: skip


def labels_of(judge: Judge, labels: Sequence[Label]) -> list[Label]:
    """Return the labels of a judge's rubrics, rubric by rubric.

    Raises
    ------
    UsageError
        There is none, or one lacks what its rubric needs.
    """
    wanted = [each for name in judge.rubrics for each in labels if each.rubric == name]
    if not wanted:
        others = sorted({each.rubric for each in labels})
        raise UsageError(
            f"no label is of the rubrics {', '.join(judge.rubrics)}; there are {', '.join(others)}"
        )
    for each in wanted:
        if not each.case.has(needs := judge.rubrics[each.rubric].needs):
            raise UsageError(
                f"the rubric {each.rubric} needs {' and '.join(needs)}: label {each.id} lacks it"
            )
    return wanted


def trusted(found: Mapping[str, Calibration | Kappa], rubrics: Sequence[str], least: float) -> list[str]:
    """Return why a judge must not decide a gate: a line for each rubric whose kappa is not enough.

    Parameters
    ----------
    found : mapping of str to Calibration or Kappa
        By rubric.
    rubrics : sequence of str
        Those that the gate asks for.
    least : float
        The least kappa.
    """
    lines = []
    for name in rubrics:
        each = found.get(name)
        if each is None:
            lines.append(f"{name}: the judge is not calibrated by this rubric: give --labels")
            continue
        kappa = each.kappa if isinstance(each, Calibration) else each
        if not kappa.value >= least:  # undefined is not enough either
            lines.append(f"{name}: the judge's kappa is {kappa}, and {least:g} is asked for")
    return lines


class _Tasks:
    """Runs calls of a judge, several at a time; those that fail give None."""

    def __init__(self, spending: Spending, parallel: int, progress: Progress | None) -> None:
        self._spending, self._parallel, self._progress = spending, parallel, progress
        self.failures: list[str] = []

    def run(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the results of calls, each a function with its arguments, in their order."""
        found = []
        with Task(self._progress, "labels", of=len(calls), unit="label", kept=_KEPT) as task:
            for each in in_order(lambda at: self._one(calls[at]), len(calls), self._parallel):
                found.append(each)
                task.show(len(found))
        return found

    def _one(self, call: tuple[Any, ...]) -> Any:
        try:
            return self._spending.run(*call)
        except GenerationError as error:
            self.failures.append(str(error))
            return None


def _calibration(
    judge: Judge,
    name: str,
    count: int,
    rated: Sequence[tuple[Label, float]],
    tasks: _Tasks,
    probes: int,
) -> Calibration:
    if not rated:
        raise GenerationError(f"{judge.name} gave no verdict by the rubric {name}: see what it replies")
    kept, values = [label for label, _ in rated], [score for _, score in rated]
    passes = isinstance(kept[0].label, bool)
    categories: tuple[Any, ...] = (False, True) if passes else SCORES
    people = [label.label for label in kept]
    ratings = [score >= PASSES for score in values] if passes else [round(score) for score in values]
    kappa = cohen_kappa(people, ratings, categories, weighted=not passes)
    plain = cohen_kappa(people, ratings, categories)
    shown = [5.0 if each else 1.0 for each in ratings] if passes else values
    found = biases.of_scores(kept, shown, judge.name)
    if probes:
        some = _spread(rated, probes)
        cases = [label.case for label, _ in some]
        again = tasks.run([(judge.verdict, biases.padded(case), name) for case in cases])
        found.append(biases.verbosity([
            each.score - before for each, (_, before) in zip(again, some, strict=True) if each is not None
        ]))  # fmt: skip
        beside = tasks.run([(judge.better, case, case.answer) for case in cases])
        found.append(biases.position([each[0] for each in beside if each is not None]))
    table = tuple(tuple(int(each) for each in row) for row in confusion(people, ratings, categories))
    return Calibration(
        judge.name, name, kappa, plain, categories, table, tuple(found), count - len(kept),
        len(tasks.failures),
    )  # fmt: skip


def _spread(rated: Sequence[tuple[Label, float]], count: int) -> list[tuple[Label, float]]:
    """Return at most so many labels, of every rating alike: the best cannot score more."""
    by_rating = sorted(rated, key=lambda each: (each[0].label, each[0].id))
    low = [each for each in by_rating if each[0].label not in (True, SCORES[-1])] or by_rating
    step = max(len(low) / count, 1.0)
    return [low[int(at * step)] for at in range(min(count, len(low)))]
