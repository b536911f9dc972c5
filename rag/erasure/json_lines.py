"""Files of JSON lines without the lines that hold something of erased documents: records, logs, outputs."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rag.core.errors import SourceError
from rag.index.storage.manifest import fsync_folder
from rag.index.storage.own_files import vacate

#: Gives a line's new value: the same object to leave the line as it is, None to drop it.
Rule = Callable[[Any], Any]
#: Seconds after which a process that had opened the old file has written its line.
_SETTLED_S = 0.05


def forget_lines(path: Path, rule: Rule, *, dry_run: bool = False) -> int:
    """Rewrite a file by a rule; return how many lines it changed or dropped.

    A line that is no JSON is passed to the rule as text. A file that another process appends to meanwhile
    keeps what it appends.

    Parameters
    ----------
    path : Path
        One whose name ends in ``.gz`` is unpacked, and packed again.
    rule : callable
    dry_run : bool
        Only count.

    Raises
    ------
    SourceError
        The file cannot be read or written.
    """
    try:
        if dry_run:
            return sum(after is not before for before, after in _ruled(_lines(path), rule))
        with path.open("rb") as old:
            fcntl.flock(old, fcntl.LOCK_EX)  # as a rotation does
            return _rewrite(path, old.fileno(), rule)
    except (OSError, EOFError) as error:
        raise SourceError(f"cannot rewrite {path} ({error}): make it a file that can be written") from None


def _rewrite(path: Path, old: int, rule: Rule) -> int:
    read = os.fstat(old).st_size
    data = os.pread(old, read, 0) if path.suffix != ".gz" else b""
    lines = [*_lines(path)] if path.suffix == ".gz" else data.splitlines(keepends=True)
    pairs = [*_ruled(iter(lines), rule)]
    count = sum(after is not before for before, after in pairs)
    if not count:
        return 0
    kept = b"".join(after for _, after in pairs if after is not None)
    temporary = vacate(path.with_name(path.name + ".new"))
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, os.fstat(old).st_mode & 0o777)
    with os.fdopen(handle, "wb") as file:
        file.write(gzip.compress(kept, mtime=0) if path.suffix == ".gz" else kept)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)
    time.sleep(_SETTLED_S)
    late = os.pread(old, os.fstat(old).st_size - read, read)
    if late:
        ruled = _ruled(iter(late.splitlines(keepends=True)), rule)
        with path.open("ab") as file:
            file.write(b"".join(after for _, after in ruled if after is not None))
    return count


def _ruled(lines: Iterator[bytes], rule: Rule) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each line with what it becomes."""
    for line in lines:
        try:
            value: Any = json.loads(line)
        except ValueError:
            value = line.decode(errors="replace")
        after = rule(value)
        if after is value:
            yield line, line
        else:
            yield line, None if after is None else json.dumps(after, ensure_ascii=False).encode() + b"\n"


def _lines(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            yield from packed
        return
    with path.open("rb") as plain:
        yield from plain


def check_file(path: Path) -> Path:
    """Refuse a path that is no plain file.

    Raises
    ------
    SourceError
    """
    if not path.is_file() or path.is_symlink():
        raise SourceError(f"{path} is no file: name a file of JSON lines that rag wrote")
    return path
