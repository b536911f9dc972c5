"""Metadata as the attributes of Knowledge Bases; what does not fit is refused with file and field."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from rag.bedrock.knowledge_bases.attributes import sidecars
from rag.core.errors import SourceError


def attributes(notes: list[str] | None = None, **documents: dict[str, Any]) -> dict[str, Any]:
    found = dict(sidecars(documents, [] if notes is None else notes))
    return {
        name: None if data is None else json.loads(data)["metadataAttributes"] for name, data in found.items()
    }


def test_each_type_has_its_attribute() -> None:
    at = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
    found = attributes(a={
        "name": "é", "year": 2024, "share": 0.5, "ok": True, "tags": ["hr", "leave"], "day": dt.date(2024, 3, 1),
        "at": at,
    })  # fmt: skip
    assert found == {"a": {
        "name": "é", "year": 2024, "share": 0.5, "ok": True, "tags": ["hr", "leave"], "day": "2024-03-01",
        "day_day": 20240301, "at": "2024-03-01T12:00:00+00:00",
    }}  # fmt: skip


def test_a_field_has_one_type_in_all_documents_as_in_an_index() -> None:
    notes: list[str] = []
    found = attributes(notes, a={"edition": 2, "tags": ["x"]}, b={"edition": "second", "tags": "y"})
    assert found == {"a": {"edition": "2", "tags": ["x"]}, "b": {"edition": "second", "tags": ["y"]}}
    assert notes[0] == "field 'edition' is a number in a and a string in b: kept as string"


def test_empty_values_are_left_out_with_a_note() -> None:
    notes: list[str] = []
    assert attributes(notes, a={"author": "", "tags": []}, b={"author": "Ada"}) == {
        "a": None, "b": {"author": "Ada"}
    }  # fmt: skip
    assert notes == [
        "field 'author' is empty in some documents: left out there",
        "field 'tags' is empty in some documents: left out there",
    ]


@pytest.mark.parametrize(("name", "value", "fault"), [
    ("text", "x" * 2049, "has 2049 characters, a STRING has at most 2048: shorten it"),
    ("tags", ["t"] * 11, "lists 11 strings, a STRING_LIST holds at most 10: shorten it"),
    ("tags", ["x" * 3000], "lists a string of 3000 characters, a STRING has at most 2048"),
    ("tags", ["a", ""], "lists an empty string: leave that out"),
    ("number", 2**53 + 2, "is 9007199254740994, beyond 2\\*\\*53, where a NUMBER is not exact: write it as text"),
    ("n" * 101, 1, "has a name of 101 characters, a filter's key at most 100: rename it"),
    ("x-amz-bedrock-kb-source-uri", "s3://a", "begins with x-amz-bedrock-, which is the service's: rename it"),
])  # fmt: skip
def test_what_does_not_fit_names_file_and_field(name: str, value: Any, fault: str) -> None:
    with pytest.raises(SourceError, match=f"Knowledge Bases cannot hold a.md: field '{name}' {fault}"):
        attributes(**{"a.md": {name: value}})


def test_the_number_of_a_date_clashes_with_no_other_field() -> None:
    with pytest.raises(
        SourceError, match="'valid_day' clashes with the number that stands for the date 'valid'"
    ):
        attributes(a={"valid": dt.date(2024, 1, 1), "valid_day": 3})


def test_limits_hold_exactly() -> None:
    found = attributes(a={"text": "x" * 2048, "tags": ["t"] * 10, "number": 2**53, "n" * 100: 1})
    assert len(found["a"]["text"]) == 2048 and len(found["a"]["tags"]) == 10


def test_a_sidecar_that_is_too_large_names_its_longest_field() -> None:
    with pytest.raises(SourceError, match=r"a: its attributes take \d+ bytes, a sidecar at most 10000.*'f3'"):
        attributes(a={f"f{n}": "é" * (1000 + n // 3) for n in range(6)})


def test_several_faults_are_counted() -> None:
    with pytest.raises(SourceError, match="and 2 more"):
        attributes(**{f"{n}.md": {"text": "x" * 3000} for n in range(7)})


def test_more_than_s3_vectors_holds_is_noted() -> None:
    notes: list[str] = []
    attributes(notes, a={"text": "x" * 1500}, b={f"f{n}": n for n in range(36)}, c={"ok": True})
    assert notes == [
        "2 documents have attributes of more than 1024 bytes or 35 fields: a knowledge base on S3 Vectors "
        "refuses these"
    ]
