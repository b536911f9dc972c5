"""The metadata of files without their texts: those of a build, and files that hold none are not parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.loading.loader import Loader
from tests.conftest import HANDBOOK


def test_they_are_those_of_the_documents() -> None:
    loader = rag.Loader(HANDBOOK)
    derived = (
        "file_size",
        "file_mtime",
        "file_mime",
        "file_sha256",
        "encoding",
        "page_labels",
        "source",
        "structure",
    )
    expected = {
        document.metadata["source"]: {k: v for k, v in document.metadata.items() if k not in derived}
        for document in loader.load()
    }
    found = {file.source: fields for file, fields in loader.metadata(loader.files())}
    assert found == expected and any("title" in fields for fields in expected.values())
    assert list(found) == sorted(found)


def test_plain_text_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    (tmp_path / "c.txt").write_bytes(b"%PDF-1.7 no text at all")  # its name lies
    (tmp_path / "d.md").write_text("# Title\n\nText.")
    read: list[str] = []
    load = Loader._load

    def noting(self: Loader, file: SourceFile, idle: Any) -> Any:
        read.append(file.source)
        return load(self, file, idle)

    monkeypatch.setattr(Loader, "_load", noting)
    loader = Loader(tmp_path, metadata={"a.txt": {"year": 2024, "source": "user's"}})
    found = {file.source: fields for file, fields in loader.metadata(loader.files())}
    assert (found["a.txt"], found["b.csv"], found["d.md"]) == (
        {"year": 2024, "source_": "user's"}, {}, {"title": "Title"},
    )  # fmt: skip
    assert isinstance(found["c.txt"], LoadError) and read == ["c.txt", "d.md"]


def test_suffixes_that_are_not_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_bytes(b"\xd0\xcf\x11\xe0 old")
    (tmp_path / "a.doc.metadata.json").write_text('{"metadataAttributes": {"year": 1999}}')
    loader = Loader(tmp_path)
    assert [fields for _, fields in loader.metadata(loader.files(), (".doc",))] == [{"year": 1999}]
    [(_, refused)] = loader.metadata(loader.files())
    assert isinstance(refused, LoadError)


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "a.txt").write_text("Text.")
    (tmp_path / "a.txt.metadata.json").write_text("{")
    loader = Loader(tmp_path)
    found = {file.source: fields for file, fields in loader.metadata(loader.files())}
    assert "cannot be read" in str(found["a.txt"]) and "is empty" in str(found["empty.txt"])
