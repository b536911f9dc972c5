"""Dates and times of spreadsheets: days since 1900 or 1904, by the codes of a number format."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import NamedTuple

_MONTHS = ("January February March April May June July August September October November December").split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
#: Months and days, Monday first, by the language of a format's locale: the low ten bits of its number
#: (MS-LCID), or its tag's first part.
_NAMES = {
    "de": ("Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
           "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"),
    "fr": ("janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
           "lundi mardi mercredi jeudi vendredi samedi dimanche"),
    "es": ("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
           "lunes martes miércoles jueves viernes sábado domingo"),
    "it": ("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
           "lunedì martedì mercoledì giovedì venerdì sabato domenica"),
    "nl": ("januari februari maart april mei juni juli augustus september oktober november december",
           "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"),
    "pt": ("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
           "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo"),
}  # fmt: skip
_LANGUAGES = {0x07: "de", 0x0C: "fr", 0x0A: "es", 0x10: "it", 0x13: "nl", 0x16: "pt"}
#: Days after 9999-12-31, which no format shows.
_LAST = 2_958_466
#: Japanese eras: their first day, short name, and name.
_ERAS = (
    (dt.date(2019, 5, 1), "R", "令和"), (dt.date(1989, 1, 8), "H", "平成"),
    (dt.date(1926, 12, 25), "S", "昭和"), (dt.date(1912, 7, 30), "T", "大正"),
    (dt.date(1868, 1, 25), "M", "明治"),
)  # fmt: skip
#: Between the two systems lie 1,462 days.
_FROM_1904 = 1462


class _Day(NamedTuple):
    year: int
    month: int
    day: int
    weekday: int


def date_text(
    serial: float,
    tokens: Sequence[tuple[str, str]],
    *,
    since_1904: bool = False,
    system: str = "",
    locale: str = "",
) -> str | None:
    """Return a day and time in the form of a format's tokens; None if it lies after the year 9999.

    Parameters
    ----------
    serial : float
        Days and their fraction.
    tokens : sequence of (str, str)
        Kind and text, as `rag.loading.formats.number_format` reads them.
    system : str
        ``"date"`` or ``"time"`` where the format is the machine's own: ISO 8601 here.
    locale : str
        Of the format, for names of months and days: ``"407"`` or ``"de-DE"``. English where unknown.
    """
    if serial + _FROM_1904 >= _LAST:
        return None
    if system:
        tokens = [("date", "yyyy"), ("quoted", "-"), ("date", "mm"), ("quoted", "-"), ("date", "dd")] if (
            system == "date"
        ) else [("date", "h"), ("quoted", ":"), ("date", "mm"), ("quoted", ":"), ("date", "ss")]  # fmt: skip
    kinds = _kinds(tokens)
    places = max((len(text) for kind, text in kinds if kind == "subsecond"), default=0)
    exact = Decimal(repr(serial)) * 86_400
    seconds_shown = any(kind in ("second", "elapsed s") for kind, _ in kinds)
    exact = exact.quantize(Decimal("0.001"), ROUND_HALF_UP)  # the noise of binary fractions
    step = Decimal(1).scaleb(-places)
    exact = exact.quantize(step, ROUND_HALF_UP if seconds_shown else ROUND_FLOOR)
    whole = int(exact)
    days, clock = divmod(whole, 86_400)
    hour, minute, second = clock // 3600, clock // 60 % 60, clock % 60
    day = _day(days + (_FROM_1904 if since_1904 else 0))
    half = any(kind == "half" for kind, _ in kinds)
    era = any(kind == "date" and text[0] == "g" for kind, text in kinds)
    names = _names(locale)
    out = []
    for kind, text in kinds:
        if kind == "quoted":
            out.append(text)
        elif kind == "hour":
            shown = (hour % 12 or 12) if half else hour
            out.append(f"{shown:0{min(len(text), 2)}}")
        elif kind == "minute":
            out.append(f"{minute:0{min(len(text), 2)}}")
        elif kind == "second":
            out.append(f"{second:0{min(len(text), 2)}}")
        elif kind == "subsecond":
            out.append("." + f"{exact % 1:.{places}f}"[2:])
        elif kind.startswith("elapsed"):
            size = {"h": whole // 3600, "m": whole // 60, "s": whole}[kind[-1]]
            out.append(f"{size:0{len(text)}}")
        elif kind == "half":
            words = {"am/pm": ("AM", "PM"), "a/p": ("A", "P")}.get(text.lower(), ("上午", "下午"))
            out.append(words[hour >= 12])
        elif kind == "date":
            out.append(_date(text, day, era, names))
    return " ".join("".join(out).split())


def _day(serial: int) -> _Day:
    """Return a day by its number; 60 is the 29th of February 1900, which Excel has and the world had not."""
    weekday = (serial + 5) % 7
    if serial == 0:
        return _Day(1900, 1, 0, weekday)
    if serial == 60:
        return _Day(1900, 2, 29, weekday)
    date = dt.date(1899, 12, 31) + dt.timedelta(days=serial - (serial > 60))
    return _Day(date.year, date.month, date.day, weekday)


def _kinds(tokens: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Tell minutes from months, and the fractions of seconds."""
    out: list[tuple[str, str]] = []
    for at, (kind, text) in enumerate(tokens):
        if kind == "elapsed":
            out.append((f"elapsed {text[0]}", text))
        elif kind == "date" and text[0] == "h":
            out.append(("hour", text))
        elif kind == "date" and text[0] == "s":
            out.append(("second", text))
        elif kind == "date" and text[0] == "m" and len(text) < 3 and _is_minute(tokens, at):
            out.append(("minute", text))
        elif kind == "digit":
            if out and out[-1][0] == "subsecond":
                out[-1] = ("subsecond", out[-1][1] + text)
            elif (
                out and out[-1] == ("quoted", ".") and len(out) > 1 and out[-2][0] in ("second", "elapsed s")
            ):
                out[-1] = ("subsecond", text)
        elif kind in ("date", "half"):
            out.append((kind, text))
        elif text != "@":
            out.append(("quoted", text))
    return out


