"""Values of NumPy and pandas as Python's own, exactly; values as messages show them."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np

_OWN = frozenset({str, int, float, bool, type(None), list, tuple, dict, dt.date, dt.datetime})


def plain(value: Any) -> Any:
    """Return a scalar of NumPy, pandas, or a subclass as the Python value that equals it.

    What is no scalar, or none of Python's numbers, strings, booleans and dates, is returned as it is.

    Raises
    ------
    ValueError
        No Python value equals it: ``NaT``, a time finer than microseconds or outside the years 1 to 9999,
        a float with more than 64 bits.

    Examples
    --------
    >>> plain(np.int64(2024)), plain(np.bool_(True)), plain(np.datetime64("2024-01-31"))
    (2024, True, datetime.date(2024, 1, 31))
    """
    if type(value) in _OWN:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.datetime64):
        return _of_datetime64(value)
    if isinstance(value, dt.datetime):
        return _of_datetime(value)
    if isinstance(value, dt.date):
        return dt.date(value.year, value.month, value.day)
    if isinstance(value, str):
        return str.__str__(value)  # not that of an enumeration's member, which is its name
    # A timedelta64 is among NumPy's integers, and no number.
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if number != value and not math.isnan(number):
            raise ValueError("has more digits than a float of 64 bits")
        return number
    return value


def _of_datetime(value: dt.datetime) -> dt.datetime:
    try:
        moment = dt.datetime(
            value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond,
            value.tzinfo, fold=value.fold,
        )  # fmt: skip
    except (TypeError, ValueError):  # pandas' NaT is a datetime, too
        raise ValueError("is no moment") from None
    if moment != value:
        raise ValueError("is finer than microseconds")
    return moment


def _of_datetime64(value: np.datetime64) -> dt.date:
    if np.isnat(value):
        raise ValueError("is no moment")
    exact = value.astype("datetime64[us]")
    moment = exact.item()
    if not isinstance(moment, dt.datetime):
        raise ValueError("is outside the years 1 to 9999")
    if exact != value:
        raise ValueError("is finer than microseconds")
    return moment.date() if np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D") else moment


def shown(value: Any) -> str:
    """Print a value for a message: on one line, of at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a huge number, or an object whose repr fails
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:79] + "…"


def storable(text: str) -> bool:
    """Whether UTF-8 can hold a text; it cannot hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
