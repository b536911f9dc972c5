"""Reading JSON-lines files: one JSON value a line, with the line's number in every error."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
