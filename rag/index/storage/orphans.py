"""Files that no version of an index names: those of a killed writer, or of a pruned version."""

from __future__ import annotations

import shutil
from pathlib import Path

from rag.core.errors import RagError
from rag.index.storage.manifest import (
    HELD,
    Manifest,
    files_of,
    held_versions,
    kept_versions,
    manifest_path,
    read_any_format,
)
from rag.index.storage.own_files import written_names


def clear_orphans(folder: Path, *known: Manifest) -> None:
    """Delete the files that no version names; manifests that are `known` are not read again."""
    try:
        orphans = find_orphans(folder, *known)
    except RagError:  # a damaged version, whose files are unknown: delete nothing
        return
    for path in orphans:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def find_orphans(folder: Path, *known: Manifest) -> list[Path]:
    """Return the files and segments that no version names; other people's files are none of them.

    Raises
    ------
    RagError
        A version cannot be read, so that its files are unknown.
    """
    manifests = {manifest.version: manifest for manifest in known}
    used: set[Path] = set()
    kept, held = kept_versions(folder), held_versions(folder)
    used |= {manifest_path(folder, version) for version in kept}
    used |= {manifest_path(folder, version, HELD) for version in held}
    for version in {*kept, *held}:  # of both is one whose promotion was killed
        manifest = manifests.get(version) or read_any_format(folder, version)[1]
        used |= {folder / file.path for file in files_of(manifest)}
        used |= {folder / "segments" / segment.id for segment in manifest.segments}
    return sorted(path for path in written_names(folder) if path not in used)
