"""The options by which commands let a judge, or metrics of one's own, grade answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import Command, names_of, settings_of, with_options
from rag.core.errors import RagError, UsageError
from rag.core.format import counted
from rag.core.progress import Progress

if TYPE_CHECKING:
    from rag.evaluation.answers import AnswersEvaluation
    from rag.evaluation.judging.graders import JudgeGrader, Spending
    from rag.evaluation.judging.judge import Judge
    from rag.evaluation.judging.labels import Label
    from rag.evaluation.judging.pairs import Pairs

_FILE = click.Path(path_type=Path)
_LABELS = "Answers that people judged: how far the judge agrees with them is told."


def judge_options(command: Command) -> Command:
    """Add the options of judges and metrics of one's own."""
    return with_options(command, [
        click.option("--judge", metavar="MODEL", help="A chat model that judges the answers, e.g. sonnet."),
        click.option("--rubrics", metavar="A,B,…",
                     help="See `rag judge rubrics`.  [default: faithfulness, correctness]"),
        click.option("--votes", type=click.IntRange(1, 15), metavar="N",
                     help="Votes of the judge, an odd number."),
        click.option("--labels", type=_FILE, metavar="FILE.jsonl", help=_LABELS),
        click.option("--min-kappa", type=click.FloatRange(0, 1), metavar="K",
                     help="Refuse a judge that agrees less with --labels."),
        click.option("--grade", metavar="MODULE:FUNCTION,…", help="Metrics of your own."),
    ])  # fmt: skip


class Grading:
    """The graders that a command's options name.

    Parameters
    ----------
    options : mapping
        With those of `judge_options`, ``log`` and ``config_path``.
    meter : Meter or None
        Asked before each call of the judge.
    strict : bool
        Whether they decide a gate: the judge must be measured (`calibrate`), and what it fails on is worst.

    Raises
    ------
    UsageError
        Options do not go together.
    RagError
        A judge that decides a gate is not measured.
    """

    def __init__(self, options: Mapping[str, Any], meter: Any, *, strict: bool = False) -> None:
        self.graders: list[Any] = []
        self.spending: Spending | None = None
        self.judge: Judge | None = None
        self.labels: list[Label] = []
        self.pairs = bool(options.get("pairs"))
        self._judging: JudgeGrader | None = None
        self._least: float | None = options.get("min_kappa")
        name = options.get("judge")
        for other in ("rubrics", "votes", "labels", "min_kappa", "pairs"):
            if not name and options.get(other) not in (None, "", (), False):
                raise UsageError(
                    f"--{other.replace('_', '-')} is about a judge: name one, with --judge MODEL"
                )
        if name and strict and (self._least is None or not options.get("labels")):
            raise RagError(
                f"{name} must not judge here, as it is not measured: give --labels FILE.jsonl, answers that "
                "people judged, and --min-kappa (in [gate] labels and min_kappa)"
            )
        if self._least is not None and not options.get("labels"):
            raise UsageError("--min-kappa needs --labels FILE.jsonl, by which the judge is measured")
        if options.get("grade"):
            from rag.evaluation.judging.graders import FunctionGrader

            self.graders += [FunctionGrader(each, strict=strict) for each in names_of(options["grade"])]
        if name:
            self._add_judge(name, options, meter, strict)

    def _add_judge(self, name: str, options: Mapping[str, Any], meter: Any, strict: bool) -> None:
        from rag.evaluation.judging.calibration import labels_of
        from rag.evaluation.judging.graders import JudgeGrader, Spending
        from rag.evaluation.judging.labels import read_labels

        self.spending = Spending(meter)
        rubrics = names_of(options.get("rubrics")) or ("faithfulness", "correctness")
        self.judge = made_judge(
            name, rubrics, options.get("votes") or 1, options.get("log"), options.get("config_path")
        )
        self._judging = JudgeGrader(self.judge, self.spending, strict=strict)
        self.graders.append(self._judging)
        if options.get("labels"):
            self.labels = labels_of(self.judge, read_labels(options["labels"]))

    def calibrate(self, progress: Progress | None = None) -> None:
        """Measure the judge by its labels, if there are any; it is paid for.

        Raises
        ------
        RagError
            It agrees with people less than is asked for.
        """
        if self.judge is None or self._judging is None or not self.labels:
            return
        from rag.evaluation.judging.calibration import calibrate, trusted

        found = calibrate(self.judge, self.labels, spending=self.spending, probes=0, progress=progress)
        if self._least is not None and (lines := trusted(found, list(self.judge.rubrics), self._least)):
            raise RagError(f"{self.judge.name} must not judge here: {'; '.join(lines)}")
        self._judging.kappas = {name: each.kappa for name, each in found.items()}

    def compared(
        self,
        first: AnswersEvaluation,
        others: Iterable[AnswersEvaluation],
        progress: Progress | None,
    ) -> list[Pairs]:
        """Let the judge compare a system's answers with each other system's, with ``--pairs``."""
        if not self.pairs or self.judge is None or self.spending is None:
            return []
        from rag.evaluation.judging.pairs import cases_of, compare

        return [
            compare(
                self.judge, cases_of(first, other), names=(first.name, other.name),
                run=self.spending.run, progress=progress,
            )
            for other in others
        ]  # fmt: skip

    @property
    def cost(self) -> str:
        """What judging cost, for people; empty if nothing was asked."""
        return "" if self.spending is None else cost_of(self.spending)


def made_judge(
    model: str, rubrics: tuple[str, ...], votes: int, log: Path | None, config: Path | None
) -> Judge:  # fmt: skip
    """Return a judge by a model's name; its other settings are those of [generator] in rag.toml."""
    from rag.config import stages
    from rag.evaluation.configurations import generator_setting
    from rag.evaluation.judging.judge import Judge
    from rag.evaluation.judging.verdict_log import VerdictLog

    base = settings_of(config, False, None).get("generator")
    generator = stages.generator(generator_setting(model, base))
    return Judge(generator, rubrics, votes=votes, log=VerdictLog(log))


def cost_of(spending: Spending) -> str:
    """Return what judging cost, for people; empty if nothing was asked."""
    from rag.core.format import dollars

    if not spending.calls:
        return ""
    cost = "no known price" if spending.usd is None else dollars(spending.usd)
    return f"judged with {counted(len(spending.calls), 'call')}: {cost}"
