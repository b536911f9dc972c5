"""A hostile index opens and answers, or raises one of `rag`'s errors; it never runs code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rag
from rag.index.storage import rabitq, segment
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.writer import open_writer
from tests.scale import scale

pytestmark = pytest.mark.soak

SMALL = 2048  # rows x dimensions from which segments have codes, in these tests

ATTACK = f"""
import faulthandler, json, os, random, resource, shutil, signal, sqlite3, sys
import numpy as np
import rag
from rag.embedding import cache
from rag.usage.ledger import Ledger
from rag.index.storage import rabitq, segment
rabitq.WORTHWHILE = segment.WORTHWHILE = {SMALL}
segment.EXACT = 64
whole, work, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
files = sorted(os.path.relpath(os.path.join(d, f), whole) for d, _, fs in os.walk(whole) for f in fs if f != "LOCK")
vector = np.random.default_rng(0).normal(size=16)
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
faulthandler.enable()

HUGE = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
ODD = [None, -1, 0, True, 2**31, 2**63, 1e308, "", "x", "../../../etc/passwd", "/etc/passwd", "segments/../..", [], {{}}, [[]], "\\x00", "0" * 70]

def bytes_(data, chance):
    how = chance.randrange(7)
    data = bytearray(data)
    if not data:
        return b"x"
    at = chance.randrange(len(data))
    if how == 0:
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == 1:
        del data[at:]
    elif how == 2:
        data += os.urandom(chance.randint(1, 300))
    elif how == 3:
        data[at:at + chance.randint(1, 64)] = b"\\0" * chance.randint(1, 64)
    elif how == 4:
        data[at:at + 8] = chance.choice(HUGE).to_bytes(8, chance.choice(["little", "big"]))
    elif how == 5:
        at -= at % 4
        data[at:at + 4] = (chance.choice(HUGE) & 0xFFFFFFFF).to_bytes(4, "little")
    else:
        data[:] = os.urandom(chance.randint(0, 400))
    return bytes(data)

