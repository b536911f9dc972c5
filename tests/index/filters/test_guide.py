"""The table of filters in the guide is true: every notation of a row matches the same chunks."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import WhereError
from rag.index.filters.operators import BEDROCK, COMPARISONS, FUNCTIONS, LANGCHAIN
from rag.index.filters.where import Where
from tests.conftest import index_of_rows
from tests.index.filters.test_filters import ROWS

GUIDE = Path(rag.__file__).parent / "index" / "README.md"


def table() -> list[list[str]]:
    """The cells of each row of the guide's table of filters, without back-ticks and escapes."""
    lines = (
        GUIDE.read_text(encoding="utf-8").split("| string | Python", 1)[1].split("\n\n")[0].splitlines()[2:]
    )
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[cell.strip("`").replace("\\|", "|") for cell in row] for row in rows]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    return index_of_rows(tmp_path_factory.mktemp("guide") / "ix", ROWS)


def chunks(index: rag.Index, where: Any) -> set[str]:
    return {hit.chunk_id for hit in index.scan(where)}


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0])
def test_notations_of_a_row(index: rag.Index, row: list[str]) -> None:
    string, python, bedrock, langchain, missing = row
    expected = chunks(index, string)
    assert 0 < len(expected) < len(ROWS)
    where = eval(python, {"f": rag.field})  # the guide's own code
    assert isinstance(where, Where)
    assert chunks(index, where) == expected
    for cell, print_ in ((bedrock, where.to_bedrock), (langchain, where.to_langchain)):
        if cell != "–":
            assert chunks(index, ast.literal_eval(cell)) == expected
            continue
        with pytest.raises(WhereError):
            print_()
    assert (f"c{ROWS.index({})}" in expected) == {"match": True, "no match": False}[missing]


def test_all_operators_are_in_the_table() -> None:
    strings, pythons, bedrocks, langchains, _ = ("\n".join(column) for column in zip(*table(), strict=True))
    assert all(f" {op} " in strings for op in (*COMPARISONS, "in", "not in", "and", "or"))
    assert all(f"{name}(" in strings for name in (*FUNCTIONS, "exists") if name != "contains")
    assert all(f".{name}(" in pythons for name in (*FUNCTIONS, "isin", "notin", "exists"))
    assert all(f'"{name}"' in bedrocks for name in (*BEDROCK, "andAll", "orAll"))
    assert all(
        f'"{name}"' in langchains for name in (*LANGCHAIN, "$and", "$or", "$not", "$exists") if name != "$eq"
    )
