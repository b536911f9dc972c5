"""Filters on a knowledge base: exact or refused; and the filters of the emulator."""

from __future__ import annotations

import datetime as dt
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.bedrock.search.retrieval_filter import PAGE_KEY, SOURCE_KEY, retrieval_filter
from rag.core.errors import WhereError
from rag.emulator import Emulator
from rag.index.filters.where import And, Not, Or, Where, field
from rag.index.filters.where import Test as Condition
from tests.bedrock.emulated_bases import (
    ROWS_ID,
    retriever,
)


@pytest.fixture(scope="module")
def emulator(knowledge_base_emulator: Emulator) -> Emulator:
    return knowledge_base_emulator


NAMES = st.sampled_from(["alpha", "beta", "Alphabet", "", "pha"])
YEARS = st.sampled_from([2020, 2021, 2023, -4.5, 2025])
DAYS = st.sampled_from([dt.date(2020, 2, 29), dt.date(2021, 1, 1), dt.date(2022, 1, 1)])
OPS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
SOURCES = st.sampled_from(["0.md", "3.md", "x.md"])
LISTED = st.sampled_from(["in", "not in"])
TESTS = st.one_of(
    st.builds(Condition, st.just("name"), OPS, NAMES),
    st.builds(Condition, st.just("year"), OPS, YEARS),
    st.builds(Condition, st.just("day"), OPS, DAYS),
    st.builds(Condition, st.just("at"), OPS, st.just(dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC))),
    st.builds(Condition, st.just("ok"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(Condition, st.just("source"), st.sampled_from(["==", "!=", "startswith"]), SOURCES),
    st.builds(Condition, st.just("source"), LISTED, st.lists(SOURCES, max_size=2).map(tuple)),
    st.builds(Condition, st.just("name"), LISTED, st.lists(NAMES, max_size=3).map(tuple)),
    st.builds(Condition, st.just("year"), LISTED, st.lists(YEARS, max_size=3).map(tuple)),
    st.builds(Condition, st.just("ok"), LISTED, st.lists(st.booleans(), max_size=2).map(tuple)),
    st.builds(Condition, st.just("day"), LISTED, st.lists(DAYS, max_size=2).map(tuple)),
    st.builds(Condition, st.just("name"), st.sampled_from(["startswith", "string_contains", "contains"]), NAMES),
    st.builds(Condition, st.just("tags"), st.sampled_from(["list_contains", "string_contains", "contains"]), st.sampled_from(["a", "b", "gdpr"])),
    st.builds(Condition, st.sampled_from(["name", "year", "ok", "day", "at", "tags", "start"]), st.just("exists")),
)  # fmt: skip
FILTERS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=5,
)


@settings(max_examples=250, deadline=None)
@given(where=FILTERS)
def test_any_filter(emulator: Emulator, rows: rag.Index, where: Where) -> None:
    """Any filter matches exactly the rows that the index matches, or is refused."""
    expected = sorted(hit.source for hit in rows.scan(where))
    asker = retriever(rows, knowledge_base_id=ROWS_ID, prefix="s3://rowsrows01/")
    try:
        results = asker.invoke("text", where=where)
    except WhereError:
        return
    assert sorted(document.metadata["source"] for document in results) == expected


