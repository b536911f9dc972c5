"""Right-to-left text of a PDF page in the order in which it is read.

PDFium turns the glyphs of a line around. It turns two things around too often: the letters of one
glyph (a ligature), and brackets whose file already names them as they are read.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from typing import Any

import pypdfium2.raw as raw

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff]")
_MIRRORED = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")
_OPENING = dict(zip("([{<«‹", ")]}>»›", strict=True))
_CLOSING = frozenset(_OPENING.values())
_LAM, _ALEFS = "\u0644", frozenset("\u0622\u0623\u0625\u0627\u0671")


def in_reading_order(text: str, textpage: Any) -> str:
    """Return a page's text with its ligatures and brackets as they are read.

    Parameters
    ----------
    text : str
        As PDFium has it; returned unchanged where it holds nothing that is read from the right.
    textpage : pypdfium2.PdfTextPage
        The page it comes from, to see which letters are one glyph.
    """
    if not _RIGHT_TO_LEFT.search(text):
        return text
    lines = _ligatures(text, textpage).split("\n")
    gains = [_gain(line) for line in lines]
    page = sum(gains)
    return "\n".join(
        _mirrored(line) if gain > 0 or (gain == 0 and page > 0) else line
        for line, gain in zip(lines, gains, strict=True)
    )


def _ligatures(text: str, textpage: Any) -> str:
    """Turn the letters of each glyph back, where PDFium has turned them around."""
    groups = [at for at in _glyphs(text, textpage) if _RIGHT_TO_LEFT.search(text, *at)]
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


def _gain(line: str) -> int:
    """Return how many more brackets of a line close what they should if all are mirrored."""
    if not any(char in _OPENING or char in _CLOSING for char in line) or not _mostly_right_to_left(line):
        return 0
    return _matched(_mirrored(line)) - _matched(line)


def _matched(line: str) -> int:
    awaited: list[str] = []
    matched = 0
    for char in line:
        if char in _OPENING:
            awaited.append(_OPENING[char])
        elif char in _CLOSING and awaited and awaited[-1] == char:
            awaited.pop()
            matched += 1
    return matched


def _mirrored(line: str) -> str:
    return line.translate(_MIRRORED) if _mostly_right_to_left(line) else line


def _mostly_right_to_left(line: str) -> bool:
    right = len(_RIGHT_TO_LEFT.findall(line))
    return right > sum(char.isalpha() for char in line) - right
