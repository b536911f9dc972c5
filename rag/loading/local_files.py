"""Where files come from: a folder or one file on this machine, or whatever has the same face."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Protocol

from rag.core.errors import LoadError, SourceError
from rag.core.files import SIDECAR, SourceFile
from rag.loading.ignore import IgnoreFile, Ignoring, ignoring

#: Files of patterns in Git's notation, whose matches are left out; in one folder the later one decides.
IGNORE_FILES = (".gitignore", ".ragignore")
#: Most bytes of a sidecar.
SIDECAR_BYTES = 1 << 20


class Files(Protocol):
    """Where a `Loader` gets its files: `LocalFiles`, or ``rag.bedrock.storage.s3.S3Files``.

    Attributes
    ----------
    name : str
        What a person calls it: a folder's path, a bucket's URL.
    notes : list of str
        What the user should know of the last listing.
    parallel : int
        How many files are worth fetching at once; 1 where they are on this machine.
    """

    name: str
    notes: list[str]
    parallel: int

    def list(self) -> Iterator[SourceFile]:
        """Yield the files, sidecars left out, in any order."""
        ...

    def identity(self, file: SourceFile) -> str:
        """Return what changes when the file's content does: its SHA-256, or its ETag."""
        ...

    def sidecar_identity(self, file: SourceFile) -> str | None:
        """Return what changes when the file's sidecar does; None if there is none."""
        ...

    def sidecar(self, file: SourceFile) -> bytes | None:
        """Return the bytes of ``<file>.metadata.json``, if there is one."""
        ...

    def local(self, file: SourceFile) -> contextlib.AbstractContextManager[Path]:
        """Give the file a path on this machine for as long as it is read."""
        ...

    def keep_in(self, folder: Path) -> None:
        """Keep what is fetched in a folder, until it is done with."""
        ...

    def close(self, *, done: bool) -> None:
        """End the use of it; `done` tells that what was fetched is not needed again."""
        ...


#: What a folder holds that is an index of `rag`'s, which may stand among the documents.
_AN_INDEX = {"CURRENT", "LOCK", "manifests", "segments"}


class LocalFiles:
    """A folder with everything below it, or one file.

    Hidden files and folders are left out, and what `ignore_files` match. A link to a file or folder
    outside of the root is left out, and one to a folder inside it is that folder's second name:
    both are followed with `follow_links`, each folder once.

    Parameters
    ----------
    path : str or Path
    ignore_files : sequence of str
        Names of files with patterns in Git's notation, looked for in every folder.
    follow_links : bool
    """

    parallel = 1

    def __init__(
        self,
        path: str | Path,
        *,
        ignore_files: Sequence[str] = IGNORE_FILES,
        follow_links: bool = False,
    ) -> None:
        self.path = Path(path)
        self.name = str(path)
        self.ignore_files, self.follow_links = tuple(ignore_files), follow_links
        self.notes: list[str] = []

    def list(self) -> Iterator[SourceFile]:
        """Yield the files.

        Raises
        ------
        SourceError
            The path does not exist.
        """
        self.notes = []
        if not self.path.exists():
            raise SourceError(f"{self.path} does not exist: check the path of the documents")
        if not self.path.is_dir():
            yield _file(self.path, self.path.name)
            return
        ignored: Counter[str] = Counter()
        seen = {os.path.realpath(self.path)}
        waiting: list[tuple[Path, str, bytes, list[Ignoring]]] = [(self.path, "", b"", [])]
        while waiting:
            folder, above, below, patterns = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
                patterns = [*patterns, *self._patterns(folder, above, below)]
            except OSError as error:
                yield _problem(above, folder, error)
                continue
            names = {entry.name for entry in entries}
            if above and names >= _AN_INDEX:
                self.notes.append(f"{above.rstrip('/')} is an index: left out")
                continue
            shown = _Shown(names)
            for entry in entries:
                if entry.name.startswith(".") or _is_sidecar(entry.name, names):
                    continue
                source, path, place = (
                    above + shown.of(entry.name),
                    Path(entry.path),
                    below + os.fsencode(entry.name),
                )
                try:
                    inside = entry.is_dir()
                    if entry.is_symlink() and not self._follow(path, source, inside):
                        continue
                except OSError as error:  # a link to itself, or one with a name that cannot be
                    yield _problem(source, path, error)
                    continue
                by = ignoring(place, patterns, folder=inside)
                if by is not None:
                    ignored[by] += 1
                elif inside:
                    if self._first_time(path, seen):
                        waiting.append((path, source + "/", place + b"/", patterns))
                elif not entry.name.endswith(SIDECAR) or self._is_document(path, source):
                    yield _file(path, source)
        for name, count in sorted(ignored.items()):
            files = "file or folder is" if count == 1 else "files or folders are"
            self.notes.append(f"{count} {files} left out by {name}")

    def _first_time(self, folder: Path, seen: set[str]) -> bool:
        """Tell whether a folder was not walked yet; only links can lead to one twice."""
        if not self.follow_links:
            return True
        real = os.path.realpath(folder)
        new = real not in seen
        seen.add(real)
        return new

    def _follow(self, link: Path, source: str, inside: bool) -> bool:
        """Tell whether a link is to be followed; note one that is not."""
        if self.follow_links or not link.exists():  # what is not there is quarantined
            return True
        if inside:
            self.notes.append(f"{source} is a link to a folder: not followed (see follow_links)")
            return False
        if not self._within(link):
            self.notes.append(f"{source} is a link out of the folder: not followed (see follow_links)")
            return False
        return True

    def _within(self, link: Path) -> bool:
        root = os.path.realpath(self.path if self.path.is_dir() else self.path.parent)
        return os.path.commonpath([os.path.realpath(link), root]) == root

    def _patterns(self, folder: Path, above: str, below: bytes) -> Iterator[Ignoring]:
        for name in self.ignore_files:
            path = folder / name
            if path.is_file() and (not path.is_symlink() or self._within(path)):
                yield below, above + name, IgnoreFile(path.read_bytes())

    def _is_document(self, path: Path, source: str) -> bool:
        """Tell whether what is named as a sidecar, and stands alone, is a document; note what it is."""
        about = describes(path)
        self.notes.append(stands_alone(source, about=about))
        return not about

    def identity(self, file: SourceFile) -> str:
        """Return the SHA-256 of the file's bytes."""
        assert file.path is not None
        return digest(file.path)

    def sidecar_identity(self, file: SourceFile) -> str | None:
        """Return the SHA-256 of the sidecar's bytes."""
        data = self.sidecar(file)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def sidecar(self, file: SourceFile) -> bytes | None:
        """Return the bytes of the file's sidecar; one that is a link out of the root is not read."""
        assert file.path is not None
        path = file.path.with_name(file.path.name + SIDECAR)
        if not path.is_file() or (path.is_symlink() and not self.follow_links and not self._within(path)):
            return None
        check_sidecar(path.stat().st_size)
        return path.read_bytes()

    @contextlib.contextmanager
    def local(self, file: SourceFile) -> Iterator[Path]:
        """Give the file's own path."""
        assert file.path is not None
        yield file.path

    def keep_in(self, folder: Path) -> None:
        """Do nothing: nothing is fetched."""

    def close(self, *, done: bool) -> None:
        """Do nothing: nothing was fetched."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def alike(sources: Iterable[str]) -> Iterator[str]:
    """Yield a note of names that other systems take for one: by case, or by Unicode's composed forms."""
    first: dict[str, str] = {}
    for source in sources:
        other = first.setdefault(unicodedata.normalize("NFC", source).casefold(), source)
        if other != source:
            yield f"{other!a} and {source!a} differ only in case or Unicode form: both are read"


