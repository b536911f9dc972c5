"""What a build asks of every loader, whatever its files come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

import rag
from rag.bedrock.storage.s3 import S3Files
from rag.loading.documents import DocumentLoader
from rag.testing import BuildLoaderSuite
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


class TestLoader(BuildLoaderSuite):
    """Each keeps what `rag.testing` asks; `make` above."""

    @pytest.fixture
    def make(self, make: Make) -> Make:
        return make

    @pytest.fixture
    def reads(self, make: Make) -> Any:
        return make.reads


def test_two_builds_of_the_same_place_are_the_same_version(make: Make, tmp_path: Path) -> None:
    index = tmp_path.parent / f"{tmp_path.name}-ix"
    first = rag.build(make(TEXTS), index, embedder="static")
    second = rag.build(make(TEXTS), index, embedder="static")
    assert (first.added, second.unchanged, second.version, second.embedded) == (3, 3, 1, 0)
    third = rag.build(make({"b.md": TEXTS["b.md"]}), index)
    assert (third.removed, third.version) == (2, 2)
    assert {hit.source for hit in rag.Index.open(index).search("words")} == {"b.md"}
