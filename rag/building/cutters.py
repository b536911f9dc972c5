"""Cutting on all CPUs: processes that cut documents into chunks ahead of the build that writes them.

Chunking is Python, of which a process runs one thread at a time. `rag`'s own chunkers are made anew in
other processes, from their settings; any other chunker, which may be no more than a function of this
process, cuts here. The processes also embed the texts, if that is done by the static model, which is
Python too; other models have threads of their own. A process is ``python -m rag.building.cutters``:
documents go there and places come back as JSON, so that there is no demand on the caller's main module.
Chunks and vectors are the same either way.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.building.chunks import cut, title_of
from rag.building.clock import Clock
from rag.chunking.base import Chunker, estimate_tokens
from rag.chunking.fixed import FixedChunker, RecursiveChunker
from rag.chunking.semantic import SemanticChunker
from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.embedding.local import LocalEmbeddings
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.chunk import Chunk
from rag.index.storage.layout import Vectors
from rag.loading.confinement import environment

#: Bytes of files from which on processes are worth their start, of about a second.
WORTHWHILE = 4 << 20
#: Documents cut ahead, in groups for each process, and the documents and characters of a group.
AHEAD, GROUP, GROUP_CHARS = 3, 32, 1 << 18
_MODELS: dict[str, type[Embeddings]] = {"local": LocalEmbeddings, "static": StaticEmbeddings}
_CHUNKERS = {
    SemanticChunker: (
        "max_tokens", "min_tokens", "buffer_size", "breakpoint_percentile", "overlap_percentage",
    ),
    FixedChunker: ("max_tokens", "overlap_percentage"),
    RecursiveChunker: ("max_tokens", "overlap_percentage"),
}  # fmt: skip
_SIZE = struct.Struct("<Q")
_FIELDS = tuple(name for name in Chunk.__slots__ if name != "text")

Read = tuple[SourceFile, Document | LoadError]
#: A document's chunks, or why there are none; and vectors by text, where they were made on the way.
Chunks = tuple[list[Chunk] | LoadError, Mapping[str, Vectors]]
#: A file, its document, and the document's chunks; an error in the place of what could not be had.
Cut = tuple[SourceFile, Document | LoadError, Chunks]


def recipe(chunker: Chunker, embedder: Embeddings | None = None) -> dict[str, Any] | None:
    """Return from what another process makes an equal chunker; None if only this one can cut with it.

    With `embedder`, the process also embeds the texts, if that is the static model.

    Examples
    --------
    >>> recipe(FixedChunker(max_tokens=64))["settings"]
    {'max_tokens': 64, 'overlap_percentage': 20.0}
    """
    if not isinstance(chunker, SemanticChunker | FixedChunker | RecursiveChunker):
        return None
    kind = type(chunker)
    compares = chunker.embedder if isinstance(chunker, SemanticChunker) else None
    counter = getattr(chunker.count_tokens, "__self__", None)
    if kind not in _CHUNKERS or _named(compares) is None or _named(counter) is None:
        return None
    if counter is None and chunker.count_tokens is not estimate_tokens:
        return None
    if counter is not None and chunker.count_tokens != counter.count_tokens:
        return None
    return {
        "use": kind.__name__, "settings": {name: getattr(chunker, name) for name in _CHUNKERS[kind]},
        "embedder": _named(compares), "counter": _named(counter), "fingerprint": chunker.fingerprint,
        "ahead": type(embedder) is StaticEmbeddings,
    }  # fmt: skip


def _named(model: object) -> str | None:
    """Return the name of a model that another process can make; "" for none."""
    if model is None:
        return ""
    return next((name for name, kind in _MODELS.items() if type(model) is kind), None)


def chunker_of(recipe: dict[str, Any]) -> Chunker:
    """Make the chunker of a recipe.

    Raises
    ------
    ValueError
        Made here, it would cut otherwise.
    """
    (kind,) = (kind for kind in _CHUNKERS if kind.__name__ == recipe["use"])
    models = {name: _MODELS[recipe[name]]() for name in ("embedder", "counter") if recipe[name]}
    arguments: dict[str, Any] = dict(recipe["settings"])
    if "counter" in models:
        arguments["count_tokens"] = models["counter"].count_tokens  # type: ignore[attr-defined]
    if "embedder" in models:
        arguments["embedder"] = models["embedder"]
    chunker: SemanticChunker | FixedChunker | RecursiveChunker = kind(**arguments)
    if chunker.fingerprint != recipe["fingerprint"]:
        raise ValueError(f"{chunker.fingerprint!r} is not {recipe['fingerprint']!r}")
    return chunker


class Cutters:
    """Cuts documents, in other processes where that is possible and worthwhile.

    Parameters
    ----------
    chunker : Chunker
    embedder : Embeddings, optional
        Its vectors are made on the way, where that is worthwhile.
    size : int
        Bytes of the files to come.
    clock : Clock
        Is told how long chunks were waited for.
    """

    def __init__(self, chunker: Chunker, embedder: Embeddings | None, size: int, clock: Clock) -> None:
        self._chunker, self._clock = chunker, clock
        made = recipe(chunker, embedder) if size >= WORTHWHILE and (os.cpu_count() or 1) > 1 else None
        self._processes = [] if made is None else [_Process(made) for _ in range(os.cpu_count() or 1)]
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._closed = False
        for process in self._processes:
            self._idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def cut(self, files: Iterator[Read]) -> Iterator[Cut]:
        """Yield files with their chunks, in the order given."""
        if not self._processes:
            for file, result in files:
                with self._clock.timing("chunk"):
                    chunks = self._cut_here(file, result)
                yield file, result, chunks
            return
        waiting: deque[tuple[list[Read], Future[list[Chunks]]]] = deque()
        pool = ThreadPoolExecutor(len(self._processes), thread_name_prefix="rag-cut")
        try:
            for group in _groups(files):
                waiting.append((group, pool.submit(self._cut_group, group)))
                if len(waiting) > AHEAD * len(self._processes):
                    yield from self._done(*waiting.popleft())
            while waiting:
                yield from self._done(*waiting.popleft())
        finally:
            self.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def _done(self, group: list[Read], future: Future[list[Chunks]]) -> Iterator[Cut]:
        with self._clock.timing("chunk"):
            cut = future.result()
        for (file, result), chunks in zip(group, cut, strict=True):
            yield file, result, chunks

    def _cut_group(self, group: list[Read]) -> list[Chunks]:
        documents = [(file.source, result) for file, result in group if isinstance(result, Document)]
        process = self._idle.get()
        try:
            cut = iter(process.cut(documents))
        except (OSError, ValueError, struct.error):
            if self._closed:
                return []
            # It was killed, or could not be started.
            return [self._cut_here(file, result) for file, result in group]
        finally:
            self._idle.put(process)
        return [next(cut) if isinstance(result, Document) else ([], {}) for _, result in group]

    def _cut_here(self, file: SourceFile, result: Document | LoadError) -> Chunks:
        if isinstance(result, LoadError):
            return [], {}
        try:
            return cut(self._chunker, file.source, result), {}
        except LoadError as refused:
            return refused, {}

    def close(self) -> None:
        """End the processes; nothing more is cut."""
        self._closed = True
        for process in self._processes:
            process.close()


def _groups(files: Iterator[Read]) -> Iterator[list[Read]]:
    """Yield files in groups, so that a process is not waited for at each."""
    group: list[Read] = []
    size = 0
    for file, result in files:
        group.append((file, result))
        size += len(result.page_content) if isinstance(result, Document) else 0
        if len(group) == GROUP or size >= GROUP_CHARS:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Process:
    """A process that cuts, started when it is first needed."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def cut(self, documents: Sequence[tuple[str, Document]]) -> list[Chunks]:
        """Return the documents' chunks, and the vectors of their texts.

        Raises
        ------
        OSError, ValueError, struct.error
            The process could not be started, or ended.
        """
        with self._lock:
            if self._closed:
                raise ValueError("closed")
            if self._process is None:
                self._process = _started(self._recipe)
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        _send(process.stdin, [
            (source, title_of(source, document), document.page_content, document.metadata[STRUCTURE])
            for source, document in documents
        ])  # fmt: skip
        replies = _received(process.stdout)
        chunks = [
            LoadError(*reply["error"]) if isinstance(reply, dict)
            else [_chunk(document.page_content, row) for row in reply]
            for (_, document), reply in zip(documents, replies, strict=True)
        ]  # fmt: skip
        if not self._recipe["ahead"]:
            return [(each, {}) for each in chunks]
        texts = _texts(chunks)
        data = np.frombuffer(_read(process.stdout), np.float32).reshape(len(texts), -1)
        of_text = dict(zip(texts, data, strict=True))
        return [(each, {text: of_text[text] for text in _texts([each])}) for each in chunks]

    def close(self) -> None:
        """End the process, also while another thread waits for it."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()


def _started(recipe: dict[str, Any]) -> subprocess.Popen[bytes]:
    # What this process can import, and nothing that lies in the working directory by chance.
    home = str(Path(__file__).parents[2])
    paths = [*(os.path.abspath(path) for path in sys.path), home]  # noqa: PTH100
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rag.building.cutters", json.dumps(recipe)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment(paths, confined=False), start_new_session=True,
    )  # fmt: skip


def _send(file: IO[bytes], value: object) -> None:
    _write(file, json.dumps(value).encode())


def _received(file: IO[bytes]) -> Any:
    return json.loads(_read(file))


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(_SIZE.pack(len(data)))
    file.write(data)
    file.flush()


def _read(file: IO[bytes]) -> bytes:
    (size,) = _SIZE.unpack(file.read(_SIZE.size))
    data = file.read(size)
    if len(data) < size:
        raise ValueError(f"{len(data)} of {size} bytes")
    return data


def _texts(chunks: Iterable[list[Chunk] | LoadError]) -> list[str]:
    """Return the chunks' texts and heading paths, each once."""
    all_of_them = [chunk for each in chunks if not isinstance(each, LoadError) for chunk in each]
    texts = dict.fromkeys(chunk.text for chunk in all_of_them)
    return list(texts | dict.fromkeys(chunk.heading for chunk in all_of_them if chunk.heading))


