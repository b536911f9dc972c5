"""The files of one file of records: those that were rotated before it belong to it."""

from __future__ import annotations

from pathlib import Path


def rotated(path: Path) -> list[Path]:
    """Return a file of records with those that were rotated before it, the oldest first."""
    older = [
        each for each in path.parent.glob(f"{path.name}.*")
        if each.suffix == ".gz" or each.suffix[1:].isdigit()
    ]  # fmt: skip
    return [*sorted(older, key=lambda each: each.stat().st_mtime), *([path] if path.exists() else [])]
