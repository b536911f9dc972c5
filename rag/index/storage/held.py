"""Versions that are written but held back: readers do not see them until they are promoted.

The manifest of such a version has another name, ``manifests/000005.held``, so that it is no version for
anybody but those who name it. Its files are safe like a version's. Its number is its own, and stays so: what
becomes current meanwhile has a higher one, and the version that is held back can then not be promoted any
more, as it does not hold what changed since.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rag.core.errors import StoreMissingError, UsageError
from rag.index.storage.manifest import (
    HELD,
    Manifest,
    fsync_folder,
    held_versions,
    manifest_path,
    newest_version,
    read_manifest,
    write_durably,
)
from rag.index.storage.own_files import FOLDERS


def hold(folder: Path, manifest: Manifest) -> None:
    """Hold back a version whose files are all written, in place of an earlier one."""
    for name in FOLDERS:
        fsync_folder(folder / name)
    write_durably(manifest_path(folder, manifest.version, HELD), manifest.to_json())
    drop(folder, manifest.version - 1)


def explain(folder: Path, version: int, why: str) -> None:
    """Write down why a version is held back, as its `Manifest.why`."""
    manifest = held(folder, version)
    write_durably(manifest_path(folder, version, HELD), replace(manifest, why=why).to_json())


def held(folder: Path, version: int) -> Manifest:
    """Read a version that is held back, and may be promoted.

    Raises
    ------
    StoreMissingError
        There is no such version.
    UsageError
        It is, or a later one is, current.
    """
    waiting, current = held_versions(folder), newest_version(folder)
    if version not in waiting:
        there = f"held back is {', '.join(map(str, waiting))}" if waiting else "none is held back"
        raise StoreMissingError(f"{folder} holds back no version {version}: {there}")
    if current > version:
        raise UsageError(
            f"version {version} of {folder} was made before version {current}, which is current, and lacks "
            "its changes: build again"
        )
    return read_manifest(folder, version)


def drop(folder: Path, most: int) -> list[int]:
    """Delete the manifests of versions that are held back, up to a number; their files are orphans then."""
    dropped = [version for version in held_versions(folder) if version <= most]
    for version in dropped:
        manifest_path(folder, version, HELD).unlink(missing_ok=True)
    if dropped:
        fsync_folder(folder / "manifests")
    return dropped
