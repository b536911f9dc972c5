"""Rows of an Arrow file come back as they were written, a few or many, from any batch."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.errors import StoreCorruptError
from rag.index.storage.columns import Columns

SCHEMA = pa.schema(
    [("n", pa.int64()), ("text", pa.string()), ("some", pa.list_(pa.string())), ("none", pa.string())]
)
ROWS = [
    {
        "n": n,
        "text": None if n % 3 == 0 else f"text {n}",
        "some": ["a"] * (n % 3) if n % 4 else None,
        "none": None,
    }
    for n in range(90)
]


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Columns:
    path = tmp_path_factory.mktemp("columns") / "rows.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for start, end in ((0, 40), (40, 41), (41, 90)):
            writer.write_batch(pa.RecordBatch.from_pylist(ROWS[start:end], SCHEMA))
    return Columns(path, SCHEMA)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.integers(0, 89), max_size=60),
    names=st.permutations(SCHEMA.names),
    count=st.integers(0, 4),
)
def test_take_keeps_the_order(columns: Columns, rows: list[int], names: list[str], count: int) -> None:
    wanted = tuple(names[:count])
    found = columns.take(rows, wanted)
    assert found == [{name: ROWS[row][name] for name in wanted} for row in rows]
    for values in found[1:]:  # rows of their own, even where they are the same
        assert values is not found[0]


@pytest.mark.parametrize("names", [tuple(SCHEMA.names), ("some", "none"), ()])
def test_held_are_the_values_that_are_there(columns: Columns, names: tuple[str, ...]) -> None:
    for row in (0, 3, 39, 40, 41, 44, 89):
        expected = {name: ROWS[row][name] for name in names if ROWS[row][name] is not None}
        assert columns.held(row, names) == expected


def test_take_beyond_the_end(columns: Columns) -> None:
    for rows in ([90], [90] * 20):
        with pytest.raises(StoreCorruptError, match=r"rows\.arrow is damaged"):
            columns.take(rows, ("n",))
