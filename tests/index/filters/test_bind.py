"""A filter is parsed and bound once, and means the same bound as unbound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import rag
from rag.core.errors import WhereError
from rag.embedding.static import StaticEmbeddings
from rag.index.filters.bind import Bound
from rag.index.filters.where import And, Not, Or, Where, field
from tests.conftest import index_of_rows
from tests.index.calls import counted
from tests.index.filters.test_filters import FILTERS, ROWS

PARSE, BIND = "rag.index.filters.parse._from_string", "rag.index.filters.bind._bind_test"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    return index_of_rows(tmp_path_factory.mktemp("bind") / "ix", ROWS)


def masks(index: rag.Index, where: Any) -> list[list[bool]]:
    return [mask.tolist() for mask in index._matching(where)[1]]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(FILTERS, FILTERS)
def test_bound_and_unbound_masks_are_equal(index: rag.Index, one: Where, other: Where) -> None:
    bound, second = index.check(one), index.check(other)
    assert masks(index, bound) == masks(index, one)
    assert bound.to_string() == index.check(one.to_string()).to_string()
    assert bound.fields() == one.fields()
    for joined, plain in (
        (bound & second, one & other), (bound | second, one | other), (~bound, ~one),
        (bound & other, one & other), (one | second, one | other), (index.both(bound, other), one & other),
        (And((bound, Not(second))), one & ~other), (Or((second, bound)), other | one),
    ):  # fmt: skip
        assert masks(index, joined) == masks(index, plain)
        assert index.check(joined).to_string() == index.check(plain).to_string()


@pytest.mark.parametrize(
    ("standing", "where", "parsed", "tests"),
    [
        (None, "year >= 2023 and region == 'eu'", 1, 2),
        ("year >= 2023", "region == 'eu'", 2, 2),
        ("year >= 2023", None, 1, 1),
        (None, None, 0, 0),
    ],
)
def test_question_binds_once(
    folder: Path, tmp_path: Path, standing: str | None, where: str | None, parsed: int, tests: int
) -> None:
    """From `Pipeline.ask` to the masks: each filter is parsed once, and each of its tests bound once."""
    rag.build(folder, tmp_path / "ix", embedder=StaticEmbeddings())
    pipe = rag.Pipeline(tmp_path / "ix", retriever={"where": standing} if standing else None)
    with counted() as calls:
        answer = pipe.ask("How many days of annual leave do staff take?", where=where)
    assert answer.context.hits
    assert calls["rag.index.index.Index.search_by_vector"] == 1
    assert (calls[PARSE], calls[BIND]) == (parsed, tests)


def test_bound_filter_is_used_as_it_is(index: rag.Index) -> None:
    bound = index.check("year >= 2023")
    assert index.check(bound) is bound
    assert index.both(None, bound) is bound
    with counted() as calls:
        index.search("document", where=bound)
        index.diverse("document", where=bound)
        assert index.count(bound) == len(list(index.scan(bound))) == 3
    assert calls["rag.index.index.Index.check"] == 4
    assert not [
        name for name in calls if name.startswith(("rag.index.filters.parse", "rag.index.filters.bind._"))
    ]


def test_bound_to_another_schema(tmp_path: Path) -> None:
    """A filter that is bound to one index is bound anew, as it was written, to another."""
    lists = index_of_rows(tmp_path / "lists", [{"tags": ["gdpr", "eu"]}, {"tags": ["gd"]}, {"tags": ["x"]}])
    texts = index_of_rows(tmp_path / "texts", [{"tags": "gdpr, eu"}, {"tags": "x"}])
    same = index_of_rows(tmp_path / "same", [{"tags": ["x"]}])
    bound = lists.check("'gd' in tags")
    assert (bound.to_string(), lists.count(bound)) == ("list_contains(tags, 'gd')", 1)
    assert same.check(bound) is bound
    assert (texts.check(bound).to_string(), texts.count(bound)) == ("string_contains(tags, 'gd')", 1)
    with pytest.raises(WhereError, match="no document has a field 'tags'"):
        index_of_rows(tmp_path / "none", [{"other": 1}]).count(bound)


def test_bound_prints_and_knows_its_parts(index: rag.Index) -> None:
    bound = index.check("'gdpr' in tags and (year > 2021 or exists(day))")
    assert isinstance(bound, Bound)
    assert bound.to_string() == "list_contains(tags, 'gdpr') and (year > 2021 or exists(day))"
    assert [part.to_string() for part in bound.parts] == [
        "list_contains(tags, 'gdpr')", "year > 2021 or exists(day)",
    ]  # fmt: skip
    assert [part.to_string() for part in index.check("year == 2021").parts] == ["year == 2021"]
    assert bound.to_bedrock()["andAll"][0] == {"listContains": {"key": "tags", "value": "gdpr"}}
    assert index.check(field("year") == 2021).to_langchain() == {"year": {"$eq": 2021}}
    assert np.array_equal(index._matching(bound)[1][0], [True, False, False, True, False, False])
    nested = And((field("ok") == True, index.check("year == 1 or year == 2")))  # noqa: E712
    assert nested.to_string() == "ok == True and (year == 1 or year == 2)"
