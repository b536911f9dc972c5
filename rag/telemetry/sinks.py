"""Where records go: standard output, a file that rotates, metrics of Prometheus; more can be added."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Sink(Protocol):
    """Takes records; whatever it raises is logged, and costs no answer."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Take a record."""


class StdoutSink:
    """Writes each record as a line of standard output, whole whatever other threads write."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a record."""
        sys.stdout.write(line(record))
        sys.stdout.flush()


class FileSink:
    """Appends records to a file, which is renamed when it is full; threads and processes may share it.

    Parameters
    ----------
    path : Path
        ``PATH.1`` is the file before, ``PATH.2`` that before it.
    max_bytes : int
    keep : int
        Older files that are kept.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path, self._max, self._keep = path, max_bytes, keep
        self._lock = threading.Lock()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record, in one write of a whole line, readable by the file's owner alone."""
        data = line(record).encode()
        with self._lock:
            handle = self._open()
            try:
                if os.fstat(handle).st_size and os.fstat(handle).st_size + len(data) > self._max:
                    self._rotate(handle)
                    os.close(handle)
                    handle = self._open()
                _append(handle, data)
            finally:
                os.close(handle)

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _rotate(self, handle: int) -> None:
        """Rename the files, unless another process has done so meanwhile."""
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if os.fstat(handle).st_ino != self.path.stat().st_ino:
                return
            if self._keep == 0:
                self.path.unlink()
                return
            for number in range(self._keep, 0, -1):
                older = self._numbered(number)
                if number == self._keep:
                    older.unlink(missing_ok=True)
                newer = self.path if number == 1 else self._numbered(number - 1)
                if newer.exists():
                    newer.rename(older)
        except FileNotFoundError:
            return  # another process was faster
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _append(handle: int, data: bytes) -> None:
    """Append a line whole, or not at all: on a full disk a part of it is all that can be written.

    Raises
    ------
    OSError
        There is no room.
    """
    # Held until the file is closed: half of a line that another process writes is none that was left.
    fcntl.flock(handle, fcntl.LOCK_EX)
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":  # a process was ended in the middle of the last line
        data = b"\n" + data
    written = os.write(handle, data)
    if written < len(data):
        os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class PrometheusSink:
    """Counts records as metrics of Prometheus; labels are models and outcomes alone, so that they stay few.

    Where the variable ``PROMETHEUS_MULTIPROC_DIR`` names a folder, the counts of all processes that have it
    are summed, those of processes that have ended included.

    Examples
    --------
    >>> sink = PrometheusSink()
    >>> sink.write({"outcome": "answered", "seconds": {"whole": 1.2}, "calls": []})
    >>> 'rag_questions_total{outcome="answered"} 1.0' in sink.text().decode()
    True
    """

    #: Seconds at which the histograms' buckets end.
    BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)

    def __init__(self) -> None:
        from rag.core.extras import require

        client = require("prometheus_client", extra="telemetry")
        self._client, self.registry = client, client.CollectorRegistry()
        self._all = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            self._all = client.CollectorRegistry()
            require("prometheus_client.multiprocess", extra="telemetry").MultiProcessCollector(self._all)

        def made(kind: Any, name: str, about: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return kind(f"rag_{name}", about, labels, registry=self.registry, **more)

        self._questions = made(client.Counter, "questions", "Questions by outcome.", ("outcome",))
        self._seconds = made(
            client.Histogram, "question_seconds", "Seconds to the end.", buckets=self.BUCKETS
        )
        self._first = made(client.Histogram, "first_token_seconds", "Seconds to the first text.",
                           buckets=self.BUCKETS)  # fmt: skip
        self._stages = made(client.Histogram, "stage_seconds", "Seconds of each stage.", ("stage",),
                            buckets=self.BUCKETS)  # fmt: skip
        self._tokens = made(client.Counter, "tokens", "Tokens by model and kind.", ("model", "kind"))
        self._usd = made(client.Counter, "dollars", "US dollars by model.", ("model",))
        self._hits = made(client.Counter, "cache_hits", "Answers from the response cache.")
        self._unsupported = made(client.Counter, "unsupported_answers", "Answers with unsupported sentences.")
        self._guardrail = made(client.Counter, "guardrail_interventions", "Answers blocked or masked.")
        self._fallbacks = made(client.Counter, "fallbacks", "Models that stood in for others.")

    def write(self, record: Mapping[str, Any]) -> None:
        """Count a record."""
        self._questions.labels(record["outcome"]).inc()
        seconds = dict(record["seconds"])
        self._seconds.observe(seconds.pop("whole"))
        first = seconds.pop("first_token", None)
        if first is not None:
            self._first.observe(first)
        for stage in ("retrieve", "trim", "assemble", "generate", "cite"):
            if stage in seconds:
                self._stages.labels(stage).observe(seconds[stage])
        for call in record["calls"]:
            for kind in ("input", "output", "cache_read", "cache_write"):
                if call[kind]:
                    self._tokens.labels(call["model"], kind).inc(call[kind])
            if call["usd"]:
                self._usd.labels(call["model"]).inc(call["usd"])
        self._hits.inc(record.get("cache") is not None)
        self._unsupported.inc(
            (record.get("supported") or 1.0) < 1 if record.get("supported") is not None else 0
        )
        self._guardrail.inc(record.get("guardrail") is not None)
        self._fallbacks.inc(record.get("fallbacks", 0))

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        made: bytes = self._client.generate_latest(self._all)
        return made


def line(record: Mapping[str, Any]) -> str:
    """Return a record as a line."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
