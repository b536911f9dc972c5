"""What a store of responses is: values that expire, and leases, by key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a store holds.

    Attributes
    ----------
    place : str
        Its file, URL or table.
    entries, bytes : int or None
        None where the store cannot count them without reading all.
    max_bytes : int or None
        The most that it keeps; None without a limit.
    """

    place: str
    entries: int | None
    bytes: int | None
    max_bytes: int | None


@runtime_checkable
class ResponseStore(Protocol):
    """A store that threads and processes share; any exception of it means that it cannot be used now.

    Its calls must end within a second or so: a question waits for them.
    """

    def get(self, key: str) -> bytes | None:
        """Return a value that was put and has not expired."""

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value, in place of an earlier one, for so many seconds at most."""

    def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        """Take or renew the lease of a key, unless another owner has it; it ends by itself after `ttl_s`."""

    def release(self, key: str, owner: str) -> None:
        """End a lease, if it is this owner's."""

    def holdings(self) -> Holdings:
        """Return what it holds."""

    def clear(self) -> int:
        """Delete all values and leases; return how many values there were."""


@runtime_checkable
class Removing(Protocol):
    """What a store can do beyond `ResponseStore`: delete single values by what they hold."""

    def remove(self, which: Callable[[str, bytes], bool]) -> int:
        """Delete the values that a function picks by key and value; return how many they were."""
