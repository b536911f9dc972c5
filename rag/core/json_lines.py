"""Reading JSON-lines files: one JSON value a line, with the line's number in every error."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag.core.errors import SourceError


def numbered_lines(path: Path, what: str = "") -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, with their numbers, as `read_json_lines` reads them.

    Raises
    ------
    SourceError
        The file cannot be read, or is not UTF-8.
    """
    name = f"{what} {path}".lstrip()
    try:
        rows = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise SourceError(f"cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SourceError(f"cannot read {name}: it is not UTF-8") from None
    yield from ((number, row) for number, row in enumerate(rows, 1) if row.strip())


def read_json_lines(path: Path, line: str, what: str = "") -> Iterator[tuple[str, Any]]:
    r"""Yield the values of a JSON-lines file, each with its place, for messages.

    Blank lines are passed over, and so is a byte order mark. Lines end with a line feed alone: U+2028
    and its like may stand inside of a JSON string (RFC 8259, section 7).

    Parameters
    ----------
    path : Path
    line : str
        What a line is to look like, for errors.
    what : str
        What the file is, for errors.

    Yields
    ------
    (str, Any)
        ``"FILE, line N"``, and the value.

    Raises
    ------
    SourceError
        The file cannot be read, is not UTF-8, or a line is not JSON.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.jsonl")
    >>> path.write_text('{"a": 1}\n\n{"a": 2}\n')
    19
    >>> [(place.rpartition(", ")[2], row) for place, row in read_json_lines(path, '{"a": 1}')]
    [('line 1', {'a': 1}), ('line 3', {'a': 2})]
    """
    for number, row in numbered_lines(path, what):
        place = f"{path}, line {number}"
        try:
            value = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{place} is not JSON ({error}): write {line}") from None
        yield place, value


def append_json_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a log that only its owner may read; it is on the disk when this returns.

    It is one write of a whole line, so that threads and processes may share the file.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def kept_json_lines(path: Path) -> Iterator[Any]:
    """Yield the values of a log that `append_json_line` wrote; lines that a kill cut are passed over.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    try:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):  # a kill cut the last line: the next one begins anew
            with path.open("ab") as file:
                file.write(b"\n")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError):
            yield json.loads(line)
