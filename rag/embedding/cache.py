"""The write-ahead cache: every vector is on disk before it is used, so none is paid for twice."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from rag import traits
from rag.errors import EmbeddingError
from rag.vectors import embed


class CachedEmbeddings(Embeddings):
    """An embedder behind a file of vectors, keyed by the embedder's fingerprint and the text.

    Parameters
    ----------
    embedder : Embeddings
    path : Path
        A SQLite file; several indexes may share one.
    batch_size : int
        Texts that go to the embedder at once, and so the most that a crash can lose.
    """

    def __init__(self, embedder: Embeddings, path: Path, batch_size: int = 256) -> None:
        self.embedder, self.path, self.batch_size = embedder, path, batch_size
        self.fingerprint = traits.fingerprint(embedder)
        self.dimensions = traits.dimensions(embedder)
        self.embedded = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) "
                "WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            raise EmbeddingError(
                f"the embedding cache {path} cannot be used ({error}): delete it to start anew"
            ) from None

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
        self, texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
    ) -> npt.NDArray[np.float32]:
        """Return unit vectors, ``(len(texts), dimensions)`` float32, embedding what is missing.

        Each batch is durable before the next is asked for. `progress` is told how many texts are
        done, cached ones first.
        """
        keys = [self._key(text) for text in texts]
        known = self._find(list(dict.fromkeys(keys)))
        todo = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        done = len(texts) - len(todo)
        progress(done)
        waiting = list(todo.items())
        for at in range(0, len(waiting), self.batch_size):
            batch = waiting[at : at + self.batch_size]
            made = traits.unit_rows(
                embed(self.embedder, [text for _, text in batch]),
                len(batch), self.dimensions,
            )  # fmt: skip
            self._store([key for key, _ in batch], made)
            known |= {key: row for (key, _), row in zip(batch, made, strict=True)}
            self.embedded += len(batch)
            done += len(batch)
            progress(done)
        if not keys:
            return np.zeros((0, self.dimensions), np.float32)
        return np.stack([known[key] for key in keys])

    def _key(self, text: str) -> bytes:
        data = f"{self.fingerprint}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=20).digest()

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.float32]]:
        found: dict[bytes, npt.NDArray[np.float32]] = {}
        for at in range(0, len(keys), 500):  # under SQLite's limit on parameters
            part = keys[at : at + 500]
            marks = ",".join("?" * len(part))
            rows = self._run(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)
            for key, blob in rows:
                vector = np.frombuffer(blob, "<f4")
                if len(vector) == self.dimensions:
                    found[key] = vector
        return found

    def _store(self, keys: Sequence[bytes], rows: npt.NDArray[np.float32]) -> None:
        items = [(key, row.astype("<f4").tobytes()) for key, row in zip(keys, rows, strict=True)]
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", items)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise EmbeddingError(
                f"cannot write the embedding cache {self.path} ({error}): make room, and build "
                "again; what was embedded before is kept"
            ) from None

    def _run(self, statement: str, values: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise EmbeddingError(
                f"the embedding cache {self.path} is damaged ({error}): delete it to start anew"
            ) from None
