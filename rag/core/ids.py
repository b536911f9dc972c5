"""Ids of questions, answers and items: nobody can guess them, and they sort by time."""

from __future__ import annotations

import secrets
import time

#: Crockford's base 32 (https://www.crockford.com/base32.html), in lower case: its order is that of ASCII.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
#: Characters of an id that say when it was made: 50 bits of milliseconds since 1970.
_TIME = 10


def new_id(at: float | None = None) -> str:
    """Return an id that nobody can guess, and that sorts by time (as a ULID, github.com/ulid/spec)."""
    number = secrets.randbits(80)
    return begins_at(time.time() if at is None else at) + _base32(number, 16)


def begins_at(at: float) -> str:
    """Return the beginning of the ids that are made at a moment; those that are made later sort behind it.

    Examples
    --------
    >>> begins_at(1.0), begins_at(1.0) < begins_at(1.002)
    ('00000000z8', True)
    """
    return _base32(max(int(at * 1000), 0), _TIME)


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[(number >> (5 * at)) & 31] for at in reversed(range(digits)))
