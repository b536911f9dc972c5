"""Every loader keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

import rag
from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.loading.documents import DocumentLoader
from rag.testing import BuildLoaderSuite, LoaderSuite
from tests.testing.suites import failures


class TestFolder(LoaderSuite):
    @pytest.fixture
    def loader(self, folder: Path) -> Any:
        return rag.Loader(folder)


class TestDocuments(LoaderSuite):
    @pytest.fixture
    def loader(self) -> Any:
        return DocumentLoader([Document("One.", metadata={"source": "1"}), Document("Two.", id="2")])


class Honest(BaseLoader):
    """A loader as LangChain's are."""

    def lazy_load(self) -> Iterator[Document]:
        for source in ("a", "b", "c"):
            yield Document(f"Text of {source}.", metadata={"source": source})


class TestLangChains(LoaderSuite):
    @pytest.fixture
    def loader(self) -> Any:
        return Honest()


class Nameless(Honest):
    def lazy_load(self) -> Iterator[Document]:
        yield from (Document(each.page_content) for each in super().lazy_load())


class Blank(Honest):
    def lazy_load(self) -> Iterator[Document]:
        yield from super().lazy_load()
        yield Document("  \n", metadata={"source": "d"})


class Once(Honest):
    def __init__(self) -> None:
        self.rest = Honest.lazy_load(self)

    def lazy_load(self) -> Iterator[Document]:
        yield from self.rest


class Outside(Honest):
    def lazy_load(self) -> Iterator[Document]:
        for each in super().lazy_load():
            yield Document(
                each.page_content,
                metadata={**each.metadata, STRUCTURE: {"body": 0, "pages": [0, 900], "headings": []}},
            )


@pytest.mark.parametrize(
    ("broken", "tests"),
    [
        (Honest, set()),
        (Nameless, {"documents_have_a_text_and_a_source"}),
        (Blank, {"documents_have_a_text_and_a_source"}),
        (Once, {"the_order_is_stable"}),
        (Outside, {"structure_lies_inside_the_text"}),
    ],
)
def test_a_broken_loader_is_caught(broken: type[Honest], tests: set[str]) -> None:
    assert failures(LoaderSuite, loader=lambda: broken()) == tests


class Sorting(DocumentLoader):
    """Reads in its own order, whatever is asked for."""

    def read(self, files: Any) -> Iterator[tuple[SourceFile, Document | LoadError]]:
        yield from super().read(sorted(files, key=lambda file: file.source))


class Counting(DocumentLoader):
    """Gives files numbers for hashes."""

    number = itertools.count()

    def hashed(self, files: Any) -> Iterator[tuple[SourceFile, LoadError | None]]:
        for file, error in super().hashed(files):
            yield (
                SourceFile(
                    file.source,
                    file.size,
                    sha256=str(next(self.number)),
                    metadata_sha256=file.metadata_sha256,
                ),
                error,
            )


class Giving(DocumentLoader):
    """Stops at the first document that cannot be read."""

    def read(self, files: Any) -> Iterator[tuple[SourceFile, Document | LoadError]]:
        for file, result in super().read(files):
            yield file, result
            if isinstance(result, LoadError):
                return


@pytest.mark.parametrize(
    ("broken", "tests"),
    [
        (DocumentLoader, set()),
        (Sorting, {"files_are_listed_in_order_and_read_in_the_order_asked_for"}),
        (Counting, {"a_hash_changes_with_its_file_and_no_other"}),
        (Giving, {"bad_texts_are_quarantined_and_loading_goes_on"}),
    ],
)
def test_a_broken_build_loader_is_caught(broken: type[DocumentLoader], tests: set[str]) -> None:
    def make(texts: dict[str, str], **settings: Any) -> Any:
        return broken((Document(text, metadata={"source": name}) for name, text in texts.items()), **settings)

    assert failures(BuildLoaderSuite, make=make) == tests
