"""Delimited text (csv, tsv): a Markdown table, a stray quote and blank lines or not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from rag.loading.formats.encoding import decode
from rag.loading.structure import Options, Parsed, Text

_DELIMITERS = ",;\t|"
_SAID = re.compile(r"sep=(.)\r?\n")
#: Most characters of a field, for the csv module.
_LONGEST = 10_000_000
_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d.,' \u00a0/:-]*\s?[%€$)]?")


def parse_delimited(path: Path, data: bytes, options: Options) -> Parsed:
    """Read comma-, semicolon-, tab- or bar-separated text."""
    text, encoding, notes = decode(data)
    text = text.removeprefix("\ufeff")
    said = _SAID.match(text)  # what Excel writes above the first line
    text = text[said.end() :] if said else text
    delimiter = said[1] if said else _delimiter(path, text)
    out = Text()
    for block in _tables(_rows(text, delimiter)):
        _write(block, out)
    out.parsed.notes += notes
    return out.done({"encoding": encoding})


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the rows, as RFC 4180 has them if the text abides by it; odd quotes stay as they are."""
    csv.field_size_limit(_LONGEST)
    lines = io.StringIO(text, newline=None)
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return list(_scanned(text.replace("\r\n", "\n").replace("\r", "\n"), delimiter))


def _scanned(text: str, delimiter: str) -> Iterator[list[str]]:
    field, row, at = _field(delimiter), [], 0
    while at < len(text):
        match = field.match(text, at)
        assert match is not None  # the last alternative matches anything
        row.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        at = match.end()
        if at == len(text) or text[at] == "\n":
            yield row
            row = []
        at += 1
    if row:
        yield [*row, ""]


@lru_cache(maxsize=8)
def _field(delimiter: str) -> re.Pattern[str]:
    """Return a pattern for one field, which never goes back over what it has read.

    A quote opens a field at its start only, and closes it before a delimiter or the line's end only; others
    stand for themselves. One that another opening quote follows before it closes opened nothing.
    """
    part, end = re.escape(delimiter), rf"[ ]*(?={re.escape(delimiter)}|\n|\Z)"
    closing = rf'"{end}'
    inner = rf'[^"\n{part}]|""(?!{end})|""(?=")|"(?!{end})|[\n{part}](?![ ]*"(?!"|{end}))'
    return re.compile(rf'[ ]*"((?:{inner})*+){closing}|([^\n{part}]*)')


def _delimiter(path: Path, text: str) -> str:
    """Return what parts the fields: tabs in .tsv, else what parts the first lines most evenly."""
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:50]

    def evenness(delimiter: str) -> tuple[int, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
        usual = max(set(counts), key=counts.count, default=1)
        return (sum(count == usual for count in counts) if usual > 1 else 0, usual)

    return max(_DELIMITERS, key=evenness) if lines else ","


def _tables(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """Yield the tables of a file: a blank line ends one only if what follows has another form."""
    table: list[Sequence[str]] = []
    block: list[Sequence[str]] = []
    for row in (*rows, ()):
        if any(cell.strip() for cell in row):
            block.append(row)
        elif block:
            if table and not _goes_on(table, block):
                yield table
                table = []
            table += block
            block = []
    if table:
        yield table


def _goes_on(table: Sequence[Sequence[str]], block: Sequence[Sequence[str]]) -> bool:
    """Tell whether rows behind a blank line are of the table above it, and have no head of their own."""
    width, wide = max(map(_width, table)), max(map(_width, block))
    if width < 2 or wide > width or (wide < width and len(block[0]) != len(table[-1])):
        return False
    if width > 2 and sum(bool(cell.strip()) for cell in block[0]) == 1:  # a caption
        return False
    below = block[1:]
    numbers = [below and all(_is_number(row, at) for row in below) for at in range(width)]
    return not any(numbers) or any(_is_number(block[0], at) for at in range(width))


def _width(row: Sequence[str]) -> int:
    """Return the number of a row's fields without the blank ones at its end."""
    return max((at for at, cell in enumerate(row, 1) if cell.strip()), default=0)


def _is_number(row: Sequence[str], at: int) -> bool:
    return at < len(row) and _NUMBER.fullmatch(row[at].strip()) is not None


def _write(block: Sequence[Sequence[str]], out: Text) -> None:
    """Write a block as a table; a single column, or a caption above a table, as lines."""
    first = min(next(at for at, cell in enumerate(row) if cell.strip()) for row in block)
    rows = [list(row[first:]) for row in block]
    while len(rows) > 1 and _filled(rows[0]) == 1 and max(map(_filled, rows)) > 1:
        out.block(" ".join(" ".join(rows.pop(0)).split()))
    if max(map(_filled, rows)) <= 1:
        for number, row in enumerate(rows):
            (out.line if number else out.block)(" ".join(" ".join(row).split()))
    else:
        out.table(rows)


def _filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)
