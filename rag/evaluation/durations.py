"""Read the lengths of time in a text, so that ``72 hours`` and ``three days`` are one.

Seconds to weeks are one kind, months to years the other: no month is a fixed number of days.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from rag.core.quantities import figures
from rag.core.text import words

#: Seconds of the units of the one kind, and months of those of the other.
_SECONDS = {
    "second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "h": 3600, "day": 86_400,
    "week": 604_800, "wk": 604_800, "fortnight": 1_209_600,
}  # fmt: skip
_MONTHS = {"month": 1, "quarter": 3, "year": 12, "yr": 12}
_ADVERBS = {
    "hourly": "hour", "daily": "day", "weekly": "week", "fortnightly": "fortnight", "monthly": "month",
    "quarterly": "quarter", "yearly": "year", "annual": "year", "annually": "year",
}  # fmt: skip
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
_NAMES = "second|minute|hour|day|week|fortnight|month|quarter|year"
# "a day" is a length after these words; after others it is a rate, as in "EUR 70 a day".
_ONE = re.compile(
    r"\b(?:(?:within|after|for|in|once|than|least|most|of|is|be|to|under|over|about|lasts?|takes?)\s+an?"
    rf"|every|each|half\s+an?)\s+(?P<unit>{_NAMES})\b",
    re.IGNORECASE,
)
_ADVERB = re.compile(rf"\b(?:{'|'.join(_ADVERBS)})\b", re.IGNORECASE)


class Length(NamedTuple):
    """A length of time.

    Attributes
    ----------
    size : Decimal
        In seconds, or months.
    months : bool
        Which of both.
    """

    size: Decimal
    months: bool


def unit_length(word: str) -> Length | None:
    """Return the length of a unit of time; None for another word.

    Examples
    --------
    >>> unit_length("hours")
    Length(size=Decimal('3600'), months=False)
    """
    name = word.strip().casefold()
    for form in (name, name.removesuffix("s")):
        if form in _SECONDS:
            return Length(Decimal(_SECONDS[form]), False)
        if form in _MONTHS:
            return Length(Decimal(_MONTHS[form]), True)
    return None


def lengths(text: str) -> Iterator[Length]:
    """Yield the lengths of time that a text states, working days apart.

    Examples
    --------
    >>> [int(each.size) for each in lengths("Within 2 days, at most half an hour; reviewed annually.")]
    [172800, 1800, 12]
    """
    for figure in figures(text):
        unit = _unit_after(text[figure.end :])
        for form in figure.offers if unit else ():
            if unit and _PLAIN.fullmatch(form):
                yield Length(unit.size * Decimal(form), unit.months)
    for match in _ONE.finditer(text):
        unit = unit_length(match["unit"])
        if unit:
            half = match[0][:4].casefold() == "half"
            yield Length(unit.size / 2 if half else unit.size, unit.months)
    for match in _ADVERB.finditer(text):
        unit = unit_length(_ADVERBS[match[0].casefold()])
        if unit:
            yield unit


def _unit_after(text: str) -> Length | None:
    """Return the unit of time among the first words after a number."""
    for word in words(re.match(r"[^\d.,;:!?()]*", text)[0])[:3]:  # type: ignore[index]
        if word in ("working", "business"):
            return None
        unit = unit_length(word)
        if unit is not None:
            return unit
    return None
