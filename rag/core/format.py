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
