"""Random corpora and histories: no piece of what is forgotten is left, and the rest is found as in a fresh build."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rag
from rag.embedding.static import StaticEmbeddings
from tests.index.test_equality import assert_equal, found
from tests.scale import scale

STATIC = StaticEmbeddings()
NAMES = ("a.md", "b.md", "c/d.md", "c/e.txt", "f.md")
COMMON = "Staff take annual leave in Europe, and a restore of a backup is a test of it for alpha beta gamma. "
Steps = list[tuple[str, str, int]]


def text_of(name: str, round_: int, parts: int) -> str:
    """A document of its own words, with a sentence that all have, and a field that it alone has."""
    word = f"{name[0]}{name[2]}{round_}".encode().hex()
    own = [
        f"The zq{word}x{n} clause number {n} of it was signed by kv{word} in the harbour."
        for n in range(parts)
    ]
    head = f"---\nfield_{name[0]}: kv{word} is its owner\nyear: {2020 + round_}\n---\n"
    return (head if name.endswith(".md") else "") + "".join(
        f"# Part {n}\n\n{each}{COMMON}\n\n" for n, each in enumerate(own)
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(NAMES), st.integers(1, 6)),
        st.tuples(st.just("remove"), st.sampled_from(NAMES[1:]), st.just(0)),
        st.tuples(st.sampled_from(["build", "build", "hold", "compact", "edit", "rollback"]), st.just(""), st.just(0)),
    ),
    min_size=2, max_size=14,
)  # fmt: skip


@settings(
    max_examples=scale(12, 300), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(STEPS, st.sets(st.sampled_from(NAMES[1:]), min_size=1, max_size=3))
def test_nothing_is_left_and_the_rest_is_as_in_a_fresh_build(steps: Steps, chosen: set[str]) -> None:
    work = Path(tempfile.mkdtemp())
    try:
        _run(work, steps, chosen)
    finally:
        shutil.rmtree(work)


def _run(work: Path, steps: Steps, chosen: set[str]) -> None:
    docs, path = work / "docs", work / "ix"
    (docs / "c").mkdir(parents=True)
    words: dict[str, set[str]] = {name: set() for name in NAMES}

    def write(name: str, round_: int, parts: int) -> None:
        (docs / name).write_text(text_of(name, round_, parts))
        words[name].add(f"{name[0]}{name[2]}{round_}".encode().hex())

    for name in NAMES:
        write(name, 0, 2)
    rag.build(docs, path, embedder=STATIC)
    for round_, (what, name, parts) in enumerate(steps, 1):
        versions = [each.number for each in rag.Store(path).versions() if not each.held and not each.current]
        if what == "write":
            write(name, round_, parts)
        elif what == "remove":
            (docs / name).unlink(missing_ok=True)
        elif what in ("build", "hold"):
            rag.build(docs, path, embedder=STATIC, hold=what == "hold")
        elif what == "compact":
            rag.Store(path).compact()
        elif what == "edit":
            rag.Store(path).edit("year >= 2020", {"status": f"edited in {round_}"})
        elif versions:
            rag.Store(path).rollback(versions[0])
    report = rag.forget(path, sorted(chosen))
    assert report.remains == ()
    gone = [word.encode() for name in chosen for word in words[name]]
    for file in path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert not any(word in data for word in gone), file
    for version in rag.Store(path).versions():
        check = rag.Store(path).verify(version.number)
        assert (version.error, check.problems, check.orphans) == ("", (), ())
        assert {hit.source for hit in rag.Index.open(path, version=version.number).scan()}.isdisjoint(chosen)
    rag.build(docs, path, embedder=STATIC)  # leaves the chosen files out
    for name in chosen:
        (docs / name).unlink(missing_ok=True)
    rag.build(docs, work / "fresh", embedder=STATIC)
    opened, fresh = rag.Index.open(path, embedder=STATIC), rag.Index.open(work / "fresh", embedder=STATIC)
    assert_equal(found(opened), found(fresh))
