"""Documents that other processes cut: the index is the same to the byte, whatever happens to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.documents import Document

import rag
from rag.building import cutters
from rag.building.clock import Clock
from rag.chunking import Chunker, FixedChunker, RecursiveChunker, SemanticChunker
from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.manifest import read_manifest

TEXT = "# Leave\n\nStaff take 28 days. Ask Ann—or “Bo”—first.\n\n## Sickness 🌡\n\n" + "Call by ten. " * 40


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(9):
        title = f"---\ntitle: Rules {number}\n---\n" if number % 2 else ""
        (folder / f"{number}.md").write_text(f"{title}{TEXT}\nOffice {number} is open.\n")
    (folder / "4.md").write_bytes(b"")
    (folder / "table.csv").write_text("name,days\n" + "Ann,28\nBo,30\n" * 60)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes cut even a few files, in small groups."""
    monkeypatch.setattr(cutters, "WORTHWHILE", 1)
    monkeypatch.setattr(cutters, "GROUP", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of an index's only segment."""
    (segment,) = read_manifest(folder).segments
    return {Path(file.path).name: (folder / file.path).read_bytes() for file in segment.files}


def test_the_index_is_the_same_to_the_byte(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = rag.build(docs, tmp_path / "here", embedder="static")
    started = []
    start = cutters._started
    monkeypatch.setattr(cutters, "_started", lambda recipe: started.append(start(recipe)) or started[-1])
    monkeypatch.setattr(cutters, "WORTHWHILE", 1)
    monkeypatch.setattr(cutters, "GROUP", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    there = rag.build(docs, tmp_path / "there", embedder="static")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert (there.chunks, there.embedded, there.quarantined) == (here.chunks, here.embedded, here.quarantined)
    assert [item.source for item in there.quarantined] == ["4.md"]
    assert started
    assert all(process.poll() is not None for process in started)


@pytest.mark.usefixtures("small")
def test_a_process_that_does_not_start_or_dies_is_done_without(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rag.build(docs, tmp_path / "there", embedder="static")
    start = cutters._started
    for number, fault in enumerate(("none", "dead")):

        def broken(recipe: dict, fault: str = fault):  # type: ignore[no-untyped-def]
            if fault == "none":
                raise OSError("no memory")
            process = start(recipe)
            process.kill()
            return process

        monkeypatch.setattr(cutters, "_started", broken)
        rag.build(docs, tmp_path / f"{number}", embedder="static")
        assert contents(tmp_path / f"{number}") == contents(tmp_path / "there")


@pytest.mark.usefixtures("small")
def test_closing_early_ends_the_processes() -> None:
    def files() -> Iterator[cutters.Read]:
        for number in range(1000):
            name = f"{number}.md"
            document = Document(TEXT, metadata={STRUCTURE: {"body": 0, "pages": [], "headings": []}})
            yield SourceFile(name, Path(name), 1, 0.0), document

    with cutters.Cutters(FixedChunker(max_tokens=16), None, 1 << 30, Clock()) as some:
        cut = some.cut(files())
        file, _, (chunks, vectors) = next(cut)
        assert (file.source, vectors) == ("0.md", {})
        assert not isinstance(chunks, LoadError)
        assert all(TEXT[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        running = [process._process for process in some._processes if process._process is not None]
        assert running
        cut.close()
        assert all(process.poll() is not None for process in running)


MODEL = StaticEmbeddings()


@pytest.mark.parametrize(
    "chunker",
    [
        SemanticChunker(MODEL, MODEL.count_tokens, max_tokens=24), SemanticChunker(min_tokens=4),
        FixedChunker(MODEL.count_tokens, max_tokens=30), RecursiveChunker(overlap_percentage=10),
    ],
    ids=lambda chunker: chunker.fingerprint,
)  # fmt: skip
def test_a_chunker_is_made_anew_from_its_recipe(chunker: Chunker) -> None:
    made = cutters.recipe(chunker)
    assert made is not None
    document = Document(TEXT, metadata={"source": "a.md"})
    again = cutters.chunker_of(made).transform_documents([document])
    assert list(again) == list(chunker.transform_documents([document]))
    with pytest.raises(ValueError, match="is not 'other'"):
        cutters.chunker_of({**made, "fingerprint": "other"})


class Own(SemanticChunker):
    pass


class OwnModel(StaticEmbeddings):
    pass


@pytest.mark.parametrize(
    "chunker",
    [
        Own(), SemanticChunker(OwnModel()), FixedChunker(lambda texts: [len(text) for text in texts]),
        SemanticChunker(MODEL, OwnModel().count_tokens), FixedChunker(MODEL.embed_documents),
    ],
)  # fmt: skip
def test_what_is_not_of_this_library_cuts_in_this_process(chunker: Chunker) -> None:
    assert cutters.recipe(chunker) is None


def test_only_the_static_model_embeds_ahead() -> None:
    for embedder, ahead in ((MODEL, True), (OwnModel(), False), (None, False)):
        made = cutters.recipe(SemanticChunker(MODEL), embedder)
        assert made is not None
        assert made["ahead"] is ahead
