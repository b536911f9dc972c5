"""Every combination of some settings, built, measured on a golden set and compared with the first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from langchain_core.document_loaders import BaseLoader

from rag.building.build import Source, build
from rag.building.report import BuildReport
from rag.config import stages
from rag.core.errors import SourceError, StoreMismatchError
from rag.core.files import Quarantined
from rag.evaluation.compare import Comparison, compare
from rag.evaluation.evaluate import BUDGETS, Evaluation, evaluate
from rag.evaluation.golden_set import Questions, read
from rag.evaluation.grid import INDEXING, Grid, Setting, settings
from rag.evaluation.statistics import holm
from rag.pipeline import Pipeline


class Progress(Protocol):
    """Told how a sweep goes; `rag.cli.evaluation` draws it."""

    def __call__(self, what: str, done: float, of: int) -> None:
        """Show what is being done, and how much of it is: files of a build, or questions."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting and what it reached.

    Attributes
    ----------
    chosen : mapping
        The value of each setting in the grid.
    index : str
        The index that it was measured on.
    chunks : int
        In that index.
    embedded : int
        Texts that had to be embedded for it; what another setting or an earlier sweep had embedded
        came from the cache.
    comparison : Comparison or None
        With the first setting; None for that itself.
    p : float or None
        Of the comparison's headline metric, corrected for the number of comparisons (Holm, 1979).
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
        """Return plain values, with or without each question's."""
        return {
            "name": self.name, "settings": dict(self.chosen), "index": self.index,
            "chunks": self.chunks, "embedded": self.embedded, "p_holm": self.p,
            "comparison": self.comparison and self.comparison.to_dict(),
            "evaluation": self.evaluation.to_dict(questions=questions),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    headline : str
        The metric that trials are sorted and compared by: ``"recall"`` (evidence recall, the mean
        over the budgets), or ``"ndcg@k"`` where there is only gold.
    first : str
        The name of the setting that the others were compared with.
    trials : tuple of Trial
        Best first.
    questions : int
        That were measured.
    """

    folder: str
    headline: str
    first: str
    trials: tuple[Trial, ...] = field(repr=False)
    questions: int
    quarantined: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self, *, questions: bool = False) -> dict[str, Any]:
        """Return plain values, with or without each question's."""
        return {
            "folder": self.folder, "headline": self.headline, "first": self.first,
            "questions": self.questions, "notes": list(self.notes),
            "quarantined": [f"{q.source} {q.reason}; {q.advice}" for q in self.quarantined],
            "trials": [trial.to_dict(questions=questions) for trial in self.trials],
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from rag.evaluation.tables import sweep_table, to_html

        return to_html(sweep_table(self))


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

    There is one index for each loader, chunker and embedder, and one embedding cache for all of
    them in `folder`: only texts that no setting before has had are embedded. A sweep that was
    stopped, run again, goes on from there.

    Parameters
    ----------
    source, metadata, metadata_from_path
        As for `rag.build`.
    questions
        As for `evaluate`.
    folder : str or Path
        Made if it is not there.
    grid : mapping of str to sequence
        ``{"chunker.max_tokens": [48, 64], "trimmer.strategy": ["chunks", "sentences"]}``: settings
        of ``rag.toml``. The first value of each makes the setting that others are compared with.
    settings : mapping, optional
        What does not vary, as in ``rag.toml`` (`rag.config.settings.read`); prompt, generator and cache play
        no part.
    budgets, unit, k, copies
        As for `evaluate`.
    progress : callable, optional
        See `Progress`.

    Raises
    ------
    ConfigError
        The grid names a setting that there is not; nothing was built.
    SourceError
        The source or the golden set cannot be used.

    Examples
    --------
    >>> found = sweep("data/handbook", "data/golden.jsonl", "indexes/sweep",
    ...               {"chunker.max_tokens": [64, 128]})                      # doctest: +SKIP
    >>> found.trials[0].name                                                # doctest: +SKIP
    'chunker.max_tokens=64'
    """
    asked = read(questions)
    wanted = _settings(grid, settings)
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise SourceError(f"{place} is a file: name a folder for the sweep")
    if not isinstance(source, str | Path | BaseLoader):
        source = list(source)  # read once for each index
    given = {"metadata": metadata, "metadata_from_path": metadata_from_path}
    shop = _Shop(source, place, {key: value for key, value in given.items() if value is not None}, progress)
    trials: list[Trial] = []
    for number, setting in enumerate(wanted, 1):
        said = f"{number} of {len(wanted)}: {setting.name}"
        report = shop.report(setting, said)
        pipe = Pipeline(
            report.index, embedder=shop.embedder(setting), retriever=setting.stages["retriever"],
            trimmer=setting.stages["trimmer"],
        )  # fmt: skip
        found = evaluate(
            pipe, asked, budgets=budgets, unit=unit, k=k, copies=copies, name=setting.name,
            progress=None if progress is None else _saying(progress, f"{said}: questions"),
        )  # fmt: skip
        trials.append(Trial(
            setting.name, setting.chosen, report.index, report.chunks, shop.embedded(setting), found,
        ))  # fmt: skip
    return _written(place, _ranked(place, trials, shop))


def _settings(grid: Grid, base: Mapping[str, Any] | None) -> list[Setting]:
    return settings(grid, {kind: value for kind, value in (base or {}).items() if kind != "cache"})


def _saying(progress: Progress, what: str) -> Any:
    return lambda done, of: progress(what, done, of)


class _Shop:
    """Builds each index once, makes each embedder once."""

    def __init__(
        self, source: Source, folder: Path, given: Mapping[str, Any], progress: Progress | None
    ) -> None:
        self.source, self.folder, self.given, self.progress = source, folder, given, progress
        self.reports: dict[str, BuildReport] = {}
        self._embedders: dict[str, Any] = {}
        self._told: set[str] = set()

    def embedder(self, setting: Setting) -> Any:
        """Return the setting's embedder."""
        value = setting.stages["embedder"]
        name = json.dumps(value, sort_keys=True, default=repr)
        if name not in self._embedders:
            self._embedders[name] = stages.stage("embedder", value)
        return self._embedders[name]

    def report(self, setting: Setting, said: str) -> BuildReport:
        """Return the report of the setting's index, building it if need be."""
        if setting.index not in self.reports:
            self.reports[setting.index] = self._build(setting, said)
        return self.reports[setting.index]

    def embedded(self, setting: Setting) -> int:
        """Return how many texts were embedded for the setting, and for none before it."""
        again = setting.index in self._told
        self._told.add(setting.index)
        return 0 if again else self.reports[setting.index].embedded

    def _build(self, setting: Setting, said: str) -> BuildReport:
        def tell(*, files: int, of: int, bytes: int, chunks: int, embedded: int) -> None:
            if self.progress is not None:
                self.progress(f"{said}: index", files * (embedded / chunks) if chunks else files, of)

        stages = {kind: setting.stages[kind] for kind in INDEXING} | {"embedder": self.embedder(setting)}
        index = self.folder / setting.index
        options = {**self.given, **stages, "cache": self.folder / "cache.sqlite", "progress": tell}
        try:
            return build(self.source, index, **options)
        except StoreMismatchError:  # of an older version of the library: the index is the sweep's own
            return build(self.source, index, rebuild=True, **options)


def _ranked(folder: Path, trials: list[Trial], shop: _Shop) -> Sweep:
    """Compare each trial with the first, correct for the number of comparisons, and sort."""
    first = trials[0].evaluation
    metric = first.headline
    comparisons = [compare(trial.evaluation, first) for trial in trials[1:]]
    corrected = holm([comparison.differences[metric].p for comparison in comparisons])
    done = [trials[0]] + [
        replace(trial, comparison=comparison, p=p)
        for trial, comparison, p in zip(trials[1:], comparisons, corrected, strict=True)
    ]
    done.sort(key=lambda trial: -trial.evaluation.metrics[metric].mean)
    count = first.metrics[metric].count
    bad = {item.source: item for report in shop.reports.values() for item in report.quarantined}
    notes = dict.fromkeys(note for trial in done for note in trial.evaluation.notes)
    builds = dict.fromkeys(note for report in shop.reports.values() for note in report.notes)
    if len(trials) > 2:
        notes[
            f"{len(comparisons)} settings were compared with the first on the same {count} questions: the "
            "p-values are corrected for that (Holm), but the best one's figure flatters it; confirm it "
            "on questions that no setting was chosen by"
        ] = None
    return Sweep(
        str(folder), metric, trials[0].name, tuple(done), count, tuple(bad.values()), (*builds, *notes)
    )


def _written(folder: Path, found: Sweep) -> Sweep:
    from rag.evaluation.plot import draw
    from rag.evaluation.tables import sweep_table, to_markdown

    folder.mkdir(parents=True, exist_ok=True)
    whole = json.dumps(found.to_dict(questions=True), ensure_ascii=False, indent=1, default=str)
    (folder / "sweep.json").write_text(whole + "\n", encoding="utf-8")
    notes = "".join(f"\n- {note}" for note in found.notes)
    said = (
        f"# Sweep\n\n{to_markdown(sweep_table(found))}\n`change` and `p` are against the first setting, "
        f"`{found.first}`.\n{notes}\n\n![The settings in a picture](sweep.png)\n"
    )
    (folder / "sweep.md").write_text(said, encoding="utf-8")
    draw(found, folder / "sweep.png")
    return found
