"""Build and measure every combination of settings, and compare them with the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.building.report import BuildReport
from rag.core.displayable import Displayable
from rag.core.files import Quarantined
from rag.core.frames import frame
from rag.core.progress import Progress, within
from rag.core.table import Table
from rag.evaluation import plot, sweep_files
from rag.evaluation.compare import compare
from rag.evaluation.differences import Comparison
from rag.evaluation.evaluate import BUDGETS, Evaluation, evaluate
from rag.evaluation.golden_set import Questions, read
from rag.evaluation.statistics import holm, p_text

if TYPE_CHECKING:
    import pandas as pd

    from rag.building.stages import Source
    from rag.evaluation.grid import Grid


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination of settings and its measurements.

    Attributes
    ----------
    chosen : mapping
        The value of each setting in the grid.
    index : str
        The path of the index.
    chunks : int
        Chunks in that index.
    embedded : int
        Texts embedded for this combination; the cache held those of earlier combinations and sweeps.
    comparison : Comparison or None
        With the first combination; None for the first itself.
    p : float or None
        p-value of the headline metric, corrected for the number of comparisons (Holm, 1979).
    """

    name: str
    chosen: Mapping[str, Any]
    index: str
    chunks: int
    embedded: int
    evaluation: Evaluation
    comparison: Comparison | None = None
    p: float | None = None

    def to_dict(self, *, questions: bool = False) -> dict[str, Any]:
        """Return plain values, with or without those of every question."""
        return {
            "name": self.name, "settings": dict(self.chosen), "index": self.index,
            "chunks": self.chunks, "embedded": self.embedded, "p_holm": self.p,
            "comparison": self.comparison and self.comparison.to_dict(),
            "evaluation": self.evaluation.to_dict(questions=questions),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(Displayable):
    """The combinations of a sweep, best first.

    Attributes
    ----------
    headline : str
        The metric that trials are sorted and compared by: ``"recall"`` (evidence recall, mean over the
        budgets), or ``"ndcg@k"`` if there is only gold.
    first : str
        Name of the combination that the others are compared with.
    trials : tuple of Trial
        Best first.
    questions : int
        Questions measured.
    """

    folder: str
    headline: str
    first: str
    trials: tuple[Trial, ...] = field(repr=False)
    questions: int
    quarantined: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self, *, questions: bool = False) -> dict[str, Any]:
        """Return plain values, with or without those of every question."""
        return {
            "folder": self.folder, "headline": self.headline, "first": self.first,
            "questions": self.questions, "notes": list(self.notes),
            "quarantined": [f"{q.source} {q.reason}; {q.advice}" for q in self.quarantined],
            "trials": [trial.to_dict(questions=questions) for trial in self.trials],
        }  # fmt: skip

    def table(self) -> Table:
        """Return a table with one row per combination, best first."""
        budgets = self.trials[0].evaluation.budgets if self.headline == "recall" else ()
        rows = []
        for trial in self.trials:
            metrics, comparison = trial.evaluation.metrics, trial.comparison
            change = f"{comparison.differences[self.headline].mean:+.3f}" if comparison else "the first"
            recalls = (f"{metrics[f'recall@{budget}'].mean:.3f}" for budget in budgets)
            rows.append((
                str(metrics[self.headline]), change, "" if trial.p is None else p_text(trial.p), *recalls,
                str(trial.chunks), str(trial.embedded), trial.name,
            ))  # fmt: skip
        at = tuple(f"@{budget}" for budget in budgets)
        head = (self.headline, "change", "p (Holm)", *at, "chunks", "embedded", "setting")
        return Table(f"{self.questions} questions, {len(self.trials)} settings", head, rows)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each combination, a column for each setting and metric; needs pandas."""
        return frame(
            {
                "name": each.name, **each.chosen, "p_holm": each.p, "chunks": each.chunks,
                "embedded": each.embedded,
                **{name: value.mean for name, value in each.evaluation.metrics.items()},
            }
            for each in self.trials
        )  # fmt: skip


def sweep(
    source: Source,
    questions: Questions,
    folder: str | Path,
    grid: Grid,
    *,
    settings: Mapping[str, Any] | None = None,
    budgets: Sequence[int] = BUDGETS,
    unit: str = "chars",
    k: int = 10,
    copies: bool = False,
    metadata: Any = None,
    metadata_from_path: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Measure every combination of settings; write ``sweep.md``, ``sweep.json`` and ``sweep.png``.

    Combinations with the same loader, chunker and embedder share an index, and all indexes share one
    embedding cache in `folder`, so no text is embedded twice. A sweep that was stopped resumes when it
    is run again.

    Parameters
    ----------
    source, metadata, metadata_from_path
        As for `rag.build`.
    questions
        As for `evaluate`.
    folder : str or Path
        Created if it does not exist.
    grid : mapping of str to sequence
        Settings of ``rag.toml`` and the values to try: ``{"chunker.max_tokens": [48, 64],
        "trimmer.strategy": ["chunks", "sentences"]}``. The first value of every setting makes the
        combination that the others are compared with.
    settings : mapping, optional
        The fixed settings, as in ``rag.toml`` (`rag.config.settings.read`); prompt, generator and
        cache have no effect (`rag.evaluation.answer_sweep` measures answers).
    budgets, unit, k, copies
        As for `evaluate`.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    ConfigError
        The grid names an unknown setting, or a value is invalid; nothing was built.
    SourceError
        The source, the golden set or the folder cannot be used.

    Examples
    --------
    >>> result = sweep("data/handbook", "data/golden.jsonl", "indexes/sweep",
    ...                {"chunker.max_tokens": [64, 128]})                      # doctest: +SKIP
    >>> result.trials[0].name                                               # doctest: +SKIP
    'chunker.max_tokens=64'
    """
    from rag.building.build import build  # these import LangChain
    from rag.evaluation.indexes import begin, paying
    from rag.pipeline import Pipeline

    golden, path = read(questions), Path(folder)
    options = {"metadata": metadata, "metadata_from_path": metadata_from_path}
    combinations, indexes = begin(source, path, grid, settings or {}, build, options, progress)
    trials: list[Trial] = []
    for number, setting in enumerate(combinations, 1):
        step = f"{number} of {len(combinations)}: {setting.name}"
        pipe = Pipeline(**indexes.arguments(setting, step), **paying(settings or {}, path))
        evaluation = evaluate(
            pipe, golden, budgets=budgets, unit=unit, k=k, copies=copies, name=setting.name,
            progress=within(progress, step),
        )  # fmt: skip
        report = indexes.reports[setting.index]
        trials.append(Trial(
            setting.name, setting.chosen, report.index, report.chunks, indexes.newly_embedded(setting),
            evaluation,
        ))  # fmt: skip
    return _write(path, _ranked(path, trials, indexes.reports.values()))


