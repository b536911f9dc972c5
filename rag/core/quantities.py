"""Read the numbers of a text in a form in which two spellings of one number are equal.

``1,000``, ``1000`` and ``a thousand`` are one number; so are ``25th`` and ``25``, ``5 %`` and ``five
percent``, ``2024-03-01`` and ``1 March 2024``. ``5 %``, ``$5`` and ``€5`` are three numbers. A version, a
time of day and a name with digits in it (``S3``, ``SEV-1``) equal only themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a text.

    Attributes
    ----------
    start, end : int
        Its offsets in the text, in characters, end exclusive.
    needs : frozenset of str
        Forms of which a source must contain one to support it; empty if it claims nothing ("one", the
        number of a list item).
    offers : frozenset of str
        Forms that it supports, if it stands in a source.
    """

    start: int
    end: int
    needs: frozenset[str]
    offers: frozenset[str]


def figures(text: str) -> list[Figure]:
    """Return the numbers of a text, in order.

    Examples
    --------
    >>> [sorted(figure.needs) for figure in figures("Pay 1,000 euros by the 25th, in v2.10.")]
    [['¤1000', '€1000'], ['25'], ['v2.10']]
    """
    if not _NUMERIC.search(text):  # most sentences: the long pattern would take ten times as long
        return []
    item = _ITEM.match(text)
    marker = item.end() if item else 0
    out: list[Figure] = []
    before: re.Match[str] | None = None
    for match in _FIGURE.finditer(text):
        if before is not None and before["number"] and match["number"]:
            out += _shared_unit(text, before, match, out)
        read = list(_read(match))
        out += [replace(figure, needs=frozenset()) for figure in read] if match.end() <= marker else read
        before = match
    return out


def missing(claim: str, sources: Iterable[str]) -> list[Figure]:
    """Return the numbers of a claim that none of its sources contains.

    Examples
    --------
    >>> claim = "28 days, or 30 in Spain"
    >>> [claim[figure.start : figure.end] for figure in missing(claim, ["twenty-eight days"])]
    ['30']
    """
    offered = {form for source in sources for figure in _known(source) for form in figure.offers}
    return [figure for figure in _known(claim) if figure.needs and not figure.needs & offered]


@lru_cache(maxsize=512)  # an answer's few sentences and quotes are read again and again
def _known(text: str) -> tuple[Figure, ...]:
    return tuple(figures(text))


_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = {**{w: n for n, w in enumerate(_SMALL)}, **{w: 10 * n for n, w in enumerate(_TENS, 2)}}
_SCALES = {
    "hundred": 100, "thousand": 1000, "k": 1000, "million": 10**6, "m": 10**6, "billion": 10**9,
    "bn": 10**9, "trillion": 10**12,
}  # fmt: skip
# Words that claim no number ("one of them", "the first"), though in a source they state one.
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_CURRENCIES = {
    "$": "$", "usd": "$", "dollar": "$", "dollars": "$", "€": "€", "eur": "€", "euro": "€", "euros": "€",
    "£": "£", "gbp": "£", "pound": "£", "pounds": "£", "¥": "¥", "jpy": "¥", "yen": "¥", "chf": "chf",
}  # fmt: skip
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b"
)
_FREE = r"(?<![^\W_])"  # no letter or digit stands directly before a number
_TH = r"(?:st|nd|rd|th)?"
_ITEM = re.compile(r"\s*(?:[-*+•◦▪–]\s+)?\(?\d{1,3}[.)](?=\s)")
# A range: the second number's unit, or the first one's currency, belongs to both.
_RANGE = re.compile(r"\s*(?:-|–|—|to|and|or)\s*")
_FIGURE = re.compile(
    rf"(?P<iso>{_FREE}\d{{4}}-\d\d-\d\d(?!\d))"
    rf"|(?P<day>{_FREE}\d{{1,2}}{_TH}(?:\ of)?\.?\ (?P<month>{_MONTH}))"
    rf"|(?P<day2>(?P<month2>\b{_MONTH})\.?\ (?P<in2>\d{{1,2}}){_TH}(?![\d:%]))"
    rf"|(?P<version>{_FREE}(?:[vV]\.?\ ?|(?i:version|release)\ )\d+(?:\.\d+)*|{_FREE}\d+(?:\.\d+){{2,}})"
    rf"|(?P<whole>{_FREE}\d{{1,4}}(?:(?::\d\d)+|(?:/\d{{1,4}})+)(?!\d))"
    rf"|(?P<name>{_FREE}(?:[^\W\d_]+\d[^\W_]*"
    r"|(?!USD|EUR|GBP|JPY|CHF)[A-Z]{2,}(?:(?:-\d+)+|\ \d+)(?!%|[.,:/]?\d)))"
    r"|(?P<number>"
    rf"(?P<sign>(?<![\w.)])[-−](?=[$€£¥\d]))?(?:(?P<before>[$€£¥]|\b(?:USD|EUR|GBP|JPY|CHF))\s?)?"
    rf"{_FREE}(?:(?P<digits>\d{{1,3}}(?:[,'’\u00a0\u2009\u202f]\d{{3}})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?)"
    rf"|(?P<word>(?i:(?:{'|'.join(_TENS)})(?:[-\ ](?:{'|'.join(_SMALL[1:10])}))?|{'|'.join(_SMALL)}"
    rf"|{'|'.join(_ORDINALS)}|a(?=\ (?:hundred|thousand|million|billion|trillion)\b))\b))"
    r"(?P<scale>(?i:\s?(?:hundred|thousand|million|billion|trillion))\b|(?:[kKM]|bn)\b)?"
    r"(?:\s?(?P<after>%|(?i:per\s?cent|percentage\ points?)\b|[€$£¥]"
    r"|(?i:USD|EUR|GBP|JPY|CHF|dollars?|euros?|pounds?|yen)\b))?)"
)


