"""`rag.FaissStore` replaces langchain-community's FAISS, with exact filters, scores and metadata."""

from __future__ import annotations

import datetime as dt
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

import rag
from rag.core.errors import RagError, SourceError, StoreMismatchError, UsageError, WhereError


class TestLangChain(VectorStoreIntegrationTests):
    """LangChain's own suite, whole."""

    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:
        yield rag.FaissStore(self.get_embeddings())


class TestLangChainHybrid(VectorStoreIntegrationTests):
    """The same with both arms."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        yield rag.FaissStore(self.get_embeddings(), tmp_path / "ix", mode="hybrid", keep=None)


class Axes(Embeddings):
    """A text of numbers is its vector."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(part) for part in text.split()]


FAKE = DeterministicFakeEmbedding(size=24)


def test_scores_and_thresholds_are_cosines() -> None:
    store = rag.FaissStore.from_texts(["2 0", "3 3", "0 5", "-1 0"], Axes(), ids=list("abcd"))
    found = store.similarity_search_with_score("7 0", k=4)
    assert [(d.id, score) for d, score in found] == [
        ("a", pytest.approx(1)), ("b", pytest.approx(0.5**0.5)), ("c", pytest.approx(0)), ("d", pytest.approx(-1)),
    ]  # fmt: skip
    assert [d.id for d, _ in store.similarity_search_with_score("7 0", k=4, score_threshold=0.5)] == [
        "a",
        "b",
    ]
    relevant = store.similarity_search_with_relevance_scores("7 0", k=4, score_threshold=0.2)
    assert [(d.id, score) for d, score in relevant] == [
        ("a", pytest.approx(1)),
        ("b", pytest.approx(0.5**0.5)),
    ]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9}
    )
    assert [d.id for d in retriever.invoke("7 0")] == ["a"]
    assert all(
        score == 0.0
        for d, score in store.similarity_search_with_relevance_scores("-9 0", k=4)
        if d.id in "abc"
    )


def test_mmr_scores_are_cosines_to_the_question() -> None:
    """Also under a filter."""
    texts = ["10 0", "10 1", "10 2", "7 7", "0 10"]
    store = rag.FaissStore.from_texts(
        texts, Axes(), [{"n": n, "kept": n != 1} for n in range(5)], ids=list("abcde")
    )
    found = store.max_marginal_relevance_search_with_score_by_vector(
        [1.0, 0.0], k=3, fetch_k=5, lambda_mult=0.3, filter={"kept": True}
    )
    unit = {t: np.array(Axes().embed_query(t)) / np.linalg.norm(Axes().embed_query(t)) for t in texts}
    assert len(found) == 3
    assert "b" not in [d.id for d, _ in found]
    assert found[0][0].id == "a"
    for document, score in found:
        assert score == pytest.approx(float(unit[document.page_content][0]), abs=1e-6)
    assert {d.id for d in store.max_marginal_relevance_search("1 0", k=5, fetch_k=5)} == set("abcde")


METADATA = st.dictionaries(
    st.sampled_from(["a", "b", "source", "page", "start", "chunk_id", "tags", "score", "metadata", "gap", "_original"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5), st.dates(), st.datetimes(timezones=st.just(dt.UTC)),
        st.lists(st.one_of(st.text(max_size=3), st.integers(0, 9)), max_size=3),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    ),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(METADATA, min_size=1, max_size=6), st.integers(0, 5))
def test_metadata_round_trip(given_: list[dict], at: int) -> None:
    """Values and types are unchanged, also after a compaction."""
    store = rag.FaissStore(FAKE)
    ids = [f"id{n}" for n in range(len(given_))]
    store.add_texts([f"text {n}" for n in range(len(given_))], given_, ids=ids)
    store.add_texts(["one more"], ids=["more"])
    store.delete(["more"])
    rag.Store(store.path).compact()
    store.refresh()
    for document, metadata in zip(store.get_by_ids(ids), given_, strict=True):
        assert document.metadata == metadata
        assert {k: type(v) for k, v in document.metadata.items()} == {k: type(v) for k, v in metadata.items()}
    assert store.similarity_search(f"text {at % len(ids)}", k=1)[0].metadata == given_[at % len(ids)]


def test_wrong_additions_change_nothing() -> None:
    store = rag.FaissStore.from_texts(["x"], FAKE, ids=["1"])
    for texts, metadatas, ids, message in (
        (["a", "b"], None, ["2", "2"], "occurs twice"),
        (["a", "b"], [{}], None, "2 texts and 1 metadatas"),
        (["a", "b"], None, ["2"], "2 texts and 1 ids"),
        (["a", "b"], [{}, {"x": object()}], None, "cannot be stored"),
    ):
        with pytest.raises(UsageError, match=message):
            store.add_texts(texts, metadatas, ids=ids)
    for metadatas, ids in (([{}], None), (None, ["2"]), ([{}, {}, {}], None)):
        with pytest.raises(UsageError, match="do not fit"):
            store.add_embeddings([("a", [1.0] * 24), ("b", [2.0] * 24)], metadatas, ids)
    assert len(store) == 1
    assert rag.Store(store.path).verify().sound
    assert rag.Store(store.path).verify().orphans == ()


def test_delete_by_ids_filter_or_both() -> None:
    """Without either, nothing is deleted."""
    store = rag.FaissStore.from_texts(list("abcdef"), FAKE, [{"n": n} for n in range(6)], ids=list("abcdef"))
    with pytest.raises(UsageError, match="nothing names the documents"):
        store.delete()
    assert store.delete(["a", "nobody"])
    store.delete(where="n >= 4")
    store.delete(ids=["b", "c"], where={"n": 2})
    assert {d.id for d in store.similarity_search("a", k=9)} == {"b", "d"}
    store.delete([])
    assert len(store) == 2
    store.delete(where=lambda metadata: metadata["n"] == 1)
    assert [d.id for d in store.get_by_ids(list("abcdef"))] == ["d"]


