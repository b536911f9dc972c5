"""Rules that choose a tier by what is known of a question."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import ConfigError
from rag.core.passages import Hit
from rag.generation.question import Question
from rag.generation.rules import When, first_match, rules_of

#: Nine words, two passages, the better one with the cosine 0.7.
QUESTION = Question(
    "Compare annual leave in Europe with that in America",
    [Hit("eu.md", 0, 2, "28", -1.5, dense=0.7), Hit("us.md", 0, 2, "22", 1.5, dense=0.4)],
    where="region == 'eu' and year >= 2024", tag="hr",
)  # fmt: skip


def asks_to_compare(question: Question) -> bool:
    return question.text.startswith("Compare")


def fails(question: Question) -> bool:
    raise KeyError("hr")


def _name(value: Any) -> str:
    """Name a case without the address of a function in it."""
    return re.sub(r"<function (\S+)[^>]*>", r"\1", str(value)).replace("<lambda>", "lambda")


@pytest.mark.parametrize(
    ("when", "matches"),
    [
        ({"question_words_below": 10}, True), ({"question_words_below": 9}, False),
        ({"question_words_at_least": 9}, True), ({"question_words_at_least": 10}, False),
        ({"passages_below": 3}, True), ({"passages_below": 2}, False),
        ({"passages_at_least": 2}, True), ({"passages_at_least": 3}, False),
        ({"best_score_below": 0.71}, True), ({"best_score_below": 0.7}, False),
        ({"best_score_at_least": 0.7}, True), ({"best_score_at_least": 0.71}, False),
        ({"where_has": "year"}, True), ({"where_has": ["year", "region"]}, True), ({"where_has": ["year", "status"]}, False),
        ({"tag": "hr"}, True), ({"tag": ["it", "hr"]}, True), ({"tag": "it"}, False),
        ({"matches": r"\bcompare\b.*\bwith\b"}, True), ({"matches": r"\bversus\b"}, False),
        ({"call": asks_to_compare}, True), ({"call": lambda question: 0}, False),
        ({"call": f"{__name__}:asks_to_compare"}, True),
        ({"tag": "hr", "question_words_below": 9}, False), ({"tag": "hr", "where_has": "year"}, True),
    ],
    ids=_name,
)  # fmt: skip
def test_a_condition_holds(when: dict[str, Any], matches: bool) -> None:
    """All conditions of a rule hold, or it does not match."""
    assert (first_match(rules_of([{"when": when, "tier": "small"}]), QUESTION) is not None) == matches


@pytest.mark.parametrize("when", [{"best_score_below": 9.0}, {"best_score_at_least": -9.0}], ids=str)
def test_without_passages_no_score_matches(when: dict[str, Any]) -> None:
    assert first_match(rules_of([{"when": when, "tier": "small"}]), Question("Who?")) is None


def test_the_first_rule_that_matches_counts() -> None:
    rules = rules_of([
        {"when": {"tag": "it"}, "tier": "small"},
        {"when": {"tag": "hr", "matches": "leave"}, "tier": "large"},
        {"when": {"question_words_below": 99}, "tier": "small"},
    ])  # fmt: skip
    assert first_match(rules, QUESTION) == ("large", "rule 2: tag = 'hr', matches = 'leave'")


@given(st.text(max_size=300), st.integers(1, 40))
def test_a_length_is_below_a_limit_or_at_least_that(text: str, limit: int) -> None:
    below = When(question_words_below=limit).fails(Question(text)) is None
    at_least = When(question_words_at_least=limit).fails(Question(text)) is None
    assert below != at_least


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"when": {}, "tier": "small"}, "the generator's rules are a list of tables, not"),
        (["small"], "rule 1 of the generator is a table with when and tier, not 'small'"),
        ([{"tier": "small"}], "rule 1 of the generator lacks when: a table of conditions"),
        ([{"when": "tag == 'hr'", "tier": "small"}], "rule 1 of the generator's when is a table of conditions"),
        ([{"when": {"tag": "hr"}}], "rule 1 of the generator lacks tier: the name of a tier"),
        ([{"when": {"tag": "hr"}, "teir": "small"}], "rule 1 of the generator has no setting 'teir': did you mean 'tier'?"),
        ([{"when": {"tags": "hr"}, "tier": "small"}], "rule 1 of the generator, when has no setting 'tags': did you mean 'tag'?"),
        ([{"when": {}, "tier": "small"}], "rule 1 of the generator, when: give at least one of question_words_below"),
        ([{"when": {"matches": "("}, "tier": "small"}], "rule 1 of the generator, when: matches is no regular expression"),
        ([{"when": {"call": "tests.nowhere:f"}, "tier": "small"}], "a rule's call: cannot import 'tests.nowhere'"),
        ([{"when": {"question_words_below": 0}, "tier": "small"}], "question_words_below is Input should be greater"),
    ],
    ids=_name,
)  # fmt: skip
def test_a_wrong_rule_is_refused_in_one_line(rules: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules_of(rules)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_function_that_fails_is_named() -> None:
    with pytest.raises(ConfigError, match="the generator's rule calls fails, which failed: KeyError: 'hr'"):
        first_match(rules_of([{"when": {"call": fails}, "tier": "small"}]), QUESTION)
