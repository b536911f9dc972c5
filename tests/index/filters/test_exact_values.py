"""Every operator, in every notation, agrees with plain Python on equal values: 64-bit integers, NumPy, dates."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.core.errors import WhereError
from rag.embedding.static import StaticEmbeddings
from rag.index.filters.where import Where, field

EDGE = 2**53
IDS = [
    EDGE - 1, EDGE, EDGE + 1, EDGE + 2, -EDGE, -EDGE - 1, 2**63 - 1, 2**63 - 2, 2**63 - 1024, -(2**63), -(2**63) + 1,
    0, 1, 1234567890123456768, 1234567890123456789,
]  # fmt: skip
REALS = [0.5, -0.5, 1e300, -0.0, 2.0**53, 2.0**63, 5e-324, 9007199254740991.0]
MIXED = [EDGE + 1, 0.5, EDGE, -1.5, 2**63 - 1, 3, None, 1e19]
HOURS = dt.timezone(dt.timedelta(hours=5, minutes=30))
MOMENTS = [
    dt.datetime(2024, 1, 31, 23, 30, tzinfo=dt.UTC), dt.datetime(2024, 2, 1, 5, tzinfo=HOURS),
    dt.datetime(2024, 1, 31, 23, 30, 0, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
]  # fmt: skip
TEXTS = ["", "é", "e\u0301", "ſ", "S", "😀", "\u0000", "straße", "STRASSE", "𝟚", "2"]

OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def rows() -> list[dict[str, Any]]:
    columns = {"id": IDS, "real": REALS, "mixed": MIXED, "at": MOMENTS, "name": TEXTS}
    out: list[dict[str, Any]] = [{} for _ in range(max(map(len, columns.values())) + 1)]
    for name, values in columns.items():
        for row, value in zip(out, values, strict=False):
            if value is not None:
                row[name] = value
    return out


ROWS = rows()


@pytest.fixture(scope="module", params=["edited", "several", "merged"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    """`ROWS`, a document each, in one segment, or in several, in each of which a column may have another type."""
    store = rag.FaissStore(StaticEmbeddings(), tmp_path_factory.mktemp("exact") / "ix", keep=None)
    vectors = [("text", np.eye(1, 256, n)[0]) for n in range(len(ROWS))]
    ids = [str(n) for n in range(len(ROWS))]
    step = len(ROWS) if request.param == "edited" else 5
    for at in range(0, len(ROWS), step):
        store.add_embeddings(vectors[at : at + step], ROWS[at : at + step], ids[at : at + step])
    if request.param == "merged":
        rag.Store(store.path).compact()
    if request.param == "edited":
        store.update_metadata("chunk_id == '0'", {"other": 2**60})
    assert [
        document.metadata for document in rag.FaissStore(StaticEmbeddings(), store.path).get_by_ids(ids)
    ] == [
        {**row, "other": 2**60} if request.param == "edited" and n == 0 else row for n, row in enumerate(ROWS)
    ]
    return rag.Index.open(store.path)


def found(index: rag.Index, where: Any) -> list[int]:
    return sorted(int(hit.chunk_id) for hit in index.scan(where))


def forms(where: Where, index: rag.Index) -> list[Any]:
    """The filter in all notations that can express it."""
    out: list[Any] = [where, where.to_string(), index.check(where).to_string()]
    for printed in (where.to_langchain, lambda: where.to_bedrock(index.schema)):
        try:
            out.append(printed())
        except WhereError:
            continue
    return out


def check(index: rag.Index, where: Where, test: Callable[[dict[str, Any]], bool]) -> None:
    expected = [n for n, row in enumerate(ROWS) if test(row)]
    for form in forms(where, index):
        assert found(index, form) == expected, form
    assert found(index, ~where) == [n for n in range(len(ROWS)) if n not in expected]


NEAR = st.sampled_from([-2, -1, 0, 1, 2])
WHOLE = st.one_of(
    st.builds(operator.add, st.sampled_from([*IDS, 2**63, 2**64, -(2**64), 10**30]), NEAR),
    st.integers(-(2**65), 2**65),
)
REAL = st.one_of(
    st.sampled_from([*REALS, 0.5, EDGE + 0.0, 2.0**63, 1e19, -1e19]),
    st.floats(allow_nan=False, allow_infinity=False),
)
NUMBER = st.one_of(WHOLE, REAL)


def as_numpy(value: Any) -> Any:
    """The same value as a NumPy scalar, if NumPy has one."""
    if isinstance(value, int):
        return (
            np.int64(value)
            if -(2**63) <= value < 2**63
            else np.uint64(value)
            if 0 <= value < 2**64
            else value
        )
    return np.float64(value)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["id", "real", "mixed"]), st.sampled_from(sorted(OPS)), NUMBER, st.booleans())
def test_comparisons_of_numbers(index: rag.Index, name: str, op: str, value: Any, numpy: bool) -> None:
    where = OPS[op](field(name), as_numpy(value) if numpy else value)
    check(index, where, lambda row: OPS[op](row[name], value) if name in row else op == "!=")  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["id", "real", "mixed"]), st.lists(NUMBER, max_size=12), st.booleans())
def test_lists_of_numbers(index: rag.Index, name: str, values: list[Any], numpy: bool) -> None:
    wanted = [as_numpy(value) for value in values] if numpy else values
    check(index, field(name).isin(wanted), lambda row: name in row and row[name] in values)
    check(index, field(name).notin(wanted), lambda row: name in row and row[name] not in values)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["id", "real", "mixed"]), NUMBER, NUMBER)
def test_between(index: rag.Index, name: str, low: Any, high: Any) -> None:
    expected = [n for n, row in enumerate(ROWS) if name in row and low <= row[name] <= high]
    where = (field(name) >= low) & (field(name) <= high)
    for form in (
        *forms(where, index),
        {name: {"$between": [low, high]}},
        {name: {"$gte": low, "$lte": high}},
    ):
        assert found(index, form) == expected
    assert found(index, {"$not": {name: {"$between": (low, high)}}}) == sorted(
        {*range(len(ROWS))} - {*expected}
    )


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(OPS)), st.one_of(
    st.sampled_from(MOMENTS), st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=st.sampled_from([dt.UTC, HOURS]))
))  # fmt: skip
def test_moments_with_zones(index: rag.Index, op: str, value: dt.datetime) -> None:
    check(
        index,
        OPS[op](field("at"), value),
        lambda row: OPS[op](row["at"], value) if "at" in row else op == "!=",
    )  # type: ignore[arg-type]
    numpy = np.datetime64(value.astimezone(dt.UTC).replace(tzinfo=None), "us")
    assert found(index, OPS[op](field("at"), numpy)) == found(index, OPS[op](field("at"), value))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(OPS)), st.one_of(st.sampled_from(TEXTS), st.text(max_size=2)))
def test_texts_compare_as_python_compares_them(index: rag.Index, op: str, value: str) -> None:
    test = OPS[op]
    check(
        index,
        test(field("name"), value),
        lambda row: test(row["name"], value) if "name" in row else op == "!=",
    )  # type: ignore[arg-type]
    assert found(index, test(field("name"), np.str_(value))) == found(index, test(field("name"), value))
    check(index, field("name").contains(value), lambda row: "name" in row and value in row["name"])


def test_a_list_that_arrays_give(index: rag.Index) -> None:
    assert found(index, field("id").isin(np.array([EDGE, EDGE + 2]))) == [1, 3]
    assert found(index, {"id": {"$in": np.array([EDGE - 1])}}) == [0]
    assert found(index, {"id": {"$nin": np.array(IDS[1:])}}) == [0]
    assert found(index, {"in": {"key": "id", "value": (EDGE,)}}) == [1]
    assert found(index, {"id": frozenset({EDGE, EDGE + 1})}) == [1, 2]


def test_integers_beside_fractions_are_stored_apart(tmp_path: Path) -> None:
    """Also in a field that only later gets the one or the other, through every merge."""
    store = rag.FaissStore(StaticEmbeddings(), tmp_path / "ix", keep=None)
    values: list[Any] = [1, 2, 0.5, EDGE + 1, 2**63 - 1, 2.5, EDGE, 7, -0.25]
    for n, value in enumerate(values):
        store.add_texts([f"text {n}"], [{"n": value}], ids=[str(n)])
    rag.Store(tmp_path / "ix").compact()
    index = rag.Index.open(tmp_path / "ix")
    for n, value in enumerate(values):
        assert found(index, field("n") == value) == [n]
        assert type(index.get([str(n)])[0].metadata["n"]) is type(value)
    assert found(index, field("n") > EDGE) == [3, 4]
    assert rag.Store(tmp_path / "ix").verify().problems == ()
