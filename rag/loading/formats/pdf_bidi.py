"""Lines that mix scripts of both directions, from the order of their glyphs to that of their letters.

PDFium reads a right-to-left line by its words, from the right, and so takes "README.md" and "12/05/2024"
apart. Here the bidirectional algorithm (Unicode Standard Annex 9) is applied to the glyphs as they stand:
its reordering, done twice, is none. What it cannot know is which of two orders gave the same picture.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import pypdfium2.raw as raw

#: Letters of scripts written from the right. The text is in units of UTF-16, as PDFium counts, so higher
#: planes are left out.
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
_OTHER = re.compile(r"[0-9A-Za-z\u00c0-\u024f\u0370-\u052f()\[\]{}<>«»‹›]")
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("«", "»"), ("‹", "›"))
_MIRRORED = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")
_NUMBERS, _STRONG_RIGHT = ("EN", "AN"), ("R", "AL")


class _Unit(NamedTuple):
    """A glyph: its letters in reading order with the marks on them, and where it stands."""

    text: str
    left: float
    middle: float
    height: float
    kind: str  # bidirectional class
    generated: bool


def in_logical_order(text: str, textpage: Any) -> str:
    """Return a page's text with each line that is mostly right-to-left in logical order.

    Parameters
    ----------
    text : str
        A character for each unit of UTF-16, as PDFium's offsets count; its length is kept.
    textpage : pypdfium2.PdfTextPage
        The page it comes from.
    """
    lines = []
    at = 0
    for line in text.split("\n"):
        mixed = _mostly_right_to_left(line) and _OTHER.search(line)
        lines.append(_reordered(line, at, textpage) if mixed else line)
        at += len(line) + 1
    turned = [_mirrored(line) for line in lines]
    gains = [_matched(other) - _matched(line) for line, other in zip(lines, turned, strict=True)]
    page = sum(gains)
    return "\n".join(
        _paired(other if gain > 0 or (gain == 0 and page > 0) else line)
        for line, other, gain in zip(lines, turned, gains, strict=True)
    )


def _reordered(line: str, at: int, textpage: Any) -> str:
    body = line.rstrip("\r")
    units = _units(body, at, textpage)
    solid = [unit for unit in units if not unit.generated]
    if not solid:
        return line
    high = max(unit.height for unit in solid)
    if max(unit.middle for unit in solid) - min(unit.middle for unit in solid) > 0.8 * high:
        return line  # no single row of glyphs
    units.sort(key=lambda unit: (unit.left, not unit.generated))
    levels = _levels([unit.kind for unit in units])
    order: list[_Unit] = []
    start = 0
    while start < len(units):  # runs from the right; what is read from the left stays as it stands
        end = start + 1
        while end < len(units) and levels[end] == levels[start]:
            end += 1
        run = units[start:end]
        order = [*(run if levels[start] == 2 else reversed(run)), *order]
        start = end
    out = "".join(unit.text for unit in order)
    return out + line[len(body) :] if len(out) == len(body) else line


def _units(body: str, at: int, textpage: Any) -> list[_Unit]:
    units: list[_Unit] = []
    box = raw.FS_RECTF()
    place: tuple[float, ...] = ()
    for offset, char in enumerate(body):
        letter = raw.FPDFText_GetCharIndexFromTextIndex(textpage, at + offset)
        if letter < 0 or not raw.FPDFText_GetLooseCharBox(textpage, letter, box):
            return []
        generated = raw.FPDFText_IsGenerated(textpage, letter) == 1
        here = (box.left, box.right, box.bottom)
        same = units and not generated and here == place and char != " "
        if units and (same or unicodedata.combining(char) or "\udc00" <= char <= "\udfff"):
            units[-1] = units[-1]._replace(text=units[-1].text + char)
            continue
        kind = "L" if "\ud800" <= char <= "\udbff" else unicodedata.bidirectional(char)
        middle = (box.top + box.bottom) / 2
        units.append(_Unit(char, box.left, middle, box.top - box.bottom, kind, generated))
        place = here
    return units


def _levels(kinds: list[str]) -> list[int]:
    """Return 2 for each glyph that is read from the left in a line from the right, else 1."""
    kinds = list(kinds)
    after_arabic = False
    for index in range(len(kinds) - 1, -1, -1):  # what is read before a number stands to its right
        if kinds[index] in ("L", "R", "AL"):
            after_arabic = kinds[index] == "AL"
        elif kinds[index] == "EN" and after_arabic:
            kinds[index] = "AN"
    for index in range(1, len(kinds) - 1):
        before, kind, after = kinds[index - 1 : index + 2]
        if before == after and ((kind == "CS" and before in _NUMBERS) or (kind == "ES" and before == "EN")):
            kinds[index] = before
    for indices in (range(len(kinds)), range(len(kinds) - 1, -1, -1)):
        beside = ""
        for index in indices:
            if kinds[index] == "ET" and beside == "EN":
                kinds[index] = "EN"
            beside = kinds[index]
    latin = False
    for index, kind in enumerate(kinds):  # a number behind a Latin word is of it: "Python 3.11"
        if kind in ("L", *_STRONG_RIGHT):
            latin = kind == "L"
        elif kind in _NUMBERS and latin:
            kinds[index] = "L"
    levels = [2 if kind in ("L", *_NUMBERS) else 1 for kind in kinds]
    sides = ["L" if kind == "L" else "R" if kind in (*_STRONG_RIGHT, *_NUMBERS) else "" for kind in kinds]
    start = 0
    while start < len(sides):
        end = start
        while end < len(sides) and not sides[end]:
            end += 1
        if end > start:
            between = start > 0 and end < len(sides) and sides[start - 1] == sides[end] == "L"
            levels[start:end] = [2 if between else 1] * (end - start)
        start = end + 1
    return levels


def _matched(line: str) -> int:
    awaited: list[str] = []
    matched = 0
    for char in line:
        for opening, closing in _PAIRS:
            if char == opening:
                awaited.append(closing)
            elif char == closing and awaited and awaited[-1] == char:
                awaited.pop()
                matched += 1
    return matched


def _paired(line: str) -> str:
    """Return a line whose brackets of one kind, if one of two is turned, are turned to be a pair."""
    if not _mostly_right_to_left(line):
        return line
    out = list(line)
    for pair in _PAIRS:
        places = [at for at, char in enumerate(line) if char in pair]
        if len(places) == 2 and line[places[0]] == line[places[1]]:
            out[places[0]], out[places[1]] = pair
    return "".join(out)


def _mirrored(line: str) -> str:
    return line.translate(_MIRRORED) if _mostly_right_to_left(line) else line


def _mostly_right_to_left(line: str) -> bool:
    if not RIGHT_TO_LEFT.search(line):
        return False
    words = line.split()
    right = sum(RIGHT_TO_LEFT.search(word) is not None for word in words)
    return right > sum(any(map(str.isalpha, word)) for word in words) - right
