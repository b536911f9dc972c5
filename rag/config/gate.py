"""``[gate]`` of ``rag.toml``: what a version must reach before it becomes current (`rag.evaluation.gate`).

::

    [gate]
    golden = "golden.jsonl"
    min = {"recall@4000" = 0.9, supported = 0.95, refused = 0.8}
    max = {"seconds.p95" = 2}
    against = ["recall", "correct"]   # tested question by question against the version that is current
    canary = "canaries.jsonl"         # every one of these must be right

    judge = "sonnet"                  # a chat model gives judge:RUBRIC (`rag.evaluation.judging`)
    rubrics = ["faithfulness"]
    labels = "labels.jsonl"           # answers that people judged: the judge is measured on them,
    min_kappa = 0.6                   # and refused below this agreement
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rag.usage.settings import Settings, checked

_Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _table(value: Any) -> Any:
    return {name: float(bound) if isinstance(bound, int) and not isinstance(bound, bool) else bound
            for name, bound in value.items()} if isinstance(value, dict) else value  # fmt: skip


_Bounds = Annotated[dict[str, _Bound], BeforeValidator(_table)]


class GateSettings(Settings):
    """What a gate measures, and demands.

    Attributes
    ----------
    golden : str
        The golden set's file; where it is left out, nothing but `canary` is asked.
    min, max : mapping of str to float
        Bounds of metrics' means (`rag.evaluation.gate`).
    against : tuple of str
        Metrics that must not be worse than those of the version that is current, or of a baseline.
    canary : str
        A golden set of questions that must all be right.
    alpha : float
        The most probability, over all tests of a gate, that it fails though nothing is worse.
    runs : int
        How often each question is asked.
    judge : str
        The chat model whose verdicts are metrics; `labels` and `min_kappa` must be there, too.
    rubrics : tuple of str
        By default faithfulness and correctness.
    votes : int
        Of the judge, for each verdict.
    labels : str
        The file of answers that people judged.
    min_kappa : float
        The least agreement with them.
    grade : tuple of str
        Metrics that are functions, ``"module:function"``.
    """

    golden: str = Field(default="", description="the path of a golden set")
    min: _Bounds = Field(default_factory=dict, description="a table of numbers by metric")
    max: _Bounds = Field(default_factory=dict, description="a table of numbers by metric")
    against: tuple[str, ...] = Field(default=(), description="a list of metrics")
    canary: str = Field(default="", description="the path of a golden set")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="a number between 0 and 0.5")
    runs: int = Field(default=1, ge=1, le=20, description="a whole number from 1 to 20")
    judge: str = Field(default="", description="a chat model, e.g. sonnet")
    rubrics: tuple[str, ...] = Field(default=(), description="a list of rubrics")
    votes: int | None = Field(default=None, ge=1, le=15, description="an odd number from 1 to 15")
    labels: str = Field(default="", description="the path of a file of labels")
    min_kappa: float | None = Field(default=None, ge=0, le=1, description="a number from 0 to 1")
    grade: tuple[str, ...] = Field(default=(), description="a list of MODULE:FUNCTION")


def settings(value: Any) -> GateSettings:
    """Return the settings of a gate; a text is the path of its golden set.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.
    """
    return checked(GateSettings, {"golden": value} if isinstance(value, str) else value, "the gate")
