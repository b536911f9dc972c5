"""The response cache: gives an answer again where nothing that decides it has changed.

A question is looked up by a key of all that decides its answer (`rag.response_cache.key`). What is not there
is asked for once, however many ask it at the same time: in one process the others wait for the one that
leads, and between processes for a lease in the store, which ends by itself if its holder dies.

An answer outlives its version of the index only if the new one gives the very same passages for the question,
and no document that was sent or cited has changed. So after each change of an index a question is searched
once again, which costs no call of the model.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rag.core.answers import Answer, Cached, Event, Step
from rag.core.calls import Call, Usage
from rag.core.passages import Context
from rag.generation.models import STANDS_IN
from rag.generation.reply import BY_TOOL, COMPLETE
from rag.response_cache.asking import Asked, Emit, Next, Steps, Wait, Work, athrough, through
from rag.response_cache.entry import Entry, recorded, restored
from rag.response_cache.flights import Flight, Flights
from rag.response_cache.key import Parts
from rag.response_cache.semantic import Neighbours
from rag.response_cache.settings import ResponseSettings
from rag.response_cache.store import ResponseStore
from rag.usage.collector import Collector
from rag.usage.ledger_tables import CACHED

#: Seconds for which a store that failed is left alone, so that a slow one delays few questions.
REST_S = 10.0
#: Seconds between two looks for the answer of another process: at first, and at most.
_LOOK_S, _LOOK_MOST_S = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that this one leads in its process."""

    asked: Asked
    parts: Parts
    key: str
    flight: Flight
    begun: float
    until: float