@pytest.mark.parametrize(
    ("where", "sources"),
    [
        ("not (name == 'alpha' or year >= 2024) and exists(year)", None),
        ("not (name == 'alpha' or ok != true)", [3]),
        ("not (year in [2021, 2023])", [2, 3, 4, 5]),
        ("year not in [2021, 2025]", [1, 2]),
        ("ok not in [True]", [1]),
        ("not exists(ok)", [2, 4, 5]),
        ("exists(ok)", [0, 1, 3]),
        ("exists(name)", [0, 1, 2, 4]),
        ("exists(year)", [0, 1, 2, 3]),
        ("exists(day)", [0, 1, 4]),
        ("day == '2021-01-01'", [0]),
        ("day != '2021-01-01'", [1, 2, 3, 4, 5]),
        ("'gdpr' in tags and name != 'alpha'", [3]),
        ("source in ['0.md', '5.md']", [0, 5]),
        ("startswith(source, '3')", [3]),
        ("not exists(name)", None),
        ("not exists(tags)", None),
        ("exists(tags)", None),
        ("not (year < 2023)", None),
        ("not startswith(name, 'a')", None),
        ("'gdpr' not in tags", None),
        ("day >= '2021-01-01'", None),
        ("at == '2025-01-01T12:00:00'", None),
        ("name in []", None),
        ("start == 0", None),
        ("contains(source, 'md')", None),
    ],
)
def test_filters(emulator: Emulator, rows: rag.Index, where: str, sources: list[int] | None) -> None:
    """A filter is translated exactly or refused."""
    asker = retriever(rows, knowledge_base_id=ROWS_ID, prefix="s3://rowsrows01/")
    before = len(emulator.requests)
    if sources is None:
        with pytest.raises(WhereError, match=r"[Kk]nowledge [Bb]ase"):
            asker.invoke("text", where=where)
        assert len(emulator.requests) == before
        return
    results = asker.invoke("text", where=where)
    assert sorted(document.metadata["source"] for document in results) == [f"{n}.md" for n in sources]
    assert emulator.problems == [] or "ROWS" not in emulator.problems[-1]


def test_both_filters(emulator: Emulator, rows: rag.Index) -> None:
    """The retriever's and the question's filter are combined, in any notation."""
    place_ = {"knowledge_base_id": ROWS_ID, "prefix": "s3://rowsrows01/"}
    asker = retriever(rows, **place_, where="ok == true")
    for where in (field("year") >= 2024, {"year": {"$gte": 2024}}, "year >= 2024"):
        assert [d.metadata["source"] for d in asker.invoke("text", where=where)] == ["3.md"]
    unaided = retriever(**place_, where={"equals": {"key": "ok", "value": True}})
    assert [d.metadata["source"] for d in unaided.invoke("text", where="year >= 2024")] == ["3.md"]
    with pytest.raises(WhereError, match="did you mean 'year'"):
        asker.invoke("text", where="yeer == 2024")


def test_filter_keys() -> None:
    """Filters use the service's keys, of limited length."""
    assert retrieval_filter({"equals": {"key": "page_start", "value": 3}}) == {
        "equals": {"key": PAGE_KEY, "value": 3}
    }
    whole = {"startsWith": {"key": "source", "value": "hr/"}}
    assert retrieval_filter(whole, "s3://b/docs") == {
        "startsWith": {"key": SOURCE_KEY, "value": "s3://b/docs/hr/"}
    }
    with pytest.raises(WhereError, match="set prefix to s3"):
        retrieval_filter(whole, "docs/")
    with pytest.raises(WhereError, match="has 101 characters"):
        retrieval_filter({"equals": {"key": "k" * 101, "value": 3}})


@pytest.mark.parametrize(
    ("filter_", "sources"),
    [
        ({"notEquals": {"key": "nowhere", "value": "x"}}, [0, 1, 2, 3, 4, 5]),
        ({"equals": {"key": "nowhere", "value": "x"}}, []),
        ({"notIn": {"key": "nowhere", "value": ["x"]}}, []),
        ({"notIn": {"key": "name", "value": ["alpha"]}}, [1, 2, 4]),
        ({"notEquals": {"key": "name", "value": "alpha"}}, [1, 2, 3, 4, 5]),
        ({"equals": {"key": "year", "value": "2021"}}, []),
        ({"notEquals": {"key": "year", "value": "2021"}}, [0, 1, 2, 3, 4, 5]),
        ({"equals": {"key": "source", "value": "0.md"}}, []),  # rag's own name is no attribute there
    ],
)
def test_emulated_filters(emulator: Emulator, filter_: dict[str, Any], sources: list[int]) -> None:
    """The emulator filters as the service is documented to do."""
    client = boto3.client("bedrock-agent-runtime")
    results = client.retrieve(
        knowledgeBaseId=ROWS_ID, retrievalQuery={"text": "text"},
        retrievalConfiguration={"vectorSearchConfiguration": {"filter": filter_, "numberOfResults": 100}},
    )["retrievalResults"]  # fmt: skip
    keys = sorted(one["location"]["s3Location"]["uri"] for one in results)
    assert keys == [f"s3://rowsrows01/{n}.md" for n in sources]