def unreadable(error: OSError) -> LoadError:
    """Return the error for a file that the system does not let us read."""
    reason = re.sub(r"^\[Errno \d+\] ", "", str(error)).split(":")[0].lower()
    return LoadError(f"cannot be read ({reason})", "check that it is there, and its permissions")


def _is_sidecar(name: str, names: Set[str]) -> bool:
    """Tell whether a file describes another of its folder."""
    return name.endswith(SIDECAR) and name.removesuffix(SIDECAR) in names


def check_sidecar(size: int) -> None:
    """Refuse a sidecar by its size in bytes, before it is read.

    Raises
    ------
    LoadError
        It is larger than `SIDECAR_BYTES`.
    """
    if size > SIDECAR_BYTES:
        raise LoadError(f"has a sidecar {SIDECAR} of more than {SIDECAR_BYTES >> 20} MB", "make it smaller")


def describes(path: Path) -> bool:
    """Tell whether a file is metadata as Knowledge Bases has them, and not a document of its own."""
    try:
        if path.stat().st_size > SIDECAR_BYTES:
            return False
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "metadataAttributes" in value


def stands_alone(source: str, *, about: bool) -> str:
    """Return the note of a sidecar whose file is not there: metadata about it, or a document itself."""
    if about:
        return f"{source} describes {source.removesuffix(SIDECAR)}, which is not there: left out"
    return f"{source} has the name of a sidecar, and stands alone: read as a document"


def _file(path: Path, source: str) -> SourceFile:
    try:
        found = path.stat()
    except OSError:  # a link to nowhere, or gone since
        return SourceFile(source, -1, path)
    modified = dt.datetime.fromtimestamp(int(found.st_mtime), dt.UTC)
    return SourceFile(source, found.st_size, path, modified)


def _problem(source: str, path: Path, error: OSError) -> SourceFile:
    problem = unreadable(error)
    return SourceFile(source, -1, path, problem=(problem.reason, problem.advice))


class _Shown:
    """Names of one folder as text; bytes that are no UTF-8 are written as ``%FF``, no name twice."""

    def __init__(self, names: Set[str]) -> None:
        self._taken = {name for name in names if not _UNDECODED.search(name)}

    def of(self, name: str) -> str:
        if name in self._taken or not _UNDECODED.search(name):
            return name
        shown = base = _UNDECODED.sub(lambda match: f"%{ord(match[0]) - 0xDC00:02X}", name)
        number = 1
        while shown in self._taken:
            number += 1
            shown = f"{base}#{number}"
        self._taken.add(shown)
        return shown


_UNDECODED = re.compile("[\udc80-\udcff]")
