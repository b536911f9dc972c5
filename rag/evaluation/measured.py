"""What a gate compares: each question's values by metric, and the file that keeps them as a baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag.core.errors import SourceError, UsageError, near_miss
from rag.evaluation.answer_metrics import COSTS, METRICS, graded, parted
from rag.evaluation.statistics import Estimate, estimate

#: Of a baseline's file; raised when its form changes.
FORMAT = 1
#: Means over some of the questions: those that the documents do not answer, and those that they do.
PARTS = {"refused": False, "responded": True}
RETRIEVAL = ("recall", "precision", "iou", "ndcg", "source_recall", "mrr")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question's values.

    Attributes
    ----------
    text : str
        A hash of the question and its filter: another text under the same id is another question.
    values : mapping of str to float
        By metric; of several runs their means.
    faults : tuple of str
        What was not as expected, for people.
    flaky : bool
        Whether runs differ in whether the answer is correct.
    lost : tuple of str
        Evidence that did not reach the context, as ``rag explain --expect`` takes it.
    """

    question: str
    where: str | None
    text: str
    values: Mapping[str, float]
    weight: float = 1.0
    faults: tuple[str, ...] = ()
    flaky: bool = False
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of one version of an index.

    Attributes
    ----------
    questions : mapping of str to Asked
        By id.
    golden : str
        The SHA-256 of the golden set as it was read.
    """

    name: str
    version: int
    golden: str
    questions: Mapping[str, Asked] = field(repr=False)

    def values(self, metric: str) -> dict[str, float]:
        """Return a metric's values, by question."""
        name, part = ("answered", PARTS[metric]) if metric in PARTS else (metric, None)
        return {
            key: asked.values[name] for key, asked in self.questions.items()
            if name in asked.values and part in (None, bool(asked.values.get("answerable")))
        }  # fmt: skip

    def mean(self, metric: str) -> Estimate | None:
        """Return a metric's mean, by the questions' weights, or its quantile; None if nothing has it."""
        name, quantile = parted(metric)
        values = self.values(name)
        if not values:
            return None
        if quantile:
            value = float(np.quantile([*values.values()], int(quantile[1:]) / 100))
            return Estimate(value, value, value, len(values))
        weights = [self.questions[key].weight for key in values]
        return estimate([*values.values()], None if len({*weights}) < 2 else weights)

    def write(self, path: Path) -> None:
        """Write the values to a file, as a baseline for later gates; no text of a document is in it."""
        rows = {
            key: {"text": each.text, "values": dict(each.values), "weight": each.weight}
            for key, each in self.questions.items()
        }
        data = {"format": FORMAT, "name": self.name, "version": self.version, "golden": self.golden,
                "questions": rows}  # fmt: skip
        try:
            path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise SourceError(f"cannot write {path}: {error.strerror}") from None


def read_baseline(path: str | Path) -> Measured:
    """Read what `Measured.write` wrote.

    Raises
    ------
    SourceError
        There is no such file, or it is none of a baseline.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']}, not {FORMAT}")
        questions = {
            str(key): Asked("", None, str(row["text"]), {str(k): float(v) for k, v in row["values"].items()},
                            float(row["weight"]))
            for key, row in data["questions"].items()
        }  # fmt: skip
        return Measured(str(data["name"]), int(data["version"]), str(data["golden"]), questions)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path} is no baseline ({error}): write one with `rag gate INDEX GOLDEN --write-baseline {path}`"
        ) from None


def check_metrics(metrics: Sequence[str], *, limits: bool = False, more: Sequence[str] = ()) -> None:
    """Refuse metrics that a gate does not know.

    Parameters
    ----------
    metrics : sequence of str
    limits : bool
        Whether they are limits, which may be quantiles, too (``seconds.p95``).
    more : sequence of str
        Those of graders, to suggest.

    Raises
    ------
    UsageError
    """
    known = [*METRICS, *PARTS, *(f"{name}@4000" for name in RETRIEVAL[:3]), "recall",
             *(f"{name}@10" for name in RETRIEVAL[3:])]  # fmt: skip
    for metric in metrics:
        name, quantile = parted(metric)
        base, at, cut = name.partition("@")
        right = (
            limits and (name in METRICS or graded(name)) if quantile
            else base in RETRIEVAL and cut.isdigit() and int(cut) > 0 if at and not graded(name)
            else name in (*METRICS, *PARTS, "recall") or graded(name)
        )  # fmt: skip
        if not right:
            raise UsageError(f"a gate knows no metric {metric!r}: {near_miss(metric, [*known, *more])}")


def of_answers(metrics: Sequence[str]) -> bool:
    """Tell whether one of the metrics needs answers."""
    return any(parted(metric)[0] in (*METRICS, *PARTS) or graded(metric) for metric in metrics)


def budgets_of(metrics: Sequence[str]) -> tuple[int, ...]:
    """Return the sizes of contexts that metrics name; by default 4,000 characters, if one is asked for."""
    named = {int(cut) for base, _, cut in (each.partition("@") for each in metrics)
             if cut and base in RETRIEVAL[:3]}  # fmt: skip
    return tuple(sorted(named)) or ((4000,) if "recall" in metrics else ())


def is_cost(metric: str) -> bool:
    """Tell whether less of a metric is better."""
    return parted(metric)[0] in COSTS
