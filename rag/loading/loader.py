"""The loader: a folder or a file, to Documents, in order, with nothing in a file able to stop it."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from rag.errors import LoadError, SourceError
from rag.loading import metadata as beside
from rag.loading.formats import parser, parser_of
from rag.loading.structure import Parsed
from rag.loading.worker import Limits, Worker, checked
from rag.records import STRUCTURE


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a build sees.

    Attributes
    ----------
    source : str
        Path relative to the build root, with ``/``.
    sha256, metadata_sha256 : str
        Of the file's bytes, and of the metadata that stands beside it.
    """

    source: str
    path: Path
    bytes: int
    sha256: str = ""
    metadata_sha256: str = ""


class Loader(BaseLoader):
    """Reads text, Markdown, HTML, PDF and Word files from a folder.

    Parameters
    ----------
    path : str or Path
        A folder (read with everything below it, hidden files and folders left out) or one file.
    metadata : str, Path or mapping, optional
        A JSON-lines table, or a mapping of paths to fields.
    metadata_from_path : str, optional
        A template such as ``"{version}/{module}/"``; its fields are strings.
    include, exclude : sequence of str
        Glob patterns over the path relative to the root (``*`` also matches ``/``).
    passwords : mapping of str to str, optional
        Glob pattern to password, for encrypted PDFs.
    limits : Limits or mapping, optional
        What one file may cost.
    workers : int, optional
        Parser processes; by default one per CPU.

    Examples
    --------
    >>> loader = Loader("data/handbook", include=["*.md"])    # doctest: +SKIP
    >>> documents = loader.load()                             # doctest: +SKIP
    """

    #: Changes when the same bytes yield another text than before.
    version = 1

    def __init__(
        self,
        path: str | Path,
        *,
        metadata: str | Path | Mapping[str, Mapping[str, Any]] | None = None,
        metadata_from_path: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        passwords: Mapping[str, str] | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.include, self.exclude = tuple(include), tuple(exclude)
        self.passwords = dict(passwords or {})
        self.limits = limits if isinstance(limits, Limits) else Limits(**(limits or {}))
        self.workers = workers or os.cpu_count() or 1
        self.quarantined: list[tuple[str, LoadError]] = []
        self.notes: list[str] = []
        self._table_path = Path(metadata) if isinstance(metadata, str | Path) else Path("metadata")
        self._table: Mapping[str, Mapping[str, Any]] = (
            beside.read_table(Path(metadata)) if isinstance(metadata, str | Path) else metadata or {}
        )
        self._pattern = None if metadata_from_path is None else beside.path_pattern(metadata_from_path)

    @property
    def root(self) -> Path:
        """The folder that sources are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    # ------------------------------------------------------------------ finding

    def files(self) -> list[SourceFile]:
        """List the files, in order of their paths.

        Raises
        ------
        SourceError
            The path does not exist, or a metadata table names a file that is not there.
        """
        if not self.path.exists():
            raise SourceError(f"{self.path} does not exist: check the path of the documents")
        root = self.root
        found = [
            SourceFile(path.relative_to(root).as_posix(), path, size)
            for path, size in (self._walk(root) if self.path.is_dir() else _stat(self.path))
        ]
        found = [file for file in found if self._wanted(file.source)]
        found.sort(key=lambda file: file.source)
        beside.check_table(self._table, {file.source for file in found}, self._table_path)
        return found

    def _walk(self, root: Path) -> Iterator[tuple[Path, int]]:
        for folder, names, files in os.walk(root):
            keep = []
            for name in sorted(names):
                path = Path(folder, name)
                if name.startswith("."):
                    continue
                if path.is_symlink():  # could lead out of the root, or around in a circle
                    self.notes.append(
                        f"{path.relative_to(root).as_posix()} is a link to a folder: not followed"
                    )
                    continue
                keep.append(name)
            names[:] = keep
            for name in files:
                if not name.startswith(".") and not name.endswith(beside.SIDECAR):
                    yield from _stat(Path(folder, name))

    def _wanted(self, source: str) -> bool:
        def match(patterns: Iterable[str]) -> bool:
            return any(fnmatch.fnmatchcase(source, pattern) for pattern in patterns)

        return (not self.include or match(self.include)) and not match(self.exclude)

    def hashed(self, file: SourceFile) -> SourceFile:
        """Return the file with its content's hash and its metadata's.

        Raises
        ------
        LoadError
            The file cannot be read, or is too large.
        """
        self._readable(file)
        try:
            with file.path.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(error) from None
        return replace(file, sha256=content, metadata_sha256=beside.digest(self._beside(file)))

    def _readable(self, file: SourceFile) -> None:
        if not file.path.is_file():
            raise LoadError("is not a regular file", "leave it out")
        if file.bytes == 0:
            raise LoadError("is empty (0 bytes)", "fill it, or remove it")
        if file.bytes > self.limits.max_file_mb << 20:
            raise LoadError(
                f"has {file.bytes / (1 << 20):.0f} MB, the limit is {self.limits.max_file_mb} MB",
                "split it, or raise the loader's limits.max_file_mb in rag.toml",
            )

    def _beside(self, file: SourceFile) -> dict[str, Any]:
        path = {} if self._pattern is None else beside.from_path(file.source, self._pattern)
        return {
            "path": path, "sidecar": beside.read_sidecar(file.path),
            "table": dict(self._table.get(file.source, {})),
        }  # fmt: skip

    # ------------------------------------------------------------------ reading

    def lazy_load(self) -> Iterator[Document]:
        """Yield a Document per readable file; the others end up in `quarantined`."""
        self.quarantined = []
        for file, result in self.read(self.files()):
            if isinstance(result, LoadError):
                self.quarantined.append((file.source, result))
            else:
                yield result

    def read(self, files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, Document | LoadError]]:
        """Read files on all CPUs; yield them in the order given, whichever is done first.

        Yields
        ------
        (SourceFile, Document or LoadError)
            The Document's text is the file's text, its metadata the file's, with ``source`` and
            the structure (pages, headings) under ``"structure"``.
        """
        idle: SimpleQueue[Worker] = SimpleQueue()
        workers = [Worker(self.limits) for _ in range(self.workers)]
        for worker in workers:
            idle.put(worker)
        pool = ThreadPoolExecutor(self.workers)
        waiting: deque[tuple[SourceFile, Future[Document | LoadError]]] = deque()
        try:
            for file in files:
                waiting.append((file, pool.submit(self._load, file, idle)))
                if len(waiting) > 4 * self.workers:  # bounds the texts held in memory
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
            for worker in workers:
                worker.close()
            pool.shutdown(wait=True)

    def _load(self, file: SourceFile, idle: SimpleQueue[Worker]) -> Document | LoadError:
        try:
            self._readable(file)
            around = self._beside(file)
            name, isolated = parser_of(file.path)
            if isolated:
                worker = idle.get()
                try:
                    parsed = worker.parse(name, file.path, self._password(file.source))
                finally:
                    idle.put(worker)
            else:
                parsed = checked(parser(name)(file.path, file.path.read_bytes()), self.limits)
        except LoadError as error:
            return error
        except OSError as error:
            return _unreadable(error)
        return _document(file, parsed, around)

    def _password(self, source: str) -> str | None:
        for pattern, password in self.passwords.items():
            if fnmatch.fnmatchcase(source, pattern):
                return password
        return None


def _document(file: SourceFile, parsed: Parsed, around: Mapping[str, Any]) -> Document:
    fields = {**around["path"], **parsed.metadata, **around["sidecar"], **around["table"]}
    if "title" not in fields and parsed.headings and parsed.headings[0][1] == 1:
        fields["title"] = parsed.headings[0][2]
    own = {"source": file.source, STRUCTURE: {**parsed.structure(), "notes": parsed.notes}}
    return Document(page_content=parsed.text, metadata={**beside.clean(fields), **own})


def _stat(path: Path) -> Iterator[tuple[Path, int]]:
    try:
        yield path, path.stat().st_size
    except OSError:  # a link to nowhere, or gone since
        yield path, -1


def _unreadable(error: OSError) -> LoadError:
    reason = re.sub(r"^\[Errno \d+\] ", "", str(error)).split(":")[0].lower()
    return LoadError(f"cannot be read ({reason})", "check that it is there, and its permissions")
