"""Values of NumPy and pandas become the Python values they equal; arguments of a wrong type are named."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import numpy as np
import pytest

from rag.core.arguments import real, strings, text, whole
from rag.core.errors import UsageError
from rag.core.values import plain, shown

UTC = dt.UTC


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Moment(dt.datetime):
    """As pandas' Timestamp, which is a datetime, too."""


class Unknown(dt.datetime):
    """As pandas' NaT, which is a datetime whose year is NaN."""

    @property
    def year(self) -> Any:  # type: ignore[override]
        return float("nan")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(2**63 - 1), 2**63 - 1), (np.uint64(2**64 - 1), 2**64 - 1), (np.int8(-1), -1),
        (np.bool_(False), False), (np.float32(0.5), 0.5), (np.float64(1e300), 1e300), (np.str_("ä"), "ä"),
        (np.array(7), 7), (np.array("x"), "x"), (np.datetime64("2024-01-31"), dt.date(2024, 1, 31)),
        (np.datetime64("2024-01"), dt.date(2024, 1, 1)),
        (np.datetime64("2024-01-31T10:00:00.000001"), dt.datetime(2024, 1, 31, 10, 0, 0, 1)),
        (np.datetime64("2024-01-31T10:00", "ns"), dt.datetime(2024, 1, 31, 10)),
        (Colour.RED, "red"), (Level.HIGH, 3), (Moment(2024, 1, 31, tzinfo=UTC), dt.datetime(2024, 1, 31, tzinfo=UTC)),
        (2**70, 2**70), (None, None), ((1, 2), (1, 2)),
    ],
)  # fmt: skip
def test_plain_equals_and_is_pythons_own_type(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.datetime64("NaT"), "no moment"), (Unknown(2024, 1, 1), "no moment"),
        (np.datetime64("2024-01-31T10:00:00.000000001"), "finer than microseconds"),
        (np.datetime64("20000-01-01"), "outside the years"),
        (np.longdouble(1) + np.finfo(np.longdouble).eps, "more digits"),
    ],
)  # fmt: skip
def test_what_no_python_value_equals_is_refused(value: Any, message: str) -> None:
    if message == "more digits" and float(value) == value:
        pytest.skip("a long double has 64 bits on this machine")
    with pytest.raises(ValueError, match=message):
        plain(value)


def test_what_is_no_scalar_stays_as_it_is() -> None:
    for value in (np.array([1, 2]), np.timedelta64(1, "D"), 1j, b"x", object()):
        assert plain(value) is value


@pytest.mark.parametrize(
    "wrong", [None, "3", 1.5, True, np.bool_(True), 0, -1, [1], np.float64(3), float("nan")]
)
def test_whole_numbers(wrong: Any) -> None:
    assert (whole("k", 3), whole("k", np.int32(3)), whole("k", 0, 0)) == (3, 3, 0)
    with pytest.raises(UsageError, match=r"^k is .*: write a whole number of at least 1$"):
        whole("k", wrong)


@pytest.mark.parametrize("wrong", [None, "0.5", True, float("nan"), float("inf"), 2, -0.1, 10**400])
def test_finite_numbers(wrong: Any) -> None:
    assert (real("x", np.float32(0.5), 0, 1), real("x", -3)) == (0.5, -3.0)
    with pytest.raises(UsageError, match=r"^x is .*: write a number from 0 to 1$"):
        real("x", wrong, 0, 1)


@pytest.mark.parametrize("wrong", ["hello", b"x", None, 5, {"a": "b"}, ["a", None], ["a", 5], ["\ud800"]])
def test_one_string_is_no_list_of_letters(wrong: Any) -> None:
    assert strings("ids", ("a", np.str_("b"))) == ["a", "b"]
    with pytest.raises(UsageError, match=r"^ids(\[\d\])? is "):
        strings("ids", wrong)


def test_messages_stay_on_one_short_line() -> None:
    assert "\n" not in shown(np.zeros((50, 50)))
    assert len(shown("x" * 500)) == 80
    assert shown(10**5000) == "a int"
    with pytest.raises(UsageError, match="half of a surrogate pair"):
        text("query", "a\udc00")
