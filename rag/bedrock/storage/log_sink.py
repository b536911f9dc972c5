"""Records of questions to Amazon CloudWatch Logs, never in the way of an answer.

A record goes to a queue in memory; a thread sends it within seconds. What cannot be sent goes to a file
(`rag.bedrock.storage.log_spool`), from which this process, or the next one, sends it later. An event may so
arrive twice, where a reply was lost, but is dropped only where the file is full or CloudWatch refuses it.
"""

from __future__ import annotations

import atexit
import datetime as dt
import json
import logging
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing import util
from pathlib import Path
from typing import Any

from rag.bedrock.runtime.client import client, explain
from rag.bedrock.runtime.faults import code_of
from rag.bedrock.storage.log_batches import MOST_BYTES, LogEvent, batches, rejected
from rag.bedrock.storage.log_spool import Spool
from rag.core.ids import new_id
from rag.core.jitter import full_jitter

_LOG = logging.getLogger("rag.telemetry")
#: Events in memory, at about 2 kB each; more go to the file at once.
MOST_QUEUED = 5_000
#: Longest waits, in seconds: before events are sent, between attempts, and for the end of a process.
SEND_EVERY_S, MOST_PAUSE_S, EXIT_S = 2.0, 60.0, 3.0
_TELL_EVERY_S = 60.0
_ADVICE = {
    "ResourceNotFoundException": "create the log group, or check cloudwatch and the region",
    "AccessDeniedException": "allow logs:CreateLogStream and logs:PutLogEvents on the log group",
    "ThrottlingException": "records wait in the spool file",
}  # fmt: skip
#: Codes for which the same batch would be refused again.
_MALFORMED = ("InvalidParameterException", "ValidationException", "ParamValidationError")


