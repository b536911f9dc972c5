"""What a `rag.FaissStore` is given, and its writes beside other writers: honoured exactly, or refused with names."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

import rag
from rag.core.errors import (
    EmbeddingError,
    RagError,
    StoreLockedError,
    StoreMismatchError,
    UsageError,
    WhereError,
)
from rag.index.storage.own_files import writer_lock
from rag.retrieval.hybrid import HybridRetriever

FAKE = DeterministicFakeEmbedding(size=16)


class Axes(Embeddings):
    """A text of numbers is its vector."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(part) for part in text.split()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ix"


def ids(path: Path) -> set[str]:
    return {hit.chunk_id for hit in rag.Index.open(path).scan()}


# ---------------------------------------------------------------------- handles that are behind


def test_a_handle_that_is_behind_deletes_what_is_there_now(path: Path) -> None:
    one, other = rag.FaissStore(FAKE, path), rag.FaissStore(FAKE, path)
    assert other.delete(["a"]) is True
    one.add_texts(["1", "2", "3"], [{"t": "x"}, {"t": "y"}, {"t": "x"}], ids=["a", "b", "c"])
    assert other.delete(ids=["a"])  # opened when the store was empty
    assert ids(path) == {"b", "c"}
    one.add_texts(["4", "5"], [{"t": "x", "new": 1}, {"t": "y", "new": 2}], ids=["d", "e"])
    other.delete(where="new == 2")  # a field that its own version does not have
    other.delete(where=lambda metadata: metadata["t"] == "x")
    assert ids(path) == {"b"}
    one.delete(ids=["b", "d"], where="t == 'y'")
    assert ids(path) == set()
    assert [d.id for d in other.get_by_ids(["b"])] == [
        "b"
    ]  # its own snapshot, until it writes or is refreshed


def test_a_handle_that_is_behind_edits_what_is_there_now(path: Path) -> None:
    one, other = rag.FaissStore(FAKE, path), rag.FaissStore(FAKE, path)
    one.add_texts(["1"], [{"t": "x"}], ids=["a"])
    other.update_metadata("t == 'x'", {"seen": np.bool_(True)})
    assert [d.metadata for d in other.get_by_ids(["a"])] == [{"t": "x", "seen": True}]


@pytest.mark.parametrize("size", [16, 24])
def test_another_embedder_never_writes(path: Path, size: int) -> None:
    """Whether its vectors would fit or not, and whatever it opened."""
    late = rag.FaissStore(DeterministicFakeEmbedding(size=size), path)
    rag.FaissStore(rag.StaticEmbeddings(), path).add_texts(["text"], [{"n": 1}], ids=["a"])
    version = rag.Index.open(path).version
    for write in (
        lambda: late.add_texts(["b"]), lambda: late.add_embeddings([("b", [1.0] * size)]),
        lambda: late.delete(["a"]), lambda: late.delete(where="n == 1"), lambda: late.update_metadata("n == 1", {"n": 2}),
        lambda: late.merge_from(rag.FaissStore.from_texts(["c"], DeterministicFakeEmbedding(size=size))),
    ):  # fmt: skip
        with pytest.raises(StoreMismatchError, match="was built with"):
            write()
    assert rag.Index.open(path).version == version
    assert rag.Store(path).verify().orphans == ()
    assert len(rag.FaissStore(rag.StaticEmbeddings(), path)) == 1


