"""Where files come from: a folder or one file on this machine, or whatever has the same face."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pathspec

from rag.errors import LoadError, SourceError
from rag.records import SIDECAR, SourceFile

#: Files of patterns in Git's notation, whose matches are left out; the second is Git's own.
IGNORE_FILES = (".ragignore", ".gitignore")


class Files(Protocol):
    """Where a `Loader` gets its files: `LocalFiles`, or ``rag.bedrock.s3.S3Files``.

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
        yield from self._walk(self.path, "", [], {os.path.realpath(self.path)}, ignored)
        for name, count in sorted(ignored.items()):
            files = "file or folder is" if count == 1 else "files or folders are"
            self.notes.append(f"{count} {files} left out by {name}")

    def _walk(
        self,
        folder: Path,
        above: str,
        specs: Sequence[tuple[str, str, pathspec.GitIgnoreSpec]],
        seen: set[str],
        ignored: Counter[str],
    ) -> Iterator[SourceFile]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            problem = unreadable(error)
            yield SourceFile(above, -1, folder, problem=(problem.reason, problem.advice))
            return
        specs = [*specs, *self._specs(folder, above)]
        for entry in entries:
            source, path = above + _shown(entry.name), Path(entry.path)
            if entry.name.startswith(".") or entry.name.endswith(SIDECAR):
                continue
            if entry.is_symlink() and not self._follow(entry, source):
                continue
            inside = entry.is_dir()
            by = _ignored(source + "/" * inside, specs)
            if by is not None:
                ignored[by] += 1
            elif not inside:
                yield _file(path, source)
            elif entry.is_symlink() or self.follow_links:
                real = os.path.realpath(path)
                if real not in seen:
                    seen.add(real)
                    yield from self._walk(path, source + "/", specs, seen, ignored)
            else:
                yield from self._walk(path, source + "/", specs, seen, ignored)

    def _follow(self, entry: os.DirEntry[str], source: str) -> bool:
        """Tell whether a link is to be followed; note one that is not."""
        if self.follow_links:
            return True
        target, root = os.path.realpath(entry.path), os.path.realpath(self.path)
        if not Path(target).exists():
            return True  # quarantined, as a file that is not there
        if entry.is_dir():
            self.notes.append(f"{source} is a link to a folder: not followed (see follow_links)")
            return False
        if os.path.commonpath([target, root]) != root:
            self.notes.append(f"{source} is a link out of the folder: not followed (see follow_links)")
            return False
        return True

    def _specs(self, folder: Path, above: str) -> Iterator[tuple[str, str, pathspec.GitIgnoreSpec]]:
        for name in self.ignore_files:
            path = folder / name
            if path.is_file():
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                try:
                    yield above, above + name, pathspec.GitIgnoreSpec.from_lines(lines)
                except ValueError as error:
                    raise SourceError(f"{path} holds a pattern that cannot be read: {error}") from None

    def identity(self, file: SourceFile) -> str:
        """Return the SHA-256 of the file's bytes."""
        assert file.path is not None
        return digest(file.path)

    def sidecar(self, file: SourceFile) -> bytes | None:
        """Return the bytes of the file's sidecar."""
        assert file.path is not None
        path = file.path.with_name(file.path.name + SIDECAR)
        return path.read_bytes() if path.is_file() else None

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


def unreadable(error: OSError) -> LoadError:
    """Return the error for a file that the system does not let us read."""
    reason = re.sub(r"^\[Errno \d+\] ", "", str(error)).split(":")[0].lower()
    return LoadError(f"cannot be read ({reason})", "check that it is there, and its permissions")


def _ignored(path: str, specs: Sequence[tuple[str, str, pathspec.GitIgnoreSpec]]) -> str | None:
    """Return the ignore file that leaves a path out: the deepest that says anything of it decides."""
    for above, name, spec in reversed(specs):
        said = spec.check_file(path[len(above) :]).include
        if said is not None:
            return name if said else None
    return None


def _file(path: Path, source: str) -> SourceFile:
    try:
        found = path.stat()
    except OSError:  # a link to nowhere, or gone since
        return SourceFile(source, -1, path)
    modified = dt.datetime.fromtimestamp(int(found.st_mtime), dt.UTC)
    return SourceFile(source, found.st_size, path, modified)


def _shown(name: str) -> str:
    """Return a file's name as text, whatever bytes the file system has for it."""
    return os.fsencode(name).decode("utf-8", "replace")