#: Every number contains or begins with one of these.
_NUMERIC = re.compile(
    rf"\d|\b(?:{'|'.join([*_TENS, *_SMALL, *_ORDINALS])}|a (?:hundred|thousand|million|billion|trillion))",
    re.IGNORECASE,
)


def _read(match: re.Match[str]) -> Iterator[Figure]:
    start, end = match.span()
    if match["iso"]:
        year, month, day = match["iso"].split("-")
        yield _figure(start, end, {year})
        yield _figure(start, end, {f"{month}-{day}"}, {str(int(day))})
    elif match["day"] or match["day2"]:
        month = _MONTHS.index((match["month"] or match["month2"])[:3]) + 1
        day_of = re.search(r"\d+", match["in2"] or match["day"])
        number = int(day_of[0]) if day_of else 0
        yield _figure(start, end, {f"{month:02}-{number:02}"}, {str(number)})
    elif match["version"]:
        bare = re.sub(r"^\D+", "", match["version"])
        plain = {_plain(bare)} if bare.count(".") < 2 else ()
        yield _figure(start, end, {f"v{_release(bare)}"}, plain)
    elif match["whole"]:
        years = [part for part in match["whole"].split("/") if len(part) == 4]
        yield _figure(start, end, {match["whole"]}, years)
    elif match["name"]:
        parts = re.split(r"[- ]", match["name"].lower())
        name, apart = "".join(parts), parts[1:]  # "ISO 27001" may be no name: then its number is enough
        yield Figure(
            start, end, frozenset({name, *(apart if " " in match["name"] else ())}),
            frozenset({name, *apart}),
        )  # fmt: skip
    else:
        yield _number(match, _unit(match))


def _number(match: re.Match[str], unit: str) -> Figure:
    sign = "-" if match["sign"] else ""
    value = f"{sign}{_value(match)}"
    start, end = match.span()
    if unit == "%":
        return _figure(start, end, {f"{value}%"}, {f"{value.lstrip('-')}%"})
    word = (match["word"] or "").lower()
    if word in ("one", *_ORDINALS) and not match["scale"]:
        return Figure(start, end, frozenset(), frozenset({value, f"¤{value}"}))
    if unit:  # a source without a currency contradicts none
        money = f"{unit}{value}"
        return Figure(start, end, frozenset({money, f"¤{value}"}), frozenset({money, value}))
    size = value.lstrip("-")
    return _figure(start, end, {value}, {size, f"¤{size}", f"v{_release(match['digits'] or size)}"})


def _value(match: re.Match[str]) -> str:
    if match["digits"]:
        number = Decimal(re.sub(r"[,'’\s]", "", match["digits"]))
    else:
        word = match["word"].lower()
        parts = re.split(r"[- ]", word)
        ordinal = _ORDINALS.index(word) + 1 if word in _ORDINALS else 0
        number = Decimal(ordinal or sum(_WORDS.get(part, 1) for part in parts))
    if match["scale"]:  # a product is rounded to 28 digits; a number alone keeps all of its digits
        number *= _SCALES[match["scale"].strip().lower()]
    return _plain(number)


def _unit(match: re.Match[str]) -> str:
    unit = (match["before"] or match["after"] or "").lower()
    return "%" if unit.startswith(("%", "per")) else _CURRENCIES.get(unit, "")


def _shared_unit(
    text: str, first: re.Match[str], second: re.Match[str], before: list[Figure]
) -> Iterator[Figure]:
    """Let the ends of a range share a unit; removes the first end's figure from `before` if it changes."""
    if not _RANGE.fullmatch(text, first.end(), second.start()):
        return
    unit = _unit(second)
    if unit and not _unit(first) and (unit == "%" or second["after"]):
        before.pop()
        yield _number(first, unit)


def _plain(number: Decimal | str) -> str:
    """Write a number without insignificant zeros."""
    written = f"{Decimal(number):f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _release(version: str) -> str:
    """Return a version without a last ``.0``: 3.0 equals 3, but 2.10 is not 2.1."""
    return version.removesuffix(".0")


def _figure(start: int, end: int, needs: Iterable[str], offers: Iterable[str] = ()) -> Figure:
    """Return a figure that offers all forms that it needs, and more."""
    return Figure(start, end, frozenset(needs), frozenset((*needs, *offers)))
