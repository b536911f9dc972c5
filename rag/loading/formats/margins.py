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

#: A number alone on its line is a page's if it is within this of the page's place in the file; one that
#: is further off may be a record's.
_FURTHEST = 100
#: A number behind this many words is a page's; fewer may name a record ("Employee record 17").
_TITLE = 4

_MOST_NUMBERS = 8
#: Words for a page, in front of its number or behind it.
_PAGE = (
    r"page|pages|pagina|página|pág|pag|pg|p|seite|seiten|s|side|sida|sid|sivu|strona|str|strana|стр|страница|"
    r"oldal|sayfa|trang|halaman|hlm|folio|fol|bl|blatt|第|頁|页|页码|ページ|쪽|페이지|صفحة|עמוד|σελ|σελίδα"
)
_BEFORE = re.compile(rf"(?:^|[^\w])(?:{_PAGE})[.:]?[ ]?(?:n[o°º.]{{1,2}} ?)?$")
_BEHIND = re.compile(
    rf"^ ?(?:(?:of|von|de|di|du|sur|av|af|z|ze|из|/|／|共) ?(?P<all>[0-9]+)|(?:{_PAGE})(?![^\W\d_]))"
)
#: What parts a page's number from the words of a header, where no word for a page does.
_PARTED = re.compile(r"^$|[|·•–—:;,/\\()\[\]-]$|[0-9]$")
_DIGITS = re.compile(r"[0-9]{1,9}")
_ROMAN = re.compile(r"(?=[ivxlc])(c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})")
_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}

#: What begins the form of a line that holds no more than the page's number.
_ONLY_NUMBER = "number "

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
        changed but one number that counts the pages. At least a third of a page's lines are none, and
        no words are lost: the first of the lines that come back is none, unless it only numbers its
        page, and neither are lines with a number that may be a record's ("Invoice 1001").

    Examples
    --------
    >>> pages = [f"Annual report\nWords of page {n}.\n{n + 6}" for n in range(4)]
    >>> starts = [0, 34, 68, 102]
    >>> text = "\n\n".join(pages)
    >>> [text[a:b] for a, b in find_margins(pages, starts)[:3]]
    ['6', 'Annual report', '7']
    """
    lines = [_lines(page) for page in pages]
    spans: set[tuple[int, int]] = set()
    first: set[tuple[int, int]] = set()  # the first of the lines that come back
    for edge in (0, -1):
        inside = [True] * len(pages)  # whether all lines nearer to the edge were margins
        for depth in range(_LINES):
            seen: dict[str, list[int]] = defaultdict(list)
            for number, found in enumerate(lines):
                if inside[number] and 4 * (depth + 1) <= len(found) + 1:
                    for form in _forms(found[depth if edge == 0 else -1 - depth][2], number):
                        seen[form].append(number)
            inside = [False] * len(pages)
            for form, at in seen.items():
                if _comes_back(at, len(pages)):
                    for number in at:
                        start, end, _ = lines[number][depth if edge == 0 else -1 - depth]
                        spans.add((starts[number] + start, starts[number] + end))
                        inside[number] = True
                    if not form.startswith(_ONLY_NUMBER):
                        start, end, _ = lines[at[0]][depth if edge == 0 else -1 - depth]
                        first.add((starts[at[0]] + start, starts[at[0]] + end))
    return sorted(spans - first)


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
    """Return what a line may share with other pages' lines: all, or all but the page's number."""
    if len(line) > _LONGEST:
        return []
    bare = _number(line.strip("-–— .[]()|"))
    if bare is not None:
        return [f"{_ONLY_NUMBER}{bare - page}"] if abs(bare - page) <= _FURTHEST else []
    flat = " ".join(line.lower().split())
    counting = [
        form for number in list(_DIGITS.finditer(flat))[:_MOST_NUMBERS]
        if (form := _counting(flat[: number.start()], int(number.group()), flat[number.end() :], page))
    ]  # fmt: skip
    return [flat, *counting]


def _counting(before: str, number: int, behind: str, page: int) -> str:
    """Return the form of a line that numbers its page; empty if the number may be of something else."""
    named, of = _BEFORE.search(before), _BEHIND.match(behind)
    if not named and not of:
        left, right = before.rstrip(), behind.lstrip()
        parted = _PARTED.search(left) or (not right and len(left.split()) >= _TITLE)
        if not parted or not _PARTED.search(right[:1]) or abs(number - page) > _FURTHEST:
            return ""
        return f"{before}\0{number - page}\0{behind}"
    rest = (before[: named.start()] if named else before) + (behind[of.end() :] if of else behind)
    words = any(char.isalnum() for char in rest)
    return f"{'' if words else _ONLY_NUMBER}{before}\0{number - page}\0{behind}"


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
