"""Reports of a build: what it would do (`BuildPlan`) and what it did (`BuildReport`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.core.displayable import Displayable
from rag.core.files import Quarantined


@dataclass(frozen=True, slots=True, repr=False)
class BuildPlan(Displayable):
    """What a build would do.

    Attributes
    ----------
    added, changed, removed, renamed, unchanged : int
        Files, compared by content with what the index holds.
    chunks, texts, tokens : int
        To be embedded: chunks of added and changed files that the embedding cache lacks; texts are
        these chunks and their heading paths. `tokens`, of all texts, is counted by the embedder where
        it can count, else estimated.
    cost_usd : float or None
        On demand, by ``[prices]`` and the built-in list (`rag.usage.prices`); 0.0 for models on this
        machine, None where no price is known.
    minutes : float
        Expected, from the embedder's measured or usual speed.
    notes : tuple of str
        What the user should know, e.g. how to enter a price that is unknown.
    parsers : str
        What the parsers' processes are kept from on this system; empty for a loader of another library.
    """

    source: str
    index: str
    embedder: str
    added: int
    changed: int
    removed: int
    renamed: int
    unchanged: int
    chunks: int
    texts: int
    tokens: int
    cost_usd: float | None
    minutes: float
    quarantined: tuple[Quarantined, ...] = ()
    rebuild: bool = False
    notes: tuple[str, ...] = ()
    parsers: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, repr=False)
class BuildReport(Displayable):
    """What a build did.

    Attributes
    ----------
    version : int
        The index's version after the build; unchanged when nothing had changed.
    held : bool
        Whether that version is held back, and not current (`Store.promote`).
    files, chunks : int
        In that version.
    embedded : int
        Texts (chunks and heading paths) that the embedder embedded; the others' vectors were cached.
    seconds : mapping of str to float
        By stage: ``"load"``, ``"chunk"``, ``"embed"``, ``"write"``, and ``"total"``; where other processes
        cut documents, ``"chunk"`` is what was waited for them.
    notes : tuple of str
        What the user should know, e.g. a metadata field with values of two types.
    """

    index: str
    version: int
    files: int
    chunks: int
    added: int
    changed: int
    removed: int
    renamed: int
    unchanged: int
    embedded: int
    seconds: Mapping[str, float]
    quarantined: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()
    held: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "seconds": dict(self.seconds)}
