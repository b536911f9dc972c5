"""Lines of at most 80 columns: wrapped texts and aligned tables, in which a terminal obeys nothing.

Columns are those of a terminal, in which a Chinese character takes two.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells

from rag.core.drawn import drawn
from rag.core.format import counted

WIDTH = 80
#: Where a line ends; a form feed is a page's end.
LINE_END = re.compile(r"\r\n|[\n\r\f]")


def line(text: str, width: int = WIDTH, *, indent: str = "") -> str:
    r"""Return a text on one line, cut to a width that an indent is a part of.

    Examples
    --------
    >>> line("Ask the on-call\nengineer.", 16)
    'Ask the on-call…'
    """
    # Of a long text no more is looked at than may fit, much white space included.
    flat, room = drawn(" ".join(text[: 20 * width].split())), width - len(indent)
    if cell_len(flat) <= room and len(text) <= 20 * width:
        return indent + flat
    return f"{indent}{chop_cells(flat, max(room - 1, 1))[0].rstrip() if flat else ''}…"


def tagged(tag: str, text: str, most: int) -> str:
    """Return ``<tag: "text">`` on one line; the tag takes at most so many columns.

    Examples
    --------
    >>> tagged("Hit 28.409 leave.md", "Staff take 28 days.", 40)
    '<Hit 28.409 leave.md: "Staff take 28 days.">'
    """
    begin = f"<{line(tag, most)}"
    return f'{begin}: "{line(text, WIDTH - cell_len(begin) - 5)}">'


def wrapped(text: str, indent: str = "", most: int = 12) -> list[str]:
    """Return a text's lines, wrapped; behind the first `most` of them how much is left out."""
    width, out, at = WIDTH - len(indent), list[str](), 0
    for start, end, following in _lines(text[: (most + 1) * WIDTH]):
        parts = textwrap.wrap(
            drawn(text[start:end]).replace("\t", " "),
            width,
            expand_tabs=False,
            drop_whitespace=False,
            break_on_hyphens=False,
        )
        for part in [cut for each in parts for cut in chop_cells(each, width)] or [""]:
            if len(out) == most:
                return [*out, f"{indent}… {counted(len(text) - at, 'more character')}"]
            out.append((indent + (part.strip() if at > start else part)).rstrip())
            at += len(part)
        at = following
    return out


def _lines(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield each line's start and end, and the start of the next."""
    at = 0
    for match in LINE_END.finditer(text):
        yield at, match.start(), match.end()
        at = match.end()
    if at < len(text) or not text:
        yield at, len(text), len(text)


def labelled(rows: Sequence[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Return names and values, the values wrapped beside their names; those without a value are left out."""
    rows = [(name, value) for name, value in rows if value]
    wide = max((len(name) for name, _ in rows), default=0) + 2
    out = []
    for name, value in rows:
        room = WIDTH - wide - len(indent)
        parts = [
            cut
            for part in textwrap.wrap(line(value, 4 * WIDTH), room, break_on_hyphens=False)
            for cut in chop_cells(part, room)
        ] or [""]
        out.append(f"{indent}{name:<{wide}}{parts[0]}".rstrip())
        out += [" " * (WIDTH - room) + part for part in parts[1:]]
    return out


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return an aligned table; numbers stand to the right, and the widest columns are cut to fit."""
    if not rows:
        return []
    cells = [[line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    room = WIDTH - len(indent) - 2 * (len(widths) - 1)
    while sum(widths) > room and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    right = [all(numeric(row[at]) for row in rows) for at in range(len(widths))]
    return [
        (indent + "  ".join(
            _padded(line(cell, width), width, right=right[at])
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )).rstrip()[:WIDTH]
        for row in cells
    ]  # fmt: skip


def numeric(text: str) -> bool:
    """Tell whether a cell holds a number, or nothing."""
    return not text or bool(re.match(r"^[-+$]?[\d][\d,.]*( ?(%|[kMGT]?B|bytes?|ms|s))?( \[.*\])?$", text))


def more(count: int, noun: str, how: str) -> list[str]:
    """Return the line that says how much is left out, and how to see it; none if nothing is."""
    return [f"  … {counted(count, 'more ' + noun)}: {how}"] if count > 0 else []


def _padded(text: str, width: int, *, right: bool) -> str:
    blank = " " * max(width - cell_len(text), 0)
    return blank + text if right else text + blank
