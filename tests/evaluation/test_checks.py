"""Checks of answers: values by hand, and properties of the measures of words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.answers import Answer
from rag.core.calls import Usage
from rag.core.citations import Citation, Support
from rag.core.passages import Context
from rag.evaluation.checks import Check, checks, containment, states, token_f1
from rag.evaluation.expected import Number
from rag.evaluation.golden_set import read

EMPTY = Answer(
    question="x", text="It is 28 days [1].", answered=True, citations=(), context=Context((), 0, 10, "chars"),
    usage=Usage(), trace=(), generator="", prompt="",
)  # fmt: skip


def cites(source: str, start: int = 0, end: int = 9, *, verified: bool = True) -> Citation:
    return Citation(1, source, start, end, "x", verified)


def checked(row: dict[str, Any], **answer: Any) -> dict[str, Check]:
    (question, _) = read(
        [{"id": 1, "question": "x", "answer": "28 days", **row}, {"id": 2, "question": "y", "gold": ["a"]}]
    )
    return {check.name: check for check in checks(question, replace(EMPTY, **answer))}


@pytest.mark.parametrize(
    ("row", "text", "name", "value", "detail"),
    [
        ({"must_include": ["28  DAYS", ["EUR", "€"]]}, "28 days.", "must_include", 0.5, "it lacks 'EUR' or '€'"),
        ({"must_include": ["28 days"]}, "It is 28\n[1] days", "must_include", 1.0, ""),
        ({"must_not_include": ["30", "spain"]}, "28, in Spain 30", "must_not_include", 0.0, "it says '30', 'spain'"),
        ({"regex": [r"\b2\d\b", "^no"]}, "It is 28.", "regex", 0.5, "no match of ['^no']"),
        ({"numbers": [28, {"value": 5, "unit": "%"}]}, "It is 28 and 5.", "numbers", 0.5, "it lacks 5 %"),
        ({"schema": {"type": "object", "required": ["days"]}}, '{"days": 28}', "schema", 1.0, ""),
        ({"schema": {"type": "object", "required": ["days"]}}, "{}", "schema", 0.0,
         "$: 'days' is a required property"),
        ({"schema": {"type": "object"}}, "28", "schema", 0.0, "$: 28 is not of type 'object'"),
    ],
)  # fmt: skip
def test_a_check_is_the_share_that_is_met(
    row: dict[str, Any], text: str, name: str, value: float, detail: str
) -> None:
    found = checked(row, text=text)
    assert (found[name].value, found[name].detail) == (value, detail)
    assert found["correct"].value == float(value == 1)


@pytest.mark.parametrize(
    ("answerable", "answered", "value"),
    [(True, True, 1), (True, False, 0), (False, False, 1), (False, True, 0)],
)
def test_answered_or_refused_rightly(answerable: bool, answered: bool, value: int) -> None:
    found = checked({"answerable": answerable, "numbers": [28]}, answered=answered)
    assert found["answered"].value == found["correct"].value == value
    if answerable and not answered:
        assert found["numbers"].value == found["f1"].value == 0
    if not answerable:
        assert set(found) == {"correct", "answered"}


def test_citations_count_by_what_should_be_cited() -> None:
    evidence = [{"source": "a.md", "start": 0, "end": 10}, {"source": "a.md", "start": 50, "end": 60}]
    citations = (
        cites("a.md", 9, 20),
        cites("a.md", 10, 50),
        cites("b.md"),
        cites("a.md", 50, 51, verified=False),
    )
    found = checked({"evidence": evidence}, citations=citations)
    assert found["cite_precision"].value == pytest.approx(1 / 3)
    assert found["cite_recall"].value == 0.5 and found["verified"].value == 0.75
    assert found["cite_precision"].detail == "it cites a.md:10-50, b.md:0-9"
    assert checked({"evidence": evidence, "cites": ["b.md"]}, citations=citations)["cite_recall"].value == 1
    assert checked({"gold": ["a.md", "c.md"]}, citations=citations)["cite_recall"].value == 0.5
    nothing = checked({"gold": ["a.md"]}, citations=())
    assert nothing["cite_recall"].value == 0 and "cite_precision" not in nothing and "verified" not in nothing


def test_support_is_a_share_of_sentences() -> None:
    assert checked({}, support=Support(0.5, ()))["supported"].value == 0.5
    assert "supported" not in checked({})


@pytest.mark.parametrize(
    ("text", "number", "value"),
    [
        ("It is 28 days.", {"value": 28, "unit": "days"}, True),
        ("It is 28 calendar days.", {"value": 28, "unit": "day"}, True),
        ("It is twenty-eight days.", {"value": 28, "unit": "days"}, True),
        ("It is 28 hours, 3 days.", {"value": 28, "unit": "days"}, False),
        ("It is 28.", {"value": 28, "unit": "days"}, False),
        ("EUR 1,000", {"value": 1000, "unit": "€"}, True),
        ("EUR 1,000", {"value": 1000, "unit": "euros"}, True),
        ("$1,000", {"value": 1000, "unit": "EUR"}, False),
        ("$1,000", {"value": 1000}, True),
        ("5 percent", {"value": 5, "unit": "%"}, True),
        ("5 percent", {"value": 5, "unit": "$"}, False),
        ("99.9 % uptime", {"value": 99.5, "unit": "%", "tolerance": 0.4}, True),
        ("99.9 % uptime", {"value": 99.5, "unit": "%", "tolerance": 0.3}, False),
        ("0.1", {"value": 0.3, "tolerance": 0.2}, True),
        ("2 million", {"value": 2_000_000}, True),
    ],
)  # fmt: skip
def test_a_number_is_stated_with_its_unit(text: str, number: dict[str, Any], value: bool) -> None:
    assert states(text, Number(**number)) is value


def test_words_in_common() -> None:
    assert token_f1("the 28 days", "28 Days!") == 1.0
    assert token_f1("a b c d", "b c e") == pytest.approx(2 * 2 / 6)  # "a" is an article
    assert token_f1("days days", "days") == pytest.approx(2 / 3)
    assert token_f1("x", "y") == token_f1("", "") == 0.0
    assert containment("EUR 2,500 gross", "2500 euros, gross, by card") == 1.0
    assert containment("EUR 2,500 gross", "2500 dollars, gross") == 0.5
    assert containment("28 days", "28 weeks") == 0.5


@given(st.text(max_size=60), st.text(max_size=60))
def test_measures_of_words_are_shares(gold: str, text: str) -> None:
    assert 0 <= token_f1(gold, text) <= 1 and 0 <= containment(gold, text) <= 1
    assert token_f1(gold, text) == token_f1(text, gold)
    assert containment(gold, gold) == float(bool(gold) and containment(gold, gold) > 0)
