"""Versions, their differences, verification and recovery, pruning, editing, and the embedding cache."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest

import rag
from rag.core.errors import (
    ConfigError,
    EmbeddingError,
    SourceError,
    StoreCorruptError,
    StoreMismatchError,
    StoreMissingError,
    UsageError,
    WhereError,
)
from rag.embedding import cache
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.compaction import FANOUT
from tests import command
from tests.index.test_equality import assert_equal, found

STATIC = StaticEmbeddings()


@pytest.fixture
def path(folder: Path, tmp_path: Path) -> Path:
    """An index with three versions: built, a file changed, a file removed."""
    index = tmp_path / "ix"
    rag.build(folder, index, embedder=STATIC)
    text = (folder / "leave.md").read_text()
    (folder / "leave.md").write_text(
        text.replace("28 days", "30 days").replace("year: 2024", "year: 2025\nowner: Ann")
    )
    rag.build(folder, index, embedder=STATIC)
    (folder / "old" / "backup.txt").unlink()
    rag.build(folder, index, embedder=STATIC)
    return index


def rag_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command.run(*arguments, code=None, env={**os.environ, "COLUMNS": "200"})


def current(path: Path, name: str) -> Path:
    """A file of the current version."""
    segment = rag.Index.open(path).manifest.segments[-1]
    return path / "segments" / segment.id / name


def test_versions(path: Path) -> None:
    store = rag.Store(path)
    store.rollback(1)
    store.edit("region == 'us'", {"seen": True})
    store.compact()
    told = [(v.number, v.why, v.files, v.current) for v in store.versions()]
    assert told == [
        (1, "build", 3, False), (2, "build", 3, False), (3, "build", 2, False),
        (4, "rollback to 1", 3, False), (5, "edit", 3, False), (6, "compact", 3, True),
    ]  # fmt: skip
    assert [v.segments for v in store.versions()] == [1, 2, 2, 1, 1, 1]


def test_diff(path: Path) -> None:
    diff = rag.Store(path).diff(1)
    assert (diff.old, diff.new) == (1, 3)
    assert (diff.added, diff.removed, diff.changed, diff.metadata) == (
        (),
        ("old/backup.txt",),
        ("leave.md",),
        (),
    )
    assert (diff.chunks_added, diff.chunks_removed) == (2, 3)  # a longer head moves the chunks behind it
    assert diff.fields == {"owner": (None, "string")}
    back = rag.Store(path).diff(3, 1)
    assert (back.added, back.removed) == (("old/backup.txt",), ())
    assert rag.Store(path).diff(3).changed == ()
    rag.Store(path).edit("source == 'leave-us.md'", {"year": 2030})
    assert rag.Store(path).diff(3).metadata == ("leave-us.md",)


def test_rollback_is_a_new_version(folder: Path, path: Path) -> None:
    """The next build brings it up to date without embedding."""
    latest = found(rag.Index.open(path))
    first = found(rag.Index.open(path, version=1))
    assert rag.Store(path).rollback(1) == 4
    assert_equal(found(rag.Index.open(path)), first)
    report = rag.build(folder, path, embedder=STATIC)
    assert (report.version, report.changed, report.removed, report.embedded) == (5, 1, 1, 0)
    assert_equal(found(rag.Index.open(path)), latest)
    with pytest.raises(UsageError, match="is the current one"):
        rag.Store(path).rollback(5)
    with pytest.raises(StoreMissingError, match="has no version 9: there is 1, 2, 3, 4, 5"):
        rag.Store(path).rollback(9)


def test_prune_deletes_only_old_files(path: Path) -> None:
    """An open reader keeps its version."""
    before = found(rag.Index.open(path))
    held = rag.Index.open(path, version=1)
    then = found(held)
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    assert rag.Store(path).prune(keep=2) == [1]
    assert rag.Store(path).prune() == [2]
    assert sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) < size
    assert_equal(found(rag.Index.open(path)), before)
    assert_equal(found(held), then)  # whoever has it open, keeps it
    assert len(held.sources) == 3
    with pytest.raises(StoreMissingError, match="no version 1"):
        rag.Index.open(path, version=1)
    assert rag.Store(path).verify().orphans == ()
    with pytest.raises(UsageError, match="keep is 0: write a whole number of at least 1"):
        rag.Store(path).prune(0)


def test_segments_are_merged(folder: Path, tmp_path: Path) -> None:
    for n in range(3 * FANOUT):
        (folder / "new.md").write_text(f"# New\n\nThis is round {n}.")
        rag.build(folder, tmp_path / "ix", embedder=STATIC)
        assert rag.Index.open(tmp_path / "ix").info()["segments"] <= FANOUT + 2
    rag.build(folder, tmp_path / "fresh", embedder=STATIC)
    assert_equal(found(rag.Index.open(tmp_path / "ix")), found(rag.Index.open(tmp_path / "fresh")))


def test_verify_finds_every_altered_byte(path: Path) -> None:
    """The advice names an undamaged version."""
    store = rag.Store(path)
    assert store.verify().sound
    shared = {f.path for s in rag.Index.open(path, version=1).manifest.segments for f in s.files}
    own = [
        f.path for s in rag.Index.open(path).manifest.segments for f in s.files if f.path not in shared
    ]  # fmt: skip
    assert len(own) >= 8
    for name in own:
        data = (path / name).read_bytes()
        at = len(data) // 2
        (path / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        check = store.verify()
        assert not check.sound
        assert any(name in problem for problem in check.problems)
        assert "is undamaged: `rag rollback" in check.advice
        (path / name).write_bytes(data)
    assert store.verify().sound


@pytest.mark.parametrize("harm", ["x", "", "99999999999", None])
def test_lost_pointer_is_restored(folder: Path, path: Path, harm: str | None) -> None:
    """By a rollback as by a rebuild."""
    before = found(rag.Index.open(path))
    pointer = path / "CURRENT"
    if harm is None:
        pointer.unlink()
    else:
        pointer.write_text(harm)
        with pytest.raises(StoreCorruptError, match="rag rollback"):
            rag.Index.open(path)
    check = rag.Store(path).verify()
    assert "does not name a version" in check.problems[0]
    assert "version 3 is undamaged: `rag rollback" in check.advice
    assert [v.number for v in rag.Store(path).versions()] == [1, 2, 3]
    saved = path.parent / "copy"
    shutil.copytree(path, saved)
    assert rag.Store(path).rollback(3) == 4
    assert_equal(found(rag.Index.open(path)), before)
    report = rag.build(folder, saved, embedder=STATIC, rebuild=True)
    assert (report.version, report.embedded) == (4, 0)
    assert_equal(found(rag.Index.open(saved)), before)
    assert rag.Store(saved).verify().sound


def test_compaction_refuses_damage(path: Path) -> None:
    victim = current(path, "vectors.faiss")
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreCorruptError, match="was altered"):
        rag.Store(path).compact()
    assert rag.Index.open(path).version == 3
    assert rag.Store(path).verify().orphans == ()


def test_verify_counts_chunks(path: Path) -> None:
    """A writer's own mistakes: the manifest's counts are wrong though every file is as written."""
    manifest = path / "manifests" / "000003.json"
    raw = json.loads(manifest.read_text())
    raw["chunks"] += 1
    manifest.write_text(json.dumps(raw))
    assert rag.Store(path).verify().problems == ("there are 3 chunks, the manifest says 4",)
    (path / "segments" / "0123456789abcdef").mkdir()
    assert rag.Store(path).verify().orphans == ("segments/0123456789abcdef",)


def test_edit_lasts_until_the_file_changes(folder: Path, path: Path) -> None:
    """An edit embeds nothing, and a build does not undo it before the file changes."""
    before = found(rag.Index.open(path))
    store = rag.Store(path)
    assert store.edit("region == 'eu'", {"year": 2031, "checked": True, "owner": None}) == 4
    index = rag.Index.open(path)
    assert_equal(found(index), before)
    assert index.count("checked == true") == index.count("source == 'leave.md'") > 0
    assert index.search("leave", k=1, where="year == 2031")[0].metadata["tags"] == ["hr", "leave"]
    assert index.count("exists(owner)") == 0
    assert store.edit("year == 1999", {"year": 1}) == 4  # nothing matches: nothing happens
    assert rag.build(folder, path, embedder=STATIC).version == 4
    (folder / "leave.md").write_text((folder / "leave.md").read_text() + "\nMore.\n")
    rag.build(folder, path, embedder=STATIC)
    assert rag.Index.open(path).count("year == 2031") == 0
    with pytest.raises(WhereError, match="did you mean 'region'"):
        store.edit("regin == 'eu'", {"a": 1})
    with pytest.raises(UsageError, match="written by rag"):
        store.edit("region == 'eu'", {"source": "x"})
    with pytest.raises(WhereError, match="no document has a field 'nothing'"):
        store.edit("region == 'eu'", {"nothing": None})


def test_edit_widens_a_type(path: Path) -> None:
    rag.Store(path).edit("region == 'eu'", {"year": "soon"})
    index = rag.Index.open(path)
    assert index.schema["year"] == "string"
    assert index.count("year == 'soon'") > 0
    assert index.count("year == '2023'") > 0


# ---------------------------------------------------------------------- the cache


def test_shared_cache(folder: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared.sqlite"
    first = rag.build(folder, tmp_path / "one", embedder=STATIC, cache=shared)
    second = rag.build(folder, tmp_path / "two", embedder=STATIC, cache={"path": shared})
    assert (first.embedded, second.embedded) == (7, 0)
    assert not (tmp_path / "one" / "cache.sqlite").exists()
    held = cache.info(shared)
    assert (held.vectors, list(held.models.values())) == (7, [(7, 7 * 256 * 4)])
    assert rag.plan(folder, tmp_path / "three", embedder=STATIC, cache=shared).texts == 0


def test_pruned_cache_keeps_recent_vectors(folder: Path, tmp_path: Path) -> None:
    """The vectors used longest ago are deleted; indexes do not change."""
    for n in range(300):
        (folder / f"{n}.txt").write_text(f"Text number {n}.")
    rag.build(folder, tmp_path / "ix", embedder=STATIC)
    file = tmp_path / "ix" / "cache.sqlite"
    with sqlite3.connect(file) as raw:  # half of them were last used on another day
        keys = [key for (key,) in raw.execute("SELECT key FROM embeddings")]
        raw.executemany("UPDATE embeddings SET used = 1 WHERE key = ?", [(key,) for key in keys[::2]])
    before = found(rag.Index.open(tmp_path / "ix"))
    size = cache.info(file).bytes
    gone = cache.prune(file, int(size * 0.6))
    assert cache.info(file).bytes <= size * 0.62
    with sqlite3.connect(file) as raw:
        left = {key for (key,) in raw.execute("SELECT key FROM embeddings")}
    assert set(keys[1::2]) <= left
    assert len(left) == len(keys) - gone
    assert_equal(found(rag.Index.open(tmp_path / "ix")), before)
    assert cache.prune(file, 10**9) == 0


def test_build_limits_its_cache(folder: Path, tmp_path: Path) -> None:
    for n in range(400):
        (folder / f"{n}.txt").write_text(f"Text number {n}.")
    rag.build(folder, tmp_path / "ix", embedder=STATIC, cache={"max_mb": 0.3})
    assert cache.info(tmp_path / "ix" / "cache.sqlite").bytes <= 330_000


@pytest.mark.parametrize(
    ("value", "message"),
    [({"max": 3}, "no setting 'max'"), ({"max_mb": 0}, "above 0"), ({"max_mb": True}, "above 0"), ({"path": 3}, "string")],
)  # fmt: skip
def test_wrong_cache_settings(folder: Path, tmp_path: Path, value: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rag.build(folder, tmp_path / "ix", embedder=STATIC, cache=value)


def test_file_that_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "no").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(EmbeddingError, match="cannot be used"):
        cache.info(tmp_path / "no")
    with pytest.raises(EmbeddingError, match="no embedding cache"):
        cache.info(tmp_path / "nowhere")


# ---------------------------------------------------------------------- the command line


def test_commands(path: Path) -> None:
    out = rag_command("versions", path).stdout.splitlines()
    assert [line.split()[-1] for line in out] == ["build"] * 3
    assert out[2].startswith("*    3")
    assert [v["number"] for v in json.loads(rag_command("versions", path, "--json").stdout)] == [1, 2, 3]
    assert "- old/backup.txt" in rag_command("diff", path, 1).stdout
    assert rag_command("rollback", path, 2).stdout == f"{path}: version 4 is now the same as version 2\n"
    assert rag_command("prune", path, "--keep", 3).stdout == f"{path}: version 1 deleted\n"
    done = rag_command("verify", path)
    assert (done.returncode, done.stdout.rstrip().endswith("chunks: sound")) == (0, True)
    assert "1 now" in rag_command("compact", path).stdout
    assert "7 vectors" not in rag_command("cache", "info", path).stdout
    assert "vectors deleted, 0.0 MB left" in rag_command("cache", "prune", path, "--max-mb", 0).stdout


def test_verify_command_reports_damage(path: Path) -> None:
    """It exits with 1 and says what to do."""
    victim = current(path, "postings.npy")
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = rag_command("verify", path)
    assert done.returncode == 1
    assert "postings.npy was altered" in done.stdout
    assert "--rebuild" in done.stdout or "rollback" in done.stdout
    found_ = json.loads(rag_command("verify", path, "--json").stdout)
    assert found_["sound"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("verify", "nowhere"), 2, "there is no index in nowhere"),
        (("rollback", "{}", "77"), 2, "has no version 77: there is 1, 2, 3"),
        (("prune", "{}", "--keep", "0"), 2, "0 is not in the range"),
        (("cache", "info", "nowhere"), 2, "nowhere does not exist"),
    ],
)
def test_wrong_usage_is_one_line(path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = rag_command(*(argument.format(path) for argument in arguments))
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_format(path: Path) -> None:
    manifest = path / "manifests" / "000003.json"
    manifest.write_text(manifest.read_text().replace('"format": 3', '"format": 2'))
    with pytest.raises(StoreMismatchError, match="has format 2: run `rag upgrade "):
        rag.Index.open(path)


def test_moved_folder_is_the_index(path: Path, tmp_path: Path) -> None:
    before = found(rag.Index.open(path))
    shutil.move(path, tmp_path / "elsewhere")
    assert_equal(found(rag.Index.open(tmp_path / "elsewhere")), before)
    with pytest.raises(StoreMissingError):
        rag.Store(path)
    with pytest.raises(SourceError, match="not empty and no index"):
        (path).mkdir()
        (path / "x").write_text("x")
        rag.build(tmp_path / "elsewhere", path)


def test_older_cache_is_converted(tmp_path: Path) -> None:
    embedder = StaticEmbeddings()
    path = tmp_path / "cache.sqlite"
    texts = [f"text number {n}" for n in range(30)]
    with contextlib.closing(cache.CachedEmbeddings(embedder, path)) as made:
        vectors = made.vectors(texts)
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("ALTER TABLE embeddings RENAME TO newer")
        raw.execute(
            "CREATE TABLE embeddings (key BLOB PRIMARY KEY, vector BLOB NOT NULL, model BLOB NOT NULL, "
            "used INTEGER NOT NULL) WITHOUT ROWID"
        )
        raw.execute("INSERT INTO embeddings SELECT * FROM newer")
        raw.execute("DROP TABLE newer")
    with contextlib.closing(cache.CachedEmbeddings(embedder, path)) as made:
        assert np.array_equal(made.vectors(texts), vectors)
        assert made.embedded == 0
