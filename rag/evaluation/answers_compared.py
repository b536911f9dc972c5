"""Configurations compared by their answers: the tables, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.core.displayable import Displayable
from rag.core.table import Table
from rag.evaluation.answer_metrics import METRICS, cell, digits_of, shown, with_graded
from rag.evaluation.answers import AnswersEvaluation
from rag.evaluation.differences import Comparison, Difference
from rag.evaluation.non_inferiority import Loss, points
from rag.evaluation.statistics import p_text


@dataclass(frozen=True, slots=True, repr=False)
class AnswersCompared(Displayable):
    """Configurations side by side.

    Attributes
    ----------
    evaluations : tuple of AnswersEvaluation
        In the order given; the first is the baseline.
    metric : str
        The quality that decides which is best.
    margin : float
        How much worse than the best the cheapest may be, as a share.
    best : str
        The name of the one with the highest mean of the metric; of equal ones the cheapest.
    against_first, against_best : tuple of Comparison
        Each of the others minus the first, and minus the best. Their `p_holm` are corrected, metric by
        metric, for all of these comparisons.
    losses : tuple of Loss
        How much worse each of the others is than the best.
    notes : tuple of str
    """

    evaluations: tuple[AnswersEvaluation, ...]
    metric: str
    margin: float
    best: str
    against_first: tuple[Comparison, ...] = field(repr=False)
    against_best: tuple[Comparison, ...] = field(repr=False)
    losses: tuple[Loss, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> AnswersEvaluation:
        """Return a configuration's evaluation."""
        return next(each for each in self.evaluations if each.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The configurations' names."""
        return tuple(each.name for each in self.evaluations)

    @property
    def cheapest(self) -> str | None:
        """The cheapest that is not worse than the best by more than the margin; None without prices."""
        within = {self.best, *(loss.name for loss in self.losses if loss.within(self.margin))}
        costs = {name: self[name].metrics["usd"].mean for name in self.names
                 if name in within and "usd" in self[name].metrics}  # fmt: skip
        return min(costs, key=lambda name: costs[name], default=None)

    @property
    def undecided(self) -> tuple[Loss, ...]:
        """Those cheaper than `cheapest` of which it is not shown whether they are within the margin."""
        most = None if self.cheapest is None else self[self.cheapest].metrics["usd"].mean
        return tuple(
            loss for loss in self.losses
            if not loss.within(self.margin) and not loss.beyond(self.margin)
            and (usd := self[loss.name].metrics.get("usd")) is not None and (most is None or usd.mean < most)
        )  # fmt: skip

    def verdict(self) -> list[str]:
        """Return the choice in sentences: the cheapest within the margin, and what the set cannot tell."""
        margin, metric = f"{points(self.margin)} points", shown(self.metric)
        lines = [f"best by {metric}: {self.best}, {self[self.best].metrics[self.metric]}"]
        what = f"the cheapest configuration that is not worse than the best by more than {margin}"
        if self.cheapest is None:
            lines.append(f"{what}: not known, as there are no prices: enter them in [prices] of rag.toml")
        else:
            loss = next((each for each in self.losses if each.name == self.cheapest), None)
            cost = cell(self[self.cheapest].metrics["usd"], "$")
            more = "the best itself" if loss is None else f"its loss is {loss}"
            lines.append(f"{what}: {self.cheapest}, $ {cost} a question; {more}")
        lines += [
            f"too few questions to tell whether {loss.name} is within {margin}: its loss is {loss}; "
            f"{loss.count} questions see a loss of {points(loss.smallest)} points or more (80 % power); "
            f"{margin} take about {loss.needed(self.margin):,}"
            for loss in self.undecided
        ]
        return lines

    def disagreements(self) -> list[tuple[str, Mapping[str, float]]]:
        """Return the questions that the configurations answer differently well, the most different first.

        Each is the question's id, with the metric's value by configuration.
        """
        rows = []
        for one in self.evaluations[0].questions:
            name = one.question.id
            values = {each.name: each.values[name][self.metric] for each in self.evaluations
                      if self.metric in each.values[name]}  # fmt: skip
            if values and max(values.values()) > min(values.values()):
                rows.append((name, values))
        return sorted(rows, key=lambda row: min(row[1].values()) - max(row[1].values()))

    def to_dict(self, *, questions: bool = True) -> dict[str, Any]:
        """Return plain values, with or without those of every question."""
        losses = [{**asdict(loss), "within": loss.within(self.margin)} for loss in self.losses]
        return {
            "metric": self.metric, "margin": self.margin, "best": self.best, "cheapest": self.cheapest,
            "verdict": self.verdict(), "losses": losses, "notes": list(self.notes),
            "configurations": [each.to_dict(questions=questions) for each in self.evaluations],
            "against_first": [each.to_dict() for each in self.against_first],
            "against_best": [each.to_dict() for each in self.against_best],
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Return the configurations, every metric, and the differences."""
        return [self.overview(), self.every_metric(), *([self.changes()] if len(self.names) > 1 else [])]

    def overview(self) -> Table:
        """Return a table with a row for each configuration."""
        rows = [
            (
                each.name, cell(each.metrics.get(self.metric), ""), cell(each.metrics.get("usd"), "$"),
                f"{each.seconds['p50']:.2f}", f"{each.seconds['p95']:.2f}", str(each.failed),
            )
            for each in self.evaluations
        ]  # fmt: skip
        count = len(self.evaluations[0].questions)
        head = ("configuration", self._named(self.metric), "$ a question", "p50 s", "p95 s", "failed")
        return Table(f"{count} questions answered with each of {len(rows)} configurations", head, rows)

    def every_metric(self) -> Table:
        """Return a table with a row for each metric, and a column for each configuration."""
        rows = [
            (
                f"{self._named(name)}{f' ({unit})' if unit not in ('', name) else ''}",
                *(cell(each.metrics.get(name), unit) for each in self.evaluations),
            )
            for name, unit in with_graded(name for each in self.evaluations for name in each.metrics).items()
            if any(name in each.metrics for each in self.evaluations)
        ]  # fmt: skip
        return Table("means and 95 % intervals", ("metric", *self.names), rows)

    def changes(self) -> Table:
        """Return a table of paired differences in quality, dollars and seconds, for each configuration."""
        first, best = self.names[0], self.best
        bases = [(first, self.against_first), *([(best, self.against_best)] if best != first else [])]
        rows = []
        for metric in (self.metric, "usd", "seconds"):
            for name in self.names:
                pairs = [next((pair for pair in against if pair.a == name), None) for _, against in bases]
                found = [None if pair is None else pair.differences.get(metric) for pair in pairs]
                if any(found):
                    cells = [text for each in found for text in _change(each, metric)]
                    rows.append((self._named(metric), name, *cells))
        head = [text for base, _ in bases for text in (f"minus {base}", "p (Holm)")]
        return Table("paired differences", ("metric", "configuration", *head), rows)

    def _named(self, metric: str) -> str:
        """Return a metric's name for people, with how right a judge is."""
        trust = self.evaluations[0].trust.get(metric)
        return f"{shown(metric)}, {trust}" if trust else shown(metric)


def _change(found: Difference | None, metric: str) -> tuple[str, str]:
    """Return a difference and its p-value for people."""
    if found is None:
        return "", ""
    digits = digits_of(METRICS.get(metric, ""), found.mean)
    text = f"{found.mean:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
    return text, p_text(found.p if found.p_holm is None else found.p_holm)