def test_a_writer_waits_for_another(path: Path) -> None:
    store = rag.FaissStore(FAKE, path, timeout_s=30)
    store.add_texts(["x"], ids=["a"])
    hurried = rag.FaissStore(FAKE, path, timeout_s=0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writer_lock(path):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    with pytest.raises(StoreLockedError, match=r"for more than 0\.05 s"):
        hurried.add_texts(["y"])
    with pytest.raises(StoreLockedError):
        rag.Store(path).prune()
    threading.Timer(0.2, done.set).start()
    started = time.monotonic()
    store.add_texts(["y"], ids=["b"])
    thread.join()
    assert time.monotonic() - started > 0.1
    assert ids(path) == {"a", "b"}


# ---------------------------------------------------------------------- merge, pickle, copy


def test_merge_from_another_store(path: Path, folder: Path, tmp_path: Path) -> None:
    """With vectors, ids and metadata; ids that both have, and another embedder, are refused."""
    one = rag.FaissStore.from_texts(["x"], FAKE, [{"n": 2**60}], ids=["1"], path=path)
    day = dt.date(2024, 1, 31)
    other = rag.FaissStore.from_texts(["y", "z"], FAKE, [{"d": day}, {"n": {"deep": [1]}}], ids=["2", "3"])
    assert one.merge_from(other) == ["2", "3"]
    assert [d.metadata for d in one.get_by_ids(["1", "2", "3"])] == [
        {"n": 2**60},
        {"d": day},
        {"n": {"deep": [1]}},
    ]
    assert [d.id for d in one.similarity_search("z", k=1)] == ["3"]
    with pytest.raises(UsageError, match="both stores have a document '2'"):
        one.merge_from(other)
    with pytest.raises(UsageError, match="with itself"):
        one.merge_from(rag.FaissStore(FAKE, path))
    with pytest.raises(UsageError, match="is no FaissStore"):
        one.merge_from(object())  # type: ignore[arg-type]
    with pytest.raises(StoreMismatchError):
        one.merge_from(rag.FaissStore.from_texts(["1 2"], Axes()))
    assert one.merge_from(rag.FaissStore(FAKE)) == []
    assert len(one) == 3
    rag.build(folder, tmp_path / "built", embedder="static")
    store = rag.FaissStore(rag.StaticEmbeddings())
    store.merge_from(rag.FaissStore(rag.StaticEmbeddings(), tmp_path / "built"))
    [found] = store.similarity_search("annual leave in Europe", k=1)
    assert found.metadata["source"] == "leave.md"
    assert "score" not in found.metadata


def test_a_store_is_pickled_by_its_path(path: Path) -> None:
    store = rag.FaissStore.from_texts(["x"], FAKE, ids=["1"], path=path, mode="lexical", keep=3, timeout_s=1)
    for again in (pickle.loads(pickle.dumps(store)), copy.copy(store), copy.deepcopy(store)):
        assert (again.mode, again.keep, again.timeout_s, again.path) == ("lexical", 3, 1.0, path)
        assert [d.id for d in again.similarity_search("x")] == ["1"]
    with pytest.raises(UsageError, match="temporary folder"):
        pickle.dumps(rag.FaissStore.from_texts(["x"], FAKE))


# ---------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.add_texts("abc"), "texts is 'abc': pass a list"), (lambda s: s.add_texts([None]), r"texts\[0\] is None"),
        (lambda s: s.add_texts(["a", 5]), r"texts\[1\] is 5"), (lambda s: s.add_texts(5), "texts is 5"),
        (lambda s: s.add_texts(["\ud800"]), r"texts\[0\].*surrogate"), (lambda s: s.add_texts(["a"], ids=[5]), r"ids\[0\] is 5"),
        (lambda s: s.add_texts(["a"], ids="a"), "ids is 'a'"), (lambda s: s.add_texts(["a"], {"n": 1}), "metadatas is"),
        (lambda s: s.add_texts(["a"], [[("n", 1)]]), r"metadata of texts\[0\]"), (lambda s: s.add_texts(["a"], [{5: 1}]), "field named 5"),
        (lambda s: s.add_texts(["a"], [{"v": {1: 2}}]), "'v'.*key 1"), (lambda s: s.add_texts(["a"], [{"v": 1j}]), "'v'.*complex"),
        (lambda s: s.add_texts(["a", "b"], [{}, {"v": [float("nan")]}], ids=["x", "y"]), "document 'y': the field 'v'.*NaN"),
        (lambda s: s.add_texts(["a"], [{"v": np.float64("inf")}]), "'v'.*infinite"), (lambda s: s.add_texts(["a"], [{"v": {1, 2}}]), "'v'.*set"),
        (lambda s: s.add_texts(["a"], [{"v": np.array([1])}]), "'v'.*ndarray"), (lambda s: s.add_texts(["a"], [{"v": 2**63}]), "'v'.*64 bits"),
        (lambda s: s.add_texts(["a"], [{"v": np.uint64(2**64 - 1)}]), "'v'.*64 bits"), (lambda s: s.add_texts(["a"], [{"v": "\udc00"}]), "'v'.*surrogate"),
        (lambda s: s.add_texts(["a"], [{"v": np.datetime64("NaT")}]), "'v'.*no moment"), (lambda s: s.add_texts(["a"], [{"v": b"x"}]), "'v'.*bytes"),
        (lambda s: s.add_texts(["a"], [{"v": dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=1)))}]), "'v'.*outside the years"),
        (lambda s: s.add_embeddings([("a", [1.0] * 15 + [float("nan")])]), r"text_embeddings\[0\] is a vector with NaN"),
        (lambda s: s.add_embeddings([("a", [1.0] * 16), ("b", [1.0])]), r"text_embeddings\[1\] has 1 dimensions, the first 16"),
        (lambda s: s.add_embeddings([("a", "vector")]), r"text_embeddings\[0\] is 'vector'"), (lambda s: s.add_embeddings(["ab"]), "pass a text and its vector"),
        (lambda s: s.similarity_search(None), "query is None"), (lambda s: s.similarity_search(5), "query is 5"),
        (lambda s: s.similarity_search("x", k=None), "k is None"), (lambda s: s.similarity_search("x", k="3"), "k is '3'"),
        (lambda s: s.similarity_search("x", k=0), "k is 0"), (lambda s: s.similarity_search("x", k=True), "k is True"),
        (lambda s: s.similarity_search("x", score_threshold="high"), "min_score is 'high'"),
        (lambda s: s.similarity_search("x", score_threshold=float("nan")), "min_score is nan"),
        (lambda s: s.similarity_search("x", score_threshold=0.1, min_score=0.2), "are the same"),
        (lambda s: s.similarity_search("x", fetch_k="all"), "fetch_k is 'all'"), (lambda s: s.similarity_search("x", lambda_mult=1), "no argument 'lambda_mult'"),
        (lambda s: s.similarity_search_by_vector("x"), "embedding is 'x'"), (lambda s: s.similarity_search_by_vector(None), "embedding is None"),
        (lambda s: s.similarity_search_by_vector([float("nan")] * 16), "embedding is a vector with NaN or infinity"),
        (lambda s: s.max_marginal_relevance_search("x", lambda_mult=2), "lambda_mult is 2: write a number from 0 to 1"),
        (lambda s: s.max_marginal_relevance_search("x", fetch_k=0), "fetch_k is 0"), (lambda s: s.max_marginal_relevance_search("x", k=1.5), "k is 1.5"),
        (lambda s: s.max_marginal_relevance_search("x", mode="hybrid"), "leave mode out"),
        (lambda s: s.max_marginal_relevance_search_by_vector([float("inf")] * 16), "with NaN or infinity"),
        (lambda s: s.delete("abc"), "ids is 'abc'"), (lambda s: s.delete([5]), r"ids\[0\] is 5"), (lambda s: s.get_by_ids("abc"), "ids is 'abc'"),
        (lambda s: s.update_metadata("n == 1", {"n": {"a": 1}}), "'n' cannot be edited"), (lambda s: s.update_metadata("n == 1", {"n": float("nan")}), "the edit: the field 'n'"),
        (lambda s: s.update_metadata("n == 1", {5: 1}), "field named 5"), (lambda s: s.update_metadata("n == 1", "n"), "metadata of the edit"),
        (lambda s: rag.FaissStore(FAKE, keep=0), "keep is 0"), (lambda s: rag.FaissStore(FAKE, mode="fast"), "mode is 'fast'"),  # type: ignore[arg-type]
        (lambda s: rag.FaissStore(FAKE, timeout_s=-1), "timeout_s is -1"), (lambda s: s.index.search("x", lexical_weight=float("nan")), "lexical_weight is nan"),
        (lambda s: s.index.get("abc"), "chunk_ids is 'abc'"), (lambda s: s.index.widened([], neighbours=-1), "neighbours is -1"),
    ],
)  # fmt: skip
def test_one_usage_error_that_names_what_is_wrong(store: rag.FaissStore, call: Any, message: str) -> None:
    version = store.index.version
    with pytest.raises(UsageError, match=message) as caught:
        call(store)
    assert len(str(caught.value).splitlines()) == 1
    assert rag.Index.open(store.path).version == version


