"""The cells of an HTML table in their columns, and what stands in a table outside of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

_GROUPS = {"thead": 0, "tbody": 1, "tfoot": 2}
_CELLS = ("td", "th")
#: Columns and rows that one cell may span; browsers allow 1,000 and 65,534.
_WIDEST, _LONGEST = 64, 5_000
#: Columns that spans may reach, and cells of a table that they may make; beyond that they are not heeded.
_MOST_COLUMNS, _MOST_BLANKS = 1_000, 500_000

#: Tells whether an element is left out.
LeftOut = Callable[[Any], bool]


def grid(table: Any, left_out: LeftOut) -> list[list[Any]]:
    """Return a table's rows, each cell in its column; None where a cell from the left or above reaches.

    The head comes first and the foot last, wherever they stand. A cell spans rows of its group only (WHATWG
    HTML, 4.9.12).
    """
    out: list[list[Any]] = []
    blanks = 0
    for group in _groups(table, left_out):
        below: dict[int, int] = {}  # columns that a cell from above takes, and in how many rows yet
        for cells in group:
            row: list[Any] = []
            taken = below if blanks < _MOST_BLANKS else {}
            below = {column: rows - 1 for column, rows in taken.items() if rows > 1}
            for cell in cells:
                while len(row) in taken:
                    row.append(None)
                wide, long = _span(cell, "colspan", _WIDEST), _span(cell, "rowspan", _LONGEST)
                end = min(len(row) + wide, _MOST_COLUMNS)
                if long > 1:
                    below |= dict.fromkeys(range(len(row), end), long - 1)
                row += [cell, *[None] * (end - len(row) - 1 if blanks < _MOST_BLANKS else 0)]
            while len(row) in taken:
                row.append(None)
            blanks += row.count(None)
            out.append(row)
    return out


def _groups(table: Any, left_out: LeftOut) -> list[list[list[Any]]]:
    """Return the groups of rows, each row its cells."""
    groups: list[tuple[int, list[list[Any]]]] = [(1, [])]
    for element in table:
        if element.tag in _GROUPS and not left_out(element):
            groups += [(_GROUPS[element.tag], list(_rows(element, left_out))), (1, [])]
        else:
            groups[-1][1].extend(_rows((element,), left_out))
    return [list(_joined(rows)) for _, rows in sorted(groups, key=lambda group: group[0])]


def _rows(elements: Iterable[Any], left_out: LeftOut) -> Iterator[list[Any]]:
    """Yield the cells of each row; those without one are a row each, marked by a None before them."""
    for element in elements:
        if left_out(element):
            continue
        if element.tag == "tr":
            yield list(_cells(element, left_out))
        elif element.tag in _CELLS:
            yield [None, element]
        elif _holds_cells(element):
            yield from _rows(element, left_out)


def _joined(rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Join the cells that stand side by side without a row."""
    stray: list[Any] = []
    for row in rows:
        if row[:1] == [None]:
            stray.append(row[1])
            continue
        if stray:
            yield stray
            stray = []
        yield row
    if stray:
        yield stray


def _cells(row: Any, left_out: LeftOut) -> Iterator[Any]:
    for element in row:
        if left_out(element):
            continue
        if element.tag in _CELLS:
            yield element
        elif _holds_cells(element):
            yield from _cells(element, left_out)


def _holds_cells(element: Any) -> bool:
    """Tell whether an element, such as a form, only stands around rows or cells of its table."""
    return element.tag not in ("table", "caption") and bool(
        element.xpath("boolean(.//td | .//th) and not(.//table)")
    )


def loose(table: Any, left_out: LeftOut) -> list[Any]:
    """Return what stands in a table outside of its cells: texts, captions and other elements."""
    out: list[Any] = []
    _collect(table, left_out, out)
    return [part for part in out if not isinstance(part, str) or part.strip()]


def _collect(element: Any, left_out: LeftOut, out: list[Any]) -> None:
    out.append(element.text or "")
    for child in element:
        if not left_out(child):
            if child.tag in _CELLS:
                pass
            elif child.tag in (*_GROUPS, "tr", "colgroup", "col") or _holds_cells(child):
                _collect(child, left_out, out)
            else:
                out.append(child)
        out.append(child.tail or "")


def _span(cell: Any, name: str, most: int) -> int:
    said: str = (cell.get(name) or "").strip()
    if not said.isdecimal() or len(said) > 8:
        return 1
    if name == "rowspan" and int(said) == 0:  # to the end of its group
        return most
    return max(1, min(int(said), most))
