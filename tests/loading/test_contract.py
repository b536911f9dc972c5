"""What a build asks of every loader, whatever its files come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

import rag
from rag.bedrock.storage.s3 import S3Files
from rag.core.passages import STRUCTURE
from rag.loading.documents import DocumentLoader
from tests.bedrock.test_s3 import mirror, put, s3

__all__ = ["s3"]

TEXTS = {"b.md": "# B\n\nWords of b.\n", "a/x.md": "Words of x.\n", "a/y.md": "# Y\n\nWords of y.\n"}
Make = Any


@pytest.fixture(params=["folder", "bucket", "documents", "unstructured"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a loader of some texts by name; called again, it stands for the same place, changed."""
    client = request.getfixturevalue("s3") if request.param == "bucket" else None

    def loader(texts: dict[str, str], **settings: Any) -> Any:
        if request.param == "documents":
            return DocumentLoader((Document(t, metadata={"source": n}) for n, t in texts.items()), **settings)
        if client is not None:
            for item in client.list_objects_v2(Bucket="docs").get("Contents", ()):
                client.delete_object(Bucket="docs", Key=item["Key"])
            put(client, texts)
            return rag.Loader(S3Files("s3://docs", client=client), **settings)
        for path in sorted(tmp_path.rglob("*.md")):
            path.unlink()
        if request.param == "unstructured":
            return rag.Loader(mirror(tmp_path, texts), engine="unstructured", workers=1, **settings)
        return rag.Loader(mirror(tmp_path, texts), **settings)

    # The texts of unstructured's elements are without Markdown's marks.
    loader.reads = (lambda text: text.lstrip("# ").strip()) if request.param == "unstructured" else str
    return loader


def test_files_are_listed_in_order_and_read_in_the_order_asked_for(make: Make) -> None:
    loader = make(TEXTS)
    files = loader.files()
    assert [file.source for file in files] == ["a/x.md", "a/y.md", "b.md"]
    for order in (files, files[::-1], files[1:2]):
        found = list(loader.read(order))
        assert [file.source for file, _ in found] == [file.source for file in order]
        assert [document.page_content for _, document in found] == [
            make.reads(TEXTS[file.source]) for file in order
        ]
        assert all(document.metadata["source"] == file.source for file, document in found)
    assert {"body", "pages", "headings", "tables", "margins", "notes"} == found[0][1].metadata[
        STRUCTURE
    ].keys()
    loader.close(done=True)


def test_a_hash_changes_with_its_own_file_and_no_other(make: Make) -> None:
    def hashes(texts: dict[str, str], **settings: Any) -> dict[str, tuple[str, str]]:
        loader = make(texts, **settings)
        found = list(loader.hashed(loader.files()))
        loader.close(done=True)
        assert all(error is None for _, error in found)
        return {file.source: (file.sha256, file.metadata_sha256) for file, _ in found}

    before = hashes(TEXTS)
    assert hashes(TEXTS) == before
    assert len({content for content, _ in before.values()}) == 3
    changed = hashes({**TEXTS, "b.md": "# B\n\nOther words.\n"})
    assert {name for name in before if changed[name] != before[name]} == {"b.md"}
    told = hashes(TEXTS, metadata={"a/x.md": {"year": 2026}})
    assert {name for name in before if told[name] != before[name]} == {"a/x.md"}
    assert told["a/x.md"][0] == before["a/x.md"][0]


def test_bad_texts_are_quarantined_and_loading_goes_on(make: Make) -> None:
    loader = make({**TEXTS, "a/y.md": "   \n"})
    assert [document.metadata["source"] for document in loader.load()] == ["a/x.md", "b.md"]
    [(source, error)] = loader.quarantined
    assert (source, error.reason) == ("a/y.md", "holds no text")


def test_two_builds_of_the_same_place_are_the_same_version(make: Make, tmp_path: Path) -> None:
    index = tmp_path.parent / f"{tmp_path.name}-ix"
    first = rag.build(make(TEXTS), index, embedder="static")
    second = rag.build(make(TEXTS), index, embedder="static")
    assert (first.added, second.unchanged, second.version, second.embedded) == (3, 3, 1, 0)
    third = rag.build(make({"b.md": TEXTS["b.md"]}), index)
    assert (third.removed, third.version) == (2, 2)
    assert {hit.source for hit in rag.Index.open(index).search("words")} == {"b.md"}
