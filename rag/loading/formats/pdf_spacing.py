"""Blanks that PDFium sees inside of words whose letters are set apart.

PDFium writes a blank where a new piece of text begins some way behind the last one. Text layers of OCR
set the letters of a word apart and draw its last letter with the blank behind it: "Compani a".
"""

from __future__ import annotations

import re
import statistics
from typing import Any

import pypdfium2.raw as raw

_WORD = re.compile(r"\w+")
_SINGLE = re.compile(r"(?<=\w) \w(?!\w)")
#: Words of one letter among all words from which on a page is looked at: in running text of any
#: language that has blanks they are fewer than one in eight.
_SHARE = 0.15
#: A gap up to this many times the one between the letters beside it is none between words.
_SLACK = 1.3


def without_false_blanks(text: str, textpage: Any) -> str:
    """Return a page's text with NUL for each blank that is no wider than the gaps between letters.

    Parameters
    ----------
    text : str
        A character for each unit of UTF-16, as PDFium's offsets count.
    textpage : pypdfium2.PdfTextPage
        The page it comes from.
    """
    singles = len(_SINGLE.findall(text))
    if singles < 8 or singles < _SHARE * len(_WORD.findall(text)):
        return text
    blanks: list[tuple[int, float, list[float]]] = []
    for match in re.finditer(r"(?<=\S) (?=\S)", text):
        at = match.start()
        letter = raw.FPDFText_GetCharIndexFromTextIndex(textpage, at)
        if letter < 1 or raw.FPDFText_IsGenerated(textpage, letter) != 1:
            continue
        gap = _gap(textpage, letter - 1, letter + 1)
        if gap is None or gap <= 0:
            continue
        pairs = []
        if text[at - 2 : at - 1].isalnum():
            pairs.append((letter - 2, letter - 1))
        if text[at + 2 : at + 3].isalnum():
            pairs.append((letter + 1, letter + 2))
        beside = [other for pair in pairs if (other := _gap(textpage, *pair)) is not None]
        blanks.append((at, gap, beside))
    within = [gap for _, gap, beside in blanks if any(gap <= _SLACK * other for other in beside)]
    if not within:
        return text
    usual = statistics.median(within)  # for words of two letters, which have none beside
    out = list(text)
    for at, gap, beside in blanks:
        if any(gap <= _SLACK * other for other in beside or [usual]):
            out[at] = "\0"
    return "".join(out)


def _gap(textpage: Any, left: int, right: int) -> float | None:
    """Return how far a letter is from the one before; None where they are not on one line."""
    one, two = raw.FS_RECTF(), raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(textpage, left, one):
        return None
    if not raw.FPDFText_GetLooseCharBox(textpage, right, two):
        return None
    if abs(one.bottom - two.bottom) > 0.3 * max(one.top - one.bottom, 0.1):
        return None
    return float(two.left - one.right)
