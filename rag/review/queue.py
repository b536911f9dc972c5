"""The review queue of a pipeline: takes the answers that a person should look at.

It takes an answer when it is complete, behind all that made it, the response cache included. It neither
breaks nor delays an answer: a store that fails is a note on it and a line in the log, and one that is slow
is written to in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

from rag.core.answers import Answer, Event
from rag.core.asked import index_of, search_of
from rag.core.errors import ConfigError
from rag.core.format import shortened
from rag.core.ids import new_id
from rag.index.filters.parse import parse
from rag.review.desk import ReviewDesk
from rag.review.packing import fingerprint_of, pack
from rag.review.reasons import reasons_for
from rag.review.records import Item
from rag.review.settings import ReviewSettings
from rag.review.store import ReviewStore
from rag.usage.collector import Collector

_LOG = logging.getLogger("rag.review")
#: Most items that may wait for a slow store at once, each in a thread of its own; more are not queued.
MOST_WAITING = 32
#: Purposes of the calls whose model made an answer, or made it before it was cached.
_ANSWERING = ("generate", "repair", "cached")


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> Any: ...


class ReviewQueue:
    """Takes the answers that a person should look at; threads, tasks and pipelines may share it.

    Parameters
    ----------
    store : ReviewStore
    settings : ReviewSettings, optional
        By default answers with unsupported sentences, escalated ones, and those that a guardrail changed.

    Examples
    --------
    >>> pipe = rag.Pipeline("indexes/handbook", review={"unsupported": True})      # doctest: +SKIP
    >>> answer = pipe.ask("Who declares a SEV-1?")                                 # doctest: +SKIP
    >>> pipe.reviews.desk.approve(answer.review_id, by="ana")                      # doctest: +SKIP
    """

    def __init__(self, store: ReviewStore, settings: ReviewSettings | None = None) -> None:
        self.store = store
        self.settings = settings or ReviewSettings(unsupported=True, escalated=True, guardrail=True)
        if self.settings.confidence is not None and isinstance(self.settings.embedder, str | Mapping):
            raise ConfigError("the review queue's confidence needs an embedder: pass an Embeddings object")
        self._lock, self._waiting, self._late = threading.Lock(), 0, 0

    @property
    def desk(self) -> ReviewDesk:
        """What reviewers work with."""
        return ReviewDesk(self.store)

    def through(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: Iterator[Event],
    ) -> Iterator[Event]:
        """Yield the events of a question; its answer is queued if a person should look at it."""
        take = partial(self.taken, pipeline, options, collector, tenant)
        try:
            for event in events:
                yield Event("answer", take(event.value)) if event.kind == "answer" else event
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
        take = partial(self.taken, pipeline, options, collector, tenant)
        async with contextlib.aclosing(events):
            async for event in events:
                if event.kind == "answer":
                    yield Event("answer", await asyncio.to_thread(take, event.value))
                else:
                    yield event

    def taken(
        self,
        pipeline: Any,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        answer: Answer,
    ) -> Answer:
        """Return the answer, with the id of its item if it was queued, and with a note if that failed."""
        notes: list[str] = []
        try:
            item = self._item(pipeline, options, collector.tag, tenant or "", answer, notes.append)
            kept = None if item is None else self._added(item, pack(answer), notes.append)
        except Exception as error:
            reason = shortened(f"{type(error).__name__}: {error}", 200)
            _LOG.warning("an answer was not queued for review: %s", reason)
            notes.append(f"the answer was not queued for review ({reason})")
            kept = None
        if kept is None and not notes:
            return answer
        return replace(answer, review_id=kept.id if kept else "", notes=(*answer.notes, *notes))

    def _item(
        self,
        pipeline: Any,
        options: Mapping[str, Any],
        tag: str,
        tenant: str,
        answer: Answer,
        note: Callable[[str], None],
    ) -> Item | None:
        """Return the item of an answer; None if nobody has to look at it."""
        search, where = search_of(answer, options), _text(options.get("where"))
        reasons = reasons_for(answer, search, self.settings, where=where, tenant=tenant, note=note)
        if not reasons:
            return None
        index, version = index_of(pipeline.index)
        steps = [step.detail for step in answer.trace if step.name in ("route", "escalate")]
        models = [call.model for call in answer.calls if call.purpose in _ANSWERING]
        costs = [call.usage.cost_usd for call in answer.calls]
        now = time.time()
        return Item(
            id=new_id(now), at=now, question=answer.question, search=search, where=where, tenant=tenant,
            tag=tag, user=str(options.get("user") or ""), reasons=reasons,
            index="" if version is None else index, version=version,
            model=models[-1] if models else answer.generator,
            tier=str(steps[-1].get("to") or steps[-1].get("tier") or "") if steps else "",
            prompt=answer.prompt, prompt_hash=answer.prompt_hash, answered=answer.answered,
            supported=answer.supported,
            cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
            fingerprint=fingerprint_of(answer, where, tenant),
        )  # fmt: skip

    def _added(self, item: Item, answer: bytes, note: Callable[[str], None]) -> Item | None:
        """Add an item; None, with a note, if the store takes longer than an answer may wait."""
        expires = item.at + 86_400 * self.settings.ttl_days
        added: Future[Item] = Future()
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise TimeoutError(f"{MOST_WAITING} answers wait for the store already")
            wait_s = 0.0 if self._late else self.settings.wait_s
            self._waiting += 1

        def work() -> None:
            try:
                added.set_result(self.store.add(item, answer, expires))
            except Exception as error:
                added.set_exception(error)
            finally:
                with self._lock:
                    self._waiting -= 1

        # Not a daemon: the process ends when the item is written.
        threading.Thread(target=work, name="rag-review").start()
        try:
            return added.result(wait_s)
        except TimeoutError:
            if added.done():  # just now, or the store's own error
                return added.result()
        with self._lock:
            self._late += 1
        added.add_done_callback(self._came_late)
        note("the review queue is slow: the answer is queued in the background, without an id yet")
        return None

    def _came_late(self, added: Future[Item]) -> None:
        with self._lock:
            self._late -= 1
        if (error := added.exception()) is not None:
            _LOG.warning("an answer was not queued for review: %s: %s", type(error).__name__, error)


def _text(where: Any) -> str | None:
    return None if where is None else parse(where).to_string()
