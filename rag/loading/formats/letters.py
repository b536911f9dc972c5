"""How well a text reads as some language: what tells one reading of a file's bytes from another.

A reading's cost is the negative logarithm of its probability (in nats) under a model of pairs of letters;
for Chinese, Japanese and Korean, of single characters. Only pairs with a character beyond ASCII count: the
rest is the same in every reading. As all readings are of the same bytes, their costs can be compared; the
idea is that of Mozilla's chardetng (https://hsivonen.fi/chardetng/, 2020). The frequencies in
``letters.json`` are counted by ``tests/benchmarks/train_letters.py`` in gettext catalogues.
"""

from __future__ import annotations

import base64
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("letters.json")
#: Costs in nats of what no table of letters holds, set on the development texts of
#: ``tests/benchmarks/encodings.py``.
_UNKNOWN_LETTER, _FOREIGN_SCRIPT, BROKEN = 7.5, 11.0, 13.0
_BESIDE_LATIN, _CAPITAL_INSIDE, _ALONE = 6.0, 4.0, 4.0
#: An ASCII character: English text has about 2.3 nats for each (Shannon's pair model, 1951).
ASCII = 2.3
#: Signs as texts have them, and those that are seldom met.
_TYPOGRAPHIC, _SIGN, _ODD_SIGN, _CONTROL = 5.0, 6.5, 10.0, 14.0
_QUOTES = frozenset("’‘“”„–—…«»\u00a0•·©®™°§€£№、。・「」，：（）！？؛،؟")
_WITHIN = frozenset("’‘–—·\u00ad\u200c\u200d")
_SIGNS = frozenset("±²³¹½¼¾×÷µ¿¡¥¢¶†‡‰‹›ªº´")
#: How much the ASCII part of a text may say of its language, in nats.
_MOST_ASCII = 7.0
#: How many languages of Latin letters a reading is compared with, those first that its ASCII part fits; of
#: fewer pairs of letters than the second number, all.
_LIKELY, _ENOUGH = 5, 60


class _Letters(NamedTuple):
    place: dict[str, int]
    costs: bytes
    latin: bool


def folded(text: str) -> str:
    """Return a text in lower case with a single space for whatever is no letter between letters."""
    out: list[str] = []
    for char in text:
        lower = char.lower()
        if char.isalpha() or unicodedata.category(char)[0] == "M":
            out.append(lower if len(lower) == 1 else char)
        elif out and out[-1] != " ":
            out.append(" ")
    return "".join(out)


def cost(text: str, languages: Iterable[str]) -> float:
    """Return the cost of a text in nats, in the language that fits it best.

    Parameters
    ----------
    text : str
        A few thousand characters; time grows with it.
    languages : iterable of str
        Names in the table: those that an encoding is made for.

    Returns
    -------
    float
        To be compared with the cost of another reading of the same bytes.
    """
    beyond: dict[tuple[str, str], int] = {}
    within: dict[tuple[str, str], int] = {}
    spaced = f" {text} "
    for pair, n in Counter(pairwise(spaced)).items():
        (within if pair[0] < "\x80" and pair[1] < "\x80" else beyond)[pair] = n
    plain = sum(within.values())
    controls = sum(n for (_, char), n in within.items() if char < " " and char not in "\t\n\r\f\x1b")
    words = frozenset((pair, n) for pair, n in within.items() if pair[0].isalpha() or pair[1].isalpha())
    fits = _ascii_fits(words)  # the same for most readings of the same bytes
    met = frozenset(char.lower() for pair in beyond for char in pair if char >= "\x80")
    likely = sorted(languages, key=lambda name: fits.get(name, 0.0))
    first = min(likely, key=lambda name: fits.get(name, _MOST_ASCII))
    likely = [name for name in likely if name == first or not met.isdisjoint(_beyond_ascii(name))]
    size = sum(n for _, n in words)
    latin = [name for name in likely if name in fits][: _LIKELY if size >= _ENOUGH else None]
    other = min(0.3 * size, _MOST_ASCII)
    least = min(
        _beyond(beyond, name) + fits.get(name, other) for name in likely if name not in fits or name in latin
    )
    return least + ASCII * plain + _CONTROL * controls


def _beyond(counts: Mapping[tuple[str, str], int], language: str) -> float:
    table = _table()[language]
    if isinstance(table, _Letters):
        total = sum(n * _letter_cost(first, second, language) for (first, second), n in counts.items())
        if table.latin:
            return total
    else:
        total = sum(n * _sign_cost(second, table, language) for (_, second), n in counts.items())
    return total + _ALONE * _alone(counts)


