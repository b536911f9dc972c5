"""What the pipeline asks of a loader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document

from rag.core.passages import STRUCTURE

#: Texts by source, in no order; sorted, the folder comes first.
TEXTS = {"b.md": "# B\n\nWords of b.\n", "a/x.md": "Words of x.\n", "a/y.md": "# Y\n\nWords of y.\n"}


class LoaderSuite:
    """Any `BaseLoader`: of `rag`, of LangChain, or yours.

    Give a fixture ``loader``, which yields at least two documents.

    Examples
    --------
    >>> class TestMine(LoaderSuite):
    ...     @pytest.fixture
    ...     def loader(self):
    ...         return MyLoader("exports/")
    """

    @pytest.fixture
    def loader(self) -> Any:
        """Return the loader under test."""
        raise NotImplementedError("give the loader under test in a fixture named loader")

    def test_documents_have_a_text_and_a_source(self, loader: Any) -> None:
        """Every document has a text that is not blank, and says where it is from."""
        documents = loader.load()
        assert len(documents) >= 2, "the suite needs a loader of at least two documents"
        for document in documents:
            assert isinstance(document, Document)
            assert document.page_content.strip(), f"{document.metadata} holds no text"
            source = document.metadata.get("source") or document.id
            assert isinstance(source, str) and source, f"{document.page_content[:40]!r} has no source"

    def test_the_order_is_stable(self, loader: Any) -> None:
        """Loaded twice, lazily, and asynchronously, the documents are the same, in the same order."""
        first = loader.load()
        assert list(loader.lazy_load()) == first
        assert asyncio.run(_awaited(loader)) == first

    def test_structure_lies_inside_the_text(self, loader: Any) -> None:
        """Offsets of pages, headings and tables, where there are some, are in order and inside the text."""
        for document in loader.load():
            structure = document.metadata.get(STRUCTURE)
            if structure is None:
                continue
            size = len(document.page_content)
            for name in ("pages", "headings", "tables", "margins"):
                rows = structure.get(name, ())
                starts = [row if isinstance(row, int) else row[0] for row in rows]
                assert starts == sorted(starts), f"the {name} of {document.metadata['source']} are unordered"
                assert all(0 <= start <= size for start in starts), name
            assert 0 <= structure["body"] <= size


async def _awaited(loader: Any) -> list[Document]:
    return [document async for document in loader.alazy_load()]


class BuildLoaderSuite:
    """A `rag.loading.base.BuildLoader`, of which a build reads only what has changed.

    Give a fixture ``make``: a function from texts by source to a loader of them. Called again, it stands
    for the same place, changed. It passes on ``metadata=``, metadata by source, as `rag.Loader` has it.
    """

    @pytest.fixture
    def make(self) -> Callable[..., Any]:
        """Return what makes a loader of some texts."""
        raise NotImplementedError("give what makes the loader under test in a fixture named make")

    @pytest.fixture
    def reads(self) -> Callable[[str], str]:
        """Return what turns a file's text into the loaded one; by default they are the same."""
        return str

    def test_files_are_listed_in_order_and_read_in_the_order_asked_for(
        self, make: Callable[..., Any], reads: Callable[[str], str]
    ) -> None:
        """`files` sorts by source; `read` keeps the order that it is given."""
        loader = make(TEXTS)
        files = loader.files()
        assert [file.source for file in files] == sorted(TEXTS)
        for order in (files, files[::-1], files[1:2]):
            read = list(loader.read(order))
            assert [file.source for file, _ in read] == [file.source for file in order]
            loaded = [document.page_content for _, document in read]
            assert loaded == [reads(TEXTS[file.source]) for file in order]
            assert all(document.metadata["source"] == file.source for file, document in read)
            for _, document in read:
                structure = document.metadata[STRUCTURE]
                assert {"body", "pages", "headings", "tables", "margins", "notes"} == structure.keys()
        loader.close(done=True)

    def test_a_hash_changes_with_its_file_and_no_other(self, make: Callable[..., Any]) -> None:
        """Content and metadata have a hash each, which says exactly what has to be read again."""
        before = _hashes(make(TEXTS))
        assert _hashes(make(TEXTS)) == before
        assert len({content for content, _ in before.values()}) == len(TEXTS)
        changed = _hashes(make({**TEXTS, "b.md": "# B\n\nOther words.\n"}))
        assert {name for name in before if changed[name] != before[name]} == {"b.md"}
        dated = _hashes(make(TEXTS, metadata={"a/x.md": {"year": 2026}}))
        assert {name for name in before if dated[name] != before[name]} == {"a/x.md"}
        assert dated["a/x.md"][0] == before["a/x.md"][0]

    def test_bad_texts_are_quarantined_and_loading_goes_on(self, make: Callable[..., Any]) -> None:
        """A file that cannot be read is named with its reason; the others are loaded."""
        loader = make({**TEXTS, "a/y.md": "   \n"})
        assert [document.metadata["source"] for document in loader.load()] == ["a/x.md", "b.md"]
        [(source, error)] = loader.quarantined
        assert (source, error.reason) == ("a/y.md", "holds no text")


def _hashes(loader: Any) -> dict[str, tuple[str, str]]:
    hashed = list(loader.hashed(loader.files()))
    loader.close(done=True)
    assert all(error is None for _, error in hashed)
    return {file.source: (file.sha256, file.metadata_sha256) for file, _ in hashed}
