"""Search is exact under any filter, scores are those documented, and damage raises rag's errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.core.errors import (
    RagError,
    StoreCorruptError,
    StoreLockedError,
    StoreMismatchError,
    StoreMissingError,
    UsageError,
)
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.chunk import Chunk
from rag.index.storage.layout import flat_header
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.own_files import writer_lock
from rag.index.storage.writer import open_writer

ENTRY = EmbedderEntry("", "random", 16)


def make(folder: Path, groups: list[int], seed: int = 0) -> tuple[rag.Index, np.ndarray]:
    """An index of one-chunk documents with random vectors and a field ``group``."""
    vectors = np.random.default_rng(seed).normal(size=(len(groups), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with open_writer(folder, ENTRY, rebuild=False) as writer:
        for n, group in enumerate(groups):
            number = writer.add_document(f"d{n}", f"{n}", {"group": group})
            words = f"word{n % 7} word{n % 3} common"
            writer.add_chunks([(number, Chunk(f"c{n:05}", 0, len(words), words))], vectors[n : n + 1])
        writer.commit(removed=set(), sources=[], root=".", chunker="none")
    return rag.Index.open(folder), vectors


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=80),
    st.integers(0, 6),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_dense_search_is_exact_under_a_filter(
    tmp_path_factory: pytest.TempPathFactory, groups: list[int], group: int, k: int, seed: int
) -> None:
    index, vectors = make(tmp_path_factory.mktemp("ix") / "ix", groups, seed)
    query = np.random.default_rng(seed + 1).normal(size=16).astype(np.float32)
    query /= np.linalg.norm(query)
    allowed = [n for n, value in enumerate(groups) if value == group]
    best = sorted(allowed, key=lambda n: -float(vectors[n] @ query))[:k]
    hits = index.search_by_vector(query, k=k, where=f"group == {group}", mode="dense")
    assert [int(hit.source) for hit in hits] == best
    assert [hit.score for hit in hits] == pytest.approx([float(vectors[n] @ query) for n in best], abs=1e-5)
    assert hits.plan.matched == len(allowed)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_filter_holds_in_every_mode(tmp_path: Path, mode: str) -> None:
    index, vectors = make(tmp_path / "ix", [n % 10 for n in range(200)])
    for group in range(10):
        hits = index.search_by_vector(vectors[group], "common word1", 50, where={"group": group}, mode=mode)
        assert len(hits) == 20
        assert {hit.metadata["group"] for hit in hits} == {group}
        assert str(hits.plan).endswith("only 20 exist")


def test_scores(tmp_path: Path) -> None:
    index, vectors = make(tmp_path / "ix", [0] * 30)
    dense = index.search_by_vector(5 * vectors[3], k=1, mode="dense")[0]
    assert (dense.source, dense.lexical) == ("3", None)
    assert dense.score == dense.dense == pytest.approx(1.0, abs=1e-6)
    lexical = index.search("word6", k=3, mode="lexical")
    # df = 4 of 30 rows, each row has three own terms and its name: BM25 by hand, k1 0.9, b 0.4
    idf = np.log(1 + (30 - 4 + 0.5) / (4 + 0.5))
    lengths = np.array([4 for n in range(30)], float)
    expected = idf * 1.9 / (1 + 0.9 * (0.6 + 0.4 * 4 / lengths.mean()))
    assert [hit.source for hit in lexical] == ["13", "20", "27"][:3] or {h.source for h in lexical} <= {
        "6",
        "13",
        "20",
        "27",
    }
    assert lexical[0].score == pytest.approx(expected, abs=1e-5)
    hybrid = index.search_by_vector(vectors[6], "word6", 1, mode="hybrid")[0]
    assert hybrid.source == "6"
    assert hybrid.dense == pytest.approx(1.0, abs=1e-6)
    assert hybrid.lexical == pytest.approx(expected, abs=1e-5)


def test_flat_header_is_faiss(tmp_path: Path) -> None:
    """The head of the vectors' file is that of the installed FAISS."""
    flat = faiss.IndexFlatIP(16)
    flat.add(np.ones((3, 16), np.float32))
    faiss.write_index(flat, str(tmp_path / "flat"))
    head = flat_header(16, 3)
    assert (tmp_path / "flat").read_bytes()[: len(head)] == head


