"""A stream of rich text: paragraphs, lists and tables, as control words end them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from rag.loading.structure import Parsed, Text, joined

#: Bullets as Symbol and Wingdings have them, in Unicode's private range.
_BULLETS = dict.fromkeys((0xF0B7, 0xF0A7, 0xF076, 0xF0D8, 0xF06E, 0xF0A8, 0xF06F, 0xF0FC), "•")


@dataclass
class Paragraph:
    """What a paragraph's end is told of it."""

    in_table: bool = False
    depth: int = 1  # of the table it is in
    outline: int = 9  # heading level from 0; 9 for text
    indent: int = 0  # level of a list, from 0


@dataclass
class Flow:
    """One stream: the body, a footnote, a header, a text box, each with its own paragraphs and tables."""

    kind: str = ""
    out: Text = field(default_factory=Text)
    row_open: bool = False
    _words: list[str] = field(default_factory=list)
    _mark: list[str] = field(default_factory=list)
    _behind: list[Parsed] = field(default_factory=list)
    _behind_table: list[Parsed] = field(default_factory=list)
    _cell: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    _cells: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    _rows: defaultdict[int, list[list[str]]] = field(default_factory=lambda: defaultdict(list))
    _in_list: bool = False

    def add(self, words: str) -> None:
        """Add to the paragraph."""
        self._words.append(words)

    def add_mark(self, words: str) -> None:
        """Add to the number or bullet of the paragraph."""
        self._mark.append(words)

    def add_behind(self, other: Parsed) -> None:
        """Add a note or a text box, to stand behind the paragraph or the table."""
        if other.text.strip():
            self._behind.append(other)

    def end_paragraph(self, shape: Paragraph) -> None:
        """End a paragraph, in a table or not."""
        words, mark = _text(self._words).strip(), " ".join(_text(self._mark).split())
        self._words, self._mark = [], []
        if shape.in_table or self.row_open:
            depth = max(shape.depth, 1)
            self._end_tables(depth + 1, depth)
            if words:
                self._cell[depth].append(f"{mark} {words}" if mark else words)
            self._behind_table += self._behind
            self._behind = []
            return
        self._end_tables(1, 0)
        if words or mark:
            self._write(words, mark, shape)
        self._include(self._behind)

    def end_cell(self, shape: Paragraph, depth: int) -> None:
        """End a cell, with the paragraph that is its last."""
        self.end_paragraph(Paragraph(True, depth, 9, shape.indent))
        self._cells[depth].append(" ".join(self._cell.pop(depth, [])))

    def end_row(self, depth: int) -> None:
        """End a row."""
        if any(map(str.strip, self._words)):  # a writer that left out the last \cell
            self.end_cell(Paragraph(), depth)
        if depth in self._cells:
            self._rows[depth].append(self._cells.pop(depth))
        self.row_open = self.row_open and depth > 1

    def done(self) -> Parsed:
        """End the stream."""
        open_cell = self.row_open or self._cell or self._cells
        if open_cell:
            self.end_cell(Paragraph(), 1)
            self.end_row(1)
        self.row_open = False
        self.end_paragraph(Paragraph())
        return self.out.done()

    def _write(self, words: str, mark: str, shape: Paragraph) -> None:
        if shape.outline < 9 and words:
            self.out.heading(shape.outline + 1, f"{mark} {words}" if mark else words)
        elif mark and words:
            mark = mark if any(map(str.isalnum, mark)) else "-"
            self.out.item(words, mark=mark, level=shape.indent, first=not self._in_list)
        else:
            self.out.block(words or mark)
        self._in_list = bool(mark and words and shape.outline == 9)

    def _end_tables(self, depth: int, parent: int) -> None:
        """Write the tables from a depth on: the outermost as a table, inner ones into the cell around."""
        for inner in sorted(
            (at for at in {*self._rows, *self._cells, *self._cell} if at >= depth), reverse=True
        ):
            self._cells[inner] += [" ".join(self._cell.pop(inner))] if self._cell.get(inner) else []
            rows = self._rows.pop(inner, []) + ([self._cells[inner]] if self._cells[inner] else [])
            self._cells.pop(inner, None)
            if not any(map(any, rows)):
                continue
            if inner == 1:
                self.out.table(rows)
                self._in_list = False
                self._include(self._behind_table)
            else:
                around = max(parent, inner - 1)
                self._cell[around].append("; ".join(", ".join(filter(None, row)) for row in rows))

    def _include(self, others: list[Parsed]) -> None:
        for other in others:
            self.out.include(other)
            self._in_list = False
        others.clear()


def _text(words: list[str]) -> str:
    return joined("".join(words)).translate(_BULLETS)
