"""Build the indexes of a sweep: one for every loader, chunker and embedder, with one embedding cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from langchain_core.document_loaders import BaseLoader

from rag.building.report import BuildReport
from rag.config import stages
from rag.core.errors import SourceError, StoreMismatchError
from rag.core.progress import Progress, within
from rag.evaluation.grid import INDEXING, Grid, Setting
from rag.evaluation.grid import settings as combined
from rag.usage import ledger_settings
from rag.usage.ledger import NAME as LEDGER

#: Tables of ``rag.toml`` that belong to no stage; a sweep has a cache of its own.
_NO_STAGES = ("cache", "ledger", "prices", "batch", "review", "gate", "baseline")


class Build(Protocol):
    """Builds an index; `rag.build`."""

    def __call__(self, source: Any, index: str | Path, **settings: Any) -> BuildReport:
        """Build an index from files, or bring it up to date."""


def begin(
    source: Any,
    folder: Path,
    grid: Grid,
    settings: Mapping[str, Any],
    build: Build,
    options: Mapping[str, Any],
    progress: Progress | None,
    *,
    answers: bool = False,
) -> tuple[list[Setting], Indexes]:
    """Return every combination of a grid, checked, and what builds the indexes.

    Parameters
    ----------
    settings : mapping
        The fixed ones, as of ``rag.toml``.
    options : mapping
        Further arguments of `rag.build`; those that are None are left out.
    answers : bool
        Whether prompt and generator may vary.

    Raises
    ------
    ConfigError
        A name or a value is wrong.
    SourceError
        The folder is a file.
    """
    stages = {kind: value for kind, value in settings.items() if kind not in _NO_STAGES}
    combinations = combined(grid, stages, answers=answers)
    if folder.exists() and not folder.is_dir():
        raise SourceError(f"{folder} is a file: name a folder for the sweep")
    given = {name: value for name, value in options.items() if value is not None}
    return combinations, Indexes(source, folder, build, {**given, **paying(settings, folder)}, progress)


def paying(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings of ledger, budget and prices; the ledger is one file for all of a sweep's indexes.

    With one for each index, a budget would hold for each of them.
    """
    ledger, prices = ledger_settings.settings(settings.get("ledger")), settings.get("prices")
    if ledger.path is None:
        ledger = ledger.model_copy(update={"path": folder / LEDGER})
    return {"ledger": ledger, **({} if prices is None else {"prices": prices})}


class Indexes:
    """Builds every index once and makes every embedder once.

    Parameters
    ----------
    source : str, Path, BaseLoader or iterable of Document
        As for `rag.build`.
    folder : Path
        Holds the indexes and the cache.
    build : Build
    options : mapping
        Further arguments of `rag.build`, such as ``metadata``.
    progress : Progress, optional

    Attributes
    ----------
    reports : dict of str to BuildReport
        By index name, in the order of building.
    """

    def __init__(
        self,
        source: Any,
        folder: Path,
        build: Build,
        options: Mapping[str, Any],
        progress: Progress | None,
    ) -> None:
        # An iterable is read once per index.
        self.source = source if isinstance(source, str | Path | BaseLoader) else list(source)
        self.folder, self.build, self.options, self.progress = folder, build, options, progress
        self.reports: dict[str, BuildReport] = {}
        self._embedders: dict[str, Any] = {}
        self._counted: set[str] = set()

    def arguments(self, setting: Setting, step: str) -> dict[str, Any]:
        """Return the arguments of the setting's pipeline; build its index if no earlier setting has.

        Parameters
        ----------
        setting : Setting
        step : str
            Names the build in what `progress` shows.
        """
        if setting.index not in self.reports:
            self.reports[setting.index] = self._build(setting, step)
        return {
            "index": self.reports[setting.index].index, "embedder": self._embedder(setting),
            "retriever": setting.stages["retriever"], "trimmer": setting.stages["trimmer"],
        }  # fmt: skip

    def newly_embedded(self, setting: Setting) -> int:
        """Return how many texts were embedded for the setting and for no setting before it."""
        counted = setting.index in self._counted
        self._counted.add(setting.index)
        return 0 if counted else self.reports[setting.index].embedded

    def _embedder(self, setting: Setting) -> Any:
        value = setting.stages["embedder"]
        name = json.dumps(value, sort_keys=True, default=repr)
        if name not in self._embedders:
            self._embedders[name] = stages.stage("embedder", value)
        return self._embedders[name]

    def _build(self, setting: Setting, step: str) -> BuildReport:
        stages = {kind: setting.stages[kind] for kind in INDEXING} | {"embedder": self._embedder(setting)}
        index = self.folder / setting.index
        options = {
            **self.options,
            **stages,
            "cache": self.folder / "cache.sqlite",
            "progress": within(self.progress, step),
        }
        try:
            return self.build(self.source, index, **options)
        except StoreMismatchError:  # an older version of the library built it; the index is the sweep's
            return self.build(self.source, index, rebuild=True, **options)
