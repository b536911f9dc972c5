"""Learn a routing rule from compared models, measure it on held-out questions, and write it as TOML."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rag.core.displayable import Displayable
from rag.core.errors import UsageError
from rag.core.table import Table
from rag.core.toml_text import toml_text
from rag.evaluation.answer_metrics import cell
from rag.evaluation.answers import AnswersEvaluation
from rag.evaluation.non_inferiority import Loss, loss_of, points
from rag.evaluation.routes import Floats, Results, Routed, results_of, search
from rag.evaluation.statistics import Estimate, estimate

#: Parts of the questions: a rule is learned without one of them, and measured on it.
FOLDS = 2
#: Fewer questions than this in each part tell nothing.
_FEWEST = 10
_VALUE = "value"
_HELD_OUT = "rules, on held-out questions"


@dataclass(frozen=True, slots=True)
class Measured:
    """Rules, or a model, measured on questions.

    Attributes
    ----------
    quality, usd : Estimate
        Of a question.
    loss : Loss or None
        Against the best model; None for that model itself.
    """

    name: str
    quality: Estimate
    usd: Estimate
    loss: Loss | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Learned(Displayable):
    """A routing rule, and what it is worth.

    Attributes
    ----------
    routed : Routed
        Learned from all questions.
    held_out : Measured
        Of rules learned without the questions that they are measured on, over all parts.
    folds : tuple of Measured
        The same, part by part; each is named by its rules.
    models : tuple of Measured
        Each model alone, the cheapest first.
    best : str
        The best model.
    shares : mapping of str to float
        The share of the questions that goes to each model by `routed`.
    """

    routed: Routed
    metric: str
    margin: float
    held_out: Measured
    folds: tuple[Measured, ...]
    models: tuple[Measured, ...]
    best: str
    shares: Mapping[str, float]

    @property
    def keeps(self) -> bool:
        """Whether its loss on held-out questions is within the margin."""
        return self.held_out.loss is None or self.held_out.loss.mean <= self.margin

    @property
    def shown(self) -> bool:
        """Whether so is the upper end of the loss's 95 % interval."""
        return self.held_out.loss is None or self.held_out.loss.within(self.margin)

    def lines(self) -> list[str]:
        """Return the rule, its figures part by part, and what they show, in sentences."""
        shares = ", ".join(f"{100 * share:.0f} % to {name}" for name, share in self.shares.items())
        lines = [f"routing rule from {self.held_out.quality.count} questions: {self.routed} ({shares})"]
        lines += [
            f"held-out part {number}: {fold.name}: {_against(fold, self.best)}, $ {cell(fold.usd, '$')}, "
            f"{fold.quality.count} questions"
            for number, fold in enumerate(self.folds, 1)
        ]
        loss, margin = self.held_out.loss, f"{points(self.margin)} points"
        if not self.keeps:
            lines.append(f"on held-out questions the rules lose more than {margin}: they are not to be used")
        elif loss is not None and not self.shown:
            lines.append(
                f"on held-out questions the loss is within {margin}, but too few questions show it: "
                f"{loss.count} see a loss of {points(loss.smallest)} points or more (80 % power)"
            )
        else:
            lines.append(f"on held-out questions the loss is within {margin}, its interval included")
        return lines

    def table(self) -> Table:
        """Return a table with a row for the rules and one for each model."""
        rows = [
            (each.name, cell(each.quality, ""), cell(each.usd, "$"), str(each.loss or ""))
            for each in (self.held_out, *self.models)
        ]  # fmt: skip
        head = ("answered by", self.metric.replace("_", " "), "$ a question", f"loss against {self.best}")
        return Table("expected of a router, and of each model", head, rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rules": self.routed.tables(), "otherwise": self.routed.otherwise, "margin": self.margin,
            "keeps": self.keeps, "shown": self.shown, "best": self.best, "shares": dict(self.shares),
            "held_out": asdict(self.held_out), "folds": [asdict(each) for each in self.folds],
            "models": [asdict(each) for each in self.models],
        }  # fmt: skip

    def settings(self, base: Mapping[str, Any], generators: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with the router for a generator; where one model answers all, with that model.

        Parameters
        ----------
        base : mapping
            Those that the answers were measured with.
        generators : mapping
            The models' settings, by name.
        """
        rules, otherwise = self.routed.rules, self.routed.otherwise
        used = {otherwise, *(rule.tier for rule in rules)}
        generator = generators[otherwise]
        if rules:
            generator = {
                "use": "router", "otherwise": otherwise,
                "tiers": {each.name: generators[each.name] for each in self.models if each.name in used},
                "rules": self.routed.tables(),
            }  # fmt: skip
        return {**{name: value for name, value in base.items() if value is not None}, "generator": generator}

    def toml(self, base: Mapping[str, Any], generators: Mapping[str, Any]) -> str:
        """Return a whole ``rag.toml`` with the router, and what it is worth as its first lines.

        The parameters are those of `settings`.

        Raises
        ------
        UsageError
            A setting is an object, which no file can hold.
        """
        lines = [
            *self.lines(),
            f"measured: {self.metric} {self.held_out.quality}, $ {cell(self.held_out.usd, '$')}",
        ]
        try:
            text = toml_text(self.settings(base, generators))
        except TypeError as error:
            raise UsageError(f"the rule cannot be written: {error}: name the stage as in rag.toml") from None
        return "".join(f"# {' '.join(line.split())}\n" for line in lines) + "\n" + text


def _against(measured: Measured, best: str) -> str:
    return f"the same as {best}" if measured.loss is None else f"a loss of {measured.loss}"


def learn(evaluations: Mapping[str, AnswersEvaluation], metric: str, margin: float) -> Learned:
    """Learn a routing rule from the answers of several models to the same questions.

    The questions are split in two halves, by a hash of their ids. The rule learned on each half is measured
    on the other one; the rule that is returned is learned on both.

    Parameters
    ----------
    evaluations : mapping
        The models' evaluations, by the names that become the router's tiers.
    metric : str
        The quality to keep.
    margin : float
        How much of it may be lost against the best model, as a share.

    Raises
    ------
    UsageError
        There are fewer than two models, a model has no known price, or there are too few questions.

    Examples
    --------
    >>> learned = learn({name: compared[name] for name in compared.names}, "correct", 0.02)   # doctest: +SKIP
    >>> print(learned.routed)                                                              # doctest: +SKIP
    haiku if question_words_below = 12, else sonnet
    """
    if len(evaluations) < 2:
        raise UsageError("a routing rule chooses among models: give two or more, with --models")
    for name, each in evaluations.items():
        if "usd" not in each.metrics:
            raise UsageError(
                f"a routing rule needs prices, and {name} has none: enter it in [prices] of rag.toml"
            )
    results = results_of(evaluations, metric)
    if len(results.ids) < FOLDS * _FEWEST:
        raise UsageError(
            f"{len(results.ids)} questions are too few for a routing rule: give {FOLDS * _FEWEST} or more"
        )
    best = results.best
    folds, chosen = [], np.zeros(len(results.ids), np.intp)
    for part in _parts(results.ids):
        rest = sorted({*range(len(results.ids))} - {*part})
        held = results.at(part)
        found = search(results.at(rest), margin, best)
        columns = _columns(found, held)
        chosen[part] = columns
        folds.append(_measured(str(found), held, columns, best))
    routed = search(results, margin, best)
    columns = _columns(routed, results)
    shares = {
        name: float(results.weights[columns == number].sum() / results.weights.sum())
        for number, name in enumerate(results.models)
    }
    return Learned(
        routed, metric, margin, _measured(_HELD_OUT, results, chosen, best), tuple(folds),
        tuple(
            _measured(name, results, np.full(len(results.ids), number), best)
            for number, name in enumerate(results.models)
        ),
        results.models[best], {name: share for name, share in shares.items() if share},
    )  # fmt: skip


def _parts(ids: Sequence[str]) -> list[list[int]]:
    """Return the rows of each part, of equal sizes; another order of the questions changes none."""
    order = sorted(range(len(ids)), key=lambda row: hashlib.sha256(ids[row].encode()).digest())
    return [sorted(order[start::FOLDS]) for start in range(FOLDS)]


def _columns(routed: Routed, results: Results) -> Any:
    return np.array([results.models.index(routed.model(question)) for question in results.questions])


def _measured(name: str, results: Results, columns: Any, best: int) -> Measured:
    """Measure answers that come from a model for each question."""
    rows = np.arange(len(results.ids))
    quality, usd = results.quality[rows, columns], results.usd[rows, columns]
    even = bool(np.all(results.weights == results.weights[0]))
    weights = None if even else results.weights.tolist()
    loss = None
    if (columns != best).any():
        loss = loss_of(
            name, _VALUE, _by_id(results, results.quality[:, best]), _by_id(results, quality),
            None if even else dict(zip(results.ids, results.weights.tolist(), strict=True)),
        )  # fmt: skip
    return Measured(name, estimate(quality.tolist(), weights), estimate(usd.tolist(), weights), loss)


def _by_id(results: Results, values: Floats) -> dict[str, dict[str, float]]:
    return {name: {_VALUE: float(value)} for name, value in zip(results.ids, values, strict=True)}
