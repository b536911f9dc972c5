"""The write-ahead cache: every vector is on disk before it is used, so none is paid for twice."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from rag.core import embedders
from rag.core.displayable import Displayable
from rag.core.embedders import EmbedsEach
from rag.core.errors import EmbeddingError, RagError
from rag.core.sqlite import Format, give_back, open_file
from rag.core.vectors import embed, unit_rows
from rag.usage.embedding_calls import embedding_call


class CachedEmbeddings(Embeddings):
    """An embedder behind a file of vectors, keyed by the embedder's fingerprint and the text.

    Parameters
    ----------
    embedder : Embeddings
    path : Path
        A SQLite file; several indexes may share one.
    batch_size : int
        Texts per call, hence the most that a crash can lose, for an embedder that does not yield its
        vectors as they arrive (`rag.core.embedders.EmbedsEach`).
    """

    def __init__(self, embedder: Embeddings, path: Path, batch_size: int = 256) -> None:
        self.embedder, self.path, self.batch_size = embedder, path, batch_size
        self.fingerprint = embedders.fingerprint(embedder)
        self.dimensions = embedders.dimensions(embedder)
        self.embedded = 0
        self._model = hashlib.blake2b(self.fingerprint.encode(), digest_size=8).digest()
        self._day = int(time.time() // 86400)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = connect(path)
        if embedders.billed_model(embedder) is None:
            # Vectors that cost nothing need not survive a power failure, only a killed build.
            self._run("PRAGMA synchronous = NORMAL", [])
        self._run("INSERT OR IGNORE INTO models VALUES (?, ?)", [self._model, self.fingerprint])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector per text, in order."""
        rows: list[list[float]] = self.vectors(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Embed a question; questions are not cached."""
        return self.embedder.embed_query(text)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the texts whose vectors are not in the cache, each once, in order."""
        keys = {self._key(text): text for text in texts}
        known = self._find(list(keys))
        return [text for key, text in keys.items() if key not in known]

    def vectors(
        self,
        texts: Sequence[str],
        progress: Callable[[int], None] = lambda done: None,
        *,
        ahead: Mapping[str, npt.NDArray[np.float32]] = MappingProxyType({}),
    ) -> npt.NDArray[np.float32]:
        """Return unit vectors, ``(len(texts), dimensions)`` float32, embedding what is missing.

        Every group of vectors (of an `EmbedsEach`) or batch is durable before the next one is awaited,
        so an error loses none that arrived before it. `progress` is called with how many texts are done,
        cached ones first. Vectors that the same embedder made `ahead` are taken from there.
        """
        keys = [self._key(text) for text in texts]
        known = self._find(list(dict.fromkeys(keys)))
        self._touch(list(known))
        todo = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        done = len(texts) - len(todo)
        progress(done)
        made_before = {key: ahead[text] for key, text in todo.items() if text in ahead}
        if made_before:
            rows = unit_rows(np.stack(list(made_before.values())), len(made_before), self.dimensions)
            self._store(list(made_before), rows)
            known |= zip(made_before, rows, strict=True)
            todo = {key: text for key, text in todo.items() if key not in made_before}
            self.embedded += len(made_before)
            done += len(made_before)
            progress(done)
        waiting = list(todo)
        with contextlib.closing(self._groups(list(todo.values()))) as groups:
            for positions, made in groups:
                group = [waiting[at] for at in positions]
                self._store(group, made)
                known |= zip(group, made, strict=True)
                self.embedded += len(group)
                done += len(group)
                progress(done)
        if not keys:
            return np.zeros((0, self.dimensions), np.float32)
        return np.stack([known[key] for key in keys])

    def put(self, texts: Sequence[str], vectors: Any) -> None:
        """Store vectors that the same embedder made elsewhere, e.g. in a batch job.

        Parameters
        ----------
        texts : sequence of str
        vectors : array_like
            ``(len(texts), dimensions)``; rows are scaled to length 1.

        Raises
        ------
        EmbeddingError
            The vectors' number or length is wrong, or one is not finite; or the file cannot be written.
        """
        rows = unit_rows(vectors, len(texts), self.dimensions)
        self._store([self._key(text) for text in texts], rows)

    def _groups(self, texts: Sequence[str]) -> Generator[tuple[Sequence[int], npt.NDArray[np.float32]]]:
        """Embed texts; yield positions and unit vectors, group by group as they arrive."""
        if isinstance(self.embedder, EmbedsEach) and texts:
            with contextlib.closing(self.embedder.embed_each(texts)) as groups:
                for group in groups:
                    positions, rows = zip(*group, strict=True)
                    yield positions, unit_rows(np.stack(rows), len(rows), self.dimensions)
            return
        for at in range(0, len(texts), self.batch_size):
            batch = texts[at : at + self.batch_size]
            with embedding_call(self.embedder, batch):
                made = unit_rows(embed(self.embedder, batch), len(batch), self.dimensions)
            yield range(at, at + len(batch)), made

    def _key(self, text: str) -> bytes:
        return key_of(self.fingerprint, text)

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.float32]]:
        vectors: dict[bytes, npt.NDArray[np.float32]] = {}
        for at in range(0, len(keys), 500):  # under SQLite's limit on parameters
            part = keys[at : at + 500]
            marks = ",".join("?" * len(part))
            rows = self._run(f"SELECT key, vector FROM embeddings WHERE key IN ({marks})", part)
            for key, blob in rows:
                vector = np.frombuffer(blob, "<f4")
                if len(vector) == self.dimensions:
                    vectors[key] = vector
        return vectors

    def _touch(self, keys: Sequence[bytes]) -> None:
        """Mark vectors as used today: pruning deletes the least recently used ones first."""
        for at in range(0, len(keys), 500):
            part = keys[at : at + 500]
            marks = ",".join("?" * len(part))
            self._run(
                f"UPDATE embeddings SET used = {self._day} WHERE used < {self._day} AND key IN ({marks})",
                part,
            )

    def _store(self, keys: Sequence[bytes], rows: npt.NDArray[np.float32]) -> None:
        items = [
            (key, row.astype("<f4").tobytes(), self._model, self._day)
            for key, row in zip(keys, rows, strict=True)
        ]
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", items)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise EmbeddingError(
                f"cannot write the embedding cache {self.path} ({error}): make room on the disk and build "
                "again; what was embedded before is kept"
            ) from None

    def _run(self, statement: str, values: Sequence[Any]) -> list[Any]:
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from None


