"""Lengths of time in texts, as numbers of a golden set compare them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rag.evaluation.checks import said, states
from rag.evaluation.durations import lengths, unit_length
from rag.evaluation.expected import Expected, Number


@pytest.mark.parametrize(
    ("text", "value", "unit", "right"),
    [
        ("Every two years.", 24, "months", True),
        ("Reviewed annually.", 12, "months", True),
        ("Each quarter.", 3, "months", True),
        ("Within an hour.", 60, "minutes", True),
        ("Half an hour at most.", 30, "minutes", True),
        ("In a week.", 7, "days", True),
        ("A fortnight is too long, a week is not.", 14, "days", False),
        ("Within a fortnight.", 2, "weeks", True),
        ("3 days", 72, "hours", True),
        ("4h", 4, "hours", True),
        ("90 mins", 1.5, "hours", True),
        ("three working days", 72, "hours", False),
        ("three working days", 3, "days", True),
        ("EUR 70 a day", 24, "hours", False),
        ("4 weeks", 1, "months", False),
        ("72 hours", 3, "%", False),
        ("about 80 minutes", 1, "hours", False),
    ],
)
def test_as_long_a_time_in_another_unit_is_the_same_number(
    text: str, value: float, unit: str, right: bool
) -> None:
    assert states(text, Number(value=value, unit=unit)) is right


def test_a_tolerance_is_in_the_unit_of_the_number() -> None:
    assert states("about 80 minutes", Number(value=1, unit="hours", tolerance=0.5))
    assert not states("about 100 minutes", Number(value=1, unit="hours", tolerance=0.5))


def test_lengths_of_a_text() -> None:
    found = [(int(each.size), each.months) for each in lengths("Two days, then monthly, for half a year.")]
    assert found == [(172_800, False), (6, True), (1, True)]
    assert unit_length("working") is None
    assert unit_length("Hrs") == (Decimal(3600), False)


def test_a_pattern_matches_across_the_line_ends_of_a_quote() -> None:
    (check,) = said(Expected(regex=("incident commander",)), "Only the incident\ncommander may do so.")
    assert check.value == 1
    (check,) = said(Expected(regex=(r"first$\n^second",)), "first\nsecond")
    assert check.value == 0  # ^ and $ are those of the whole answer, as before
