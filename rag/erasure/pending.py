"""What an erasure under way has to erase, in a file that only its owner can read, until it is done.

The index loses the documents first, and with them what the stores are searched for. So that an erasure that
was killed can be completed, their names and texts stand in this file meanwhile; it goes with the last step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import StoreCorruptError
from rag.index.storage.forgotten import UNDER_WAY as NAME
from rag.index.storage.manifest import fsync_folder, read_plain, write_durably

_LARGEST = 4 << 30


@dataclass(frozen=True)
class Pending:
    """An erasure under way: sources, ids of documents, their texts and heading paths, ids of answers."""

    sources: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    headings: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.sources or self.ids)

    def joined(
        self,
        sources: Iterable[str],
        ids: Iterable[str],
        texts: Iterable[str] = (),
        headings: Iterable[str] = (),
        answers: Iterable[str] = (),
    ) -> Pending:
        """Return it with more."""
        more = (sources, ids, texts, headings, answers)
        mine = (self.sources, self.ids, self.texts, self.headings, self.answers)
        return Pending(*(own.union(each) for own, each in zip(mine, more, strict=True)))

    def save(self, folder: Path) -> None:
        """Write it into the index's folder, durably, before the first step."""
        values = {name: sorted(getattr(self, name)) for name in _FIELDS}
        write_durably(folder / NAME, json.dumps(values), private=True)


_FIELDS = ("sources", "ids", "texts", "headings", "answers")


def read(folder: Path) -> Pending:
    """Return the erasure under way in an index's folder; an empty one where there is none.

    Raises
    ------
    StoreCorruptError
        Its file cannot be read.
    """
    path = folder / NAME
    try:
        values = json.loads(read_plain(path, _LARGEST))
        return Pending(*(frozenset(map(str, values[name])) for name in _FIELDS))
    except (FileNotFoundError, NotADirectoryError):
        return Pending()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({type(error).__name__}): delete it, and name what is to be forgotten "
            "again"
        ) from None


def drop(folder: Path) -> None:
    """Delete the file, and one that a kill left half written."""
    for name in (NAME, f"{NAME}.new"):
        (folder / name).unlink(missing_ok=True)
    fsync_folder(folder)