@pytest.fixture(scope="module")
def store() -> rag.FaissStore:
    return rag.FaissStore.from_texts(["x", "y"], FAKE, [{"n": 1}, {"n": 2}], ids=["1", "2"])


def test_an_empty_store_checks_its_arguments_too() -> None:
    empty = rag.FaissStore(FAKE)
    for wrong in (lambda: empty.similarity_search("x", k="3"), lambda: empty.max_marginal_relevance_search("x", k=None),  # type: ignore[arg-type]
                  lambda: empty.similarity_search_by_vector([float("nan")]), lambda: empty.similarity_search(None)):  # type: ignore[arg-type]  # fmt: skip
        with pytest.raises(UsageError):
            wrong()


def test_numpy_numbers_are_arguments() -> None:
    store = rag.FaissStore.from_texts(["1 0", "0 1"], Axes(), ids=["a", "b"])
    assert [d.id for d in store.similarity_search("1 0", k=np.int64(1), score_threshold=np.float32(0.5))] == [
        "a"
    ]  # type: ignore[arg-type]
    assert len(store.max_marginal_relevance_search("1 0", k=np.int32(2), lambda_mult=np.float64(0.5))) == 2  # type: ignore[arg-type]
    assert [d.id for d in store.similarity_search_by_vector(np.array([1e30, 0]))] == ["a", "b"]  # type: ignore[arg-type]


