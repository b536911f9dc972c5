"""Building from what something else has loaded: LangChain's loaders, and any iterable of Documents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_community.document_loaders import CSVLoader, PyPDFLoader, TextLoader
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

import rag
from rag.core.errors import ConfigError, SourceError
from rag.core.passages import STRUCTURE
from rag.loading.documents import DocumentLoader
from tests.loading.files import pdf


def build(source: Any, path: Path, **settings: Any) -> rag.Index:
    rag.build(source, path, embedder="static", **settings)
    return rag.Index.open(path)


def test_a_generator_is_built_from_and_the_next_build_is_incremental(tmp_path: Path) -> None:
    def documents(second: str) -> Iterator[Document]:
        yield Document(
            "Leave is 28 days a year.", metadata={"source": "leave", "year": 2026, "on": dt.date(2026, 1, 2)}
        )
        yield Document(second, metadata={"source": "pay", "nested": {"a": 1}, "start": 9})
        yield Document("A document without a source.", id="own-id")
        yield Document("A document without any name.")

    index = build(documents("Pay comes on the 25th."), tmp_path / "ix")
    hit = index.search("leave", where="year == 2026 and on < date('2026-02-01')")[0]
    assert (hit.source, hit.text) == ("leave", "Leave is 28 days a year.")
    assert index.search("pay", k=1)[0].metadata == {"nested.a": 1, "start_": 9}
    names = [record.source for record in index.sources]
    assert names[1:] == ["leave", "own-id", "pay"] and names[0].startswith("document-")
    report = rag.build(documents("Pay comes on the 25th."), tmp_path / "ix")
    assert (report.unchanged, report.version) == (4, 1)
    report = rag.build(documents("Pay comes on the 26th."), tmp_path / "ix")
    assert (report.changed, report.unchanged, report.version) == (1, 3, 2)
    assert rag.build([Document("Only this.", metadata={"source": "leave"})], tmp_path / "ix").removed == 3


def test_pages_of_a_langchain_pdf_loader_are_one_document_with_pages(tmp_path: Path) -> None:
    path = tmp_path / "manual.pdf"
    path.write_bytes(pdf("Open the valve first.", "Then start the pump.", "Close it at the end."))
    index = build(PyPDFLoader(str(path)), tmp_path / "ix")
    [record] = index.sources
    assert record.source == str(path)
    hit = index.search("start the pump", k=1)[0]
    assert (hit.page_start, hit.page_end) == (1, 3)
    pages = rag.plan(PyPDFLoader(str(path)), tmp_path / "ix")
    assert pages.unchanged == 1
    document = DocumentLoader(PyPDFLoader(str(path))).load()[0]
    starts = document.metadata[STRUCTURE]["pages"]
    assert [document.page_content[at : at + 4] for at in starts] == ["Open", "Then", "Clos"]
    assert not {"page", "page_label", "total_pages"} & document.metadata.keys()


def test_page_numbers_with_holes_and_labels_stay_true() -> None:
    pages = [
        Document(f"page {n}", metadata={"source": "a", "page": n, "page_label": label})
        for n, label in ((0, "i"), (3, "2"))
    ]
    document = DocumentLoader(pages).load()[0]
    assert document.metadata[STRUCTURE]["pages"] == [0, 8, 8, 8]
    assert document.metadata["page_labels"] == ["i", "2", "3", "2"]


def test_rows_of_one_source_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("name,age\nAnn,31\nBo,44\n")
    loader = DocumentLoader(CSVLoader(str(path), source_column=None))
    found = loader.load()
    assert [d.metadata["source"] for d in found] == [str(path), f"{path}#2"]
    assert [d.metadata["row"] for d in found] == [0, 1]
    assert loader.notes == ["1 source names several documents: told apart as source#2, …"]


def test_text_is_as_the_loader_gave_it_to_the_character(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("First.\r\n\r\n  Second, indented.\n", newline="")
    hits = build(TextLoader(str(path)), tmp_path / "ix").search("second")
    text = TextLoader(str(path)).load()[0].page_content
    assert text[hits[0].start : hits[0].end] == hits[0].text


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 5), st.text(min_size=1, max_size=20)),
        max_size=15,
    )
)
def test_no_document_is_lost_and_none_made_up(rows: list[tuple[str, int | None, str]]) -> None:
    given_ = [
        Document(text, metadata={"source": source} | ({} if page is None else {"page": page}))
        for source, page, text in rows
    ]
    loader = DocumentLoader(given_)
    found = {file.source: result for file, result in loader.read(loader.files())}
    texts = "\n".join(d.page_content for d in found.values() if isinstance(d, Document))
    bad = sum(not isinstance(d, Document) for d in found.values())
    assert bad <= sum(not text.strip() for *_, text in rows)
    for *_, text in rows:
        if text.strip():
            assert text.encode("utf-8", "replace").decode() in texts or any(
                "\ud800" <= c <= "\udfff" for c in text
            )
    loader.close(done=True)


def test_our_own_loaders_documents_keep_their_structure(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    (root / "a.md").write_text("# Title\n\n## Part\n\nWords of the part.\n")
    direct = build(root, tmp_path / "one").search("words")[0]
    through = build(rag.Loader(root).lazy_load(), tmp_path / "two").search("words")[0]
    given_ = build(rag.Loader(root), tmp_path / "three").search("words")[0]
    assert direct.section == through.section == given_.section == ("Title", "Part")
    assert direct == given_


class Broken(BaseLoader):
    def lazy_load(self) -> Iterator[Document]:
        yield Document("fine", metadata={"source": "a"})
        raise OSError("the network went away")


def test_a_loader_that_fails_changes_nothing(tmp_path: Path) -> None:
    index = build([Document("Kept.", metadata={"source": "a"})], tmp_path / "ix")
    with pytest.raises(
        SourceError,
        match=r"Broken failed after 1 documents \(OSError: the network went away\); nothing was changed",
    ):
        rag.build(Broken(), index.path)
    with pytest.raises(SourceError, match="gave a str as number 2"):
        rag.build([Document("x"), "no document"], index.path)  # type: ignore[list-item]
    with pytest.raises(SourceError, match="holds no files"):
        rag.build([], index.path)
    assert rag.Index.open(index.path).version == 1


def test_a_loader_can_be_named_in_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Words in a file.")
    index = build(
        path,
        tmp_path / "ix",
        loader={"use": "tests.loading.test_documents:Single", "shout": True},
        metadata={"single": {"by": "table"}},
    )
    assert index.search("words")[0].text == "WORDS IN A FILE."
    assert index.search("words", where="by == 'table'")[0].source == "single"
    with pytest.raises(ConfigError, match="metadata is an argument of the loader"):
        rag.build(rag.Loader(path), tmp_path / "other", metadata={"a": {}})


class Single(BaseLoader):
    def __init__(self, path: str | Path, shout: bool = False) -> None:
        self.path, self.shout = Path(path), shout

    def lazy_load(self) -> Iterator[Document]:
        text = self.path.read_text()
        yield Document(text.upper() if self.shout else text, metadata={"source": "single"})