def test_filters_in_any_notation_or_as_a_function() -> None:
    store = rag.FaissStore.from_texts(list("abcd"), FAKE, [{"n": n, "even": n % 2 == 0} for n in range(4)])
    for where in (
        {"even": True, "n": {"$gt": 0}},
        "even == True and n > 0",
        lambda m: m["even"] and m["n"] > 0,
    ):
        assert [d.page_content for d in store.similarity_search("a", k=4, filter=where)] == ["c"]
        assert [d.page_content for d in store.as_retriever(search_kwargs={"where": where}).invoke("a")] == [
            "c"
        ]
    with pytest.raises(WhereError, match="did you mean 'even'"):
        store.similarity_search("a", filter={"evn": True})
    with pytest.raises(UsageError, match="no argument 'filters'"):
        store.similarity_search("a", filters={"even": True})
    with pytest.raises(UsageError, match="pass one of them"):
        store.similarity_search("a", filter={"n": 1}, where={"n": 1})


def test_save_load_and_edit(tmp_path: Path) -> None:
    """None of them embeds anything."""
    store = rag.FaissStore.from_texts(["x", "y"], FAKE, [{"n": 1}, {"n": 2}], ids=["1", "2"])
    store.save_local(tmp_path / "saved")
    again = rag.FaissStore.load_local(tmp_path / "saved", FAKE, allow_dangerous_deserialization=True)
    again.update_metadata("n == 2", {"n": "two", "seen": True})
    assert [(d.id, d.metadata) for d in again.get_by_ids(["1", "2"])] == [
        ("1", {"n": 1}),
        ("2", {"n": "two", "seen": True}),
    ]
    assert [d.id for d in again.similarity_search("x", filter="seen == True")] == ["2"]
    assert store.get_by_ids(["2"])[0].metadata == {"n": 2}
    with pytest.raises(SourceError, match="not empty"):
        store.save_local(tmp_path / "saved")
    with pytest.raises(StoreMismatchError, match="use that embedder"):
        rag.FaissStore(Axes(), tmp_path / "saved")
    with pytest.raises(UsageError, match="already"):
        rag.FaissStore.from_texts(["z"], FAKE, path=tmp_path / "saved")


def test_temporary_store_is_deleted() -> None:
    store = rag.FaissStore.from_texts(["x"], FAKE)
    path = store.path
    assert path.is_dir()
    del store
    assert not path.exists()


def langchain_store(texts: list[str], metadatas: list[dict[str, Any]], ids: list[str]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.vectorstores import FAISS
    return FAISS.from_texts(texts, FAKE, metadatas, ids=ids)


def test_from_langchain_embeds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids, metadata and the order of cosines are those of the old store."""
    texts = [f"text {n}" for n in range(40)]
    old = langchain_store(texts, [{"n": n, "x": None} for n in range(40)], [f"id{n}" for n in range(40)])
    old.delete(["id7"])
    expected = [d.id for d in old.similarity_search("text 3", k=10)]
    with monkeypatch.context() as patch:
        patch.setattr(DeterministicFakeEmbedding, "embed_documents", None)
        new = rag.FaissStore.from_langchain(old, tmp_path / "ix")
    assert len(new) == 39
    query = np.array(FAKE.embed_query("text 3"))
    ranked = sorted(
        (n for n in range(40) if n != 7),
        key=lambda n: -(v := np.array(FAKE.embed_query(texts[n]))) @ query / np.linalg.norm(v),
    )  # by cosine: langchain-community ranks by distance, which unequal lengths disturb
    assert [d.id for d in new.similarity_search("text 3", k=10)] == [f"id{n}" for n in ranked[:10]]
    assert expected[0] == "id3"
    assert new.get_by_ids(["id5"])[0].metadata == {"n": 5, "x": None}
    old.save_local(str(tmp_path / "pickle"))
    with pytest.raises(SourceError, match="from_langchain"):
        rag.FaissStore.load_local(tmp_path / "pickle", FAKE)
    with pytest.raises(UsageError, match="not a FAISS store"):
        rag.FaissStore.from_langchain(object())


def test_additions_from_many_threads() -> None:
    store = rag.FaissStore(FAKE, keep=3)
    threads = [
        threading.Thread(target=lambda n=n: store.add_texts([f"{n}-{m}" for m in range(3)]))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 36
    assert len(rag.Store(store.path).versions()) == 3
    assert rag.Store(store.path).verify().sound


def test_store_over_a_built_index(handbook_index: rag.Index) -> None:
    store = rag.FaissStore(rag.LocalEmbeddings(), handbook_index.path, mode="hybrid")
    found = store.similarity_search("who declares a SEV-1?", k=2, where="status == 'current'")
    assert {"source", "start", "end", "section"} <= found[0].metadata.keys()
    hits = store.search_hits("who declares a SEV-1?", k=2, where="status == 'current'")
    assert "of 2" in str(hits.plan)  # type: ignore[union-attr]


def test_empty_store() -> None:
    store = rag.FaissStore(FAKE)
    assert store.similarity_search("x") == store.get_by_ids(["x"]) == []
    assert store.max_marginal_relevance_search("x") == []
    assert store.delete(["x"])
    with pytest.raises(RagError, match="empty"):
        store.index  # noqa: B018
    with pytest.raises(StoreMismatchError, match="3 dimensions"):
        rag.FaissStore.from_texts(["x"], FAKE).add_embeddings([("y", [1.0, 2.0, 3.0])])
