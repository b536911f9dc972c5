"""Killed, out of room or without the right to write: the last version stays whole, and nothing is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag
from rag.core.errors import RagError
from rag.embedding.static import StaticEmbeddings
from tests.index.test_equality import assert_equal, found
from tests.scale import scale

pytestmark = pytest.mark.soak

BATCH = 8
WORK = f"""
import os, sys, time, rag
from rag.embedding import cache
from rag.embedding.static import StaticEmbeddings
cache.CachedEmbeddings.__init__.__defaults__ = ({BATCH},)
log = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
class Paid(StaticEmbeddings):
    def vectors(self, texts):
        os.write(log, f"{{len(texts)}}\\n".encode())
        time.sleep(0.002)
        return super().vectors(texts)
rag.build(sys.argv[2] + "/warm", sys.argv[2] + "/warm-index", embedder=StaticEmbeddings())
print("ready", flush=True)
what, path = sys.argv[1], sys.argv[3]
if what == "build":
    rag.build(sys.argv[2] + "/docs", path, embedder=Paid())
elif what == "compact":
    rag.Store(path).compact()
elif what == "prune":
    rag.Store(path).prune(1)
print("done", flush=True)
"""


def write_files(source: Path, chance: random.Random, round_: int) -> None:
    """Add, change and remove some files."""
    source.mkdir(exist_ok=True)
    for n in range(14):
        path = source / f"{n}.md"
        fate = chance.random()
        if fate < 0.35:
            parts = (
                f"# Part {m}\n\nText {n} of part {m}, round {round_}, on leave and backup.\n\n"
                for m in range(4)
            )
            path.write_text("".join(parts))
        elif fate < 0.45:
            path.unlink(missing_ok=True)
    (source / "always.md").write_text("# Always\n\nThere is always something.")


def run_killed(what: str, work: Path, after: float) -> tuple[bool, int]:
    """Run a step and kill it; return whether it was done before, and what it paid for."""
    log = work / "paid"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, what, work, work / "ix", log], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    return "done" in said, sum(map(int, log.read_text().split())) if log.exists() else 0


def test_killed_at_any_moment_an_index_stays_whole_and_a_rerun_ends_as_a_fresh_build(tmp_path: Path) -> None:
    chance = random.Random(5)
    (tmp_path / "warm").mkdir()
    (tmp_path / "warm" / "a.txt").write_text("Something to warm up with.")
    source, path = tmp_path / "docs", tmp_path / "ix"
    write_files(source, chance, 0)
    rag.build(source, path, embedder=StaticEmbeddings())
    early = late = 0
    for round_ in range(1, scale(8, 200) + 1):
        what = chance.choice(["build", "build", "build", "compact", "prune"])
        write_files(source, chance, round_)
        before = rag.Index.open(path)
        expected = found(before)
        need = rag.plan(source, path, embedder=StaticEmbeddings()).texts if what == "build" else 0
        done, paid = run_killed(
            what, tmp_path, chance.random() * {"build": 0.45, "compact": 0.12, "prune": 0.05}[what]
        )
        early, late = early + (not done), late + done
        # The index opens at the last committed version, and verifies.
        after = rag.Index.open(path)
        assert before.version <= after.version <= before.version + 1
        if after.version == before.version or what != "build":
            assert_equal(found(after), expected)
        check = rag.Store(path).verify()
        assert check.problems == ()
        # A re-run ends equal to a fresh build, and pays twice for one batch at most.
        report = rag.build(source, path, embedder=StaticEmbeddings())
        if what == "build":
            assert paid + report.embedded <= need + BATCH
        shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
        rag.build(source, tmp_path / "fresh", embedder=StaticEmbeddings())
        assert_equal(found(rag.Index.open(path)), found(rag.Index.open(tmp_path / "fresh")))
        check = rag.Store(path).verify()
        assert (check.problems, check.orphans) == ((), ())
    assert early, "no run was killed in time"


# ---------------------------------------------------------------------- no room, no right


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter."""
    folder = Path(tempfile.mkdtemp(prefix="rag-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


LIMITED = """
import os, resource, sys, rag
from rag.embedding.static import StaticEmbeddings
source, path, how = sys.argv[1:4]
big = source + "/big.txt"
rag.build(source, path, embedder=StaticEmbeddings())
before = rag.Index.open(path).version
open(big, "w").write("".join(f"Sentence number {n} says something of its own, at length. " for n in range(12000)))
if how.isdigit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(how), resource.RLIM_INFINITY))
elif how == "nobody" and os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    rag.build(source, path, embedder=StaticEmbeddings())
except rag.RagError as error:
    print(type(error).__name__, error)
index = rag.Index.open(path)
assert index.version == before, index.version
assert index.search("First text", k=1)[0].source == "a.txt"
assert rag.Store(path).verify().problems == ()
"""


def limited(source: Path, path: Path, how: str) -> str:
    source.mkdir(parents=True)
    (source / "a.txt").write_text("First text.")
    (source / "big.txt").write_text("Small yet.")
    source.chmod(0o777)
    (source / "big.txt").chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, source, path, how], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("limit", [4_000, 40_000, 400_000, 2_000_000])
def test_a_file_that_cannot_grow_is_one_clear_error_and_the_old_version_stays(
    tmp_path: Path, limit: int
) -> None:
    said = limited(tmp_path / "docs", tmp_path / "ix", str(limit))
    assert said.count("\n") == 1
    assert "cannot write" in said or "cache" in said
    assert "make room" in said


def test_a_full_disk_is_one_clear_error_and_the_old_version_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        said = limited(tmp_path / "docs", disk / "ix", "full")
    finally:
        subprocess.run(["umount", disk], check=True)
    assert said.count("\n") == 1
    assert "make room" in said


def test_a_folder_that_may_not_be_written_is_read_and_told(open_folder: Path) -> None:
    path = open_folder / "ix"
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    said = limited(open_folder / "docs", path, "nobody")
    assert said.count("\n") == 1
    assert "right to write" in said or "cannot be used" in said


def test_what_a_failed_write_left_is_cleared_at_once(tmp_path: Path) -> None:
    store = rag.FaissStore.from_texts(["a"], StaticEmbeddings(), path=tmp_path / "ix")

    def failing() -> Iterator[tuple[str, list[float]]]:
        for n in range(3000):
            yield f"text {n}", [1.0] * 256
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add_embeddings(failing())
    check = rag.Store(tmp_path / "ix").verify()
    assert (check.problems, check.orphans, check.chunks) == ((), (), 1)
    with pytest.raises(RagError, match="NaN or infinity"):
        store.add_embeddings([("x", [float("nan")] * 256)])
    assert len(rag.Index.open(tmp_path / "ix")) == 1