def _alone(counts: Mapping[tuple[str, str], int]) -> int:
    """Return how many letters of another script than Latin lack a neighbour, if they mostly do."""
    size = begun = 0
    for (first, second), n in counts.items():
        if second >= "\x80" and _letter(second):
            size += n
            if first < "\x80" or not _letter(first):
                begun += n
    return max(0, 2 * begun - size)


@lru_cache(maxsize=1 << 17)
def _letter_cost(first: str, second: str, language: str) -> float:
    table = _table()[language]
    assert isinstance(table, _Letters)
    before, char = first.lower(), second.lower()
    row = table.place.get(before, 0) * len(table.place)
    if second < "\x80":
        if before not in table.place or not row:
            return ASCII + (_touching(first, second) if first >= "\x80" else 0)
        if second.isalpha() and not table.latin:
            return ASCII + _BESIDE_LATIN
        return table.costs[row + table.place.get(char, 0)] / 16
    if not _letter(second):
        return _sign(second) + _touching(second, first)
    extra = _touching(first, second) if first >= "\x80" and not _letter(first) else 0.0
    if second.isupper() and not first.isupper():
        extra = _CAPITAL_INSIDE if first.islower() else 1.0
    if not table.latin and first < "\x80" and first.isalpha():
        extra += _BESIDE_LATIN
    if char in table.place:
        return table.costs[row + table.place[char]] / 16 + extra
    return extra + (_UNKNOWN_LETTER if table.latin and _latin(second) else _FOREIGN_SCRIPT)


def _sign_cost(second: str, table: dict[str, float], language: str) -> float:
    if second < "\x80":
        return ASCII
    known = table.get(second)
    if known is not None:
        return known
    if second in _common(language):
        return 10.0
    return 12.5 if _letter(second) else _sign(second) + 2.0


def _touching(sign: str, letter: str) -> float:
    """Return what it costs that a sign touches a letter: within words few do."""
    return 0.0 if sign in _WITHIN or not _letter(letter) else 1.5


@cache
def _sign(char: str) -> float:
    if char in _QUOTES:
        return _TYPOGRAPHIC
    if char in _SIGNS:
        return _SIGN
    if char == "\ufffd" or unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs"):
        return BROKEN
    return _ODD_SIGN


@cache
def _letter(char: str) -> bool:
    return (char.isalpha() or unicodedata.category(char)[0] == "M") and char not in _SIGNS


@cache
def _latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("LATIN", "COMBINING"))


@lru_cache(maxsize=8)
def _ascii_fits(words: frozenset[tuple[tuple[str, str], int]]) -> dict[str, float]:
    """Return what each language of Latin letters costs by the ASCII part, above the one that fits best."""
    size = sum(n for _, n in words)
    costs = {}
    for name, table in _table().items():
        if isinstance(table, _Letters) and table.latin:
            place, wide = table.place, len(table.place)
            costs[name] = sum(
                n * table.costs[place.get(first, 0) * wide + place.get(second, 0)]
                for (first, second), n in ((tuple(map(str.lower, pair)), n) for pair, n in words)
            ) / (16 * max(1, size))
    best = min(costs.values())
    return {name: min((spent - best) * min(size, 40), _MOST_ASCII) for name, spent in costs.items()}


@cache
def _table() -> dict[str, _Letters | dict[str, float]]:
    out: dict[str, _Letters | dict[str, float]] = {}
    for name, row in json.loads(TABLE.read_text(encoding="utf-8")).items():
        costs = base64.b64decode(row["costs"])
        if "letters" in row:
            place = {char: number for number, char in enumerate(row["letters"])}
            out[name] = _Letters(place, costs, "e" in place)
        else:
            out[name] = {char: number / 16 for char, number in zip(row["signs"], costs, strict=True)}
    return out


@cache
def _beyond_ascii(language: str) -> frozenset[str]:
    table = _table()[language]
    chars = table.place if isinstance(table, _Letters) else table
    return frozenset(char for char in chars if char >= "\x80")


#: The rows of a national character set that hold the characters in everyday use.
_LEVELS = {
    "zh": ("gb2312", 0xB0, 0xD7), "zht": ("big5", 0xA4, 0xC6), "ja": ("euc_jp", 0xB0, 0xCF),
    "ko": ("euc_kr", 0xB0, 0xC8),
}  # fmt: skip


@cache
def _common(language: str) -> frozenset[str]:
    """Return the everyday characters of a language, by its national character set."""
    codec, first, last = _LEVELS[language]
    rows = (bytes((lead, trail)) for lead in range(first, last + 1) for trail in range(0x40, 0xFF))
    return frozenset("".join(pair.decode(codec, "ignore") for pair in rows))


def languages() -> tuple[str, ...]:
    """Return the names of all languages in the table."""
    return tuple(_table())
