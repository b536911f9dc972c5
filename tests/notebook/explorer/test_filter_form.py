"""The filter as a form: every row is a string that the index takes, and comes back as the same row."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.errors import WhereError
from rag.index.filters.bind import bind
from rag.index.filters.parse import parse
from rag.notebook.explorer.filter_form import OPERATORS, fields, rows_of, string_of
from rag.notebook.explorer.messages import Row
from tests.conftest import index_of_rows

SCHEMA: Any = {
    "year": "number", "status": "string", "tags": "list", "public": "boolean", "from": "date", "at": "datetime",
    "doc-type": "string",
}  # fmt: skip


def row(field: str, op: str, value: str = "", upto: str = "") -> Row:
    return Row(field=field, op=op, value=value, upto=upto)


@pytest.mark.parametrize(
    ("rows", "where"),
    [
        ([], ""), ([row("year", ">=", "2024")], "year >= 2024"), ([row("year", "==", "1.5")], "year == 1.5"),
        ([row("year", "between", "2020", "2024")], "year >= 2020 and year <= 2024"), ([row("year", "between", "", "9")], "year <= 9"),
        ([row("status", "==", "it's")], 'status == "it\'s"'), ([row("status", "in", "a, b,")], "status in ['a', 'b']"),
        ([row("status", "startswith", "cur")], "startswith(status, 'cur')"), ([row("status", "lacks")], "not (exists(status))"),
        ([row("tags", "contains", "hr")], "contains(tags, 'hr')"), ([row("tags", "without", "hr")], "not (contains(tags, 'hr'))"),
        ([row("public", "==", "false")], "public == False"), ([row("status", "=="), row("year", "has")], "exists(year)"),
        ([row("doc-type", "==", "x")], "field('doc-type') == 'x'"), ([row("from", ">=", "2024-03-01")], "field('from') >= '2024-03-01'"),
    ],
)  # fmt: skip
def test_rows_are_a_filter_of_the_index(rows: list[Row], where: str) -> None:
    assert string_of(rows, SCHEMA) == where
    if where:
        bind(parse(where), SCHEMA)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([row("yaer", "==", "1")], "did you mean 'year'"), ([row("year", "==", "soon")], "'soon' is not"),
        ([row("public", "==", "maybe")], "write true or false"), ([row("year", "startswith", "2")], "no operator of its form"),
        ([row("status", "__import__", "os")], "no operator"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_one_line(rows: list[Row], what: str) -> None:
    with pytest.raises(WhereError, match=what) as wrong:
        string_of(rows, SCHEMA)
    assert "\n" not in str(wrong.value)


TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12).filter(str.strip)
ROWS = st.one_of(
    st.builds(row, st.just("year"), st.sampled_from(["==", "!=", ">=", "<="]), st.integers().map(str)),
    st.builds(
        row, st.sampled_from(["status", "doc-type"]), st.sampled_from(["==", "!=", "startswith"]), TEXTS
    ),
    st.builds(row, st.just("tags"), st.sampled_from(["contains", "without"]), TEXTS),
    st.builds(row, st.just("from"), st.sampled_from([">=", "<="]), st.dates(dt.date(1900, 1, 1)).map(str)),
    st.builds(row, st.sampled_from([*SCHEMA]), st.sampled_from(["has", "lacks"])),
)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_a_form_survives_its_string(rows: list[Row]) -> None:
    where = string_of(rows, SCHEMA)
    bind(parse(where), SCHEMA)
    assert [Row(**each) for each in rows_of(where, SCHEMA) or ()] == rows


@pytest.mark.parametrize(
    "where", ["year == 1 or year == 2", "not (year == 1)", "year < 3", "status in ['a,b']"]
)
def test_what_the_form_cannot_show_stays_a_string(where: str) -> None:
    assert rows_of(where, SCHEMA) is None


def test_the_fields_have_frequent_values_and_ranges(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"year": 2020, "status": "old", "from": dt.date(2020, 1, 2)}, {"year": 2024, "status": "new", "tags": ["a"]},
        {"year": 2022.5, "status": "new", "from": dt.date(2023, 1, 2)},
    ]  # fmt: skip
    found = {each["name"]: each for each in fields(index_of_rows(tmp_path / "ix", rows))}
    assert found["status"]["values"] == [["new", 2], ["old", 1]]
    assert (found["year"]["least"], found["year"]["most"]) == ("2020.0", "2024.0")
    assert (found["from"]["least"], found["from"]["most"]) == ("2020-01-02", "2023-01-02")
    assert (found["tags"]["least"], found["source"]["type"], found["section"]["type"]) == (
        "",
        "string",
        "list",
    )
    assert all(found[name]["type"] in OPERATORS for name in found)
