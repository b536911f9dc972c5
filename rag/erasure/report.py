"""What an erasure did, or would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.core.displayable import Displayable


@dataclass(frozen=True, slots=True)
class Kept:
    """What one store holds of the documents.

    Attributes
    ----------
    kind : str
        ``"vectors"``, ``"answers"``, ``"review items"``, ``"receipts"``, ``"records"`` or ``"lines"``.
    place : str
        The store's file, URL or table.
    count : int
        How many of them were erased, or would be.
    """

    kind: str
    place: str
    count: int


@dataclass(frozen=True, slots=True)
class Remnant:
    """What a check found of erased documents: where, and what it is."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(frozen=True, slots=True, repr=False)
class Forgotten(Displayable):
    """What `rag.forget` erased; of a dry run, what it would erase.

    Attributes
    ----------
    documents : tuple of str
        Their sources, or their ids where they have none; also those that were forgotten before.
    chunks, rows : int
        Chunks of the current version; rows of all segments, removed ones and those of older versions
        included.
    version : int
        The current version after it; of a dry run the one before.
    versions : tuple of int
        All that are rewritten without the documents.
    dropped : mapping of int to str
        Versions that cannot be rewritten, and go: each with the reason.
    stores : tuple of Kept
    copies : tuple of str
        Other sources that have, or had in some version, the very bytes of one of the documents.
    remains : tuple of Remnant
        Where a piece of the documents is still found: in a file that `rag` did not write, for example.
    not_reached : tuple of str
        Where copies may be that `rag` does not reach.
    notes : tuple of str
    done : bool
        False of a dry run.
    """

    index: str
    documents: tuple[str, ...]
    chunks: int
    rows: int
    version: int
    versions: tuple[int, ...]
    dropped: Mapping[int, str]
    stores: tuple[Kept, ...]
    copies: tuple[str, ...] = ()
    remains: tuple[Remnant, ...] = ()
    not_reached: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    done: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "dropped": {str(number): why for number, why in self.dropped.items()}}
