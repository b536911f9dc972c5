"""How far a judge agrees with people, and which biases it has.

Agreement is Cohen's kappa with its 95 % interval: of scores weighted by the square of their distance, of
passes and failures as it is (`rag.evaluation.judging.agreement`). A judge of ordinal scores that are labelled
as passes passes an answer from `PASSES` on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.core.errors import GenerationError, UsageError
from rag.core.table import Table
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


@dataclass(frozen=True, slots=True)
class Calibration:
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
    """

    judge: str
    rubric: str
    kappa: Kappa
    plain: Kappa
    categories: tuple[Any, ...]
    table_of: tuple[tuple[int, ...], ...] = field(repr=False)
    biases: tuple[Bias, ...] = ()
    failed: int = 0

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

    def _repr_html_(self) -> str:
        return "".join(table.to_html() for table in self.tables())


def calibrate(
    judge: Judge,
    labels: Sequence[Label],
    *,
    spending: Spending | None = None,
    probes: int = PROBES,
    parallel: int = 4,
    progress: Callable[[int, int], None] | None = None,
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
    progress : callable, optional
        Called with the number of judged answers and their total.

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
    of: dict[str, list[Label]] = {name: [] for name in judge.rubrics}
    for label in labels:
        if label.rubric in of:
            of[label.rubric].append(label)
    wanted = [label for each in of.values() for label in each]
    if not wanted:
        others = sorted({each.rubric for each in labels})
        raise UsageError(
            f"no label is of the rubrics {', '.join(judge.rubrics)}; there are {', '.join(others)}"
        )
    scores = dict(zip(map(id, wanted), _scores(judge, wanted, spending, parallel, progress), strict=True))
    return {
        name: _calibration(judge, name, group, [scores[id(each)] for each in group], spending, probes)
        for name, group in of.items() if group
    }  # fmt: skip


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


def _scores(
    judge: Judge,
    labels: Sequence[Label],
    spending: Spending,
    parallel: int,
    progress: Callable[[int, int], None] | None,
) -> list[float | None]:
    def one(label: Label) -> float | None:
        try:
            return spending.run(judge.verdict, label.case, label.rubric).score
        except GenerationError as error:
            failures.append(str(error))
            return None

    failures: list[str] = []
    found: list[float | None] = []
    with ThreadPoolExecutor(parallel, thread_name_prefix="rag-judge") as pool:
        futures = [pool.submit(one, label) for label in labels]
        try:
            for done, future in enumerate(futures, 1):
                found.append(future.result())
                if progress is not None:
                    progress(done, len(labels))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if len(failures) == len(labels):
        raise GenerationError(failures[0])
    return found


def _calibration(
    judge: Judge,
    name: str,
    labels: Sequence[Label],
    scores: Sequence[float | None],
    spending: Spending,
    probes: int,
) -> Calibration:
    judged = [(label, score) for label, score in zip(labels, scores, strict=True) if score is not None]
    if not judged:
        raise GenerationError(f"{judge.name} gave no verdict by the rubric {name}: see what it replies")
    kept, values = [label for label, _ in judged], [score for _, score in judged]
    passes = isinstance(labels[0].label, bool)
    categories: tuple[Any, ...] = (False, True) if passes else SCORES
    people = [label.label for label in kept]
    ratings = [score >= PASSES for score in values] if passes else [round(score) for score in values]
    kappa = cohen_kappa(people, ratings, categories, weighted=not passes)
    plain = cohen_kappa(people, ratings, categories)
    shown = [5.0 if each else 1.0 for each in ratings] if passes else values
    found = biases.of_scores(kept, shown, judge.name)
    if probes:
        some = _spread(kept, probes)
        found.append(biases.verbosity(judge, some, lambda *args: _score_of(spending, *args)))
        found.append(biases.position(
            judge, [each.case for each in some],
            lambda judge, case, other: spending.run(judge.better, case, other)[0],
        ))  # fmt: skip
    table = tuple(tuple(int(each) for each in row) for row in confusion(people, ratings, categories))
    return Calibration(
        judge.name, name, kappa, plain, categories, table, tuple(found), len(labels) - len(kept)
    )  # fmt: skip


def _score_of(spending: Spending, judge: Judge, case: Any, rubric: str) -> float:
    return spending.run(judge.verdict, case, rubric).score


def _spread(labels: Sequence[Label], count: int) -> list[Label]:
    """Return at most so many labels, of every rating alike: the best cannot score more."""
    by_rating = sorted(labels, key=lambda each: (each.label, each.id))
    low = [each for each in by_rating if each.label not in (True, SCORES[-1])] or by_rating
    step = max(len(low) / count, 1.0)
    return [low[int(at * step)] for at in range(min(count, len(low)))]
