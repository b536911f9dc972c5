"""Amounts and texts as people read them."""

from __future__ import annotations

import datetime as dt


def dollars(usd: float) -> str:
    """Return an amount for people.

    Examples
    --------
    >>> dollars(12.5), dollars(0.0123), dollars(0.00000002)
    ('$12.50', '$0.0123', 'under $0.0001')
    """
    if 0 < usd < 0.00005:
        return "under $0.0001"
    return f"${usd:,.2f}" if usd >= 10 else f"${usd:.4f}"


def age_text(seconds: float) -> str:
    """Return an age for people, in its largest whole unit.

    Examples
    --------
    >>> age_text(0.4), age_text(200), age_text(7300), age_text(200_000)
    ('0 s', '3 min', '2 h', '2 days')
    """
    for size, unit in ((172_800, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // (86_400 if unit == 'days' else size))} {unit}"
    return f"{int(max(seconds, 0))} s"


def shortened(text: str, most: int) -> str:
    r"""Return a text on one line, cut to at most so many characters.

    Examples
    --------
    >>> shortened("Ask the on-call\nengineer.", 16)
    'Ask the on-call…'
    """
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def utc_text(at: float) -> str:
    """Return a moment, in seconds since 1970, for people.

    Examples
    --------
    >>> utc_text(1_795_615_380.4)
    '2026-11-25 14:03 UTC'
    """
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M} UTC"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "chunk"), counted(2358, "chunk"), counted(2, "query", "queries")
    ('1 chunk', '2,358 chunks', '2 queries')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def bytes_text(count: int) -> str:
    """Return a size for people, in units of 1,000.

    Examples
    --------
    >>> bytes_text(1), bytes_text(999), bytes_text(12_345), bytes_text(7_300_000)
    ('1 byte', '999 bytes', '12.3 kB', '7.3 MB')
    """
    if count < 1000:
        return counted(count, "byte")
    size, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a duration for people.

    Examples
    --------
    >>> seconds_text(0.0004), seconds_text(0.012), seconds_text(3.44), seconds_text(125), seconds_text(7500)
    ('under 1 ms', '12 ms', '3.4 s', '2 min 5 s', '2 h 5 min')
    """
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.001 or not seconds else "under 1 ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
