"""Cells of a sheet as text: each block of cells a Markdown table, its caption a paragraph above it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rag.loading.structure import Text

#: A block whose grid has more cells than this, and most of them empty, is written as lines.
_LARGE, _SPARSE = 20_000, 20
#: Rows apart by more blank ones than this are parts of one table only if numbers stand in them.
_NEAR = 1


class Cell(NamedTuple):
    """A cell that shows something.

    Attributes
    ----------
    column : int
        From 0.
    text : str
        What it shows.
    number : bool
        Whether it holds a number or date.
    bold : bool
        Whether it is written in bold, as heads are.
    """

    column: int
    text: str
    number: bool = False
    bold: bool = False


#: The number of a row, from 1, and its cells by their columns, none of them blank.
Row = tuple[int, Sequence[Cell]]


def write_rows(rows: Iterable[Row], out: Text) -> None:
    """Write the rows of a sheet that hold something.

    Blank rows part tables; but rows behind a blank one that go on with the table above it (in its
    columns, numbers below numbers, no head of their own) stay its rows.
    """
    block: list[Row] = []
    for row in rows:
        if block and row[0] > block[-1][0] + 1 and not _goes_on(block, row):
            _write([cells for _, cells in block], out)
            block = []
        block.append(row)
    if block:
        _write([cells for _, cells in block], out)


def _goes_on(block: Sequence[Row], row: Row) -> bool:
    """Tell whether a row behind blank ones belongs to the table above them."""
    table = [cells for _, cells in block]
    while len(table) > 1 and len(table[0]) == 1:
        table = table[1:]  # captions
    head, cells = table[0], row[1]
    columns = {cell.column for cell in head}
    if len(columns) < 2 or len(cells) < 2 or not {cell.column for cell in cells} <= columns:
        return False
    if [cell.text for cell in cells] == [cell.text for cell in head]:
        return False
    near = row[0] - block[-1][0] - 1 <= _NEAR
    numbers = any(cell.number for cell in cells)
    if len(table) == 1:  # a head with a blank row below it
        return near and numbers and len(cells) == len(head) and not any(cell.number for cell in head)
    if all(cell.bold for cell in cells) and not all(cell.bold for cell in table[-1]):
        return False
    above = {cell.column: cell.number for body in table[-20:] if body is not head for cell in body}
    if any(cell.number != above.get(cell.column, cell.number) for cell in cells):
        return False
    return numbers or (near and len(cells) == len(head))


def _write(block: Sequence[Sequence[Cell]], out: Text) -> None:
    """Write a block as a table; a single column, or a caption above a table, as lines."""
    rows = list(block)
    widest = max(map(len, rows))
    while len(rows) > 1 and len(rows[0]) == 1 and widest > 1:
        out.block(_line(rows.pop(0)))
    used = sorted({cell.column for row in rows for cell in row})
    places: dict[int, int] = {}
    width = 0
    for at, column in enumerate(used):  # of blank columns between others one is kept
        width += 1 if at == 0 or column == used[at - 1] + 1 else 2
        places[column] = width - 1
    filled = sum(map(len, rows))
    if max(map(len, rows)) <= 1 or (width * len(rows) > _LARGE and width * len(rows) > _SPARSE * filled):
        for number, row in enumerate(rows):
            (out.line if number else out.block)(_line(row))
        return
    grid = [[""] * width for _ in rows]
    for line, row in zip(grid, rows, strict=True):
        for cell in row:
            line[places[cell.column]] = cell.text
    out.table(grid)


def _line(row: Sequence[Cell]) -> str:
    return " ".join(" ".join(cell.text for cell in row).split())