def test_invalid_searches(tmp_path: Path) -> None:
    index, vectors = make(tmp_path / "ix", [0] * 3)
    with pytest.raises(UsageError, match="is empty"):
        index.search("  ", mode="lexical")
    with pytest.raises(UsageError, match="mode is 'fuzzy'"):
        index.search_by_vector(vectors[0], mode="fuzzy")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 1"):
        index.search("word1", k=0, mode="lexical")
    with pytest.raises(StoreMismatchError, match="search with mode 'lexical'"):
        index.search("word1")
    with pytest.raises(StoreMismatchError, match="3 dimensions"):
        index.search_by_vector([1, 2, 3])


def test_missing_index(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="rag build SRC"):
        rag.Index.open(tmp_path / "none")


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("LOCK", "cache.sqlite"))


def test_truncated_or_missing_files_raise_rag_errors(tmp_path: Path) -> None:
    """The error says how to recover."""
    make(tmp_path / "ix", [0, 1] * 20)
    for victim in files(tmp_path / "ix"):
        for name, harm in (("cut", lambda p: p.write_bytes(p.read_bytes()[:-7])), ("gone", Path.unlink)):
            copy = tmp_path / f"{name}-{victim.name}"
            shutil.copytree(tmp_path / "ix", copy)
            harm(copy / victim.relative_to(tmp_path / "ix"))
            with pytest.raises(RagError) as caught:
                rag.Index.open(copy)
            assert "rebuild" in str(caught.value) or "there is no index" in str(caught.value)


def test_flipped_bytes_raise_only_rag_errors(tmp_path: Path) -> None:
    _, vectors = make(tmp_path / "ix", [0, 1] * 20)
    random = np.random.default_rng(7)
    for number in range(120):
        victim = random.choice(np.array(files(tmp_path / "ix"), dtype=object))
        whole = victim.read_bytes()
        data = bytearray(whole)
        for at in random.integers(0, len(data), 3):
            data[at] ^= int(random.integers(1, 256))
        victim.write_bytes(bytes(data))
        try:
            index = rag.Index.open(tmp_path / "ix")
            index.search_by_vector(vectors[number % 40], "word1", 3, mode="hybrid")
        except RagError:
            pass
        finally:
            victim.write_bytes(whole)


def test_manifest_paths_stay_inside_the_index(tmp_path: Path) -> None:
    make(tmp_path / "ix", [0])
    path = tmp_path / "ix" / "manifests" / "000001.json"
    manifest = json.loads(path.read_text())
    manifest["sources"]["path"] = "sources/../../../etc/passwd"
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreCorruptError, match=r"sources\.path"):
        rag.Index.open(tmp_path / "ix")


def test_second_writer_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "ix", [0])
    with writer_lock(tmp_path / "ix"), pytest.raises(StoreLockedError, match="wait until it is done"):
        make(tmp_path / "ix", [0])


def test_reader_keeps_its_version(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    old = rag.Index.open(tmp_path / "ix")
    (folder / "leave.md").unlink()
    rag.build(folder, tmp_path / "ix")
    assert {hit.source for hit in old.search("annual leave in Europe", k=9)} >= {"leave.md"}
    new = rag.Index.open(tmp_path / "ix")
    assert "leave.md" not in {hit.source for hit in new.search("annual leave in Europe", k=9)}
    assert rag.Index.open(tmp_path / "ix", version=1).version == 1
    assert old.embedder is not None
    assert isinstance(old.embedder, StaticEmbeddings)
