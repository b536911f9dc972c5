"""Page headers and footers: lines that come back at the same edge of page after page."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence

#: Lines at either edge that are looked at, the longest that can be a margin (in characters), the
#: fewest pages, and the share of pages on which a line comes back; or how many pages in a row (as a
#: chapter's title does), where every other page counts as a row too.
_LINES, _LONGEST, _FEWEST, _SHARE, _ROW = 3, 150, 3, 0.4, 5

_DIGITS = re.compile(r"\d+")
_ROMAN = re.compile(r"(?=[ivxlc])(c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})")
_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}

_Line = tuple[int, int, str]  # start, end, text


def find_margins(pages: Sequence[str], starts: Sequence[int]) -> list[tuple[int, int]]:
    r"""Find the repeated headers and footers of a paged text.

    Parameters
    ----------
    pages : sequence of str
        The texts of the pages.
    starts : sequence of int
        The offset of each page in the whole text.

    Returns
    -------
    list of (int, int)
        Spans in the whole text, in order. A line that differs from its neighbours' only in its
        numbers counts as the same; a line that is a number alone only if it counts the pages. Most of
        a page's lines are never margins.

    Examples
    --------
    >>> pages = [f"Annual report\\nWords of page {n}.\\n{n + 6}" for n in range(4)]
    >>> [pages[0][a:b] for a, b in find_margins(pages, [0, 34, 68, 102])[:2]]
    ['Annual report', '6']
    """
    lines = [_lines(page) for page in pages]
    spans: set[tuple[int, int]] = set()
    for edge in (0, -1):
        inside = [True] * len(pages)  # whether all lines nearer to the edge were margins
        for depth in range(_LINES):
            seen: dict[str, list[int]] = defaultdict(list)
            for number, found in enumerate(lines):
                if inside[number] and 4 * (depth + 1) <= len(found) + 1:
                    line = found[depth if edge == 0 else -1 - depth][2]
                    seen[_form(line, number)].append(number)
            inside = [False] * len(pages)
            for form, at in seen.items():
                if form and _comes_back(at, len(pages)):
                    for number in at:
                        start, end, _ = lines[number][depth if edge == 0 else -1 - depth]
                        spans.add((starts[number] + start, starts[number] + end))
                        inside[number] = True
    return sorted(spans)


def _lines(page: str) -> list[_Line]:
    out, at = [], 0
    for line in page.split("\n"):
        bare = line.strip()
        if bare:
            start = at + line.index(bare)
            out.append((start, start + len(bare), bare))
        at += len(line) + 1
    return out


def _form(line: str, page: int) -> str:
    """Return what a line has in common with itself on other pages; empty if it is too long."""
    if len(line) > _LONGEST:
        return ""
    number = _number(line.strip("-–— .[]()|"))
    if number is not None:
        return f"number {number - page}"
    return " ".join(_DIGITS.sub("#", line.lower()).split())


def _number(word: str) -> int | None:
    if word.isascii() and word.isdigit() and len(word) <= 6:
        return int(word)
    if not _ROMAN.fullmatch(word.lower()):
        return None
    values = [_VALUES[letter] for letter in word.lower()]
    return sum(
        -value if value < max(values[at:]) else value for at, value in enumerate(values)
    )  # fmt: skip


def _comes_back(at: Sequence[int], pages: int) -> bool:
    if len(at) >= max(_FEWEST, _SHARE * pages):
        return True
    run = 1
    for before, after in itertools.pairwise(at):
        run = run + 1 if after - before <= 2 else 1
        if run >= _ROW:
            return True
    return False
