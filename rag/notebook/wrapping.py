"""Wrapping between words, whatever the width: a word, such as a path, is never cut.

Columns are those of a terminal, in which a Chinese character takes two; between these a line may end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from rich.cells import cell_len

from rag.core.drawn import drawn

_PARTS = re.compile(r"(\s*)(\S+)")
#: Hangul, Chinese, Japanese and full-width forms: two columns each (Unicode's East_Asian_Width W and F).
_WIDE = (
    r"\u1100-\u115f\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f"
    r"\uff00-\uff60\uffe0-\uffe6"
)
#: What may stand on the next line by itself: one of these, or a run of others.
_PIECES = re.compile(f"[{_WIDE}]|[^{_WIDE}]+")


def folded(text: str, width: int | None, hang: int = 0) -> str:
    r"""Return a text whose lines are wrapped between words; a word that is longer than a line keeps whole.

    Parameters
    ----------
    text : str
        Each of its lines is wrapped by itself.
    width : int or None
        Columns; None leaves the text as it is.
    hang : int
        How far a line's continuation is indented beyond the line itself.

    Examples
    --------
    >>> print(folded("files: 3 added, 12 unchanged", 20, 2))
    files: 3 added, 12
      unchanged
    """
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _folded(line, width, hang))


def _folded(line: str, width: int, hang: int) -> Iterator[str]:
    if cell_len(line) <= width:
        yield line
        return
    indent = line[: len(line) - len(line.lstrip())]
    later = " " * min(cell_len(indent) + hang, width // 3)
    now, used, empty = indent, cell_len(indent), True
    for gap, word in _PARTS.findall(line):
        for number, piece in enumerate(_PIECES.findall(word)):
            blank = "" if empty or number else gap
            size = cell_len(piece)
            if not empty and used + len(blank) + size > width:
                yield now.rstrip()
                now, used, blank = later, len(later), ""
            now, used, empty = now + blank + piece, used + len(blank) + size, False
    yield now


def tabled(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, indent: str = "  "
) -> list[str]:
    r"""Return the lines of a table; where it does not fit its cells are wrapped, or each row is a list.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence of str
        As many cells as `head` has names, each on one line.
    width : int or None
        Columns of the terminal; None for as many as it takes.

    Examples
    --------
    >>> print("\n".join(tabled(("file", "why"), [("a.pdf", "is damaged at its end")], 22)))
      file   why
      a.pdf  is damaged at
             its end
    """
    lines = [head, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    room = None if width is None else width - cell_len(indent) - 2 * (len(widths) - 1)
    if room is not None and sum(widths) > room:
        least = [max(map(_longest_word, column)) for column in zip(*lines, strict=True)]
        if sum(least) > room:
            return _listed(head, rows, width or 0, indent)
        while sum(widths) > room:
            at = max(range(len(widths)), key=lambda at: widths[at] - least[at])
            widths[at] -= 1
    out = []
    for row in lines:
        cells = [
            folded(cell, size).split("\n") if cell_len(cell) > size else [cell]
            for cell, size in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, cells), default=0)):
            parts = (cell[number] if number < len(cell) else "" for cell in cells)
            padded = (part + " " * (size - cell_len(part)) for part, size in zip(parts, widths, strict=True))
            out.append((indent + "  ".join(padded)).rstrip())
    return out


def _longest_word(cell: str) -> int:
    return max((cell_len(piece) for word in cell.split() for piece in _PIECES.findall(word)), default=0)


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], width: int, indent: str) -> list[str]:
    """Return each row as a line for its first cell, and below it one for each other cell with its name."""
    out = []
    for row in rows:
        out += folded(indent + (row[0] or "-"), width, 2).split("\n")
        for name, cell in zip(head[1:], row[1:], strict=True):
            if cell:
                out += folded(f"{indent}  {name}: {cell}" if name else f"{indent}  {cell}", width, 2).split(
                    "\n"
                )
    return out


class Wrapped:
    r"""Writes a text that comes in pieces, wrapped between words, such that a terminal obeys nothing of it.

    Parameters
    ----------
    to : callable
        Takes the pieces of the output.
    width : int, optional
        Columns; without, lines are not wrapped.

    Examples
    --------
    >>> written: list[str] = []
    >>> lines = Wrapped(written.append, 20)
    >>> for piece in ("Staff take 28 days o", "f leave a year."):
    ...     lines.write(piece)
    >>> lines.close()
    >>> "".join(written)
    'Staff take 28 days\nof leave a year.\n'
    """

    def __init__(self, to: Callable[[str], object], width: int | None) -> None:
        self._to, self._width = to, width
        self._column, self._word, self._space = 0, "", ""

    def write(self, text: str) -> None:
        """Write a piece; a word that it ends with waits for the next one."""
        for part in re.findall(r"\n|[^\S\n]+|\S+", text):
            if part == "\n":
                self._put()
                self._out("\n")
                self._column, self._space = 0, ""
            elif part.isspace():
                self._put()
                self._space += part
            else:
                self._word += part
        if self._width is None:
            self._put()

    def close(self) -> None:
        """Write what waits, and end the line."""
        self._put()
        self._out("\n")

    def _put(self) -> None:
        for number, piece in enumerate(_PIECES.findall(self._word)):
            size, gap = cell_len(drawn(piece)), "" if number else self._space
            if self._width is not None and self._column and self._column + len(gap) + size > self._width:
                self._out("\n")
                self._column, gap = 0, ""
            self._out(gap + piece)
            self._column += len(gap) + size
        if self._word:
            self._word = self._space = ""

    def _out(self, text: str) -> None:
        self._to(drawn(text))
