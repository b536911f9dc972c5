"""How much of a long test is run: a little in `make test`, all of it in `make soak`."""

from __future__ import annotations

from typing import TypeVar

SOAK = False
T = TypeVar("T")


def scale(short: T, long: T) -> T:
    """Return the value for this run (``--soak`` asks for the long one)."""
    return long if SOAK else short