class ResponseCache:
    """Answers that were given before; threads, tasks and pipelines may share it.

    Parameters
    ----------
    store : ResponseStore
    settings : ResponseSettings, optional

    Examples
    --------
    >>> cache = ResponseCache(SqliteStore("indexes/responses.sqlite"))     # doctest: +SKIP
    >>> pipe = rag.Pipeline("indexes/handbook", responses=cache)           # doctest: +SKIP
    >>> pipe.ask("Who declares a SEV-1?"), pipe.ask("Who declares a SEV-1?").cached  # doctest: +SKIP
    """

    def __init__(self, store: ResponseStore, settings: ResponseSettings | None = None) -> None:
        self.store, self.settings = store, settings or ResponseSettings()
        self._flights, self._lock = Flights(), threading.Lock()
        self._failing, self._rests_until, self._told = set[str](), 0.0, False

    def through(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: Iterator[Event],
    ) -> Iterator[Event]:
        """Return the events of a question: the pipeline's `events`, or those of an answer that was kept."""
        asked = self._asked(pipeline, question, options, collector, tenant)
        return events if asked is None else through(self.steps(asked), events)

    def athrough(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: AsyncGenerator[Event, None],
    ) -> AsyncGenerator[Event, None]:
        """Return the events of a question without blocking the event loop; see `through`."""
        asked = self._asked(pipeline, question, options, collector, tenant)
        return events if asked is None else athrough(self.steps(asked), events)

    def _asked(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
    ) -> Asked | None:
        """Return the question, None if its answer does more than answer: the model may call tools."""
        if options.get("tools") or not question.strip():
            return None
        tenant = self.settings.tenant if tenant is None else tenant
        return Asked(pipeline, question, options, collector, tenant=tenant, salt=self.settings.salt)

    # ----------------------------------------------------------------------- one question

    def steps(self, asked: Asked) -> Steps:
        """Answer a question: from the cache, or by the pipeline's events, which are then kept.

        It waits for nothing itself: it yields what is to be done (`rag.response_cache.asking`).
        """
        begun = time.monotonic()
        parts = yield Work(asked.parts)
        sent: Context | None = None
        if parts.unknown and not self._told:
            self._told = True
            asked.note(
                f"answers are found again in this process only: what decides {parts.unknown[0]} is not "
                "known; give it a `fingerprint`, a string"
            )
        if parts.index is None:  # only the passages tell whether an answer still holds
            event = yield Next()
            if event is None:
                return
            yield Emit(event)
            sent = event.value
            key = yield Work(lambda: parts.with_context(event.value, asked.messages(event.value)))
        else:
            key = parts.key
        until = begun + self.settings.wait_s
        flight, leads = self._flights.join(key)
        while not leads:
            yield Wait(min(flight.remaining(self.settings.lease_s), until - time.monotonic()), flight.ended)
            if flight.entry is not None:
                yield from self._replay(asked, flight.entry, begun, flight.kind, sent)
                return
            if (flight.ended.done() and not flight.left) or time.monotonic() >= until:
                yield from self._fresh()
                return
            if not flight.ended.done() and flight.remaining(self.settings.lease_s) > 0:
                continue
            self._flights.leave(key, flight)
            flight, leads = self._flights.join(key)
        try:
            yield from self._lead(_Question(asked, parts, key, flight, begun, until), sent)
            flight.end()
        except Exception:
            flight.end()
            raise
        finally:
            flight.end(left=True)
            self._flights.leave(key, flight)

    def _lead(self, question: _Question, sent: Context | None) -> Steps:
        """Answer for all who ask the same: from the store, or by the model while they wait."""
        asked, key, owner = question.asked, question.key, uuid.uuid4().hex
        entry, holds = yield Work(lambda: self._look(asked, key, owner))
        pause = _LOOK_S
        while entry is None and not holds and time.monotonic() < question.until:
            yield Wait(pause)
            question.flight.is_alive()
            pause = min(2 * pause, _LOOK_MOST_S)
            entry, holds = yield Work(lambda: self._look(asked, key, owner))
        kind = "exact"
        try:
            if entry is None and self.settings.semantic is not None and sent is None:
                entry, kind = (yield Work(lambda: self._similar(question))), "similar"
            if entry is not None:
                question.flight.end(entry, kind)
                yield from self._replay(asked, entry, question.begun, kind, sent)
            else:
                yield from self._ask(question, owner if holds else "", sent)
        finally:
            if holds:
                self._try(asked, "release", lambda: self.store.release(key, owner), always=True)

    def _ask(self, question: _Question, owner: str, sent: Context | None) -> Steps:
        """Let the model answer, and keep its answer; its events go on as they come."""
        asked, flight, came = question.asked, question.flight, list[Event]()
        renewed = time.monotonic()
        while (event := (yield Next())) is not None:
            flight.is_alive()
            if owner and time.monotonic() > renewed + self.settings.lease_s / 3:
                renewed = time.monotonic()
                yield Work(partial(self._acquire, asked, question.key, owner))
            if event.kind == "context" and sent is None:
                sent = event.value
                yield Emit(event)
                entry = yield Work(partial(self._unchanged, question, sent))
                if entry is not None:
                    flight.end(entry, "unchanged")
                    yield from self._replay(asked, entry, question.begun, "unchanged", sent)
                    return
                continue
            if event.kind == "answer":
                flight.end((yield Work(partial(self._keep, question, sent, came, event.value))))
            came.append(event)
            yield Emit(event)

    def _fresh(self) -> Steps:
        while (event := (yield Next())) is not None:
            yield Emit(event)

    def _replay(self, asked: Asked, entry: Entry, begun: float, kind: str, sent: Context | None) -> Steps:
        """Give an answer again: the same events, and nothing to pay."""
        if sent is None:
            yield Emit(Event("context", entry.answer.context))
        for event in entry.replay():
            yield Emit(event)
        answer = self._restored(asked, entry, begun, kind, sent)
        asked.remember(entry.turn, answer)
        yield Emit(Event("answer", answer))

    def _restored(self, asked: Asked, entry: Entry, begun: float, kind: str, sent: Context | None) -> Answer:
        collector, age_s = asked.collector, max(time.time() - entry.at, 0.0)
        paid = sum(call.usage.cost_usd or 0.0 for call in collector.calls)
        saved = None if entry.usd is None else max(entry.usd - paid, 0.0)
        if entry.model:
            collector.record(Call(entry.model, CACHED, Usage(cost_usd=0.0), saved))
        cached = Cached(kind, age_s, saved, entry.answer.question, entry.answer.id)
        notes = list(collector.notes)
        if kind == "similar":
            notes.append(f"the answer to a similar question: {entry.answer.question!r}")
        step = Step("cache", time.monotonic() - begun, {"kind": kind, "age_s": round(age_s, 3)})
        answer = restored(entry, asked.question, collector.calls, notes, step, cached)
        return replace(
            answer, data=asked.data(answer), context=answer.context if sent is None else sent, id=collector.id
        )  # fmt: skip

    # ----------------------------------------------------------------------- the store

    def _look(self, asked: Asked, key: str, owner: str) -> tuple[Entry | None, bool]:
        """Return the entry of a key, else whether this question holds its lease now."""
        entry = self._read(asked, key)
        if entry is not None:
            return entry, False
        holds = self._acquire(asked, key, owner)
        # Its holder may have put it just before the lease was free.
        return (self._read(asked, key) if holds else None), holds

    def _acquire(self, asked: Asked, key: str, owner: str) -> bool:
        """Take or renew the lease of a key; where the store fails, each asks for itself."""
        return bool(
            self._try(asked, "acquire", lambda: self.store.acquire(key, owner, self.settings.lease_s), True)
        )

    def _read(self, asked: Asked, key: str) -> Entry | None:
        entry = Entry.from_bytes(self._try(asked, "get", lambda: self.store.get(key)), key)
        if entry is None or self._left_s(entry) <= 0:
            return None
        try:
            asked.data(entry.answer)
        except ValueError:
            return None
        return entry

    def _left_s(self, entry: Entry) -> float:
        return entry.at + 3600 * self.settings.ttl_hours - time.time()

    def _put(self, asked: Asked, entry: Entry) -> None:
        data = entry.to_bytes()
        self._try(asked, "put", lambda: self.store.put(entry.key, data, self._left_s(entry)))

    def _keep(
        self, question: _Question, sent: Context | None, events: list[Event], answer: Answer
    ) -> Entry | None:
        """Keep an answer; None if it must not be given again."""
        asked, parts = question.asked, question.parts
        if sent is None or not may_be_kept(answer, asked.notes):
            return None
        calls = answer.calls
        known = [call.usage.cost_usd for call in calls if call.usage.cost_usd is not None]
        paid = [call for call in calls if call.usage.cost_usd != 0.0]
        model = next((call.model for call in reversed(paid) if call.purpose == "generate"), "")
        notes = tuple(note for note in answer.notes if note not in asked.collector.notes)
        try:
            entry = Entry(
                question.key, replace(answer, notes=notes, trace=(), calls=(), data=None),
                [recorded(event, answer.citations) for event in events], asked.sources(answer) or {},
                time.time(), sum(known) if known or not calls else None,
                model or (paid[-1].model if paid else ""), asked.last_turn(),
            )  # fmt: skip
            if asked.data(answer) != answer.data:
                return None
            self._put(asked, entry)
        except (ValueError, TypeError):  # something in it cannot be read back as it is
            return None
        if parts.index is not None:
            self._try(asked, "put", lambda: self.store.put(
                parts.with_context(sent), question.key.encode(), self._left_s(entry)
            ))  # fmt: skip
            if self.settings.semantic is not None and not parts.options.get("history"):
                self._try(asked, "similar", lambda: self._neighbours(asked).add(parts, asked.question, entry))
        return entry

    def _unchanged(self, question: _Question, sent: Context) -> Entry | None:
        """Return the answer from another version of the index that gives the very same passages.

        Its documents must be the same, too: the places of citations count from a document's beginning.
        """
        asked, parts = question.asked, question.parts
        if parts.index is None or not sent.hits:
            return None
        pointer = self._try(asked, "get", lambda: self.store.get(parts.with_context(sent)))
        entry = self._read(asked, pointer.decode("ascii", "replace")) if pointer else None
        if entry is None or not entry.sources or entry.sources != asked.sources(entry.answer):
            return None
        entry = replace(entry, key=question.key)
        self._put(asked, entry)
        return entry

    def _similar(self, question: _Question) -> Entry | None:
        """Return the answer to a similar question that is otherwise equal; never in a conversation."""
        asked, parts = question.asked, question.parts
        if parts.options.get("history"):
            return None
        near = self._try(asked, "similar", lambda: self._neighbours(asked).nearest(parts, asked.question))
        return None if near is None else self._read(asked, near)

    def _neighbours(self, asked: Asked) -> Neighbours:
        assert self.settings.semantic is not None
        return Neighbours(self.store, self.settings.semantic, 3600 * self.settings.ttl_hours, asked.vector)

    def _try(
        self, asked: Asked, what: str, call: Callable[[], Any], otherwise: Any = None, *, always: bool = False
    ) -> Any:
        """Call the store; a failure never fails a question: it is noted, once, and the store left alone.

        With `always` it is called though it failed just now: others wait for the end of a lease.
        """
        if time.monotonic() < self._rests_until and not always:
            return otherwise
        try:
            result = call()
        except Exception as error:
            with self._lock:
                is_new = what not in self._failing
                self._failing.add(what)
                self._rests_until = time.monotonic() + REST_S
            if is_new:
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                asked.note(f"the response cache cannot be used ({reason}): models are asked as without it")
            return otherwise
        self._failing.discard(what)
        return result


def may_be_kept(answer: Answer, notes: tuple[str, ...] = ()) -> bool:
    """Tell whether an answer may be given again.

    Not if nothing was found, the reply is empty, cut or withheld, a guardrail changed it, or the model asks
    for a tool; nor if another model stood in, or a step of its making left a note: a reranker that failed, a
    budget's warning. A reply that says that the passages hold no answer is an answer.

    Parameters
    ----------
    answer : Answer
    notes : tuple of str
        Notes of the question's collector.
    """
    complete = COMPLETE if answer.data is None else (*COMPLETE, *BY_TOOL)
    whole = bool(answer.text.strip()) and answer.stop_reason in complete
    changed = answer.guardrail is not None or answer.tool_calls or answer.cached is not None
    stands_in = any(mark in note for note in answer.notes for mark in STANDS_IN)
    return whole and not changed and not notes and not stands_in
