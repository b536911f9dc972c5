"""Metadata from files, functions, sidecars and tables."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document

import rag
from rag.core.errors import ConfigError, SourceError
from tests.loading.files import tree, write


def test_file_facts_are_metadata_to_filter_by(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "First words.", "b.html": "<p>Second words.</p>"})
    os.utime(root / "a.md", (0, 1_700_000_000))
    rag.build(root, tmp_path / "ix", embedder="static")
    index = rag.Index.open(tmp_path / "ix")
    [hit] = index.search("words", where="file_mime == 'text/markdown'")
    assert hit.metadata["file_mtime"] == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert (hit.metadata["file_size"], hit.metadata["encoding"]) == (12, "utf-8")
    assert hit.metadata["file_sha256"] == hashlib.sha256(b"First words.").hexdigest()
    assert [h.source for h in index.search("words", where="file_mtime < date('2024-01-01')")] == ["a.md"]


def test_a_function_adds_metadata_and_a_change_of_it_is_seen(tmp_path: Path) -> None:
    root = tree(tmp_path / "docs", ["eu/a.md", "us/b.md"])
    seen: list[tuple[str, dict[str, Any]]] = []

    def fields(source: str, known: dict[str, Any]) -> dict[str, Any]:
        seen.append((source, dict(known)))
        return {"tenant": source.split("/")[0], "priority": 1}

    build = {"metadata": fields, "metadata_from_path": "{region}/", "embedder": "static"}
    rag.build(root, tmp_path / "ix", **build)
    assert ("eu/a.md", {"region": "eu"}) in seen
    index = rag.Index.open(tmp_path / "ix")
    assert [hit.source for hit in index.search("text", where="tenant == 'us' and priority == 1")] == [
        "us/b.md"
    ]
    assert rag.build(root, tmp_path / "ix", **build).unchanged == 2
    report = rag.build(root, tmp_path / "ix", metadata=lambda source, known: {"tenant": "all" if "eu" in source else "us", "priority": 1},
                       metadata_from_path="{region}/", embedder="static")  # fmt: skip
    assert (report.changed, report.unchanged, report.embedded) == (1, 1, 0)


def test_a_function_that_fails_quarantines_its_file_alone(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.md"])
    loader = rag.Loader(root, metadata=lambda source, known: {"x": 1} if source == "a.md" else known["gone"])
    assert [d.metadata["x"] for d in loader.load()] == [1]
    assert loader.quarantined[0][1].reason == "made the metadata function fail (KeyError: 'gone')"


def test_a_function_can_be_named(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md"])
    assert (
        rag.Loader(root, metadata="tests.loading.test_metadata:named").load()[0].metadata["named"] == "a.md"
    )
    with pytest.raises(ConfigError, match=r"the loader's metadata: cannot import 'tests\.nowhere'"):
        rag.Loader(root, metadata="tests.nowhere:f")
    with pytest.raises(SourceError, match="cannot read the metadata table"):
        rag.Loader(root, metadata="nothing.jsonl")


def named(source: str, known: dict[str, Any]) -> dict[str, Any]:
    return {"named": source}


def test_the_more_particular_metadata_wins(tmp_path: Path) -> None:
    root = write(tmp_path, **{"v1__a.md": "---\nk1: inside\nk2: inside\nk3: inside\nk4: inside\n---\nWords."})
    (root / "v1" / "a.md.metadata.json").write_text(
        '{"metadataAttributes": {"k2": "sidecar", "k3": "sidecar", "k4": "sidecar"}}'
    )
    (root / "table.jsonl").write_text('{"source": "v1/a.md", "k3": "table", "k4": "table"}\n')
    loader = rag.Loader(root, include=["v1/*"], metadata_from_path="{k1}/", metadata=root / "table.jsonl")
    found = loader.load()[0].metadata
    assert [found[f"k{n}"] for n in (1, 2, 3, 4)] == ["inside", "sidecar", "table", "table"]
    loader = rag.Loader(root, include=["v1/*"], metadata=lambda source, known: {"k4": known["k3"] + "+"})
    assert loader.load()[0].metadata["k4"] == "sidecar+"


def test_a_conflict_of_types_is_told_with_both_files_also_across_builds(tmp_path: Path) -> None:
    root = write(
        tmp_path / "docs", **{"a.md": "---\nyear: 2024\n---\nOne.", "b.md": "---\nyear: unknown\n---\nTwo."}
    )
    report = rag.build(root, tmp_path / "ix", embedder="static")
    assert report.notes == ("field 'year' is a number in a.md and a string in b.md: kept as string",)
    write(root, **{"c.md": "---\nyear: 2025-01-01\ntags: [x]\n---\nThree."})
    report = rag.build(root, tmp_path / "ix", embedder="static")
    assert report.notes == ("field 'year' is a string in a.md and a date in c.md: kept as string",)
    assert rag.build(
        write(root, **{"d.md": "---\ntags: y\n---\nFour."}), tmp_path / "ix", embedder="static"
    ).notes == ("field 'tags' is a list in c.md and a string in d.md: kept as list",)


def test_what_a_build_cannot_keep_is_named_once_per_field(tmp_path: Path) -> None:
    from decimal import Decimal

    values: dict[str, Any] = {
        "v": {"a": 1, "deep": {"b": True}}, "id": 2**63, "low": -(2**63), "high": 2**63 - 1, "nan": float("nan"),
        "inf": float("-inf"), "raw": b"x", "price": Decimal("1.5"), "rows": [{"a": 1}], "": "unnamed", "bad": "a\ud800",
        "at": dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))), "day": dt.date(2024, 1, 31),
        "tags": ["a", "b"], "none": None, "score": 1, "score_": 2, "ok": True, "real": 0.5,
    }  # fmt: skip
    documents = [Document(f"Text {n}.", metadata={"source": str(n), **values}) for n in range(3)]
    report = rag.build(documents, tmp_path / "ix", embedder="static")
    said = {note.split("'")[1]: note.split("'", 2)[2] for note in report.notes}
    assert len(said) == len(report.notes)
    assert said == {
        "v": " is a mapping: kept as a field for each inner name, 'v.…'",
        "v.deep": " is a mapping: kept as a field for each inner name, 'v.deep.…'",
        "id": " holds integers of more than 64 bits: kept as text", "nan": " is NaN: left out",
        "inf": " is infinite: left out", "raw": " holds values of type bytes: kept as text",
        "price": " holds values of type Decimal: kept as text", "": " has no name: left out",
        "rows": " holds lists of other than plain values: kept as text",
        "bad": " holds half of a surrogate pair: replaced",
        "at": " is outside the years 1 to 9999 in UTC: kept as text",
        "score_": " is there twice, once inside a mapping or with a reserved name: one is left out",
    }  # fmt: skip
    index = rag.Index.open(tmp_path / "ix")
    assert index.count("low == -9223372036854775808 and high == 9223372036854775807") == 3
    assert index.count("high == 9223372036854775806") == 0
    assert index.count("id == '9223372036854775808'") == 3
    assert index.count(rag.field("v.a") == 1) == index.count("v.deep.b == true") == 3
    assert {"nan", "inf", "none"} & index.schema.keys() == set()


def test_a_table_beside_the_files_is_told_of_as_well(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "---\nv:\n  a: 1\n---\nOne.", "b.md": "Two."})
    table = {"a.md": {"big": 2**64}, "b.md": {"nan": float("nan"), "y": np.int64(2**60)}}
    report = rag.build(root, tmp_path / "ix", embedder="static", metadata=table)
    assert [note.split(":")[0] for note in report.notes if note.startswith("metadata field")] == [
        "metadata field 'big' holds integers of more than 64 bits", "metadata field 'nan' is NaN",
        "metadata field 'v' is a mapping",
    ]  # fmt: skip
    assert rag.Index.open(tmp_path / "ix").count(f"y == {2**60}") == 1
    assert rag.build(root, tmp_path / "ix", embedder="static", metadata=table).unchanged == 2