def test_a_question_that_the_embedder_fails_is_its_fault(path: Path) -> None:
    """Not a damaged index."""

    class Broken(DeterministicFakeEmbedding):
        def embed_query(self, text: str) -> list[float]:
            return [float("nan")] * 16

    store = rag.FaissStore.from_texts(["x"], Broken(size=16), path=path)
    for search in (store.similarity_search, store.max_marginal_relevance_search):
        with pytest.raises(EmbeddingError, match="NaN or infinity for the question"):
            search("x")
    assert rag.Store(path).verify().sound


def test_thresholds_act_in_every_search() -> None:
    store = rag.FaissStore.from_texts(["10 0", "10 1", "7 7", "0 10"], Axes(), ids=list("abcd"))
    for least, expected in ((0.9, {"a", "b"}), (0.5, {"a", "b", "c"}), (None, set("abcd"))):
        for name in ("score_threshold", "min_score"):
            options = {"k": 4, name: least}
            for documents in (
                store.similarity_search("1 0", **options), store.similarity_search_by_vector([1.0, 0.0], **options),
                store.max_marginal_relevance_search("1 0", **options),
                store.max_marginal_relevance_search_by_vector([1.0, 0.0], **options),
                [d for d, _ in store.max_marginal_relevance_search_with_score_by_vector([1.0, 0.0], **options)],
                store.as_retriever(search_type="mmr", search_kwargs=options).invoke("1 0"),
                [d for d, _ in store.similarity_search_with_score("1 0", **options)],
            ):  # fmt: skip
                assert {d.id for d in documents} == expected
    assert [d.id for d in store.similarity_search("1 0", k=1, min_score=None, score_threshold=0.9999)] == [
        "a"
    ]


# ---------------------------------------------------------------------- metadata


