"""Keeps a receipt of each answer of a pipeline, when it is complete; a store that fails costs a note."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

from rag.core.answers import Answer, Event
from rag.core.format import shortened
from rag.receipts.receipt import receipt_of
from rag.receipts.settings import ReceiptSettings
from rag.receipts.store import ReceiptStore
from rag.usage.collector import Collector

_LOG = logging.getLogger("rag.receipts")


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> Any: ...


class Receipts:
    """Keeps receipts; threads, tasks and pipelines may share it.

    Parameters
    ----------
    store : ReceiptStore
    settings : ReceiptSettings, optional

    Examples
    --------
    >>> pipe = rag.Pipeline("indexes/handbook", receipts=True)                          # doctest: +SKIP
    >>> pipe.receipts.store.get(pipe.ask("Who declares a SEV-1?").id)["version"]        # doctest: +SKIP
    7
    """

    def __init__(self, store: ReceiptStore, settings: ReceiptSettings | None = None) -> None:
        self.store, self.settings = store, settings or ReceiptSettings()

    def through(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: Iterator[Event],
    ) -> Iterator[Event]:
        """Yield the events of a question, and keep the receipt of its answer."""
        keep = partial(self._kept, pipeline, options, collector.tag, tenant or "", time.time())
        try:
            for event in events:
                yield Event("answer", keep(event.value)) if event.kind == "answer" else event
        finally:
            if isinstance(events, _Closeable):
                events.close()

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
        keep = partial(self._kept, pipeline, options, collector.tag, tenant or "", time.time())
        async with contextlib.aclosing(events):
            async for event in events:
                if event.kind == "answer":
                    yield Event("answer", await asyncio.to_thread(keep, event.value))
                else:
                    yield event

    def _kept(
        self, pipeline: Any, options: Mapping[str, Any], tag: str, tenant: str, at: float, answer: Answer
    ) -> Answer:
        try:
            row = receipt_of(pipeline, options, tag, tenant, at, answer, keep_text=self.settings.keep_text)
            self.store.add(row, at + 86_400 * self.settings.days)
        except Exception as error:
            reason = shortened(f"{type(error).__name__}: {error}", 200)
            _LOG.warning("an answer has no receipt: %s", reason)
            return replace(answer, notes=(*answer.notes, f"the answer has no receipt ({reason})"))
        return answer
