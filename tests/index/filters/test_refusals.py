"""What a filter cannot mean is one `WhereError` on one line, in every notation; no hint means the opposite."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

import numpy as np
import pytest

import rag
from rag.core.errors import WhereError
from rag.index.filters.bind import DEEPEST, bind
from rag.index.filters.operators import BEDROCK, FUNCTIONS, LANGCHAIN, LANGCHAIN_MORE, near_operator
from rag.index.filters.parse import parse
from rag.index.filters.where import Not, field
from tests.conftest import index_of_rows

SCHEMA: dict[str, Any] = {
    "s": "string", "n": "number", "b": "boolean", "d": "date", "dt": "datetime", "tags": "list",
}  # fmt: skip
DEEP = '{"$not":' * 400 + '{"n":1}' + "}" * 400


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("n == 1e999", "'n': inf is not a finite number"), ('{"n": Infinity}', "inf is not a finite number"),
        ('{"n": {"$gt": NaN}}', "nan is not a finite number"), ({"n": float("-inf")}, "-inf is not a finite"),
        (field("n") == np.float32("nan"), "nan is not a finite number"), ({"n": 10**400}, "beyond all numbers"),
        ("n == 1" + "0" * 400, "beyond all numbers"), ("n in [1, 1e999]", "inf is not a finite"),
        ('{"n": 1' + "0" * 5000 + "}", "looks like JSON, and is not"), ("n == 1j", "is a number, 1j is not"),
        ("n == b'x'", "is a number"), ("s == b'x'", "is a string"), ("s in {[1]}", "is not"), ("s in [{}]", "is not"),
        ({"n": True}, "'n' is a number, True is not"), ({"n": np.bool_(True)}, "'n' is a number, True is not"),
        ({"b": 1}, "'b' is a boolean, 1 is not"), ({"b": np.int64(1)}, "'b' is a boolean, 1 is not"),
        ({"s": np.int64(5)}, "write '5'"), ({"n": np.array([1, 2])}, "'n' is a number, array([1, 2]) is not"),
        ({"n": np.timedelta64(1, "D")}, "'n' is a number"), ({"d": np.datetime64("NaT")}, "'d': "),
        ({"d": np.datetime64("2024-01-31T10:00:00.000000001", "ns")}, "finer than microseconds"),
        ("dt == '0001-01-01T00:00:00+23:59'", "'dt' is a datetime"), ("d == '2024-13-01'", "write it as '2025-01-31'"),
        (field("dt") < dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=1))), "'dt' is a datetime"),
        (field("s") == "\ud800", "half of a surrogate pair"), ({"tags": {"$contains": "\udfff"}}, "half of a surrogate"),
        ({1: 2}, "a field's name is a string, not 1"), ({"n": {1: 2}}, "no operator 1"), ({"": 1}, "a field's name"),
        ({"equals": {"key": ["a"], "value": 1}}, "a field's name is a string"),
        ({"equals": {"key": 5, "value": 1}}, "a field's name is a string"), ({None: 1}, "a field's name is a string"),
        ({"in": {"key": "n", "value": 3}}, "take a list of values, not 3"), ({"n": {"$in": "abc"}}, "take a list"),
        ({"n": {"$in": np.array(5)}}, "take a list"), ({"n": {"$in": {"a": 1}}}, "take a list"),
        ({"n": {"$between": [1]}}, "'n': $between takes a list of two values, the lowest and the highest, not [1]"),
        ({"n": {"$between": 3}}, "'n': $between takes a list of two values, the lowest and the highest, not 3"),
        ({"n": {"$exists": "yes"}}, "$exists takes True or False"), ({"n": {"$exists": 1}}, "takes True or False"),
        ({"$and": "n"}, "$and takes a list"), ({"$or": [5]}, "$or takes filters"), ({"$not": [1]}, "$not takes filters"),
        ('{"tenant": "a", "tenant": "b"}', "'tenant' occurs twice"), ('{"n": {"$gt": 1, "$gt": 2}}', "'$gt' occurs twice"),
        (DEEP, "nested"), ('{"$and":[' * 100_000, "nested too deeply"), ("not " * 3000 + "n == 1", "cannot read where"),
        (functools.reduce(lambda one, _: Not(one), range(3000), field("n") == 1), "nested more than 100 levels"),
        ({"tags": {"$contains": 5}}, "members of a list are strings: write '5'"), ("5 in tags", "write '5'"),
        ({"n": {"$contains": "x"}}, "contains is for"), ({"$contains": "x"}, "a filter tests metadata, not texts"),
        ("d == date('31.01.2024')", "is no ISO date"), ("d == date(2024)", "is no ISO date"), ("date('x') == 1", "no field"),
        ("\x00", "cannot read where"), ("n == '\ud800'", "cannot read where"), (b"n == 1", "write a rag.field expression"),
        ({"s": ["a", None]}, "not exists(s)"),
    ],
)  # fmt: skip
def test_one_error_on_one_line(where: Any, message: str) -> None:
    with pytest.raises(WhereError) as caught:
        bind(parse(where), SCHEMA)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400 or "cannot read" in message


@pytest.mark.parametrize("name", [5, None, "", ["a"], b"a"])
def test_a_field_has_a_name(name: Any) -> None:
    with pytest.raises(WhereError, match="a field's name is a string"):
        field(name)


def test_a_date_is_no_text() -> None:
    """A text field refuses a date in each notation that has dates, as Python would."""
    day = dt.date(2024, 6, 1)
    for where in ("s >= date('2024-06-01')", field("s") >= day, {"s": {"$gte": day}}, "s in [date('2024-06-01')]",
                  {"greaterThanOrEquals": {"key": "s", "value": day}}, "s == datetime('2024-06-01T10:00:00')",
                  (field("s") >= day).to_string(), {"s": np.datetime64("2024-06-01")}):  # fmt: skip
        with pytest.raises(WhereError, match="'s' is a string, datetime"):
            bind(parse(where), SCHEMA)
    assert bind(parse("d >= date('2024-06-01')"), SCHEMA).to_string() == "d >= date('2024-06-01')"
    assert bind(parse("dt >= date('2024-06-01T10:00')"), SCHEMA).to_string() == (
        "dt >= datetime('2024-06-01T10:00:00+00:00')"
    )
    assert bind(parse("dt >= datetime('2024-06-01')"), SCHEMA).to_string() == (
        "dt >= datetime('2024-06-01T00:00:00+00:00')"
    )


def test_filters_of_any_length_are_flat() -> None:
    """A loop may join a thousand; nesting is limited."""
    either = functools.reduce(lambda one, n: one | (field("n") == n), range(1000), field("n") == -1)
    both = functools.reduce(lambda one, n: (field("n") != n) & one, range(1000), field("n") == -1)
    for where in (either, both):
        assert bind(where, SCHEMA).to_string() == bind(parse(repr_of(where)), SCHEMA).to_string()
    nested = functools.reduce(lambda one, _: Not(one), range(DEEPEST), field("n") == 1)
    assert bind(nested, SCHEMA).to_string().count("not") == DEEPEST


def repr_of(where: Any) -> Any:
    return where.to_langchain()


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("$gtee", (*LANGCHAIN, *LANGCHAIN_MORE), "'$gte'"), ("$ni", (*LANGCHAIN, *LANGCHAIN_MORE), "'$nin'"),
        ("$contain", (*LANGCHAIN, *LANGCHAIN_MORE), "'$contains'"), ("equalz", BEDROCK, "'equals'"),
        ("notEqual", BEDROCK, "'notEquals'"), ("startwith", FUNCTIONS, "'startswith'"),
    ],
)  # fmt: skip
def test_near_operators(word: str, known: Any, hint: str) -> None:
    assert near_operator(word, known) == f"did you mean {hint}?"


@pytest.mark.parametrize(
    ("word", "known"),
    [("$neq", ("$eq", "$ne", "$gt")), ("$ncontains", ("$contains",)), ("notContains", BEDROCK), ("$gle", ("$lte", "$gte")),
     ("endswith", FUNCTIONS), ("not_contains", FUNCTIONS), ("$nexists", ("$exists",)), ("notexists", ("exists",)),
     ("$regex", (*LANGCHAIN, *LANGCHAIN_MORE))],
)  # fmt: skip
def test_no_hint_names_the_opposite(word: str, known: Any) -> None:
    assert near_operator(word, known).startswith("there is: ")


def test_contains_in_langchains_form(tmp_path: Any) -> None:
    """It is Chroma's: a member of a list, or a part of a text; ``$not_contains`` is its complement."""
    index = index_of_rows(tmp_path / "ix", [{"tags": ["a", "b"], "s": "abc"}, {"tags": ["c"]}, {"s": "xyz"}])

    def found(where: Any) -> list[str]:
        return [hit.chunk_id for hit in index.scan(where)]

    assert found({"tags": {"$contains": "a"}}) == ["c0"]
    assert found({"tags": {"$not_contains": "a"}}) == ["c1", "c2"]
    assert found({"s": {"$contains": np.str_("yz")}}) == ["c2"]
    for where in ("'a' in tags", "list_contains(tags, 'a')", "'bc' in s"):
        bound = index.check(where)
        assert found(bound.to_langchain()) == found(where)
    with pytest.raises(WhereError, match="no operator for string_contains"):
        index.check("string_contains(tags, 'a')").to_langchain()
    assert found(rag.field("tags").contains("b").to_langchain()) == ["c0"]
