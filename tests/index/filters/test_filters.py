"""Four notations of one algebra: the same meaning, exact results, errors that name the near miss."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.core.errors import WhereError
from rag.index.filters.parse import parse
from rag.index.filters.where import And, Not, Or, Where, field
from rag.index.filters.where import Test as Condition
from tests.conftest import index_of_rows

SCHEMA = {
    "name": "string",
    "year": "number",
    "ok": "boolean",
    "day": "date",
    "at": "datetime",
    "tags": "list",
}
ROWS: list[dict[str, Any]] = [
    {"name": "alpha", "year": 2021, "ok": True, "day": dt.date(2021, 1, 1), "tags": ["a", "gdpr"]},
    {"name": "beta", "year": 2023, "ok": False, "day": dt.date(2023, 5, 1), "tags": ["b"]},
    {"name": "Alphabet", "year": 2024, "tags": []},
    {"year": 2025, "ok": True, "at": dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC), "tags": ["gdpr", "b"]},
    {"name": "", "day": dt.date(2020, 2, 29)},
    {},
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    """An index with one document, and one chunk, for each of `ROWS`."""
    return index_of_rows(tmp_path_factory.mktemp("where") / "ix", ROWS)


def matches(index: rag.Index, where: Any) -> list[int]:
    hits = index.search("document", k=100, where=where, mode="dense")
    assert hits.plan.matched == len(hits)
    return sorted(int(hit.source.split(".")[0]) for hit in hits)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year == 2023", [1]),
        ("year != 2023", [0, 2, 3, 4, 5]),  # a missing field differs from everything
        ("year >= 2023.5", [2, 3]),
        ("2021 <= year < 2024", [0, 1]),
        ("year in [2021, 2025]", [0, 3]),
        ("year not in [2021, 2025]", [1, 2]),  # and needs the field
        ("not (year in [2021, 2025])", [1, 2, 4, 5]),  # the complement does not
        ("name == ''", [4]),
        ("startswith(name, 'al')", [0]),
        ("name.startswith('Al')", [2]),
        ("contains(name, 'pha')", [0, 2]),
        ("'pha' in name", [0, 2]),
        ("'gdpr' in tags", [0, 3]),
        ("'gdpr' not in tags", [1, 2, 4, 5]),
        ("string_contains(tags, 'gd')", [0, 3]),
        ("exists(tags)", [0, 1, 2, 3]),
        ("not exists(name)", [3, 5]),
        ("ok == true", [0, 3]),
        ("ok != True", [1, 2, 4, 5]),
        ("day >= '2021-01-01'", [0, 1]),
        ("day == date('2020-02-29')", [4]),
        ("at > '2025-01-01T11:00:00'", [3]),
        ("at < '2025-01-01'", []),
        ("year == 2023 or name == 'alpha' and ok == true", [0, 1]),
        ("source == '4.md'", [4]),
        ({"year": {"$gte": 2023}, "ok": True}, [3]),
        ({"$and": [{"year": {"$gte": 2021}}], "name": "beta"}, [1]),  # no key is dropped
        ({"$or": [{"name": "beta"}, {"year": {"$in": [2025]}}]}, [1, 3]),
        ({"$not": {"ok": True}}, [1, 2, 4, 5]),
        ({"name": ["alpha", "beta"]}, [0, 1]),
        ({"equals": {"key": "name", "value": "beta"}}, [1]),
        ({"notEquals": {"key": "ok", "value": True}}, [1, 2, 4, 5]),
        ({"andAll": [{"greaterThan": {"key": "year", "value": 2021}},
                     {"listContains": {"key": "tags", "value": "b"}}]}, [1, 3]),
        ('{"stringContains": {"key": "name", "value": "bet"}}', [1, 2]),
        (field("year").isin([2021]) | (field("name") == "beta"), [0, 1]),
        (~(field("year") == 2021) & field("ok").exists(), [1, 3]),
    ],
)  # fmt: skip
def test_filter_matches(index: rag.Index, where: Any, expected: list[int]) -> None:
    assert matches(index, where) == expected


def reference(where: Where, row: dict[str, Any]) -> bool:
    """The module's table of meanings, row by row in plain Python."""
    if isinstance(where, And):
        return all(reference(part, row) for part in where.parts)
    if isinstance(where, Or):
        return any(reference(part, row) for part in where.parts)
    if isinstance(where, Not):
        return not reference(where.part, row)
    assert isinstance(where, Condition)
    have, value = row.get(where.field), where.value
    if have is None:
        return where.op == "!="
    tests = {
        "==": lambda: have == value, "!=": lambda: have != value, "<": lambda: have < value,
        "<=": lambda: have <= value, ">": lambda: have > value, ">=": lambda: have >= value,
        "in": lambda: have in value, "not in": lambda: have not in value, "exists": lambda: True,
        "startswith": lambda: have.startswith(value), "list_contains": lambda: value in have,
        "string_contains": lambda: any(value in v for v in ([have] if isinstance(have, str) else have)),
    }  # fmt: skip
    return tests[where.op]()