def places(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        for key in (value if isinstance(value, dict) else range(len(value))):
            yield from places(value[key], (*path, key))

def manifest(text, chance):
    raw = json.loads(text)
    for _ in range(chance.randint(1, 2)):
        path = chance.choice([p for p in places(raw) if p])
        inner = raw
        for key in path[:-1]:
            inner = inner[key]
        if chance.random() < 0.2 and isinstance(inner, dict):
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = chance.choice(ODD)
        if not isinstance(raw, dict):
            break
    return json.dumps(raw)

FOLDERS = ["segments", "manifests", "sources", "removed", "documents"]
SCHEMAS = [
    "CREATE VIEW embeddings AS WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n) SELECT i AS key, i AS vector, i AS model FROM n",
    "CREATE VIEW calls AS WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n) SELECT i AS at, i AS usd FROM n",
    "CREATE TABLE embeddings (key BLOB, vector BLOB AS (hex(zeroblob(900000000))), model BLOB, used INTEGER)",
    "CREATE TABLE calls (at INTEGER CHECK (at > 0), theirs TEXT)",
    "PRAGMA application_id = 7; CREATE TABLE models (x); CREATE TABLE embeddings (key)",
]

def link(folder, outside, chance):
    # In place of a folder, of a segment, or of a file that the next writer writes or replaces.
    segment = chance.choice(sorted(os.listdir(os.path.join(folder, "segments"))))
    version = 1 + max(int(m[:6]) for m in os.listdir(os.path.join(folder, "manifests")))
    name = chance.choice([*FOLDERS, f"segments/{{segment}}", "LOCK", "CURRENT", "CURRENT.new", f"manifests/{{version:06}}.json.new",
                          f"removed/{{version:06}}-{{segment}}.npy", f"documents/{{version:06}}-{{segment}}.arrow", f"sources/{{version:06}}.arrow",
                          "cache.sqlite", "cache.sqlite-wal", "ledger.sqlite", "ledger.sqlite-journal"])
    path = os.path.join(folder, name)
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    how = chance.randrange(4)
    if how == 0:
        os.symlink(chance.choice([outside, os.path.join(outside, "file"), os.path.join(outside, "nowhere")]), path)
    elif how == 1:
        os.link(os.path.join(outside, "file"), path)
    elif how == 2:
        os.mkfifo(path)
    else:
        os.symlink(folder, path)
    open(os.path.join(folder, "LOCK"), "a").close() if name != "LOCK" else None

def foreign(folder, chance):
    name = chance.choice(["cache.sqlite", "ledger.sqlite"])
    file = sqlite3.connect(os.path.join(folder, name))
    file.executescript(chance.choice(SCHEMAS))
    file.close()

def state(outside):
    return sorted((d, tuple(sorted(fs)), tuple(open(os.path.join(d, f)).read() for f in sorted(fs))) for d, _, fs in os.walk(outside))

def write(folder):
    store = rag.Store(folder)
    for step in (lambda: store.edit("group == 1", {{"name": "new"}}), store.compact, lambda: store.rollback(1), lambda: store.prune(1),
                 lambda: cache.info(cache.Path(folder) / "cache.sqlite"), lambda: Ledger(cache.Path(folder) / "ledger.sqlite").spent()):
        try:
            step()
        except rag.RagError as error:
            assert len(str(error).splitlines()) == 1, str(error)

def mutate(folder, chance):
    name = chance.choice(files)
    path = os.path.join(folder, name)
    how = chance.random()
    if name.startswith("manifests") and how < 0.7:
        text = open(path).read()
        open(path, "w").write(manifest(text, chance))
    elif how < 0.7:
        data = open(path, "rb").read()
        new = bytes_(data, chance)
        open(path, "wb").write(new)
        if chance.random() < 0.8:  # an attacker makes the manifests agree
            for m in os.listdir(os.path.join(folder, "manifests")):
                m = os.path.join(folder, "manifests", m)
                text = open(m).read()
                raw = json.loads(text)
                entries = [raw["sources"]] + [f for s in raw["segments"] for f in [*s["files"], s["removed"], s["documents"]] if f]
                for entry in entries:
                    if entry["path"] == name:
                        entry["bytes"] = len(new)
                open(m, "w").write(json.dumps(raw))
    elif how < 0.8:
        other = os.path.join(folder, chance.choice(files))
        a, b = open(path, "rb").read(), open(other, "rb").read()
        open(path, "wb").write(b)
        open(other, "wb").write(a)
    elif how < 0.85:
        os.unlink(path)
    elif how < 0.9:
        os.unlink(path)
        os.symlink(chance.choice(["/dev/zero", "/etc/passwd", path, "/dev/stdin"]), path)
    elif how < 0.95:
        os.unlink(path)
        os.mkfifo(path)
    else:
        os.unlink(path)
        os.mkdir(path)

def use(folder):
    index = rag.Index.open(folder)
    for where in (None, "group == 2", "name == 'n1' or 'x' in tags", "start >= 0 and exists(group)"):
        try:
            index.search_by_vector(vector, k=5, where=where)
            index.search_by_vector(vector, "word1 common", 5, where=where, mode="hybrid")
            index.search("word2", 5, where=where, mode="lexical")
        except rag.RagError as error:
            pass
    for step in (lambda: index.get(["c00003", "c00011"]), lambda: index.sources, lambda: index.info(),
                 lambda: index.diverse(vector, 3), lambda: list(index.scan("group == 1"))):
        try:
            step()
        except rag.RagError:
            pass

opened = refused = 0
for number in range(first, last):
    chance = random.Random(number)
    folder = os.path.join(work, "m")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    outside = os.path.join(work, "outside")
    os.makedirs(outside + "/0123456789abcdef", exist_ok=True)
    open(outside + "/file", "w").write("mine")
    open(outside + "/000001.arrow", "w").write("mine")
    before = state(outside)
    if number % 10:
        mutate(folder, chance)
    elif number % 30:
        link(folder, outside, chance)
    else:
        foreign(folder, chance)
    signal.alarm(30)
    try:
        use(folder)
        opened += 1
    except rag.RagError as error:
        assert len(str(error).splitlines()) == 1, str(error)
        refused += 1
    except BaseException:
        print("mutation", number, file=sys.stderr)
        raise
    if number % 7 == 0:
        try:
            rag.Store(folder).verify()
            rag.Store(folder).versions()
        except rag.RagError:
            pass
        except BaseException:
            print("mutation", number, "verify", file=sys.stderr)
            raise
    if number % 10 == 0:
        try:
            write(folder)
        except rag.RagError:
            pass
        except BaseException:
            print("mutation", number, "write", file=sys.stderr)
            raise
        assert state(outside) == before, number
    signal.alarm(0)
assert not os.path.exists("/tmp/rag-was-here")
print(opened, refused)
"""


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small index with everything: segments, codes, headings, removed rows, edited metadata."""
    for module in (rabitq, segment):
        monkeypatch.setattr(module, "WORTHWHILE", SMALL)
    path = tmp_path / "whole"
    vectors = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for first, last in ((0, 160), (160, 200)):
        with open_writer(path, EmbedderEntry("", "random", 16)) as writer:
            for n in range(first, last):
                meta = {"group": n % 5, "name": f"n{n % 3}", "tags": ["x"] * (n % 2), "day": None}
                number = writer.add_document(
                    f"d{n}", f"{n}.md", {k: v for k, v in meta.items() if v is not None}
                )
                text = f"word{n % 7} word{n % 3} common"
                chunk = Chunk(f"c{n:05}", 0, len(text), text, section=("A",), heading=f"h{n % 4}")
                new = writer.new_headings([(number, chunk)])
                writer.add_headings(new, vectors[n % 4 : n % 4 + len(new)])
                writer.add_chunks([(number, chunk)], vectors[n : n + 1])
            writer.commit(sources=[], root=".", chunker="none")
    with open_writer(path) as writer:
        writer.commit(removed_ids={"c00003", "c00170"}, why="delete")
    rag.Store(path).edit("group == 4", {"name": "edited"})
    assert list(path.rglob("codes-000.faiss"))
    assert rag.Store(path).verify().problems == ()
    return path


def test_mutated_indexes_raise_only_rag_errors(whole: Path, tmp_path: Path) -> None:
    count, at_once = scale(200, 10_000), 200
    opened = refused = 0
    for first in range(0, count, at_once):
        work = tmp_path / str(first)
        work.mkdir()
        command = [sys.executable, "-c", ATTACK, whole, work, str(first), str(first + at_once)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
        one, two = map(int, done.stdout.split())
        opened, refused = opened + one, refused + two
    assert opened > count // 20
    assert refused > count // 4


def test_no_pickle(whole: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path("/tmp/rag-was-here").write_text, ("x",))

    for name in ("lengths.npy", "headings.npy"):
        victim = next(whole.rglob(name))
        array = np.empty(1, object)
        array[0] = Evil()
        size = victim.stat().st_size
        np.save(victim, array, allow_pickle=True)
        data = victim.read_bytes()
        victim.write_bytes(data[:size].ljust(size, b"\0"))
        with pytest.raises(rag.RagError):
            rag.Index.open(whole).search_by_vector(np.ones(16), "word1", 3, mode="hybrid")
    for path in whole.rglob("*"):
        if path.is_file() and path.suffix != ".npy":
            with pytest.raises(Exception):  # noqa: B017
                pickle.loads(path.read_bytes())
    assert not Path("/tmp/rag-was-here").exists()
