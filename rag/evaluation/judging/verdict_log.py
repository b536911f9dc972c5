"""A file of what judges said: what it holds is not asked for, nor paid, again."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from rag.core.json_lines import append_json_line, kept_json_lines


class VerdictLog:
    """The votes of a file, by the hash of all that decides them; threads may share it.

    Parameters
    ----------
    path : str or Path or None
        None keeps them in memory alone.

    Raises
    ------
    SourceError
        The file cannot be read.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Any, str]] = {}
        if self.path is not None and self.path.exists():
            for row in kept_json_lines(self.path):
                with contextlib.suppress(KeyError, TypeError):  # a line of something else
                    self._kept[row["verdict"]] = row["vote"], row["reason"]

    def get(self, key: str) -> tuple[Any, str] | None:
        """Return a vote and its reason; None if the file does not hold it."""
        return self._kept.get(key)

    def put(self, key: str, rubric: str, model: str, vote: Any, reason: str) -> None:
        """Add a vote; it is on the disk when this returns."""
        row = {"verdict": key, "rubric": rubric, "model": model, "vote": vote, "reason": reason}
        with self._lock:
            if self.path is not None:
                append_json_line(self.path, row)
            self._kept[key] = vote, reason
