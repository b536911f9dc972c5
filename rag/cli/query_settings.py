"""The settings for questions to an index."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.options import settings_of
from rag.core.files import is_url

if TYPE_CHECKING:
    from rag.index.storage.manifest import Manifest


def query_settings(
    index: str, path: Path | None, bedrock: bool, embedder: str | None, generator: str | None = None
) -> dict[str, Any]:
    """Return the settings for questions to an index; with --bedrock the index's embedder stays."""
    if not bedrock and embedder is None:
        return settings_of(path, bedrock, embedder, generator)
    from rag.config import registry

    entry = _manifest(index, path).embedder
    paid = entry.name in registry.STAGES["embedder"] and entry.name not in registry.LOCAL
    chosen = entry.name if paid and embedder is None else embedder
    settings = settings_of(path, bedrock, chosen, generator)
    if chosen is None:
        settings["embedder"] = None  # a local one, which the index finds itself
    elif paid and chosen == entry.name:
        table = settings["embedder"]
        settings["embedder"] = {
            "dimensions": entry.dimensions, **(table if isinstance(table, dict) else {"use": table})
        }  # fmt: skip
    return settings


def _manifest(index: str, config: Path | None) -> Manifest:
    """Read the manifest of an index's current version."""
    from rag.index.storage.manifest import read_manifest

    if not is_url(index):
        return read_manifest(Path(index))
    from rag.config import settings
    from rag.config.open import mirror

    with contextlib.closing(mirror(index, settings.read(config).get("remote")).hold()) as held:
        return read_manifest(held.folder, held.version)


def measuring_settings(
    index: str, path: Path | None, bedrock: bool = False, embedder: str | None = None
) -> dict[str, Any]:
    """Return the settings of a pipeline whose answers are measured: they are neither cached nor reviewed."""
    settings = query_settings(index, path, bedrock, embedder)
    return {name: value for name, value in settings.items() if name not in ("review", "cache")}