NAMES = st.sampled_from(["alpha", "beta", "Alphabet", "", "pha"])
YEARS = st.sampled_from([2020, 2021, 2023, 2024.5, 2025])
DAYS = st.sampled_from([dt.date(2020, 2, 29), dt.date(2021, 1, 1), dt.date(2022, 1, 1)])
OPS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
TESTS = st.one_of(
    st.builds(Condition, st.just("name"), OPS, NAMES),
    st.builds(Condition, st.just("year"), OPS, YEARS),
    st.builds(Condition, st.just("day"), OPS, DAYS),
    st.builds(Condition, st.just("ok"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(Condition, st.just("name"), st.sampled_from(["in", "not in"]), st.lists(NAMES, max_size=3).map(tuple)),
    st.builds(Condition, st.just("year"), st.sampled_from(["in", "not in"]), st.lists(YEARS, max_size=3).map(tuple)),
    st.builds(Condition, st.just("name"), st.sampled_from(["startswith", "string_contains"]), NAMES),
    st.builds(Condition, st.just("tags"), st.sampled_from(["list_contains", "string_contains"]), st.sampled_from(["a", "b", "gdpr"])),
    st.builds(Condition, st.sampled_from(list(SCHEMA)), st.just("exists")),
)  # fmt: skip
FILTERS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(FILTERS)
def test_notations_agree(index: rag.Index, where: Where) -> None:
    """A filter matches the rows of the plain-Python reference in every notation."""
    expected = [n for n, row in enumerate(ROWS) if reference(where, row)]
    assert matches(index, where) == expected
    assert matches(index, where.to_string()) == expected
    for printed in (where.to_langchain, lambda: where.to_bedrock(index.schema)):
        try:
            form = printed()
        except WhereError as error:
            assert "cannot express" in str(error) or "no operator" in str(error)
            continue
        if form in ({"andAll": []}, {"orAll": []}):
            continue
        assert matches(index, form) == expected


def test_contains_prints_by_type(index: rag.Index) -> None:
    """For Knowledge Bases it depends on the field's type."""
    where = parse("'gdpr' in tags and 'a' in name")
    assert where.to_bedrock(index.schema) == {"andAll": [
        {"listContains": {"key": "tags", "value": "gdpr"}}, {"stringContains": {"key": "name", "value": "a"}},
    ]}  # fmt: skip
    with pytest.raises(WhereError, match="needs the index's schema"):
        where.to_bedrock()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("yeer == 2023", "did you mean 'year'"),
        ("year == '2023'", "'year' is a number, '2023' is not; write it without quotes"),
        ("name == 3", "'name' is a string, 3 is not; write '3'"),
        ("name > None", "not exists(name)"),
        ("ok > true", "it has == and !=, not >"),
        ("tags == 'a'", "'x' in tags"),
        ("day > 'yesterday'", "write it as '2025-01-31'"),
        ("day == '2024-01-01T10:00'", "a date without a time"),
        ("year in 2023", "take a list"),
        ("name == other", "put a string in quotes"),
        ("year = 2023", "write == to compare"),
        ("year", "is not a comparison"),
        ("name is 'x'", "write == or !="),
        ("__import__('os').system('true')", "no function"),
        ("len(name) == 3", "no field is named"),
        ("lower(name)", "no function 'lower'"),
        ("startswith(year, 'x')", "is for string fields"),
        ("(" * 300 + "year", "cannot read where"),
        ("", "cannot read where"),
        ("{not json", "looks like JSON"),
        ({}, "leave it out"),
        ({"year": {"$gtee": 3}}, "did you mean '$gte'"),
        ({"$xor": []}, "did you mean '$or'"),
        ({"andAll": [{"equals": {"key": "name", "value": "x"}}]}, "at least two"),
        ({"andAll": [{"equalz": {"key": "name", "value": "x"}}] * 2}, "did you mean 'equals'"),
        ({"equals": {"key": "name", "value": "x", "more": 1}}, "exactly a key and a value"),
        (["year"], "write a rag.field expression"),
        (7, "write a rag.field expression"),
    ],
)  # fmt: skip
def test_wrong_filter_says_what_to_write(index: rag.Index, where: Any, message: str) -> None:
    with pytest.raises(WhereError) as caught:
        index.search("document", where=where)
    assert message in str(caught.value)


def test_python_and_or_not_are_refused() -> None:
    """The error names the operators to use."""
    with pytest.raises(WhereError, match="combine filters with & | ~".replace("|", r"\|")):
        bool(field("a") == 1)
    with pytest.raises(WhereError, match="put each comparison in brackets"):
        (field("a") == 1) & True  # type: ignore[operator]