@pytest.mark.parametrize(
    "metadata",
    [
        {"created": {"$date": "2024-01-31T10:00:00Z"}}, {"$date": "2024-01-31"}, {"t": {"$tuple": 5}}, {"t": {"$tuple": [1]}},
        {"p": {"$pairs": [["a", 1]]}}, {"p": {"$pairs": {"$pairs": 1}}}, {"d": {"$datetime": "2024-01-31T10:00:00"}},
        {"deep": [{"$date": {"$date": "x"}}, ({"$tuple": ()},)]}, {"$tuple": [1, 2]}, {"$pairs": None}, {"d": {"$date": dt.date(2024, 1, 31)}},
        {"two": {"$date": "2024-01-31", "other": 1}}, {"": 1}, {"n": -(2**63)}, {"n": [2**70]}, {"at": dt.datetime(2024, 1, 31, tzinfo=dt.timezone(dt.timedelta(hours=2)))},
    ],
)  # fmt: skip
def test_metadata_come_back_as_they_were(metadata: dict[str, Any]) -> None:
    store = rag.FaissStore.from_texts(["x", "y"], FAKE, [metadata, {"other": 1}], ids=["1", "2"])
    store.update_metadata("chunk_id == '1'", {"edited": True})
    expected = {**metadata, "edited": True}
    assert {d.id: d.metadata for d in store.similarity_search("x", k=2)} == {"1": expected, "2": {"other": 1}}
    assert repr(store.get_by_ids(["1"])[0].metadata) == repr(expected)


def test_numpy_metadata_are_seen_by_filters(tmp_path: Path) -> None:
    numpy = {"y": np.int64(2024), "ok": np.bool_(True), "s": np.str_("x"), "r": np.float32(0.5), "d": np.datetime64("2024-01-31"),
             "at": np.datetime64("2024-01-31T10:00", "ns"), "tags": [np.str_("a"), "b"]}  # fmt: skip
    plain = {
        "y": 2024,
        "ok": True,
        "s": "x",
        "r": 0.5,
        "d": dt.date(2024, 1, 31),
        "at": dt.datetime(2024, 1, 31, 10),
        "tags": ["a", "b"],
    }
    store = rag.FaissStore.from_texts(["one", "two"], FAKE, [numpy, {"y": 1}], ids=["1", "2"])
    built = rag.build(
        [Document("one", metadata={"source": "1", **numpy})], tmp_path / "ix", embedder="static"
    )
    assert built.notes == ()
    index = rag.Index.open(tmp_path / "ix")
    assert store.get_by_ids(["1"])[0].metadata == plain
    assert {name: index.schema[name] for name in plain} == {
        "y": "number", "ok": "boolean", "s": "string", "r": "number", "d": "date", "at": "datetime", "tags": "list",
    }  # fmt: skip
    for where in (
        "y >= 2024",
        "ok == true",
        "s == 'x'",
        "r == 0.5",
        "d == '2024-01-31'",
        "at > '2024-01-31'",
        "'a' in tags",
    ):
        assert [d.id for d in store.similarity_search("one", filter=where)] == ["1"]
        assert index.count(where) == 1


def test_our_retriever_takes_langchains_filter(store: rag.FaissStore) -> None:
    retriever = HybridRetriever(index=store.index, mode="dense")
    for options in (
        {"filter": {"n": 2}},
        {"where": "n == 2"},
        {"filter": "n == 2", "where": None},
        {"filter": rag.field("n") == np.int64(2)},
    ):
        assert [d.id for d in retriever.invoke("x", **options)] == ["2"]
    assert len(retriever.invoke("x", k=1)) == 1
    for options, message in (({"filter": {"n": 2}, "where": "n == 2"}, "are the same"), ({"filters": 1}, "no option 'filters'"),
                             ({"filter": {"a": 1}}, "no document has a field 'a'"), ({"k": "3"}, "k is '3'"), ({"k": None, "filter": 5}, "where is 5")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            retriever.invoke("x", **options)


def test_a_list_of_texts_is_no_text() -> None:
    """One call for each letter, some of them paid."""
    for embedder in (rag.StaticEmbeddings(), rag.LocalEmbeddings(), rag.TitanEmbeddings(region="us-east-1")):
        for wrong in ("hello", None, [None], ["a", 5]):
            with pytest.raises(UsageError, match=r"^texts"):
                embedder.embed_documents(wrong)  # type: ignore[arg-type]


def test_errors_are_rags_own() -> None:
    assert issubclass(WhereError, UsageError)
    assert issubclass(UsageError, RagError)
