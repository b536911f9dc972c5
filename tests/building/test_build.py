"""A build is incremental, resumes without paying twice, and equals a fresh one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

import rag
from rag.core.errors import ConfigError, SourceError, StoreMismatchError
from rag.embedding.static import StaticEmbeddings

QUERIES = ("annual leave in Europe", "restore a backup", "who is ill", "alpha beta gamma")


class Counting(StaticEmbeddings):
    """The static model, counting the texts that it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def vectors(self, texts):  # type: ignore[no-untyped-def]
        self.asked += len(texts)
        return super().vectors(texts)


Found = dict[tuple[str, str], list[tuple[tuple, float]]]


def found(path: Path) -> Found:
    """What every query finds in every mode: places and scores, best first."""
    index = rag.Index.open(path)
    return {
        (query, mode): [((h.source, h.start, h.end), h.score) for h in index.search(query, k=20, mode=mode)]
        for query in QUERIES
        for mode in ("dense", "lexical", "hybrid")
    }


def assert_same(one: Found, other: Found) -> None:
    """Scores are equal to 1e-4, and so are the places of all but what ties with the last."""
    for key, hits in one.items():
        assert [score for _, score in hits] == pytest.approx([score for _, score in other[key]], abs=1e-4)
        clear = {place for place, score in hits if score > hits[-1][1] + 1e-3}
        assert clear <= {place for place, _ in other[key]}


def test_a_second_run_embeds_nothing_and_keeps_the_version(folder: Path, tmp_path: Path) -> None:
    first = rag.build(folder, tmp_path / "ix", embedder="static")
    assert (first.added, first.files, first.version, first.quarantined) == (3, 3, 1, ())
    assert first.chunks == len(rag.Index.open(tmp_path / "ix")) == 4
    assert first.embedded == 4 + 3  # the chunks, and "Leave", "Leave > Sickness" and "backup"
    second = rag.build(folder, tmp_path / "ix")
    assert (second.embedded, second.unchanged, second.version) == (0, 3, 1)


def test_only_new_texts_are_embedded_and_changes_told_apart(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    (folder / "old" / "backup.txt").rename(folder / "backup.txt")  # renamed: no new text
    (folder / "leave-us.md").unlink()
    text = (folder / "leave.md").read_text()
    (folder / "leave.md").write_text(text.replace("ten o'clock", "eleven o'clock"))
    (folder / "new.txt").write_text("Something quite new.")
    embedder = Counting()
    report = rag.build(folder, tmp_path / "ix", embedder=embedder)
    told = (report.added, report.changed, report.removed, report.renamed, report.unchanged)
    assert told == (1, 1, 1, 1, 0)
    assert report.embedded == embedder.asked == 3  # two chunks, and the new file's name
    rag.build(folder, tmp_path / "fresh", embedder="static")
    assert_same(found(tmp_path / "ix"), found(tmp_path / "fresh"))


NAMES = st.sampled_from(["a.md", "b.txt", "c/d.md"])
BODIES = st.lists(st.sampled_from([
    "# Alpha\n\n", "Beta gamma delta. ", "Staff take leave in Europe. ", "\n\n## Backup\n\n", "A restore is a test. ",
    "Nobody is ill today. ", "alpha alpha beta. ",
]), min_size=1, max_size=12).map("".join)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(NAMES, BODIES, min_size=1), min_size=2, max_size=4))
def test_after_any_sequence_of_changes_results_equal_those_of_a_fresh_build(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, str]]
) -> None:
    work = tmp_path_factory.mktemp("states")
    source = work / "docs"
    (source / "c").mkdir(parents=True)
    for state in states:
        for name in ("a.md", "b.txt", "c/d.md"):
            path = source / name
            path.unlink(missing_ok=True)
            if name in state:
                path.write_text(state[name] + " The end.")
        rag.build(source, work / "ix", embedder="static")
    rag.build(source, work / "fresh", embedder="static")
    assert_same(found(work / "ix"), found(work / "fresh"))
    assert [r.source for r in rag.Index.open(work / "ix").sources] == sorted(states[-1])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, BODIES, min_size=1))