def _ranked(folder: Path, trials: list[Trial], reports: Iterable[BuildReport]) -> Sweep:
    """Compare every trial with the first, correct for the number of comparisons, and sort."""
    first = trials[0].evaluation
    metric = first.headline
    comparisons = [compare(trial.evaluation, first) for trial in trials[1:]]
    corrected = holm([comparison.differences[metric].p for comparison in comparisons])
    ranked = [trials[0]] + [
        replace(trial, comparison=comparison, p=p)
        for trial, comparison, p in zip(trials[1:], comparisons, corrected, strict=True)
    ]
    ranked.sort(key=lambda trial: -trial.evaluation.metrics[metric].mean)
    count = first.metrics[metric].count
    reports = list(reports)
    quarantined = {item.source: item for report in reports for item in report.quarantined}
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    notes |= dict.fromkeys(note for trial in ranked for note in trial.evaluation.notes)
    if len(trials) > 2:
        notes[
            f"{len(comparisons)} settings were compared with the first on the same {count} questions: the "
            "p-values are corrected for that (Holm), but the best figure is optimistic; confirm it on "
            "questions that chose no setting"
        ] = None
    return Sweep(
        str(folder), metric, trials[0].name, tuple(ranked), count, tuple(quarantined.values()), tuple(notes)
    )


def _write(folder: Path, result: Sweep) -> Sweep:
    """Write the sweep's files; return it with a note if its picture could not be drawn."""

    def draw(path: Path) -> None:
        plot.draw(
            path, [_series(trial, result.headline) for trial in result.trials],
            baseline=result.first, metric=result.headline, unit=result.trials[0].evaluation.unit,
        )  # fmt: skip

    body = (
        f"{result.table().to_markdown()}\n`change` and `p` are against the first setting, `{result.first}`.\n"
    )
    notes = sweep_files.write(folder, body, result.to_dict(questions=True), result.notes, draw)
    return replace(result, notes=notes)


def _series(trial: Trial, headline: str) -> plot.Series:
    evaluation = trial.evaluation
    if headline != "recall":
        return plot.Series(trial.name, evaluation.metrics[headline], evaluation.tokens)
    names = [f"recall@{budget}" for budget in evaluation.budgets] or ["recall"]
    recalls = tuple(evaluation.metrics[name] for name in names)
    return plot.Series(trial.name, evaluation.metrics[headline], evaluation.tokens, recalls)
