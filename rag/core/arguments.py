"""Check the arguments of public functions: what cannot be meant is one line that names the argument."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rag.core.errors import UsageError
from rag.core.values import shown, storable


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number, NumPy's too.

    Raises
    ------
    UsageError
        It is another type (a boolean, too) or under `least`; the message begins with `name`.
    """
    number = value.item() if isinstance(value, np.integer) else value
    if isinstance(number, int) and not isinstance(number, bool) and number >= least:
        return int(number)
    raise UsageError(f"{name} is {shown(value)}: write a whole number of at least {least}")


def real(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number, NumPy's too.

    Raises
    ------
    UsageError
        It is another type (a boolean, too), not finite, or not from `least` to `most`.
    """
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and least <= number <= most:
            return number
    between = f" from {least:g} to {most:g}" if math.isfinite(most) else ""
    between = between or (f" of at least {least:g}" if math.isfinite(least) else "")
    raise UsageError(f"{name} is {shown(value)}: write a number{between}")


def text(name: str, value: Any) -> str:
    """Return a string, NumPy's too, that UTF-8 can hold.

    Raises
    ------
    UsageError
        It is another type, or holds half of a surrogate pair; the message begins with `name`.
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} is {shown(value)}: pass a string")
    if not storable(value):
        raise UsageError(f"{name} is {shown(value)}, with half of a surrogate pair: decode it correctly")
    return str.__str__(value)


def only_strings(name: str, values: Any) -> None:
    """Refuse anything but a list of strings, without a look at their characters.

    Raises
    ------
    UsageError
        It is one string (whose letters would be taken for many), no iterable, or holds something else.
    """
    for number, value in enumerate(_listed(name, values)):
        if not isinstance(value, str):
            raise UsageError(f"{name}[{number}] is {shown(value)}: pass a string")


def strings(name: str, values: Any) -> list[str]:
    """Return an iterable of strings as a list; `name` is the argument's, in the plural.

    Raises
    ------
    UsageError
        It is one string (whose letters would be taken for many), no iterable, or holds something else.
    """
    return [text(f"{name}[{number}]", value) for number, value in enumerate(_listed(name, values))]


def _listed(name: str, values: Any) -> Iterable[Any]:
    """Refuse one string, and what is no iterable."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"{name} is {shown(values)}: pass a list of strings")
    return values
