"""After any history an index returns the hits of a fresh build of the same content."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from langchain_core.embeddings import Embeddings

import rag
from rag.embedding.static import StaticEmbeddings
from tests.scale import scale

MODES = ("dense", "lexical", "hybrid")
QUERIES = ("annual leave in Europe", "restore a backup", "alpha beta gamma", "nobody")
STATIC = StaticEmbeddings()

Found = dict[tuple[str, str], list[tuple[str, float]]]


def found(index: rag.Index, k: int = 25, where: Any = None) -> Found:
    """What every query finds in every mode: ids and scores, best first."""
    return {
        (query, mode): [(hit.chunk_id, hit.score) for hit in index.search(query, k=k, mode=mode, where=where)]  # type: ignore[arg-type]
        for query in QUERIES
        for mode in MODES
    }


def assert_equal(one: Found, other: Found) -> None:
    """The same ids in the same order, with scores equal to 1e-5."""
    for key, hits in one.items():
        assert [name for name, _ in hits] == [name for name, _ in other[key]], key
        assert [score for _, score in hits] == pytest.approx([score for _, score in other[key]], abs=1e-5), (
            key
        )


NAMES = st.sampled_from(["a.md", "b.txt", "c/d.md", "c/e.md", "f.txt"])
BODIES = st.lists(st.sampled_from([
    "# Alpha\n\n", "Beta gamma delta. ", "Staff take leave in Europe. ", "\n\n## Backup\n\n", "A restore is a test. ",
    "Nobody is ill today. ", "alpha alpha beta. ", "\n\n# Leave\n\n", "Annual leave is long. ",
]), min_size=1, max_size=14).map("".join)  # fmt: skip
YEARS = st.sampled_from([None, 2023, 2024])


class Files(RuleBasedStateMachine):
    """Files come, change and go; builds, compactions, prunings and rollbacks happen in between."""

    @initialize()
    def start(self) -> None:
        self.work = Path(tempfile.mkdtemp())
        self.source = self.work / "docs"
        (self.source / "c").mkdir(parents=True)
        (self.source / "a.md").write_text("# First\n\nSomething is always there.")
        self.built = False

    @rule(name=NAMES, body=BODIES, year=YEARS)
    def write(self, name: str, body: str, year: int | None) -> None:
        head = f"---\nyear: {year}\n---\n" if year and name.endswith(".md") else ""
        (self.source / name).write_text(head + body + " The end.")

    @rule(name=NAMES.filter(lambda name: name != "a.md"))
    def remove(self, name: str) -> None:
        (self.source / name).unlink(missing_ok=True)

    @rule(name=NAMES.filter(lambda name: name != "a.md"), new=st.sampled_from(["g.md", "c/h.md"]))
    def rename(self, name: str, new: str) -> None:
        if (self.source / name).exists():
            (self.source / name).replace(self.source / new)

    @rule()
    def build(self) -> None:
        rag.build(self.source, self.work / "ix", embedder=STATIC)
        self.built = True

    @precondition(lambda self: self.built)
    @rule()
    def compact(self) -> None:
        before = found(rag.Index.open(self.work / "ix"))
        rag.Store(self.work / "ix").compact()
        assert_equal(found(rag.Index.open(self.work / "ix")), before)

    @precondition(lambda self: self.built)
    @rule(keep=st.integers(1, 3))
    def prune(self, keep: int) -> None:
        rag.Store(self.work / "ix").prune(keep)

    @precondition(lambda self: self.built)
    @rule(back=st.integers(1, 3))
    def rollback(self, back: int) -> None:
        versions = rag.Store(self.work / "ix").versions()
        if len(versions) > back:
            old = versions[-1 - back].number
            then = found(rag.Index.open(self.work / "ix", version=old))
            rag.Store(self.work / "ix").rollback(old)
            assert_equal(found(rag.Index.open(self.work / "ix")), then)

    def teardown(self) -> None:
        rag.build(self.source, self.work / "ix", embedder=STATIC)
        rag.build(self.source, self.work / "fresh", embedder=STATIC)
        index, fresh = rag.Index.open(self.work / "ix"), rag.Index.open(self.work / "fresh")
        assert_equal(found(index), found(fresh))
        if "year" in fresh.schema:
            assert_equal(found(index, where="year == 2024"), found(fresh, where="year == 2024"))
        check = rag.Store(self.work / "ix").verify()
        assert (check.problems, check.orphans) == ((), ())
        shutil.rmtree(self.work)


class Ten(Embeddings):
    """Few distinct vectors, so that many documents tie."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return np.random.default_rng(len(text) % 10).normal(size=12).tolist()


IDS = st.sampled_from([f"id{n:02}" for n in range(30)])
TEXTS = st.sampled_from([
    "alpha beta", "beta gamma delta", "leave in Europe", "annual leave", "a backup", "restore", "nobody", "",
])  # fmt: skip


class Documents(RuleBasedStateMachine):
    """Documents are added, replaced, deleted and edited one by one in a vector store."""

    @initialize()
    def start(self) -> None:
        self.store = rag.FaissStore(Ten(), keep=2)
        self.content: dict[str, tuple[str, dict[str, Any]]] = {}

    @rule(given=st.dictionaries(IDS, st.tuples(TEXTS, st.integers(0, 2)), min_size=1, max_size=5))
    def add(self, given: dict[str, tuple[str, int]]) -> None:
        metadata = [{"n": number} for _, number in given.values()]
        self.store.add_texts([text for text, _ in given.values()], metadata, ids=list(given))
        self.content |= {name: (text, {"n": number}) for name, (text, number) in given.items()}

    @rule(names=st.sets(IDS, max_size=6))
    def delete(self, names: set[str]) -> None:
        self.store.delete(sorted(names))
        self.content = {name: value for name, value in self.content.items() if name not in names}

    @precondition(lambda self: self.content)
    @rule(old=st.integers(0, 2), new=st.integers(0, 2))
    def edit(self, old: int, new: int) -> None:
        self.store.update_metadata(rag.field("n") == old, {"n": new})
        self.content = {
            name: (text, {"n": new} if metadata["n"] == old else metadata)
            for name, (text, metadata) in self.content.items()
        }

    @precondition(lambda self: self.content)
    @rule()
    def compact(self) -> None:
        rag.Store(self.store.path).compact()
        self.store.refresh()

    @precondition(lambda self: self.content)
    @rule()
    def reopen(self) -> None:
        self.store.index.path  # noqa: B018  (kept alive: its folder is temporary)
        again = rag.FaissStore(Ten(), self.store.path, keep=2)
        assert len(again) == len(self.content)

    def teardown(self) -> None:
        if not self.content:
            assert len(self.store) == 0
            return
        names = sorted(self.content)
        fresh = rag.FaissStore.from_texts(
            [self.content[name][0] for name in names],
            Ten(),
            [self.content[name][1] for name in names],
            ids=names,
        )
        for where in (None, "n == 1", "n != 1"):
            assert_equal(found(self.store.index, 30, where), found(fresh.index, 30, where))
        assert [d.metadata for d in self.store.get_by_ids(names)] == [self.content[name][1] for name in names]
        check = rag.Store(self.store.path).verify()
        assert (check.problems, check.orphans) == ((), ())


pytestmark = pytest.mark.soak

TestFiles = Files.TestCase
TestFiles.settings = settings(
    max_examples=scale(12, 400),
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestDocuments = Documents.TestCase
TestDocuments.settings = settings(
    max_examples=scale(15, 600),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