def key_of(fingerprint: str, text: str) -> bytes:
    """Return the key of a text's vector by an embedder."""
    data = f"{fingerprint}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=20).digest()


@dataclass(frozen=True, slots=True, repr=False)
class CacheInfo(Displayable):
    """What a cache holds: bytes of its file, and for each embedder its vectors and their bytes."""

    path: str
    bytes: int
    vectors: int
    models: Mapping[str, tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def connect(path: Path) -> sqlite3.Connection:
    """Open a cache's file, creating it if it is missing.

    Raises
    ------
    EmbeddingError
        It cannot be opened, or is not a cache.
    """
    try:
        file = open_file(path, _FORMAT, synchronous="FULL", timeout_s=30)
        file.execute("PRAGMA cache_size = -65536")  # 64 MiB: the keys of two million vectors
        return file
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path, error) from None
    except RagError as error:
        raise EmbeddingError(str(error)) from None


def _make_tables(file: sqlite3.Connection, version: int = 0) -> None:
    """Create the tables: vectors in order of arrival, their keys in an index.

    A table ordered by key took three times the space and four times the time: each page held three
    vectors, and every new vector went to another page. Such an older table is copied.
    """
    schema = file.execute("SELECT sql FROM sqlite_master WHERE name = 'embeddings'").fetchone()
    older = schema is not None and "WITHOUT ROWID" in schema[0]
    if older:
        file.execute("ALTER TABLE embeddings RENAME TO older")
    file.execute(
        "CREATE TABLE IF NOT EXISTS embeddings (key BLOB NOT NULL, vector BLOB NOT NULL, "
        "model BLOB NOT NULL, used INTEGER NOT NULL)"
    )
    if older:
        file.execute("INSERT INTO embeddings SELECT key, vector, model, used FROM older")
        file.execute("DROP TABLE older")
    file.execute("CREATE TABLE IF NOT EXISTS models (model BLOB PRIMARY KEY, fingerprint TEXT)")
    file.execute("CREATE UNIQUE INDEX IF NOT EXISTS by_key ON embeddings (key)")


def _unchanged(file: sqlite3.Connection, version: int) -> None:
    """Read an older file that cannot be written: its columns are the same."""


#: Version 1 (November 2026): files before it have no version, and the oldest no index.
_FORMAT = Format("embedding cache", "embeddings", 1, _make_tables, _make_tables, _unchanged, oldest=0)


def info(path: Path) -> CacheInfo:
    """Return what a cache holds.

    Raises
    ------
    EmbeddingError
        There is none, or it is damaged.
    """
    if not path.is_file():
        raise EmbeddingError(f"there is no embedding cache at {path}: a build makes one")
    with contextlib.closing(connect(path)) as file:
        try:
            names = dict(file.execute("SELECT model, fingerprint FROM models").fetchall())
            rows = file.execute("SELECT model, COUNT(*), SUM(LENGTH(vector)) FROM embeddings GROUP BY model")
            models = {names.get(model, "unknown"): (count, size) for model, count, size in rows.fetchall()}
        except sqlite3.Error as error:
            raise _unusable(path, error) from None
    return CacheInfo(str(path), _size(path), sum(count for count, _ in models.values()), models)


def prune(path: Path, max_bytes: int) -> int:
    """Delete the least recently used vectors until the file is small enough.

    Indexes do not change, since they hold their vectors themselves. A text whose vector was deleted is
    embedded again only if it is built again.

    Parameters
    ----------
    path : Path
    max_bytes : int
        The size that the file may have afterwards.

    Returns
    -------
    int
        How many vectors were deleted.
    """
    before = info(path)
    if before.bytes <= max_bytes or not before.vectors:
        return 0
    share = max(1 - max_bytes / before.bytes, 0)
    count = before.vectors if not max_bytes else min(int(before.vectors * share) + 1, before.vectors)
    with contextlib.closing(connect(path)) as file:
        try:
            file.execute(
                "DELETE FROM embeddings WHERE key IN (SELECT key FROM embeddings ORDER BY used, key LIMIT ?)",
                [count],
            )
            file.execute("DELETE FROM models WHERE model NOT IN (SELECT model FROM embeddings)")
            give_back(file)
        except sqlite3.Error as error:
            raise _unusable(path, error) from None
    return count


def _size(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _unusable(path: Path, error: Exception) -> EmbeddingError:
    return EmbeddingError(
        f"the embedding cache {path} cannot be used ({error}): make room if the disk is "
        "full; if the file is damaged, delete it to start afresh"
    )
