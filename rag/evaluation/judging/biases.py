"""Biases of a judge: what moves its verdicts though nothing that it should judge has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rag.bedrock.models import SHORT_NAMES, find
from rag.evaluation.judging.agreement import spearman, wilson
from rag.evaluation.judging.judge import Case, length
from rag.evaluation.judging.labels import Label
from rag.evaluation.statistics import estimate, p_text, randomization_test

#: The level at which a bias is reported, and the fewest measurements that it takes.
_ALPHA, _FEWEST = 0.05, 6
#: A bias that is smaller than this is not reported, however sure: of a score from 1 to 5, and of a rank
#: correlation. Both are conventions.
_SCORE, _CORRELATION = 0.25, 0.2
#: The share of all verdicts that the most frequent one may have where people's labels differ more.
_ONE_VERDICT = 0.95


@dataclass(frozen=True, slots=True)
class Bias:
    """One way to be biased, and whether the judge is.

    Attributes
    ----------
    name : {"leniency", "one verdict", "length", "verbosity", "position", "own model"}
    found : bool
    detail : str
        What was measured, for people.
    """

    name: str
    found: bool
    detail: str


def of_scores(labels: Sequence[Label], scores: Sequence[float], judge: str) -> list[Bias]:
    """Return the biases that scores beside people's show: leniency, one verdict, length, own model.

    Parameters
    ----------
    labels : sequence of Label
        Of one rubric.
    scores : sequence of float
        The judge's, from 1 to 5; 5 and 1 for a judge's pass and failure where the labels are such.
    judge : str
        Its model.
    """
    people = [_score(each.label) for each in labels]
    errors = [score - person for score, person in zip(scores, people, strict=True)]
    found = []
    mean = estimate(errors)
    lenient = len(errors) >= _FEWEST and abs(mean.mean) >= _SCORE and not mean.low <= 0 <= mean.high
    kind = "lenient" if mean.mean > 0 else "strict"
    found.append(Bias(
        "leniency", lenient,
        f"its scores are {mean.mean:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}] beside people's"
        + (f": it is too {kind}" if lenient else ""),
    ))  # fmt: skip
    top = max({*scores}, key=lambda each: list(scores).count(each))
    share = list(scores).count(top) / len(scores)
    of_people = max(people.count(each) for each in {*people}) / len(people)
    same = len(scores) >= _FEWEST and share >= _ONE_VERDICT > of_people
    often = f"{share:.0%} of its verdicts are {top:g}; of people's at most {of_people:.0%} are the same"
    found.append(Bias("one verdict", same, often))
    found.append(_length(labels, people, scores))
    wrote = [(_model(each.model) == _model(judge), error)
             for each, error in zip(labels, errors, strict=True) if each.model]  # fmt: skip
    own, others = [error for mine, error in wrote if mine], [error for mine, error in wrote if not mine]
    if len(own) >= _FEWEST and len(others) >= _FEWEST:
        found.append(_own_model(own, others))
    return found


def _model(name: str) -> str:
    """Return a model's id, whichever name or inference profile stands for it."""
    known = find(SHORT_NAMES.get(name, name))
    return name if known is None else known.id


def _length(labels: Sequence[Label], people: Sequence[float], scores: Sequence[float]) -> Bias:
    """Correlate scores with lengths among answers that people rate alike."""
    words = [float(length(each.case.answer)) for each in labels]
    found = spearman(_centred(words, people), _centred(scores, people))
    if math.isnan(found.value):
        return Bias("length", False, "its scores of answers that people rate alike do not vary")
    biased = found.count >= _FEWEST and abs(found.value) >= _CORRELATION and found.p <= _ALPHA
    prefers = f": it prefers {'longer' if found.value > 0 else 'shorter'} answers" if biased else ""
    at = f"{found.value:+.2f} (p {_p(found.p)})"
    return Bias(
        "length", biased, f"at people's equal rating its scores correlate with words at {at}{prefers}"
    )


def _centred(values: Sequence[float], groups: Sequence[float]) -> list[float]:
    """Return how far values are from the mean of their group."""
    of: dict[float, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        of.setdefault(group, []).append(value)
    means = {group: fmean(each) for group, each in of.items()}
    return [value - means[group] for value, group in zip(values, groups, strict=True)]


def _own_model(own: Sequence[float], others: Sequence[float]) -> Bias:
    """Compare its errors on its own answers with those on others', by Welch's interval."""
    ours, theirs = estimate(own), estimate(others)
    difference = ours.mean - theirs.mean
    spread = math.sqrt(_variance(own) / len(own) + _variance(others) / len(others))
    biased = difference >= _SCORE and difference > 1.96 * spread
    prefers = ": it prefers its own" if biased else ""
    return Bias("own model", biased, f"its errors are {difference:+.2f} higher on its own answers{prefers}")


def padded(case: Case) -> Case:
    """Return an answer that says everything twice: it is longer, says no more and deserves no more."""
    text = case.answer
    return replace(case, answer=f"{text}\n\nTo say the same once more, in full and with all due care: {text}")


def verbosity(rises: Sequence[float]) -> Bias:
    """Return what repetition (`padded`) does to scores.

    Parameters
    ----------
    rises : sequence of float
        How much each score changed.
    """
    if not rises:
        return Bias("verbosity", False, "no answer was judged again")
    mean, p = fmean(rises), randomization_test(rises, worse=True)
    biased = len(rises) >= _FEWEST and mean >= _SCORE and p <= _ALPHA
    rewards = ": it rewards repetition" if biased else ""
    return Bias(
        "verbosity", biased,
        f"an answer that says everything twice scores {mean:+.2f} (p {_p(p)}, {len(rises)} answers){rewards}",
    )  # fmt: skip


def position(verdicts: Sequence[str]) -> Bias:
    """Return whether a side wins where answers are compared with themselves: it wins by its place alone.

    Parameters
    ----------
    verdicts : sequence of {"first", "second", "tie"}
    """
    first, second = verdicts.count("first"), verdicts.count("second")
    total = first + second
    low, high = wilson(first, total)
    biased = total >= _FEWEST and not low <= 0.5 <= high
    side = f": it prefers whichever stands {'first' if first > second else 'second'}" if biased else ""
    return Bias(
        "position", biased,
        f"beside itself, an answer wins {first} of {len(verdicts)} times as the first, {second} as the "
        f"second{side}",
    )  # fmt: skip


def _score(label: int | bool) -> float:
    return (5.0 if label else 1.0) if isinstance(label, bool) else float(label)


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return sum((each - mean) ** 2 for each in values) / max(len(values) - 1, 1)


def _p(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"
