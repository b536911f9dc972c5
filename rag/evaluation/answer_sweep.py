"""Answer a golden set with every combination of settings, and compare the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rag.building.build import build
from rag.config import stages
from rag.core.displayable import Displayable
from rag.core.files import Quarantined
from rag.core.progress import Progress
from rag.evaluation import pareto, sweep_files
from rag.evaluation.answers_compared import AnswersCompared
from rag.evaluation.compare_answers import MARGIN, check, compare_answers
from rag.evaluation.golden_set import Questions, read
from rag.evaluation.grid import Grid, Setting
from rag.evaluation.indexes import begin, paying
from rag.pipeline import Pipeline

#: The file of a sweep's answers, in its folder.
LOG = "answers.jsonl"


@dataclass(frozen=True, slots=True, repr=False)
class AnswerSweep(Displayable):
    """A sweep over settings whose answers were measured.

    Attributes
    ----------
    compared : AnswersCompared
        The combinations in the order of the grid; the first is the baseline.
    settings : mapping of str to mapping
        The value of each setting in the grid, by the combination's name.
    indexes : mapping of str to str
        The path of each combination's index.
    """

    folder: str
    compared: AnswersCompared
    settings: Mapping[str, Mapping[str, Any]] = field(repr=False)
    indexes: Mapping[str, str] = field(repr=False)
    quarantined: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self, *, questions: bool = False) -> dict[str, Any]:
        """Return plain values, with or without those of every question."""
        return {
            **self.compared.to_dict(questions=questions), "folder": self.folder, "notes": list(self.notes),
            "settings": {name: dict(chosen) for name, chosen in self.settings.items()},
            "indexes": dict(self.indexes),
            "quarantined": [f"{q.source} {q.reason}; {q.advice}" for q in self.quarantined],
        }  # fmt: skip


def sweep_answers(
    source: Any,
    questions: Questions,
    folder: str | Path,
    grid: Grid,
    *,
    settings: Mapping[str, Any] | None = None,
    metric: str = "correct",
    margin: float = MARGIN,
    tags: Sequence[str] = (),
    log: str | Path | None = None,
    parallel: int = 4,
    metadata: Any = None,
    metadata_from_path: str | None = None,
    progress: Progress | None = None,
) -> AnswerSweep:
    """Answer a golden set with every combination of settings; write ``sweep.md``, ``.json`` and ``.png``.

    Indexes are built as by `rag.evaluation.sweep.sweep`. Answers are kept in a log: a sweep that was stopped
    resumes when it is run again, and asks nothing twice.

    Parameters
    ----------
    source, folder, settings, metadata, metadata_from_path
        As for `rag.evaluation.sweep.sweep`; prompt, generator, ledger and prices count, too.
    questions, tags, parallel
        As for `rag.evaluation.answers.evaluate_answers`.
    grid : mapping of str to sequence
        Settings of ``rag.toml`` and the values to try: ``{"generator.model": ["haiku", "sonnet"],
        "prompt.use": ["a@1", "a@2"], "trimmer.budget": [2000, 4000]}``.
    metric, margin
        As for `rag.evaluation.compare_answers.compare_answers`.
    log : str or Path, optional
        By default ``answers.jsonl`` in the folder.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    ConfigError
        The grid names an unknown setting, or a value is invalid; nothing was built.
    SourceError
        The source, the golden set or the folder cannot be used.
    BudgetError
        A call must not be made.

    Examples
    --------
    >>> result = sweep_answers("data/handbook", "data/golden.jsonl", "indexes/sweep",
    ...                        {"generator.model": ["haiku", "sonnet"]})       # doctest: +SKIP
    >>> result.compared.cheapest                                            # doctest: +SKIP
    'generator.model=haiku'
    """
    check(metric, margin)
    golden, path, fixed = read(questions, tags=tags), Path(folder), settings or {}
    options = {"metadata": metadata, "metadata_from_path": metadata_from_path}
    combinations, indexes = begin(source, path, grid, fixed, build, options, progress, answers=True)
    speakers = _Speakers()
    for setting in combinations:
        speakers.of(setting)  # what is wrong is said before anything is built
    pipes = {
        setting.name: Pipeline(
            **indexes.arguments(setting, f"{number} of {len(combinations)}: {setting.name}"),
            **speakers.of(setting), **paying(fixed, path),
        )
        for number, setting in enumerate(combinations, 1)
    }  # fmt: skip
    compared = compare_answers(
        pipes, golden, metric=metric, margin=margin, log=log or path / LOG, parallel=parallel,
        progress=progress,
    )  # fmt: skip
    reports = list(indexes.reports.values())
    quarantined = {item.source: item for report in reports for item in report.quarantined}
    notes = dict.fromkeys([*(note for report in reports for note in report.notes), *compared.notes])
    result = AnswerSweep(
        str(folder), compared, {setting.name: setting.chosen for setting in combinations},
        {name: str(pipe.index.path) for name, pipe in pipes.items()}, tuple(quarantined.values()),
        tuple(notes),
    )  # fmt: skip
    return _write(path, result)


class _Speakers:
    """Makes every generator once, whichever combinations have it."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Any]] = []

    def of(self, setting: Setting) -> dict[str, Any]:
        """Return the prompt and the generator of a setting."""
        value, prompt = setting.stages["generator"], setting.stages["prompt"]
        made = next((generator for known, generator in self._made if known == value), None)
        if made is None:
            made = stages.generator(value)
            stages.prompt(prompt, made)
            self._made.append((value, made))
        return {"generator": made, "prompt": prompt}


def _write(folder: Path, result: AnswerSweep) -> AnswerSweep:
    """Write the sweep's files; return it with a note if its picture could not be drawn."""
    compared = result.compared
    points = [
        pareto.Point(each.name, each.metrics[compared.metric], each.metrics["usd"])
        for each in compared.evaluations if "usd" in each.metrics
    ]  # fmt: skip

    def draw(path: Path) -> None:
        pareto.draw(path, points, metric=compared.metric, chosen=compared.cheapest)

    tables = "\n".join(table.to_markdown() for table in compared.tables())
    body = tables + "".join(f"\n- {line}" for line in compared.verdict()) + "\n"
    notes = sweep_files.write(
        folder, body, result.to_dict(questions=True), result.notes, draw if points else None
    )
    return replace(result, notes=notes)
