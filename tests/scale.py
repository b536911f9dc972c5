"""How much of a long test is run: a little in `make test`, all of it in `make soak`."""

from __future__ import annotations

SOAK = False


def scale(short: int, long: int) -> int:
    """Return the number for this run (``--soak`` asks for the long one)."""
    return long if SOAK else short
