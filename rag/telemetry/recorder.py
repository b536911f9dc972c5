"""Records every question of a pipeline when it ends: answered, refused, failed, or left by whoever asked.

It stands around all else, so that a record has the answer as the user has it, and the time that the user
waited. A sink that fails costs a line in the log, never an answer.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rag.core.answers import Answer, Event
from rag.core.asked import index_of
from rag.core.observed import observing
from rag.telemetry.emf import embedded
from rag.telemetry.observation import Observation
from rag.telemetry.records import record, task_of
from rag.telemetry.settings import TelemetrySettings
from rag.telemetry.sinks import FileSink, Sink, StdoutSink
from rag.usage.collector import LISTENERS, Collector

if TYPE_CHECKING:
    from rag.telemetry.tracing import Tracing

_LOG = logging.getLogger("rag.telemetry")
#: Failures of one sink are logged at most so often, in seconds.
_TELL_EVERY_S = 60.0
#: Seconds for which the end waits for OpenTelemetry's collector, once for spans and once for metrics.
_FLUSH_S = 3.0


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> Any: ...


class Recorder:
    """Writes a record of each question to sinks; threads, tasks and pipelines may share it.

    Parameters
    ----------
    settings : TelemetrySettings
    sinks : sequence of Sink, optional
        More than the settings name, such as `rag.telemetry.sinks.PrometheusSink`.

    Examples
    --------
    >>> pipe = rag.Pipeline("indexes/handbook", telemetry={"path": "calls.jsonl"})      # doctest: +SKIP
    """

    def __init__(self, settings: TelemetrySettings, sinks: Sequence[Sink] = ()) -> None:
        self.settings = settings
        made: list[Sink] = [StdoutSink()] if settings.stdout else []
        if settings.path:
            made.append(FileSink(Path(settings.path), int(settings.max_mb * 1e6), settings.keep))
        self.sinks: list[Sink] = [*made, *sinks]
        self._tracing = _tracing(settings.otel_endpoint) if settings.otel else None
        self._told = float("-inf")
        self._lost = 0
        self._lock = threading.Lock()

    def through(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: Iterator[Event],
    ) -> Iterator[Event]:
        """Yield the events of a question, and record it at its end."""
        watch = _Watch()
        with self._observing(watch, pipeline, options, collector):
            try:
                for event in events:
                    watch.see(event)
                    yield event
            except Exception as error:
                watch.error = error
                raise
            finally:
                if isinstance(events, _Closeable):
                    events.close()
                self._write(watch, pipeline, question, options, collector, tenant)

    async def athrough(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: AsyncGenerator[Event, None],
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a question without blocking the event loop; see `through`."""
        watch = _Watch()
        with self._observing(watch, pipeline, options, collector):
            try:
                async with contextlib.aclosing(events):
                    async for event in events:
                        watch.see(event)
                        yield event
            except Exception as error:
                watch.error = error
                raise
            finally:
                # A line of some 2 kB: written at once, also where the task is cancelled.
                self._write(watch, pipeline, question, options, collector, tenant)

    def close(self) -> None:
        """Let sinks and OpenTelemetry send what they hold.

        They do so at a process's end by themselves, but not at that of one that a signal ends, as it does a
        web server, or that was forked (`multiprocessing`).
        """
        for sink in self.sinks:
            if isinstance(sink, _Closeable):
                sink.close()
        if self._tracing is not None:
            self._tracing.flush(_FLUSH_S)

    @contextlib.contextmanager
    def _observing(
        self, watch: _Watch, pipeline: Any, options: Mapping[str, Any], collector: Collector
    ) -> Iterator[None]:
        """Observe a question inside, and trace it if that is switched on."""
        with ExitStack() as stack:
            if self._tracing is not None:
                span = self._tracing.question(index_of(pipeline.index)[0])
                stack.enter_context(span.current(task_of(options)))
                watch.seen.span = span
            stack.enter_context(observing(watch.seen))
            if LISTENERS:  # else no chat model has been made whose calls are reported, nor LangChain imported
                from rag.telemetry.model_watch import watching

                stack.enter_context(watching(watch.seen, collector))
            yield

    def _write(
        self,
        watch: _Watch,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
    ) -> None:
        try:
            row = record(
                self.settings, id=collector.id, at=watch.at, question=question, options=options,
                index=pipeline.index, tag=collector.tag, tenant=tenant or "", calls=collector.calls,
                answer=watch.answer, error=watch.error, whole_s=time.perf_counter() - watch.started,
                first_s=watch.first_s, trace_id=_trace_id(), seen=watch.seen,
            )  # fmt: skip
            if self._tracing is not None and watch.seen.span is not None:
                watch.seen.span.end(row)
                self._tracing.meters.question(row)
            if self.settings.format == "emf":
                row = embedded(row, self.settings.namespace)
        except Exception as error:
            self._tell(error)
            return
        for sink in self.sinks:
            try:
                sink.write(row)
            except Exception as error:
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        with self._lock:
            self._lost += 1
            now = time.monotonic()
            if now - self._told < _TELL_EVERY_S:
                return
            self._told, lost, self._lost = now, self._lost, 0
        _LOG.warning("%d records of questions were not written: %s: %s", lost, type(error).__name__, error)


def _tracing(endpoint: str) -> Tracing:
    from rag.telemetry.tracing import Tracing  # and with it OpenTelemetry and LangChain

    return Tracing(endpoint)


class _Watch:
    """What is seen of a question while it goes by."""

    def __init__(self) -> None:
        self.at, self.started = time.time(), time.perf_counter()
        self.first_s: float | None = None
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.seen = Observation()

    def see(self, event: Event) -> None:
        if event.kind in ("text", "data") and self.first_s is None:
            self.first_s = time.perf_counter() - self.started
        elif event.kind == "answer":
            self.answer = event.value


def _trace_id() -> str | None:
    """Return the id of the trace that the caller is in; None without OpenTelemetry, or outside of one."""
    import sys

    trace = sys.modules.get("opentelemetry.trace")  # whoever traces has imported it
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
