"""Log events in batches as CloudWatch Logs takes them.

Limits of PutLogEvents (CloudWatch Logs API Reference, "PutLogEvents", read November 2026): at most 10,000
events and 1,048,576 bytes, where each event counts its UTF-8 bytes and 26 more; in chronological order, and
within 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MOST_EVENTS, MOST_BYTES, OVERHEAD_BYTES, MOST_SPAN_MS = 10_000, 1_048_576, 26, 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line and its time, in milliseconds since 1970."""

    at_ms: int
    line: bytes

    @property
    def size(self) -> int:
        """What it counts against the limit of a batch."""
        return len(self.line) + OVERHEAD_BYTES


def batches(events: Iterable[LogEvent]) -> Iterator[list[LogEvent]]:
    """Yield events in order of time, in batches within the limits.

    Raises
    ------
    ValueError
        An event alone is larger than a batch.

    Examples
    --------
    >>> [len(each) for each in batches(LogEvent(n * 3_600_000, b"{}") for n in range(30))]
    [25, 5]
    """
    batch: list[LogEvent] = []
    size = 0
    for event in sorted(events, key=lambda each: each.at_ms):
        if event.size > MOST_BYTES:
            raise ValueError(f"an event of {len(event.line):,} bytes fits no batch")
        full = len(batch) == MOST_EVENTS or size + event.size > MOST_BYTES
        if batch and (full or event.at_ms - batch[0].at_ms > MOST_SPAN_MS):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event.size
    if batch:
        yield batch


def rejected(count: int, reply: object) -> int:
    """Return how many of a batch's events a reply of PutLogEvents says were not taken.

    ``tooNewLogEventStartIndex`` is the first that is too new; ``tooOldLogEventEndIndex`` and
    ``expiredLogEventEndIndex`` are the first that is not too old or expired (API Reference,
    "RejectedLogEventsInfo").

    Examples
    --------
    >>> rejected(10, {"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 9}})
    3
    """
    info = reply.get("rejectedLogEventsInfo") if isinstance(reply, dict) else None
    if not info:
        return 0
    old = max(int(info.get("tooOldLogEventEndIndex", 0)), int(info.get("expiredLogEventEndIndex", 0)))
    return min(count, old + max(count - int(info.get("tooNewLogEventStartIndex", count)), 0))
