"""A claim takes a value's place in a filter, and can be nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.core.errors import AuthError, ConfigError
from rag.index.filters import where as algebra
from rag.serving.claims import ClaimFilter

FIELD = rag.field("department")
#: What ends a literal in some notation, and would go on as a filter.
HOSTILE = (
    "' or department != '", '" or department != "', "'] or exists(department) or department in ['",
    "{sub}", "x\\", "\\' or 1 == 1 #", "\n", "\0", "claim-0", "')", '"""', "'''",
)  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=60))


@given(texts)
def test_a_text_is_never_more_than_a_value(value: str) -> None:
    where = ClaimFilter("department == {dept}").bound({"dept": value})
    assert isinstance(where, algebra.Test) and (where.field, where.op, where.value) == (
        "department",
        "==",
        value,
    )


@given(st.lists(texts, min_size=1, max_size=4))
def test_a_list_is_never_more_than_values(values: list[str]) -> None:
    where = ClaimFilter("department in {groups} and year >= {year}").bound({"groups": values, "year": 2020})
    assert isinstance(where, algebra.And)
    first, second = where.parts
    assert isinstance(first, algebra.Test) and (first.op, first.value) == ("in", tuple(values))
    assert isinstance(second, algebra.Test) and second.value == 2020


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("department in {groups}", FIELD.isin(["a"])),
        ("department not in {groups}", FIELD.notin(["a"])),
        ("department in {cognito:groups}", FIELD.isin(["c"])),
        ("department == {dept} or public == true", (FIELD == "b") | (rag.field("public") == True)),  # noqa: E712
        ("department in ['public', {dept}]", FIELD.isin(["public", "b"])),
        ("{dept} in tags", rag.field("tags").contains("b")),
        ("not (department == {dept})", ~(FIELD == "b")),
        ("startswith(source, {dept})", rag.field("source").startswith("b")),
        ("department in {dept}", FIELD.isin(["b"])),  # some providers give one group as a text
        ("year >= 2020", rag.field("year") >= 2020),
    ],
)
def test_claims_stand_where_values_do(template: str, found: Any) -> None:
    claims = {"groups": ["a"], "cognito:groups": ["c"], "dept": "b"}
    assert repr(ClaimFilter(template).bound(claims)) == repr(found)


@pytest.mark.parametrize(
    "template",
    [
        'department == "{dept}"', "department == '{dept}'", "department == 'x-{dept}'", "department in ['{dept}']",
        'department == "a{dept}" or department == {dept}', "field({dept}) == 'legal'", "field('{dept}') == 'legal'",
        "{a} == {b}", "'legal' in {dept}", "department == {dept", "department", '{"department": "{dept}"}',
    ],
)  # fmt: skip
def test_a_claim_inside_of_quotes_or_as_a_field_is_refused(template: str) -> None:
    """A claim with the other kind of quotes would otherwise leave the literal."""
    with pytest.raises(ConfigError, match=r"^the filter .* of callers: ") as error:
        ClaimFilter(template)
    assert "claim-" not in str(error.value)


@pytest.mark.parametrize(
    "claims",
    [
        {}, {"groups": None}, {"groups": []}, {"groups": ""}, {"groups": [""]}, {"groups": [1, {"a": 2}]},
        {"groups": {"a": 1}}, {"groups": ["a"] * 201}, {"groups": "x" * 1001}, {"groups": [["a"]]},
        {"groups": [float("nan")]}, {"groups": [1 << 70]},
    ],
    ids=[
        "missing", "null", "no values", "empty", "an empty one", "an object inside", "an object", "too many",
        "too long", "nested", "no number", "too large",
    ],
)  # fmt: skip
def test_a_caller_without_a_usable_claim_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(AuthError):
        ClaimFilter("department in {groups}").bound(claims)
