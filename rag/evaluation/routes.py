"""Learn which of several models should answer which questions: rules for `rag.generation.router`.

Every rule set of at most two conditions is tried, over thresholds of what the router knows of a question: its
words, its passages, and their best score (`rag.generation.rules.When`). Of those whose loss against the best
model is within the margin, one standard error included, the cheapest is taken; the standard error is the
allowance for choosing among many that Breiman et al. make ("Classification and Regression Trees", 1984,
section 3.4.3). How good the choice is, is measured on questions that it was not made on (`learn`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.evaluation.answers import AnswersEvaluation
from rag.generation.question import Question
from rag.generation.rules import Rule, When, first_match

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]

#: The features that are learned from, with the digits to which their thresholds are rounded.
FEATURES: Mapping[str, int] = {"question_words": 0, "passages": 0, "best_score": 2}
#: Thresholds are tried at these quantiles of each feature.
_QUANTILES = np.arange(0.1, 0.95, 0.1)
#: The smallest share of questions that a condition may hold, or fail, for.
_LEAST = 0.05
#: What a further condition must save, as a share of the dollars.
_SAVING = 0.01
#: Dollars of a question that are none.
_ROUNDING_USD = 1e-12


@dataclass(frozen=True, slots=True)
class Routed:
    """A rule set.

    Attributes
    ----------
    rules : tuple of Rule
        Each names a model as its tier.
    otherwise : str
        The model for questions that no rule matches.
    """

    rules: tuple[Rule, ...]
    otherwise: str

    def model(self, question: Question) -> str:
        """Return the model for a question, as the router chooses it."""
        matched = first_match(self.rules, question)
        return self.otherwise if matched is None else matched[0]

    def tables(self) -> list[dict[str, Any]]:
        """Return the rules as ``rag.toml`` has them."""
        return [{"when": rule.when.model_dump(exclude_none=True), "tier": rule.tier} for rule in self.rules]

    def __str__(self) -> str:
        """Return ``haiku if question_words_below = 12, else sonnet``."""
        parts = [f"{rule.tier} if {' and '.join(rule.when.conditions)}" for rule in self.rules]
        return ", else ".join([*parts, self.otherwise])


@dataclass(frozen=True, slots=True)
class Results:
    """What models answered to the same questions.

    Attributes
    ----------
    models : tuple of str
        The cheapest first.
    ids : tuple of str
        The questions' ids.
    questions : tuple of Question
        As the router sees them.
    quality, usd : array of shape (questions, models)
        A failed answer costs what the model's others cost on average.
    weights : array of shape (questions,)
    """

    models: tuple[str, ...]
    ids: tuple[str, ...]
    questions: tuple[Question, ...]
    quality: Floats
    usd: Floats
    weights: Floats

    @property
    def best(self) -> int:
        """The column of the model with the highest mean quality; of equal ones the cheapest."""
        return int(np.argmax(self.weights @ self.quality))

    def at(self, rows: Sequence[int]) -> Results:
        """Return some of the questions."""
        index = np.asarray(rows, np.intp)
        return Results(
            self.models, tuple(self.ids[row] for row in rows), tuple(self.questions[row] for row in rows),
            self.quality[index], self.usd[index], self.weights[index],
        )  # fmt: skip


def results_of(evaluations: Mapping[str, AnswersEvaluation], metric: str) -> Results:
    """Return what several models answered, of the questions for which all have the metric.

    Parameters
    ----------
    evaluations : mapping
        By the model's name; each has dollars.
    metric : str
        A quality in [0, 1].
    """
    models = sorted(evaluations, key=lambda name: evaluations[name].metrics["usd"].mean)
    rows = [
        scored for scored in zip(*(evaluations[name].questions for name in models), strict=True)
        if all(metric in one.values for one in scored) and any(one.answer is not None for one in scored)
    ]  # fmt: skip
    means = [evaluations[name].metrics["usd"].mean for name in models]
    usd = [[one.values.get("usd", mean) for one, mean in zip(row, means, strict=True)] for row in rows]
    return Results(
        tuple(models), tuple(row[0].question.id for row in rows), tuple(map(_as_routed, rows)),
        np.array([[one.values[metric] for one in row] for row in rows], np.float64).reshape(-1, len(models)),
        np.array(usd, np.float64).reshape(-1, len(models)),
        np.array([row[0].question.expected.weight for row in rows], np.float64),
    )  # fmt: skip


def _as_routed(row: Sequence[Any]) -> Question:
    """Return a question as the router sees it: a follow-up as it stood on its own, with the passages sent."""
    answer = next(one.answer for one in row if one.answer is not None)
    alone = next((step.detail["search"] for step in answer.trace if "search" in step.detail), answer.question)
    return Question(alone, answer.context.hits)


def features(question: Question) -> dict[str, float]:
    """Return what rules are learned from, by how the conditions' names begin; no score without passages.

    Examples
    --------
    >>> features(Question("Who declares a SEV-1?"))
    {'question_words': 5.0, 'passages': 0.0}
    """
    values = {"question_words": float(question.word_count), "passages": float(len(question.passages))}
    return values if question.best_score is None else {**values, "best_score": question.best_score}


def search(results: Results, margin: float, best: int) -> Routed:
    """Return the cheapest rule set whose loss, with its standard error, is within a margin.

    Parameters
    ----------
    results : Results
    margin : float
        As a share.
    best : int
        The column of the model that the loss is measured against, which is the answer if no other will do.

    Examples
    --------
    >>> search(results, 0.02, results.best)        # doctest: +SKIP
    Routed(rules=(Rule(when=…, tier='haiku'),), otherwise='sonnet')
    """
    conditions, masks = _conditions(results.questions)
    weights = results.weights / results.weights.sum()
    loss = results.quality[:, [best]] - results.quality
    # Of each model: dollars, loss and squared loss, weighted, so that sums over questions are means.
    columns = weights * np.stack([results.usd.T, loss.T, loss.T**2])
    exact = 1 / float((weights**2).sum())  # as many questions, if all counted alike
    found = Routed((), results.models[best])
    lowest = float(columns[0, best].sum())
    for count, sums, rule_set in _candidates(columns, masks):
        usd, mean, square = sums
        error = np.sqrt(np.maximum(square - mean**2, 0.0) / exact)
        price = np.where(mean + error <= margin, usd / (1 - _SAVING) ** count, np.inf)
        at = np.unravel_index(int(np.argmin(price)), price.shape)
        # The tolerance keeps rounding from choosing.
        if price[at] < lowest * (1 - 1e-9) - _ROUNDING_USD:
            lowest, found = float(price[at]), _made(results.models, conditions, *rule_set(at))
    return found


#: Numbers of conditions, all of which must hold, and a model's; then the model for the rest.
_Chosen = tuple[list[tuple[tuple[int, ...], int]], int]


def _candidates(columns: Floats, masks: Masks) -> Iterator[tuple[int, Floats, Any]]:
    """Yield the sums of many rule sets at once, how many conditions they have, and what returns one of them.

    The sums have the shape (3, …): dollars, loss and squared loss for each way to choose the conditions.
    """
    models = range(columns.shape[1])
    whole = columns.sum(axis=2)
    for rest in models:
        yield 0, whole[:, rest, None], lambda at, rest=rest: ([], rest)
    if not len(masks):
        return
    holds = masks.astype(np.float64)
    # Of what holds under one condition, and under two: (3, models, conditions[, conditions]).
    one = np.einsum("cn,kmn->kmc", holds, columns, optimize=True)
    two = np.einsum("cn,kmn,dn->kmcd", holds, columns, holds, optimize=True)
    for model, rest in itertools.permutations(models, 2):
        base = whole[:, rest]
        yield (
            1, base[:, None] + one[:, model] - one[:, rest],
            lambda at, model=model, rest=rest: ([((at[0],), model)], rest),
        )  # fmt: skip
        yield (
            2, base[:, None, None] + two[:, model] - two[:, rest],
            lambda at, model=model, rest=rest: ([(tuple(at), model)], rest),
        )  # fmt: skip
    for first, second, rest in itertools.product(models, repeat=3):
        if second == rest:
            continue
        base = whole[:, rest, None, None] + (one[:, first] - one[:, rest])[:, :, None]
        left = one[:, :, None] - two  # the second rule gets what the first has left
        yield (
            2, base + left[:, second] - left[:, rest],
            lambda at, first=first, second=second, rest=rest: (
                [((at[0],), first), ((at[1],), second)], rest,
            ),
        )  # fmt: skip


def _conditions(questions: Sequence[Question]) -> tuple[list[dict[str, float]], Masks]:
    """Return conditions, each as a rule's ``when``, and for which questions each holds."""
    known = [features(question) for question in questions]
    least = max(1, round(_LEAST * len(questions)))
    kept: dict[bytes, tuple[dict[str, float], Masks]] = {}
    for name, digits in FEATURES.items():
        values = [each[name] for each in known if name in each]
        cuts = np.unique(np.round(np.quantile(values, _QUANTILES), digits)) if values else ()
        for cut, side in itertools.product(cuts, ("below", "at_least")):
            value = float(cut) if digits else int(cut)
            if not digits and value < 1:
                continue  # no rule of that form
            condition = {f"{name}_{side}": value}
            when = When(**condition)  # type: ignore[arg-type]
            mask = np.array([when.fails(question) is None for question in questions])
            if least <= int(mask.sum()) <= len(questions) - least:
                kept.setdefault(mask.tobytes(), (condition, mask))
    return [each for each, _ in kept.values()], np.array([mask for _, mask in kept.values()])


def _made(
    models: Sequence[str], conditions: Sequence[dict[str, float]],
    chosen: Sequence[tuple[tuple[int, ...], int]], rest: int,
) -> Routed:  # fmt: skip
    rules = []
    for numbers, model in chosen:
        # Two conditions of one name are never chosen: the narrower one alone does the same, with one less.
        when: dict[str, Any] = {}
        for number in numbers:
            when |= conditions[number]
        rules.append(Rule(when=When(**when), tier=models[model]))
    return Routed(tuple(rules), models[rest])
