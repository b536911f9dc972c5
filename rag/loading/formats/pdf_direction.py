"""Right-to-left and vertical text of a PDF page in the order in which it is read.

PDFium turns the glyphs of a right-to-left line around, and with them the letters of one glyph (a
ligature). Columns of vertical text that begin at one height it sorts from left to right, as it does the
words of a line.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from typing import Any, NamedTuple

import pypdfium2.raw as raw

from rag.loading.formats.pdf_bidi import RIGHT_TO_LEFT, in_logical_order

_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LAM, _ALEFS = "\u0644", frozenset("\u0622\u0623\u0625\u0627\u0671")


def in_reading_order(text: str, textpage: Any) -> str:
    """Return a page's text with its ligatures, brackets and columns as they are read.

    The text keeps its length.

    Parameters
    ----------
    text : str
        As PDFium has it; returned unchanged where all of it is read from left to right.
    textpage : pypdfium2.PdfTextPage
        The page it comes from, to see which letters are one glyph.
    """
    if _EAST_ASIAN.search(text):
        text = _columns(text, textpage)
    if not RIGHT_TO_LEFT.search(text):
        return text
    return in_logical_order(_ligatures(text, textpage), textpage)


class _Line(NamedTuple):
    """A line of the text, where its first letter stands, and whether the next one is below it."""

    text: str
    left: float
    top: float
    bottom: float
    down: bool
    single: bool

    def level(self, other: _Line) -> bool:
        """Return whether the lines begin at one height, the other to the right of this one."""
        near = 0.5 * (self.top - self.bottom)
        return self.left < other.left and abs(self.top - other.top) < near


def _columns(text: str, textpage: Any) -> str:
    """Put vertical columns in order, from the right, and the single glyphs of a row on one line."""
    lines: list[_Line] = []
    breaks: list[str] = []  # what stands behind each of them
    at = 0
    for whole in text.split("\r\n"):
        for line in _pieces(whole, at, textpage):
            lines.append(line)
            breaks.append("")
            at += len(line.text)
        breaks[-1] = "\r\n"
        at += 2
    out: list[str] = []
    start = 0
    while start < len(lines):
        end = start + 1
        while end < len(lines) and lines[end - 1].level(lines[end]):
            end += 1
        row = lines[start:end]
        vertical = any(line.down for line in row)
        for index, line in enumerate(reversed(row) if vertical else row, start):
            after = lines[index + 1] if index + 1 < end else None
            if not vertical and after and after.single and abs(line.bottom - after.bottom) < 1:
                breaks[index] = "  "  # PDFium takes a row of single glyphs for a column
            out += [line.text, breaks[index]]
        start = end
    return "".join(out[:-1])


def _pieces(line: str, at: int, textpage: Any) -> list[_Line]:
    """Return a line, or its parts where it is a column that jumps to another row of columns."""
    whole = _placed(line, at, textpage)
    if not whole.down:
        return [whole]
    cuts, before = [0], None
    for offset in range(len(line)):
        box = _box(at + offset, textpage)
        if box is None:
            continue
        if before is not None and not -1 < before.bottom - box.top < before.top - before.bottom:
            cuts.append(offset)
        before = box
    ends = [*cuts[1:], len(line)]
    return [_placed(line[a:b], at + a, textpage) for a, b in zip(cuts, ends, strict=True)]


def _box(offset: int, textpage: Any) -> Any:
    box = raw.FS_RECTF()
    letter = raw.FPDFText_GetCharIndexFromTextIndex(textpage, offset)
    found = letter >= 0 and raw.FPDFText_GetLooseCharBox(textpage, letter, box)
    return box if found else None


def _placed(line: str, at: int, textpage: Any) -> _Line:
    boxes = [_box(offset, textpage) for offset in range(at, at + min(len(line), 2))]
    boxes = [box for box in boxes if box is not None]
    if not boxes:
        return _Line(line, 0, 0, 0, down=False, single=False)
    first, second = boxes[0], boxes[-1]
    em = first.top - first.bottom
    down = abs(first.left - second.left) < 0.5 * em < first.top - second.top
    return _Line(line, first.left, first.top, first.bottom, down=down, single=len(line) == 1)


def _ligatures(text: str, textpage: Any) -> str:
    """Turn the letters of each glyph back, where PDFium has turned them around."""
    groups = [at for at in _glyphs(text, textpage) if RIGHT_TO_LEFT.search(text, *at)]
    # A file may name a ligature by its letters, which PDFium turns around, or by the code point of the
    # ligature, which it spells out in order. Lam-alef, the one ligature that no font leaves out, tells.
    spelt = sum(_is_lam_alef(text[a:b]) for a, b in groups)
    turned = sum(_is_lam_alef(text[a:b][::-1]) for a, b in groups)
    out = list(text)
    for start, end in groups:
        letters = text[start:end]
        mark_first = unicodedata.combining(letters[0]) > 0 and not unicodedata.combining(letters[-1])
        wrong = turned >= spelt and not unicodedata.combining(letters[-1])
        if not _is_lam_alef(letters) and (mark_first or wrong or _is_lam_alef(letters[::-1])):
            out[start:end] = letters[::-1]
    return "".join(out)


def _is_lam_alef(letters: str) -> bool:
    return letters[0] == _LAM and letters[1] in _ALEFS


def _glyphs(text: str, textpage: Any) -> list[tuple[int, int]]:
    """Return the spans of two and more characters that stand at one place: the letters of a glyph."""
    spans: list[tuple[int, int]] = []
    before: tuple[float, ...] | None = None
    start = last = -1
    x, y = ctypes.c_double(), ctypes.c_double()
    box = raw.FS_RECTF()
    for char in range(textpage.count_chars()):
        at = raw.FPDFText_GetTextIndexFromCharIndex(textpage, char)
        code = raw.FPDFText_GetUnicode(textpage, char)
        place = None
        if 0 <= at < len(text) and ord(text[at]) == code and code > 0x20:
            raw.FPDFText_GetCharOrigin(textpage, char, x, y)
            raw.FPDFText_GetLooseCharBox(textpage, char, box)
            place = (x.value, y.value, box.left, box.right)
        if place is None or place != before or at != last + 1:
            if last > start >= 0:
                spans.append((start, last + 1))
            start = at if place is not None else -1
        before, last = place, at
    if last > start >= 0 and before is not None:
        spans.append((start, last + 1))
    return spans