def _is_minute(tokens: Sequence[tuple[str, str]], at: int) -> bool:
    """Tell whether an ``m`` comes behind hours or before seconds."""
    parts = ("date", "elapsed")
    before = next((text for kind, text in reversed(tokens[:at]) if kind in parts), "")
    after = next((text for kind, text in tokens[at + 1 :] if kind in parts), "")
    return before[:1] == "h" or after[:1] == "s"


def _names(locale: str) -> tuple[list[str], list[str]]:
    language = locale[:2].lower()
    if language not in _NAMES:
        try:
            language = _LANGUAGES.get(int(locale, 16) & 0x3FF, "")
        except ValueError:
            language = ""
    months, days = _NAMES.get(language, ("", ""))
    return (months.split(), days.split()) if months else (_MONTHS, _DAYS)


def _date(text: str, day: _Day, era: bool, names: tuple[list[str], list[str]]) -> str:
    letter, size = text[0], len(text)
    if letter == "y":
        return f"{day.year % 100:02}" if size < 3 else f"{day.year:04}"
    if letter == "b":
        return f"{(day.year + 543) % 100:02}" if size < 3 else f"{day.year + 543:04}"
    if letter in "eg":
        date = dt.date(day.year, day.month, min(max(day.day, 1), 28 if day.month == 2 else 30))
        first, short, name = next((each for each in _ERAS if date >= each[0]), _ERAS[-1])
        if letter == "g":
            return short if size == 1 else name[0] if size == 2 else name
        return f"{day.year - first.year + 1:0{size}}" if era else f"{day.year:04}"
    if letter == "m":
        name = names[0][day.month - 1]
        return {1: str(day.month), 2: f"{day.month:02}", 3: name[:3], 5: name[0]}.get(size, name)
    name = names[1][day.weekday]
    return {1: str(day.day), 2: f"{day.day:02}", 3: name[:3]}.get(size, name)
