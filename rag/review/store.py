"""What a store of a review queue is: items that expire, each with its answer and its decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rag.core.answers import Answer
from rag.review.records import Decision, Item, State


@dataclass(frozen=True, slots=True)
class Selection:
    """Which items to list.

    Attributes
    ----------
    state : {"open", "approved", "corrected", "rejected"}, optional
        By default every state; as for the others.
    reason, tag, tenant : str, optional
    since : float
        Seconds since 1970; items that were queued before are left out.
    """

    state: State | None = None
    reason: str | None = None
    tag: str | None = None
    tenant: str | None = None
    since: float = 0.0

    def __contains__(self, item: Item) -> bool:
        return (
            (self.state is None or item.state == self.state)
            and (self.reason is None or any(each.name == self.reason for each in item.reasons))
            and (self.tag is None or item.tag == self.tag)
            and (self.tenant is None or item.tenant == self.tenant)
            and item.at >= self.since
        )


@runtime_checkable
class ReviewStore(Protocol):
    """A store that threads and processes share; any exception of `add` means that it cannot be used now."""

    @property
    def place(self) -> str:
        """Its file or table, for people."""

    def add(self, item: Item, answer: bytes, expires: float) -> Item:
        """Keep an item until a moment, in seconds since 1970; return it.

        If there is an item of the same fingerprint, return that one and keep nothing.
        """

    def get(self, id: str) -> Item | None:
        """Return an item that has not expired."""

    def answer(self, id: str) -> bytes | None:
        """Return the answer of an item, as it was added."""

    def items(self, selection: Selection) -> Iterator[Item]:
        """Yield the items of a selection that have not expired, newest first."""

    def decide(self, id: str, decision: Decision, seen: int) -> Item:
        """Add a decision, if the item still has `seen` decisions; return the item with it.

        Comparing and adding is one step: of two reviewers at once one wins.

        Raises
        ------
        ReviewConflictError
            Another one was first, or the item's state does not allow the decision.
        UsageError
            There is no such item.
        """

    def remove(self, which: Callable[[Item, Answer], bool]) -> int:
        """Erase the items that a function picks, with answers and decisions; return how many they were."""

    def prune(self) -> int:
        """Erase what has expired; return how many items it was."""


def changed(id: str) -> str:
    """Return the message for a reviewer who decided on an earlier state of an item."""
    return f"item {id} was reviewed by someone else meanwhile: look at it again with `rag review show {id}`"
