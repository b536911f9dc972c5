"""The tables of `rag.usage.tokens`: classes of characters, and what each costs after each other one.

Their sources are named there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

#: Changes with the tables: what was learned of other tables' estimates says nothing of these.
VERSION = 1

Steps = npt.NDArray[np.uint8]


@lru_cache(maxsize=1)
def costs() -> dict[str, Steps]:
    """Read the tables: steps of 0.04 token, flat, by generation."""
    tables: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("token_costs.txt").read_text("ascii").splitlines():
        if line.startswith("= "):
            rows = tables.setdefault(line[2:], [])
        elif tables:
            rows.append(line)
    return {
        name: np.frombuffer("".join(rows).encode("ascii"), dtype=np.uint8) - np.uint8(33)
        for name, rows in tables.items()
    }


@lru_cache(maxsize=1)
def classes() -> Steps:
    """Return the class of every code point; later ranges overwrite earlier ones."""
    numbers = np.zeros(0x110000, dtype=np.uint8)
    for number, ranges in enumerate(_ranges()):
        for first, last in ranges:
            numbers[first : last + 1] = number
    return numbers


def _ranges() -> Iterator[list[tuple[int, int]]]:
    """Yield each class's code points, first and last, in the order of the tables."""
    for line in _CLASSES.split("\n"):
        ends = [part.partition("-") for part in line.split()]
        yield [(int(first, 16), int(last or first, 16)) for first, _, last in ends]
        if line == _BEFORE_LETTERS:
            yield from ([(ord(sign), ord(sign))] for sign in "abcdefghijklmnopqrstuvwxyz")
        elif line == _BEFORE_SIGNS:
            yield from ([(ord(sign), ord(sign))] for sign in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    # The frequent characters are whole tokens, others two or three: the first levels of the
    # Chinese, Japanese and Korean standards know which are.
    for codecs in ((("gb2312", 0xB0, 0xD7), ("euc_jp", 0xB0, 0xCF)), (("euc_kr", 0xB0, 0xC8),)):
        frequent = "".join(
            bytes([high, low]).decode(codec, "ignore")
            for codec, first, last in codecs
            for high in range(first, last + 1)
            for low in range(0xA1, 0xFF)
        )
        yield [(ord(sign), ord(sign)) for sign in frequent]


_BEFORE_LETTERS, _BEFORE_SIGNS = "09", "30-39"
# One class a line: anything else; spaces; line ends; tab, then the letters a to z; capitals; digits,
# then each ASCII sign; Latin letters with marks (small, capital, extended, Vietnamese); marks; Greek
# (modern, polytonic); Cyrillic (small, capital, extended); Armenian; Hebrew; Arabic (and beyond);
# Devanagari; Bengali; Gurmukhi; Gujarati; Oriya; Tamil; Telugu; Kannada; Malayalam; Sinhala; Thai;
# South-East Asian; Georgian; punctuation; Latin-1 signs; symbols; CJK punctuation; Hiragana;
# Katakana; Han; Hangul; emoji; beyond the first plane.
_CLASSES = """\
0-10ffff
20 a0 2000-200a 202f 3000
a-d
09
41-5a
30-39
df-f6 f8-ff
c0-d6 d8-de
100-24f
1e00-1eff 1a0-1a1 1af-1b0
300-36f 200b-200f fe00-fe0f
370-3ff
1f00-1fff
430-44f
400-42f
450-52f
530-58f
590-5ff
600-6ff
700-8ff
900-97f
980-9ff
a00-a7f
a80-aff
b00-b7f
b80-bff
c00-c7f
c80-cff
d00-d7f
d80-dff
e00-e7f
e80-109f 1780-17ff
10a0-10ff
2010-2027 2030-205e
a1-bf d7 f7
2070-2bff
3001-303f ff00-ffef
3041-309f
30a0-30ff
3400-4dbf 4e00-9fff f900-faff
ac00-d7a3 1100-11ff 3130-318f
1f000-1faff
10000-1efff 1fb00-10ffff"""
