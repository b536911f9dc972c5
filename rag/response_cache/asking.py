"""A question at the cache, and what drives the cache's steps: waiting in a thread, or in an event loop.

The cache decides in one generator, which waits for nothing: it yields what is to be done next, and is sent
the result. `through` does it in the caller's thread, `athrough` in an event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rag.core.answers import Answer, Event
from rag.core.passages import Context
from rag.generation.models import reads_tag
from rag.generation.voice import prompt_for
from rag.response_cache.describe import Describer, Versioned
from rag.response_cache.key import Parts, is_own, parts_of
from rag.usage.collector import Collector


@dataclass(frozen=True, slots=True)
class Emit:
    """Give an event to the one who asked."""

    event: Event


@dataclass(frozen=True, slots=True)
class Next:
    """Take the pipeline's next event; send it, or None at the end."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds, or until a future is done."""

    seconds: float
    future: Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Call a function that may block for a moment; send its result."""

    call: Callable[[], Any]


#: Options of a question that choose its prompt and fill it.
_OF_PROMPT = ("user", "variables")

Steps = Generator[Emit | Next | Wait | Work, Any, None]


@runtime_checkable
class RemembersTurns(Protocol):
    """A conversation's turns (`rag.conversation.transcript.Transcript`)."""

    def last_turn(self) -> tuple[str, str]:
        """Return the last question as it was searched, and the model's reply as it came."""

    def repeat(self, question: str, search: str, reply: str, answer: Answer, prompt: Any) -> None:
        """Add a turn whose answer was given before."""


class Asked:
    """A question, and the pipeline that it was put to.

    Parameters
    ----------
    pipeline : Pipeline
    question : str
    options : mapping
        Those of `Pipeline.ask`.
    collector : Collector
    tenant, salt : str
    """

    def __init__(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        *,
        tenant: str = "",
        salt: str = "",
    ) -> None:
        self.pipeline, self.question, self.collector = pipeline, question, collector
        self._options, self._tenant, self._salt = options, tenant, salt
        self._noted = set[str]()

    @functools.cached_property
    def prompt(self) -> Any:
        """The question's prompt, of variants the one that is assigned to it, with its variables' values."""
        options = {name: self._options.get(name) for name in (*_OF_PROMPT, "history")}
        return prompt_for(self.pipeline.prompt, self.question, **options)[0]

    def parts(self) -> Parts:
        """Return what decides the answer.

        What chooses the prompt does not, but by the prompt; nor does the tag, unless the generator reads it.
        """
        options = {name: value for name, value in self._options.items() if name not in _OF_PROMPT}
        if reads_tag(self.pipeline.generator):
            options["tag"] = self.collector.tag
        return parts_of(
            self.pipeline, self.question, options, prompt=self.prompt, tenant=self._tenant, salt=self._salt
        )

    def messages(self, context: Context) -> Any:
        """Describe the messages of a prompt that is not `rag`'s; None of one that is."""
        if is_own(self.prompt) or not context.hits:
            return None
        return Describer().of(list(self.prompt.messages(self.question, context.hits)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the stages noted, without what the cache did."""
        return tuple(note for note in self.collector.notes if note not in self._noted)

    def note(self, text: str) -> None:
        """Tell the one who asked about the cache."""
        self._noted.add(text)
        self.collector.note(text)

    def sources(self, answer: Answer) -> Mapping[str, str] | None:
        """Return the hash of each document that was sent or cited; None where one is not known."""
        hashes = _hashes(self.pipeline.index)
        cited = (citation.source for citation in answer.citations if citation.verified)
        names = dict.fromkeys((*(hit.source for hit in answer.context.hits), *cited))
        return {name: hashes[name] for name in names} if all(name in hashes for name in names) else None

    def data(self, answer: Answer) -> Any:
        """Return an answer's data, made anew by the question's schema; None of an answer without data.

        Raises
        ------
        ValueError
            The schema refuses it: a check of a class is no part of the key, and may have changed.
        """
        schema = self._options.get("schema")
        if schema is None or not answer.answered:
            return None
        from rag.generation.structured.schemas import target

        data, problems = target(schema).check(json.loads(answer.text))
        if problems:
            raise ValueError("; ".join(problems))
        return data

    def vector(self, question: str) -> Any:
        """Embed a question, as the search does."""
        return self.pipeline.index.question_vector(question)

    def last_turn(self) -> tuple[str, ...]:
        """Return the turn that was just added to the conversation; empty where there is none."""
        history = self._options.get("history")
        return history.last_turn() if isinstance(history, RemembersTurns) else ()

    def remember(self, turn: tuple[str, ...], answer: Answer) -> None:
        """Add a turn to the conversation whose answer was given before."""
        history = self._options.get("history")
        if isinstance(history, RemembersTurns) and len(turn) == 2:
            history.repeat(self.question, *turn, answer, self.prompt)


_HASHES: weakref.WeakKeyDictionary[Any, tuple[Any, Mapping[str, str]]] = weakref.WeakKeyDictionary()


def _hashes(index: Any) -> Mapping[str, str]:
    """Return the hashes of an index's documents, with those of their metadata, by source."""
    if not isinstance(index, Versioned):
        return {}
    known = _HASHES.get(index)
    if known is None or known[0] is not index.manifest:
        hashes = {
            each.source: f"{each.sha256} {each.metadata_sha256}" for each in index.sources if each.sha256
        }
        known = _HASHES[index] = (index.manifest, hashes)
    return known[1]


def through(steps: Steps, events: Iterator[Event]) -> Iterator[Event]:
    """Do a cache's steps in this thread; `events` are the pipeline's, which begin when one is taken."""
    close = getattr(events, "close", None)
    result, error = None, None
    try:
        while True:
            try:
                step = steps.send(result) if error is None else steps.throw(error)
            except StopIteration:
                return
            result, error = None, None
            if isinstance(step, Emit):
                yield step.event
            elif isinstance(step, Wait):
                _wait(step)
            else:
                try:
                    result = next(events, None) if isinstance(step, Next) else step.call()
                except Exception as raised:
                    error = raised
    finally:
        if close is not None:
            close()  # the model's reply ends before another may ask for it
        steps.close()


async def athrough(steps: Steps, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """Do a cache's steps without blocking the event loop; see `through`."""
    result, error = None, None
    try:
        while True:
            try:
                step = steps.send(result) if error is None else steps.throw(error)
            except StopIteration:
                return
            result, error = None, None
            if isinstance(step, Emit):
                yield step.event
            elif isinstance(step, Wait):
                await _await(step)
            else:
                try:
                    if isinstance(step, Next):
                        result = await anext(events, None)
                    else:
                        result = await asyncio.to_thread(step.call)
                except Exception as raised:
                    error = raised
    finally:
        await events.aclose()
        await asyncio.to_thread(steps.close)


def _wait(step: Wait) -> None:
    if step.future is None:
        time.sleep(max(step.seconds, 0.0))
    else:
        concurrent.futures.wait([step.future], max(step.seconds, 0.0))


async def _await(step: Wait) -> None:
    if step.future is None:
        await asyncio.sleep(max(step.seconds, 0.0))
        return
    waiter = asyncio.wrap_future(step.future)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiter), max(step.seconds, 0.0))
    finally:
        waiter.cancel()