class CloudWatchSink:
    """Sends records to a log group; threads may share it, and forked processes have their own queue.

    Parameters
    ----------
    group : str
        A log group that exists.
    spool : Path
        The file for what cannot be sent.
    region, endpoint_url : str, optional
        By default from the environment.
    spool_bytes : int
        Its most; the oldest events are dropped above it.
    emf : bool
        Whether records have metrics (`rag.telemetry.emf`).
    timeout_s : float
        Of a call.

    Attributes
    ----------
    sent, rejected, dropped : int
        Events that CloudWatch took, that it refused (too old, too new, expired, malformed), and that were
        dropped because the file was full or could not be written.

    Raises
    ------
    RagError
        No region is set, or credentials are incomplete.
    """

    def __init__(
        self,
        group: str,
        spool: Path,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        spool_bytes: int = 50_000_000,
        emf: bool = False,
        timeout_s: float = 10.0,
    ) -> None:
        self.group, self.spool, self._emf = group, Spool(spool, spool_bytes), emf
        self._region, self._endpoint_url, self._timeout_s = region, endpoint_url, timeout_s
        self.sent = self.rejected = self.dropped = 0
        self._told = float("-inf")
        self._begin()
        self._client: Any = self._made_client()  # what is wrong with the region is said now
        _SINKS.add(self)

    def _begin(self) -> None:
        """Start with nothing queued: in a new process, too, whose parent sends what it had."""
        self._queue: deque[LogEvent] = deque()
        self._sending: Sequence[LogEvent] = ()
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._stream = ""
        self._closing = False
        self._failures, self._again_at = 0, float("-inf")
        self._client = None

    def write(self, record: Mapping[str, Any]) -> None:
        """Queue a record."""
        at = dt.datetime.fromisoformat(str(record["time"]))
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
        event = LogEvent(int(at.timestamp() * 1000), line.encode(errors="replace"))
        if event.size > MOST_BYTES:
            self._count("rejected", 1)
            return
        with self._lock:
            full = len(self._queue) >= MOST_QUEUED or self._closing
            if not full:
                self._queue.append(event)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="rag-cloudwatch", daemon=True)
                    self._thread.start()
        if full:
            self._keep([event])

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Send what is queued within a time; the rest goes to the file."""
        with self._lock:
            self._closing, thread = True, self._thread
        self._wake.set()
        if thread is not None:
            thread.join(timeout_s)
        with self._lock:
            left = [*self._sending, *self._queue]
            self._queue.clear()
            self._sending = ()
        self._keep(left)

    # ------------------------------------------------------------------------- in the thread

    def _work(self) -> None:
        while True:
            self._wake.wait(SEND_EVERY_S)
            closing = self._closing
            if time.monotonic() < self._again_at or (closing and self._failures):
                self._keep(self._taken())  # CloudWatch was not reached a moment ago
            elif self._send_queue():
                self._send_spool()
            if closing:
                return

    def _taken(self) -> list[LogEvent]:
        """Take what is queued, in order of time."""
        with self._lock:
            events = sorted(self._queue, key=lambda each: each.at_ms)
            self._queue.clear()
        return events

    def _send_queue(self) -> bool:
        """Send what is queued, or put it into the file; tell whether CloudWatch can be reached."""
        with self._lock:
            self._sending = sorted(self._queue, key=lambda each: each.at_ms)
            self._queue.clear()
        for batch in batches(self._sending):
            ok = self._put(batch)
            with self._lock:
                if ok:
                    self._sending = self._sending[len(batch) :]
                    continue
                kept, self._sending = self._sending, ()
            self._keep(kept)  # nothing, if `close` has taken it over meanwhile
            return False
        return True

    def _send_spool(self) -> None:
        with self.spool.draining() as mine:
            while mine:
                try:
                    lines = self.spool.head(MOST_BYTES // 2)
                    events = [event for line in lines if (event := _event(line)) is not None]
                    if not lines or not all(map(self._put, batches(events))):
                        return
                    self.spool.remove(lines)
                except (OSError, ValueError) as error:
                    self._tell(f"the spool file {self.spool.path} cannot be read: {error}")
                    return
                if self._closing:
                    return

    def _put(self, batch: Sequence[LogEvent]) -> bool:
        """Send a batch; tell whether it is done with, taken or refused for good."""
        try:
            if self._client is None:
                self._client = self._made_client()
            if not self._stream:
                self._stream = self._new_stream()
            reply = self._client.put_log_events(
                logGroupName=self.group, logStreamName=self._stream,
                logEvents=[{"timestamp": each.at_ms, "message": each.line.decode()} for each in batch],
            )  # fmt: skip
        except Exception as error:
            code = code_of(error)
            self._failures += 1
            self._again_at = time.monotonic() + full_jitter(self._failures, 2.0, MOST_PAUSE_S)
            if code in _MALFORMED:
                self._count("rejected", len(batch))
            self._tell(explain(error, f"CloudWatch Logs, {self.group}", _ADVICE))
            if code == "ResourceNotFoundException":
                self._stream = ""  # deleted, or its group was made anew
            return code in _MALFORMED
        self._failures = 0
        refused = rejected(len(batch), reply)
        self._count("rejected", refused)
        self._count("sent", len(batch) - refused)
        return True

    def _made_client(self) -> Any:
        made = client("logs", region=self._region, endpoint_url=self._endpoint_url, timeout_s=self._timeout_s)
        if self._emf:
            # Asks for metrics to be read from the events (CloudWatch User Guide, "Using the PutLogEvents
            # operation to send manually-created EMF logs").
            made.meta.events.register(
                "before-call.cloudwatch-logs.PutLogEvents",
                lambda params, **_: params["headers"].update({"x-amzn-logs-format": "json/emf"}),
            )
        return made

    def _new_stream(self) -> str:
        day = dt.datetime.now(dt.UTC).strftime("%Y/%m/%d")
        name = f"{day}/{socket.gethostname()}/{os.getpid()}-{new_id()}"
        self._client.create_log_stream(logGroupName=self.group, logStreamName=name)
        return name

    # ---------------------------------------------------------------------------------- both

    def _keep(self, events: Sequence[LogEvent]) -> None:
        """Put events into the file."""
        if not events:
            return
        try:
            self._count("dropped", self.spool.add([each.line for each in events]))
        except OSError as error:
            self._count("dropped", len(events))
            self._tell(f"the spool file {self.spool.path} cannot be written: {error.strerror}")

    def _count(self, name: str, count: int) -> None:
        with _COUNTS:
            setattr(self, name, vars(self)[name] + count)

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            _LOG.warning("%s (%d dropped, %d rejected so far)", text, self.dropped, self.rejected)


def _event(line: bytes) -> LogEvent | None:
    """Return a line of the file as an event; None if a crash has cut it."""
    try:
        at = dt.datetime.fromisoformat(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return None
    event = LogEvent(int(at.timestamp() * 1000), line)
    return event if event.size <= MOST_BYTES else None


_COUNTS = threading.Lock()
_SINKS: weakref.WeakSet[CloudWatchSink] = weakref.WeakSet()


def _after_fork() -> None:
    global _COUNTS
    _COUNTS = threading.Lock()
    for sink in list(_SINKS):
        sink._begin()


def _at_exit() -> None:
    until = time.monotonic() + EXIT_S
    for sink in list(_SINKS):
        sink.close(max(until - time.monotonic(), 0.0))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
# A process of multiprocessing that was forked ends without the functions of atexit.
util.register_after_fork(_SINKS, lambda _: util.Finalize(None, _at_exit, exitpriority=1))
