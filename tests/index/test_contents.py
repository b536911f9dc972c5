"""What an index holds: counted by documents, as a filter would, and once for each snapshot."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.index import index as index_file
from rag.index.contents import MOST_FIELDS, FieldSummary
from tests.conftest import index_of_rows

ROWS: list[dict[str, Any]] = [
    {"region": "eu", "year": 2024, "tags": ["hr", "leave"], "ok": True, "day": dt.date(2024, 3, 1)},
    {"region": "us", "year": 2024, "tags": ["hr", "hr"], "ok": True},
    {"region": "eu", "year": 2023, "tags": []},
]


def fields(index: rag.Index) -> dict[str, FieldSummary]:
    return {each.name: each for each in index.contents.fields}


def test_fields_are_counted_by_documents(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", ROWS)
    assert (index.contents.documents, index.contents.quarantined) == (3, 0)
    assert list(fields(index).values()) == [
        FieldSummary("day", "date", 1, 1, (("2024-03-01", 1),), "2024-03-01", "2024-03-01"),
        FieldSummary("ok", "boolean", 2, 1, (("true", 2),)),
        FieldSummary("region", "string", 3, 2, (("eu", 2), ("us", 1))),
        FieldSummary("tags", "list", 3, 2, (("hr", 2), ("leave", 1))),  # a member counts once a document
        FieldSummary("year", "number", 3, 2, (("2024", 2), ("2023", 1)), "2023", "2024"),
    ]


def test_each_count_is_that_of_the_filter(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", ROWS)
    for name in ("region", "year", "ok"):
        for value, count in fields(index)[name].values:
            literal = {"true": "true"}.get(value, value if value.isdigit() else repr(value))
            assert index.count_documents(f"{name} == {literal}") == count
    assert index.count_documents("'hr' in tags") == 2


def test_what_was_removed_no_longer_counts_and_types_are_joined(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    assert fields(rag.Index.open(tmp_path / "ix"))["region"].values == (("eu", 1), ("us", 1))
    (folder / "leave-us.md").unlink()
    (folder / "new.md").write_text("---\nregion: eu\nyear: 2024.5\n---\nA new page of the handbook.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    rag.build(folder, tmp_path / "ix", embedder="static")
    index = rag.Index.open(tmp_path / "ix")
    assert fields(index)["region"] == FieldSummary("region", "string", 2, 1, (("eu", 2),))
    assert fields(index)["year"].values == (("2024.0", 1), ("2024.5", 1))
    assert (index.contents.documents, index.contents.quarantined) == (3, 1)


def test_it_is_counted_once_for_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of_rows(tmp_path / "ix", ROWS)
    first = index.contents
    monkeypatch.setattr(index_file, "contents", lambda *_: pytest.fail("counted again"))
    assert index.contents is first
    assert index.with_embedder(None).contents is first


def test_beyond_so_many_fields_values_are_not_counted(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", [{f"f{n:03}": n for n in range(500)}])
    found = index.contents.fields
    assert len(found) == 500 and found[MOST_FIELDS - 1].documents == 1
    assert found[MOST_FIELDS] == FieldSummary(f"f{MOST_FIELDS:03}", "number")


def test_whole_numbers_beside_fractions_that_no_float_equals(tmp_path: Path) -> None:
    index = index_of_rows(tmp_path / "ix", [{"n": 2**60 + 1}, {"n": 0.5}, {"n": 0.5}])
    assert fields(index)["n"] == FieldSummary("n", "number", 3, 2, (("0.5", 2), (str(2**60 + 1), 1)))


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=4), min_size=1, max_size=12))
def test_members_of_lists_are_counted_as_by_hand(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    index = index_of_rows(tmp_path_factory.mktemp("lists") / "ix", [{"tags": row} for row in rows])
    expected = Counter(member for row in rows for member in {*row})
    best = sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:5]
    assert fields(index)["tags"].values == tuple(best)
    assert fields(index)["tags"].distinct == len(expected)