def test_every_hit_and_context_span_reproduces_its_text_from_its_offsets(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    work = tmp_path_factory.mktemp("offsets")
    for name, text in files.items():
        (work / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "docs" / name).write_bytes(text.replace("\n", "\r\n").encode() + b" End.")
    rag.build(work / "docs", work / "ix", embedder="static")
    pipe = rag.Pipeline(work / "ix")
    spans = [*pipe.index.search("alpha leave backup", k=50)]
    spans += pipe.context("alpha leave backup", budget=120).hits
    answer = pipe.ask("Who takes leave in Europe?")
    spans += answer.citations
    assert spans
    for span in spans:
        whole = (work / "docs" / span.source).read_bytes().decode()
        assert whole[span.start : span.end] == span.text


def test_metadata_comes_from_front_matter_sidecar_table_and_path(folder: Path, tmp_path: Path) -> None:
    (folder / "old" / "backup.txt.metadata.json").write_text(
        '{"metadataAttributes": {"region": "eu", "year": 2020}}'
    )
    table = tmp_path / "table.jsonl"
    table.write_text('{"source": "leave.md", "owner": "Ann", "year": 2030}\n')
    report = rag.build(
        folder, tmp_path / "ix", embedder="static", metadata=str(table), metadata_from_path="{part}/"
    )
    assert report.quarantined == ()
    index = rag.Index.open(tmp_path / "ix")
    assert {h.source for h in index.search("leave", k=9, where="part == 'old' and year == 2020")} == {
        "old/backup.txt"
    }
    assert {h.source for h in index.search("leave", k=9, where="owner == 'Ann' and year == 2030")} == {
        "leave.md"
    }
    assert index.schema["tags"] == "list"
    assert index.schema["valid_from"] == "date"


def test_a_change_of_metadata_alone_is_seen_and_embeds_nothing(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    (folder / "leave.md.metadata.json").write_text('{"metadataAttributes": {"owner": "Ann"}}')
    report = rag.build(folder, tmp_path / "ix")
    assert (report.changed, report.unchanged, report.embedded) == (1, 2, 0)
    assert rag.Index.open(tmp_path / "ix").count("owner == 'Ann'") > 0


def test_a_field_of_two_types_is_kept_as_text_and_told_with_both_files(folder: Path, tmp_path: Path) -> None:
    (folder / "more.md").write_text("---\nyear: unknown\n---\nMore text here.\n")
    report = rag.build(folder, tmp_path / "ix", embedder="static")
    assert report.notes == (
        "field 'year' is a number in leave-us.md and a string in more.md: kept as string",
    )
    assert rag.Index.open(tmp_path / "ix").count("year == '2023'") > 0


def test_another_embedder_is_refused_and_rebuild_changes_it(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    before = found(tmp_path / "ix")
    with pytest.raises(StoreMismatchError, match="--rebuild"):
        rag.build(folder, tmp_path / "ix", embedder="local")
    assert_same(found(tmp_path / "ix"), before)
    report = rag.build(folder, tmp_path / "ix", embedder="local", rebuild=True)
    assert (report.version, report.added) == (2, 3)
    assert rag.Index.open(tmp_path / "ix").manifest.embedder.name == "local"


def test_another_chunker_is_refused(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    with pytest.raises(StoreMismatchError, match="max_tokens=100"):
        rag.build(folder, tmp_path / "ix", chunker={"max_tokens": 100})


def test_any_langchain_embedder_and_splitter_can_stand_in(folder: Path, tmp_path: Path) -> None:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    embedder: Embeddings = DeterministicFakeEmbedding(size=32)
    splitter = RecursiveCharacterTextSplitter(chunk_size=60, chunk_overlap=0)
    rag.build(folder, tmp_path / "ix", embedder=embedder, chunker=splitter)
    index = rag.Index.open(tmp_path / "ix", embedder=embedder)
    assert index.manifest.embedder.dimensions == 32
    assert index.search("anything", k=2, mode="dense")
    with pytest.raises(StoreMismatchError, match="was built with"):
        rag.Index.open(tmp_path / "ix", embedder="static")


def test_a_source_without_text_leaves_the_old_index_as_it_was(folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    before = found(tmp_path / "ix")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no files"):
        rag.build(tmp_path / "empty", tmp_path / "ix")
    (tmp_path / "empty" / "a.txt").write_text("")
    with pytest.raises(SourceError, match=r"a\.txt is empty"):
        rag.build(tmp_path / "empty", tmp_path / "ix")
    assert_same(found(tmp_path / "ix"), before)


def test_an_argument_that_build_does_not_have_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'embedder'"):
        rag.build(folder, tmp_path / "ix", embeder="static")


SLOW = """
import sys, time, rag
from rag.embedding.static import StaticEmbeddings
from rag.embedding import cache
class Slow(StaticEmbeddings):
    def vectors(self, texts):
        time.sleep(0.05)
        print(len(texts), flush=True)
        return super().vectors(texts)
cache.CachedEmbeddings.__init__.__defaults__ = (8,)
rag.build(sys.argv[1], sys.argv[2], embedder=Slow())
"""


@pytest.mark.parametrize("moment", [1, 5, 20])
def test_a_killed_build_keeps_the_old_version_and_resumes_without_paying_twice(
    tmp_path: Path, moment: int
) -> None:
    source, path = tmp_path / "docs", tmp_path / "ix"
    source.mkdir()
    (source / "a.txt").write_text("The first version.")
    rag.build(source, path, embedder="static")
    for n in range(60):
        (source / f"{n}.md").write_text(
            "".join(f"# Part {m}\n\nText {n} of part {m} is unique.\n\n" for m in range(5))
        )
    process = subprocess.Popen([sys.executable, "-c", SLOW, source, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    asked = [int(process.stdout.readline()) for _ in range(moment)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    asked += [int(line) for line in process.stdout.read().split()]
    assert rag.Index.open(path).version == 1
    total = rag.plan(source, tmp_path / "none", embedder="static").texts
    report = rag.build(source, path)
    assert report.version == 2
    assert report.embedded + sum(asked) <= total + 8  # at most the batch in flight
    rag.build(source, tmp_path / "fresh", embedder="static")
    assert_same(found(path), found(tmp_path / "fresh"))
    assert len(list((path / "segments").iterdir())) == 2  # what the killed build left is cleared


def test_ctrl_c_in_the_middle_says_that_work_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    for n in range(400):
        (source / f"{n}.txt").write_text(f"Document {n} says something of its own. " * 20)
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "build", source, tmp_path / "ix"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    cache = tmp_path / "ix" / "cache.sqlite"
    deadline = time.monotonic() + 60
    while not cache.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        "rag: interrupted: readers keep the version they have, and what is paid for is kept: "
        "run the same command again\n" in said
    )
    assert "Traceback" not in said