def _row(chunk: Chunk) -> list[Any]:
    return [getattr(chunk, name) for name in _FIELDS]


def _chunk(text: str, row: list[Any]) -> Chunk:
    values = dict(zip(_FIELDS, row, strict=True))
    return Chunk(text=text[values["start"] : values["end"]], **values)


def _cut(chunker: Chunker, source: str, title: str, text: str, structure: Any) -> list[Chunk] | LoadError:
    try:
        return cut(chunker, source, Document(text, metadata={"title": title, STRUCTURE: structure}))
    except LoadError as error:
        return error


def main() -> None:
    """Cut what comes on standard input, until it ends."""
    recipe = json.loads(sys.argv[1])
    chunker, model = chunker_of(recipe), StaticEmbeddings()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed must not mix with the replies
    try:
        while True:
            chunks = [_cut(chunker, *request) for request in _received(sys.stdin.buffer)]
            _send(replies, [
                {"error": [each.reason, each.advice]} if isinstance(each, LoadError)
                else [_row(chunk) for chunk in each]
                for each in chunks
            ])  # fmt: skip
            if recipe["ahead"]:
                _write(replies, model.vectors(_texts(chunks)).tobytes())
    except (struct.error, BrokenPipeError):
        return  # the build ended


if __name__ == "__main__":
    main()