@pytest.mark.parametrize(
    "filter_",
    [
        {"in": {"key": "year", "value": [2021]}},
        {"greaterThan": {"key": "name", "value": "a"}},
        {"startsWith": {"key": "name", "value": 3}},
        {"equals": {"key": "name", "value": ["a"]}},
        {"andAll": [{"equals": {"key": "name", "value": "a"}}]},
        {"equals": {"key": "k" * 101, "value": "a"}},
    ],
)
def test_emulated_refusals(emulator: Emulator, filter_: dict[str, Any]) -> None:
    """The emulator refuses filters that the service refuses."""
    from botocore.config import Config

    client = boto3.client("bedrock-agent-runtime", config=Config(parameter_validation=False))
    with pytest.raises(ClientError) as caught:
        client.retrieve(
            knowledgeBaseId=ROWS_ID, retrievalQuery={"text": "text"},
            retrievalConfiguration={"vectorSearchConfiguration": {"filter": filter_}},
        )  # fmt: skip
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_emulated_pages(emulator: Emulator) -> None:
    """The emulator returns five results and a token for more."""
    client = boto3.client("bedrock-agent-runtime")
    request = {"knowledgeBaseId": ROWS_ID, "retrievalQuery": {"text": "text"}}
    first = client.retrieve(**request)
    rest = client.retrieve(**request, nextToken=first["nextToken"])
    assert (len(first["retrievalResults"]), len(rest["retrievalResults"])) == (5, 1)
    assert "nextToken" not in rest
    for name in ("ABCDEFGHIJ", "arn:aws:bedrock:us-east-1:123456789012:knowledge-base/ABCDEFGHIJ"):
        with pytest.raises(ClientError, match="ABCDEFGHIJ does not exist"):
            client.retrieve(**{**request, "knowledgeBaseId": name})
    with pytest.raises(ClientError, match="nextToken is not valid"):
        client.retrieve(**request, nextToken="!")


def test_dates_are_compared_by_their_numbers() -> None:
    """Only dates are, only in order, and only where the sidecars have the numbers."""
    by_day = {"greaterThan": {"key": "valid", "value": "2024-03-01"}}
    assert retrieval_filter(by_day, is_day=lambda name: name == "valid") == {
        "greaterThan": {"key": "valid_day", "value": 20240301}
    }
    same = {"equals": {"key": "valid", "value": "2024-03-01"}}
    assert retrieval_filter(same, is_day=lambda name: True) == same
    for filter_, is_day in ((by_day, False), ({"lessThan": {"key": "valid", "value": "soon"}}, True)):
        with pytest.raises(WhereError, match="compares only numbers by order"):
            retrieval_filter(filter_, is_day=lambda name, is_day=is_day: is_day)
    both = {"andAll": [by_day, {"orAll": [same, by_day]}]}
    assert retrieval_filter(both, is_day=lambda name: True)["andAll"][1]["orAll"][1] == {
        "greaterThan": {"key": "valid_day", "value": 20240301}
    }


def test_the_schema_tells_which_fields_are_dates(emulator: Emulator, rows: rag.Index) -> None:
    """A text that looks like a date is refused in order; without an index what is written decides."""
    asker = retriever(rows, knowledge_base_id=ROWS_ID, dates="day")
    assert asker.search("day >= date('2021-01-01')")["filter"] == {
        "greaterThanOrEquals": {"key": "day_day", "value": 20210101}
    }
    with pytest.raises(WhereError):
        asker.search("name >= '2021-01-01'")
    unknown = retriever(knowledge_base_id=ROWS_ID, dates="day")
    assert unknown.search("any < date('2021-01-01')")["filter"] == {
        "lessThan": {"key": "any_day", "value": 20210101}
    }
