"""The loader: files to Documents, in order, with nothing in a file able to stop it."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from langchain_core.documents import Document

from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.loading.base import BuildLoader
from rag.loading.conversion import TARGETS, converter_of
from rag.loading.engines import Engines
from rag.loading.formats.ocr import Ocr, ocr_of
from rag.loading.formats.registry import FORMATS, TEXT, Format, parser_of
from rag.loading.limits import Limits
from rag.loading.local_files import IGNORE_FILES, Files, LocalFiles, alike, digest, unreadable
from rag.loading.metadata import Beside, clean
from rag.loading.sandbox import Worker, checked, parse_here
from rag.loading.structure import Options, Parsed, storable

#: Files read ahead of the one that is handed on: their number, and their bytes together. Bounds the
#: texts held in memory while one file takes its time.
AHEAD, AHEAD_BYTES = 256, 64 << 20
#: Plain text up to this size is read in this process; larger files go to a worker.
PLAIN_BYTES = 4 << 20
#: What is known of every file without its content; with what is known of how it was read.
FACTS = ("file_size", "file_mtime", "file_mime", "file_sha256")
_DERIVED = (*FACTS, "encoding", "page_labels", "source", STRUCTURE)
#: Formats in which nothing but text can stand: no fields, no headings.
_BARE = (FORMATS[".csv"].parser, FORMATS[".tsv"].parser, TEXT.parser)


class Loader(BuildLoader):
    """Reads text, Markdown, reStructuredText, HTML, PDF, office files, mail, books and data.

    Parameters
    ----------
    path : str, Path or Files
        A folder (read with everything below it, hidden files and folders left out), one file, or
        another place of files, such as ``rag.bedrock.storage.s3.S3Files``.
    metadata : str, Path, mapping or callable, optional
        A JSON-lines table; a mapping of paths to fields; or a function (also ``"module:function"``)
        that is given a file's path and the fields known beside it, and returns more fields.
    metadata_from_path : str, optional
        A template such as ``"{version}/{module}/"``; its fields are strings.
    include, exclude : sequence of str
        Glob patterns over the path relative to the root (``*`` also matches ``/``).
    ignore_files : sequence of str
        Names of files that hold patterns in Git's notation; what they match is left out.
    follow_links : bool
        Follow links to folders, and out of the root; each folder is read once.
    passwords : mapping of str to str, optional
        Glob pattern to password, for encrypted PDF and Office files.
    ocr : str or callable, optional
        Reads the pages that are pictures, with no text on them or little: PNG bytes to text;
        ``"tesseract"`` where that program is installed.
    convert : str, optional
        ``"libreoffice"`` to read old office formats (.doc, .ppt and the like) by way of LibreOffice,
        where that is installed.
    engine : str or mapping of str to str
        ``"rag"``, or ``"unstructured"`` for its partitioning; or glob pattern to engine, of which
        the first that matches decides: ``{"contracts/*.docx": "unstructured"}``.
    parsers : mapping of str to str, optional
        Suffix to ``"module:function"``, for formats of your own: it is given the path, the bytes
        and `rag.loading.structure.Options`, returns the text (or a `Parsed`), and runs in a worker.
    limits : Limits or mapping, optional
        What one file may cost.
    workers : int, optional
        Parser processes; by default one per CPU.

    Examples
    --------
    >>> loader = Loader("data/handbook", include=["*.md"])    # doctest: +SKIP
    >>> documents = loader.load()                             # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path | Files,
        *,
        metadata: str | Path | Mapping[str, Mapping[str, Any]] | Callable[..., Any] | None = None,
        metadata_from_path: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        ignore_files: Sequence[str] = IGNORE_FILES,
        follow_links: bool = False,
        passwords: Mapping[str, str] | None = None,
        ocr: str | Ocr | None = None,
        convert: str | None = None,
        engine: str | Mapping[str, str] = "rag",
        parsers: Mapping[str, str] | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        workers: int | None = None,
    ) -> None:
        self.place = self.place_of(path, ignore_files=ignore_files, follow_links=follow_links)
        self.name = self.place.name
        self.include, self.exclude = tuple(include), tuple(exclude)
        self.passwords = dict(passwords or {})
        self.ocr = ocr_of(ocr)
        self.engines = Engines(engine)
        self.parsers = {suffix.lower(): name for suffix, name in (parsers or {}).items()}
        self.limits = limits if isinstance(limits, Limits) else Limits(**(limits or {}))
        self.converter = converter_of(convert, self.limits)
        self.workers = workers or os.cpu_count() or 1
        self.quarantined: list[tuple[str, LoadError]] = []
        self.notes: list[str] = []
        self._confinement = ""
        self._changed: set[str] = set()  # notes on metadata that were not kept as they are
        self._beside = Beside(metadata, metadata_from_path)

    @staticmethod
    def place_of(path: str | Path | Files, *, ignore_files: Sequence[str], follow_links: bool) -> Files:
        """Return where the files of a path come from."""
        if not isinstance(path, str | Path):
            return path
        return LocalFiles(path, ignore_files=ignore_files, follow_links=follow_links)

    @property
    def confinement(self) -> str:
        """What keeps the parsers' processes from the user's files and the network, as one of them says."""
        if not self.limits.confined:
            return "not confined: limits.confined is false, so parsers have your rights"
        if not self._confinement:
            worker = self._worker()
            try:
                self._confinement = str(worker.confinement())
            except LoadError:
                return "unknown: a process for parsers could not be started, so no file will be read"
            finally:
                worker.close()
        return self._confinement

    def _worker(self) -> Worker:
        return Worker(self.limits, [name.partition(":")[0] for name in self.parsers.values()])

    # ------------------------------------------------------------------ finding

    def files(self) -> list[SourceFile]:
        """List the files, in order of their paths.

        Raises
        ------
        SourceError
            The path does not exist, or a metadata table names a file that is not there.
        """
        found = sorted(
            (file for file in self.place.list() if self._wanted(file.source)), key=lambda file: file.source
        )
        self.notes = [*self.place.notes, *alike(file.source for file in found)]
        self._beside.check({file.source for file in found})
        return found

    def _wanted(self, source: str) -> bool:
        def match(patterns: Iterable[str]) -> bool:
            return any(fnmatch.fnmatchcase(source, pattern) for pattern in patterns)

        return (not self.include or match(self.include)) and not match(self.exclude)

    def hashed(self, files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, LoadError | None]]:
        """Yield the files with the hashes of their content and metadata, in the order given.

        Yields
        ------
        (SourceFile, LoadError or None)
            Without hashes, and with the error, where a file cannot be read or is too large.
        """
        with ThreadPoolExecutor(max(self.workers, self.place.parallel)) as pool:
            yield from pool.map(self._hashed, files)

    def _hashed(self, file: SourceFile) -> tuple[SourceFile, LoadError | None]:
        try:
            self._readable(file)
            content = self.place.identity(file)
            around = self._beside.sha256(
                file.source, self.place.sidecar_identity(file), self._read_with(file.source),
                lambda: self.place.sidecar(file),
            )  # fmt: skip
            return replace(file, sha256=content, metadata_sha256=around), None
        except OSError as error:
            return file, unreadable(error)
        except LoadError as error:
            return file, error

    def _read_with(self, source: str) -> list[str]:
        """Return the settings that decide what text a file yields: with others it is read again."""
        suffix = Path(source).suffix.lower()
        own = [self.parsers[suffix]] if suffix in self.parsers else self.engines.fingerprint(source)
        if self.ocr is not None and suffix == ".pdf":
            own.append(f"ocr {getattr(self.ocr, '__qualname__', type(self.ocr).__qualname__)}")
        if self.converter is not None and suffix in TARGETS and suffix not in self.parsers:
            own.append("convert libreoffice")
        return own

    def _readable(self, file: SourceFile) -> None:
        if file.problem is not None:
            raise LoadError(*file.problem)
        if file.path is not None and not file.path.is_file():
            raise LoadError("is not a regular file", "leave it out")
        if file.bytes == 0:
            raise LoadError("is empty (0 bytes)", "fill it, or remove it")
        if file.bytes > self.limits.max_file_mb << 20:
            raise LoadError(
                f"has {file.bytes / (1 << 20):.0f} MB, the limit is {self.limits.max_file_mb} MB",
                "split it, or raise the loader's limits.max_file_mb in rag.toml",
            )

    def _fields(self, file: SourceFile) -> Any:
        return self._beside.of(file.source, self.place.sidecar(file))

    def metadata(
        self, files: Iterable[SourceFile], unread: Container[str] = ()
    ) -> Iterator[tuple[SourceFile, dict[str, Any] | LoadError]]:
        """Yield the files' metadata as an index holds them, without what follows from the files themselves.

        A file is parsed only if its format may hold fields, or a heading that becomes the title.

        Parameters
        ----------
        files : iterable of SourceFile
        unread : container of str
            Suffixes of files whose content is not looked at.
        """
        waiting: list[SourceFile | tuple[SourceFile, dict[str, Any] | LoadError]] = []
        for file in files:
            beside = self._metadata_beside(file, unread)
            waiting.append(file if beside is None else (file, beside))
        read = self.read(file for file in waiting if isinstance(file, SourceFile))
        try:
            for item in waiting:
                if not isinstance(item, SourceFile):
                    yield item
                    continue
                file, result = next(read)
                if isinstance(result, LoadError):
                    yield file, result
                    continue
                yield file, {name: value for name, value in result.metadata.items() if name not in _DERIVED}
            next(read, None)  # notes what it changed
        finally:
            read.close()

    def _metadata_beside(self, file: SourceFile, unread: Container[str]) -> dict[str, Any] | LoadError | None:
        """Return the metadata of a file that need not be parsed for them; None for any other."""
        try:
            self._readable(file)
            if Path(file.source).suffix.lower() not in unread:
                with self.place.local(file) as path:
                    if self._format(file.source, path).parser not in _BARE:
                        return None
            around = self._fields(file)
            return clean(around.merged(around.path, {}), self._changed)
        except LoadError as error:
            return error
        except OSError as error:
            return unreadable(error)

    # ------------------------------------------------------------------ reading

    def keep_in(self, folder: Path) -> None:
        """Keep what has to be fetched in a folder, so that a killed build goes on where it was."""
        self.place.keep_in(folder)

    def close(self, *, done: bool) -> None:
        """End the use of the place the files come from; `done`: what was fetched can go."""
        self.place.close(done=done)

    def read(
        self, files: Iterable[SourceFile]
    ) -> Generator[tuple[SourceFile, Document | LoadError], None, None]:
        """Read files on all CPUs; yield them in the order given, whichever is done first.

        Yields
        ------
        (SourceFile, Document or LoadError)
            The Document's text is the file's text, its metadata the file's, with ``source`` and
            the structure (pages, headings) under ``"structure"``.
        """
        idle: SimpleQueue[Worker] = SimpleQueue()
        if self.converter is not None:
            self.converter.begin()
        workers = [self._worker() for _ in range(self.workers)]
        for worker in workers:
            idle.put(worker)
        pool = ThreadPoolExecutor(max(self.workers, self.place.parallel))
        waiting: deque[tuple[SourceFile, Future[Document | LoadError]]] = deque()
        held = 0
        try:
            for file in files:
                waiting.append((file, pool.submit(self._load, file, idle)))
                held += file.bytes
                while len(waiting) > AHEAD or (held > AHEAD_BYTES and len(waiting) > self.workers):
                    done, future = waiting.popleft()
                    held -= done.bytes
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
            self.notes += sorted(self._changed - set(self.notes))
        finally:
            for _, future in waiting:
                future.cancel()
            for worker in workers:
                worker.stop()
            if self.converter is not None:
                self.converter.stop()
            pool.shutdown(wait=True)
            for worker in workers:
                worker.close()

    def _load(self, file: SourceFile, idle: SimpleQueue[Worker]) -> Document | LoadError:
        try:
            self._readable(file)
            around = self._fields(file)
            with self.place.local(file) as stored, self._converted(file.source, stored) as (name, path):
                form = self._format(name, path)
                options = Options(password=self._password(file.source))
                if form.plain and file.bytes <= PLAIN_BYTES:
                    parsed = parse_here(form.parser, path, path.read_bytes(), options, self.limits)
                else:
                    worker = idle.get()
                    try:
                        parsed = self._parsed(worker, form, path, options)
                    finally:
                        idle.put(worker)
                parsed = checked(parsed, self.limits)
                if form.note:
                    parsed.notes.append(form.note)
                sha256 = digest(stored) if file.etag or not file.sha256 else file.sha256
                facts = dict(zip(FACTS, (file.bytes, file.modified, form.mime, sha256), strict=True))
            fields = around.merged({**facts, **around.path}, parsed.metadata)
            return _document(file.source, parsed, fields, self._changed)
        except LoadError as error:
            return error
        except OSError as error:
            return unreadable(error)
        except Exception as error:  # metadata that nobody thought of must not end the build, either
            said = " ".join(storable(str(error)).split())[:200]
            return LoadError(f"cannot be read ({type(error).__name__}: {said})", "see to its metadata")

    @contextlib.contextmanager
    def _converted(self, source: str, path: Path) -> Iterator[tuple[str, Path]]:
        """Yield the name and place of a file's conversion; of the file itself where none is needed."""
        target = None
        if self.converter is not None and Path(source).suffix.lower() not in self.parsers:
            with path.open("rb") as handle:
                target = self.converter.target(source, handle.read(64))
        if self.converter is None or target is None:
            yield source, path
            return
        with self.converter.converted(path, Path(source).suffix, target) as made:
            yield str(Path(source).with_suffix(target)), made

    def _parsed(self, worker: Worker, form: Format, path: Path, options: Options) -> Parsed:
        parsed = worker.parse(form.parser, path, options)
        if self.ocr is None or not parsed.scanned:
            return parsed
        texts = {}
        for page in parsed.scanned:
            try:
                texts[page] = self.ocr(worker.draw(path, page, options.password))
            except LoadError:
                raise
            except Exception as error:  # the user's own function
                said = " ".join(str(error).split())[:200]
                raise LoadError(
                    f"could not be read by OCR ({type(error).__name__}: {said})", "see to the ocr function"
                ) from None
        return worker.parse(form.parser, path, replace(options, page_texts=texts))

    def _format(self, source: str, path: Path) -> Format:
        name = Path(source)
        own = self.parsers.get(name.suffix.lower())
        with path.open("rb") as handle:
            found = parser_of(name, handle.read(4096))
        return self.engines.format(source, found) if own is None else Format(own, found.mime)

    def _password(self, source: str) -> str | None:
        for pattern, password in self.passwords.items():
            if fnmatch.fnmatchcase(source, pattern):
                return password
        return None


def _document(source: str, parsed: Parsed, fields: dict[str, Any], changed: set[str]) -> Document:
    if "title" not in fields and parsed.headings and parsed.headings[0][1] == 1:
        fields["title"] = parsed.headings[0][2]
    own = {"source": source, STRUCTURE: parsed.structure()}
    return Document(page_content=parsed.text, metadata={**clean(fields, changed), **own})
