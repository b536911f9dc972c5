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

_MOST_NUMBERS = 8
_DIGITS = re.compile(r"[0-9]{1,9}")
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
        Spans in the whole text, in order. A line is one if it comes back as it is, or with nothing
        changed but one number that counts the pages. At least a third of a page's lines are none.

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
                    for form in _forms(found[depth if edge == 0 else -1 - depth][2], number):
                        seen[form].append(number)
            inside = [False] * len(pages)
            for at in seen.values():
                if _comes_back(at, len(pages)):
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


def _forms(line: str, page: int) -> list[str]:
    """Return what a line may share with other pages' lines: all, or all but one counting number."""
    if len(line) > _LONGEST:
        return []
    roman = _number(line.strip("-–— .[]()|"))
    if roman is not None:
        return [f"number {roman - page}"]
    flat = " ".join(line.lower().split())
    numbers = list(_DIGITS.finditer(flat))[:_MOST_NUMBERS]
    counting = [
        f"{flat[: m.start()]}\0{int(m.group()) - page}\0{flat[m.end() :]}" for m in numbers
    ]  # fmt: skip
    return [flat, *counting]


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
