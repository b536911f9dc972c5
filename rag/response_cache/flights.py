"""Equal questions of one process that are asked at once: one is answered, the others wait for it."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future

from rag.response_cache.entry import Entry


class Flight:
    """A question that is being answered.

    Attributes
    ----------
    ended : Future
        Done when the one who leads has an answer or gives up.
    entry : Entry or None
        The answer, if the others can be given it.
    kind : str
        How the answer was come by (`rag.core.answers.Cached`).
    left : bool
        Whether the one who led left before the end: another one may lead.
    """

    def __init__(self) -> None:
        self.ended: Future[None] = Future()
        self.ended.set_running_or_notify_cancel()  # a waiter that is cancelled must not end it for the others
        self.entry: Entry | None = None
        self.kind, self.left = "exact", False
        self._alive = time.monotonic()

    def is_alive(self) -> None:
        """Note that the answer still comes."""
        self._alive = time.monotonic()

    def remaining(self, lease_s: float) -> float:
        """Return for how many seconds the one who leads is still waited for."""
        return self._alive + lease_s - time.monotonic()

    def end(self, entry: Entry | None = None, kind: str = "exact", *, left: bool = False) -> None:
        """End it; only the first time counts."""
        if not self.ended.done():
            self.entry, self.kind, self.left = entry, kind, left
            self.ended.set_result(None)


class Flights:
    """The questions of this process that are being answered, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._lock, self._process = threading.Lock(), os.getpid()

    def join(self, key: str) -> tuple[Flight, bool]:
        """Return the flight of a key, and whether the caller leads it."""
        if self._process != os.getpid():  # nobody in this process answers what its parent was asked
            self._flights, self._lock, self._process = {}, threading.Lock(), os.getpid()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and not flight.ended.done():
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def leave(self, key: str, flight: Flight) -> None:
        """Forget a flight: it has ended, or is no longer waited for."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
