"""Where local copies of indexes stand if nobody says: in the user's cache folder, else in a temporary one."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


def default_folder() -> Path:
    """Return a folder that this user can write to.

    ``$XDG_CACHE_HOME/rag``, or ``~/.cache/rag`` (XDG Base Directory Specification); without a home that can
    be written to, as in AWS Lambda, ``rag-UID`` in the system's folder for temporary files, if it is this
    user's alone, since others may write there, too; else a new temporary folder.
    """
    for base in _bases():
        folder = base / "rag"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    folder = Path(tempfile.gettempdir()) / f"rag-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="rag-"))
    private = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o077
    return folder if private else Path(tempfile.mkdtemp(prefix="rag-"))


def _bases() -> list[Path]:
    bases = []
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given and Path(given).is_absolute():
        bases.append(Path(given))
    with contextlib.suppress(RuntimeError):  # there is no HOME, and no entry of this user
        bases.append(Path.home() / ".cache")
    return bases
