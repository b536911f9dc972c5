"""The parts of a batch: a job each, with its file of records and its progress."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rag.bedrock.storage import batch_jobs as aws
from rag.core.errors import StoreCorruptError
from rag.index.storage.manifest import sha256, write_durably


class BadResult(Exception):  # noqa: N818 -- counted by its text, never shown as an error
    """Why a line of a job's output holds no result."""


@dataclass(frozen=True, slots=True)
class Part:
    """One job: its file of records, and its progress.

    Attributes
    ----------
    stem : str
        The file's name, without ``.jsonl``.
    step : {"written", "uploaded", "starting", "running", "done"}
        The last step that was done; "starting" is saved before the call that starts the job.
    attempt : int
        From 1; a job that failed is started again under another name.
    failure : str
        How the previous attempt failed.
    good, tokens : int
        Usable results, and the tokens they cost.
    bad : dict of str to int
        The number of other results, by what is wrong with them.
    """

    stem: str
    records: int
    sha256: str
    step: Literal["written", "uploaded", "starting", "running", "done"] = "written"
    attempt: int = 1
    arn: str = ""
    failure: str = ""
    good: int = 0
    tokens: int = 0
    bad: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The job's name."""
        return f"{self.stem}-{self.attempt}"

    @property
    def token(self) -> str:
        """The client token, which makes AWS start the job only once: its name and its file's hash."""
        return f"{self.name}-{self.sha256[:32]}"


class PartWriter:
    """Writes records to files of at most a job's size.

    Parameters
    ----------
    folder : Path
        Files of a batch that was killed before its state was saved are deleted from it.
    stem : str
        What the files' names begin with.
    least : int
        Records that a job takes at least: a last file with fewer is not written.
    private : bool
        Whether only this user may read the files.
    """

    def __init__(self, folder: Path, stem: str, least: int, *, private: bool = False) -> None:
        for old in folder.glob("rag-*"):
            old.unlink()
        self.parts: list[Part] = []
        self._folder, self._stem, self._least, self._private = folder, stem, least, private
        self._lines: list[str] = []
        self._size = 0

    def add(self, line: str) -> None:
        """Add a record."""
        if len(self._lines) == aws.MAX_RECORDS or self._size + len(line) > aws.MAX_BYTES:
            self.close()
        self._lines.append(line)
        self._size += len(line)

    def close(self) -> list[Part]:
        """Write the records that are left, if a job takes so few; return all parts."""
        if len(self._lines) >= self._least:
            path = self._folder / f"{self._stem}-{len(self.parts) + 1:05d}.jsonl"
            write_durably(path, "".join(self._lines), private=self._private)
            self.parts.append(Part(path.stem, len(self._lines), sha256(path)))
        self._lines.clear()
        self._size = 0
        return self.parts


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of an input file.

    Raises
    ------
    StoreCorruptError
        It is missing or damaged.
    """
    try:
        with path.open(encoding="ascii") as lines:
            for line in lines:
                item = json.loads(line)
                yield {"recordId": item["recordId"], "modelInput": item["modelInput"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreCorruptError(
            f"{path} cannot be read, so the results of its job cannot be checked: stop the jobs in the "
            f"Bedrock console, delete {path.parent} (and {path.parent.name}.json beside it), and start again"
        ) from None


def result_of(line: bytes, ids: Container[str]) -> dict[str, Any]:
    """Return a line of a job's output that holds a reply of the model.

    Parameters
    ----------
    line : bytes
    ids : container of str
        The ids of the records that the job was sent.

    Raises
    ------
    BadResult
        It is unreadable, of a record that was not sent, or reports an error.
    """
    try:
        item = json.loads(line)
        known = item["recordId"] in ids
    except (ValueError, KeyError, TypeError):
        raise BadResult("unreadable") from None
    if not known:
        raise BadResult("unknown")
    if "modelOutput" not in item:
        error = item.get("error")
        code = error.get("errorCode", "") if isinstance(error, dict) else ""
        raise BadResult(f"with error {code}".rstrip())
    return dict(item)
