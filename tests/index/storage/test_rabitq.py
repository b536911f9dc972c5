"""Codes of large segments: recall keeps its promise, scores are exact, and FAISS reads the files."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.embedding.static import StaticEmbeddings
from rag.index.storage import rabitq, segment
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.writer import open_writer

SIZE = 64


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made(kind: str, rows: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.normal(size=(rows, SIZE))
    if kind == "clustered":
        noise += 1.5 * random.normal(size=(40, SIZE))[random.integers(0, 40, rows)]
    if kind == "narrow":  # all in one direction, as embeddings of some models are
        noise += 6.0
    if kind == "axes":  # most of each vector in a few dimensions
        noise *= np.linspace(4, 0.05, SIZE) ** 2
    return unit(noise)


def index_of(path: Path, vectors: np.ndarray, pieces: int = 1) -> rag.Index:
    with open_writer(path, EmbedderEntry("", "random", vectors.shape[1])) as writer:
        for n in range(len(vectors)):
            number = writer.add_document(f"d{n}", f"{n}", {"group": n % 7})
            writer.add_chunks([(number, Chunk(f"c{n:06}", 0, 1, "x"))], vectors[n : n + 1])
        writer.commit(sources=[], root=".", chunker="none")
    return rag.Index.open(path)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes from 2,000 rows on, in parts of 700, whatever the filter."""
    for module in (rabitq, segment):
        monkeypatch.setattr(module, "WORTHWHILE", 2000 * SIZE)
    monkeypatch.setattr(rabitq, "PART", 700)
    monkeypatch.setattr(segment, "EXACT", 20 * SIZE)
    monkeypatch.setattr(segment, "SPARSE", 10**9)


@pytest.mark.parametrize("kind", ["clustered", "even", "narrow", "axes"])
@pytest.mark.usefixtures("small_parts")
def test_codes_recall(tmp_path: Path, kind: str) -> None:
    """Codes return the ten best rows, with and without a filter."""
    vectors = made(kind, 6000)
    index = index_of(tmp_path / "ix", vectors)
    assert len(list(tmp_path.rglob("codes-*.faiss"))) == 9
    queries = unit(vectors[::100] + 0.1 * np.random.default_rng(1).normal(size=(60, SIZE)))
    recall, compared = [], []
    for n, query in enumerate(queries):
        for where in (None, f"group == {n % 7}"):
            allowed = np.arange(len(vectors)) if where is None else np.arange(n % 7, len(vectors), 7)
            cosines = vectors[allowed] @ query
            best = set(allowed[np.argsort(-cosines)[:10]].tolist())
            hits = index.search_by_vector(query, k=10, where=where)
            recall.append(len(best & {int(hit.source) for hit in hits}) / 10)
            compared.append(hits.plan.compared / hits.plan.matched)
            for hit in hits:
                assert hit.score == pytest.approx(float(vectors[int(hit.source)] @ query), abs=1e-6)
    assert np.mean(recall) >= 0.995
    if kind == "clustered":
        assert np.median(compared) < 0.5  # else they would be good for nothing


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from(["clustered", "even", "narrow"]))
def test_estimate_error_is_bounded(seed: int, rows: int, kind: str) -> None:
    """The error of RaBitQ's estimate stays within the module's formula."""
    vectors = made(kind, 400 + rows, seed)
    query = vectors[0]
    centre = vectors.mean(0)
    coder = rabitq._coder(SIZE, centre.astype(np.float32))
    coder.add(vectors)
    estimates, found = coder.search(query[None], len(vectors))
    errors = estimates[0] - vectors[found[0]] @ query
    bound = rabitq.SIGMAS * rabitq._deviation(query, centre)
    assert np.mean(np.abs(errors) > bound) < 0.03


def test_code_header_is_faiss(tmp_path: Path) -> None:
    """The head of a file of codes is that of the installed FAISS."""
    vectors = made("even", 30)
    coder = rabitq._coder(SIZE, vectors.mean(0))
    coder.add(vectors)
    faiss.write_index(coder, str(tmp_path / "own"))
    rabitq.PART, part = 30, rabitq.PART
    try:
        rabitq.write(tmp_path, lambda first, end: vectors[first:end], *vectors.shape)
    finally:
        rabitq.PART = part
    head = rabitq.head(SIZE, 30)
    assert (tmp_path / "own").read_bytes()[: len(head)] == head
    assert (tmp_path / "codes-000.faiss").stat().st_size == (tmp_path / "own").stat().st_size
    again = faiss.read_index(str(tmp_path / "codes-000.faiss"))
    assert (again.ntotal, again.d, again.qb) == (30, SIZE, 4)


@pytest.mark.usefixtures("small_parts")
def test_plan(tmp_path: Path) -> None:
    vectors = made("clustered", 3000)
    index = index_of(tmp_path / "ix", vectors)
    plan = index.search_by_vector(vectors[5], k=3).plan
    assert (plan.k, plan.found, plan.matched, plan.exact) == (3, 3, 3000, False)
    assert str(plan) == (
        f"dense over 3,000 of 3,000 chunks, {plan.compared:,} of them compared exactly, the rest by codes: 3 of 3"
    )
    few = index.search_by_vector(vectors[5], k=3, where="source in ['5', '6']").plan
    assert str(few) == "dense over 2 of 3,000 chunks where source in ['5', '6']: only 2 exist"
    assert few.exact
    least = index.search_by_vector(vectors[5], k=9, min_score=0.999).plan
    assert str(least).endswith("only 1 score at least 0.999")


@pytest.mark.usefixtures("small_parts")
def test_compaction_adds_codes(tmp_path: Path) -> None:
    """Searches return the same."""
    vectors = made("clustered", 2400)
    for first in (0, 800, 1600):
        with open_writer(tmp_path / "ix", EmbedderEntry("", "random", SIZE)) as writer:
            for n in range(first, first + 800):
                number = writer.add_document(f"d{n}", f"{n}", {"group": n % 7})
                writer.add_chunks([(number, Chunk(f"c{n:06}", 0, 1, "x"))], vectors[n : n + 1])
            writer.commit(sources=[], root=".", chunker="none")
    before = rag.Index.open(tmp_path / "ix")
    assert not list(tmp_path.rglob("codes-*.faiss"))
    rag.Store(tmp_path / "ix").compact()
    after = rag.Index.open(tmp_path / "ix")
    assert list(tmp_path.rglob("codes-*.faiss"))
    same = 0
    for n in range(0, 2400, 60):
        one, two = (ix.search_by_vector(vectors[n], k=10) for ix in (before, after))
        same += [h.chunk_id for h in one] == [h.chunk_id for h in two]
    assert same >= 38  # of 40: codes promise 0.99 of the ten best


def test_store_search_with_codes(small_parts: None) -> None:
    texts = [f"text {n} of {n % 13}" for n in range(600)]
    embedder = StaticEmbeddings()  # 256 dimensions: 600 rows have codes here
    store = rag.FaissStore.from_texts(texts, embedder)
    assert [d.page_content for d in store.similarity_search("text 77 of 12", k=1)] == ["text 77 of 12"]
