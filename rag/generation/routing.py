"""The way of one reply through the tiers of a router.

A reply that may still go one tier up is held back until it is judged: text that was shown cannot be taken
back in LangChain's streams, nor in those of most servers.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.core.answers import Step
from rag.core.errors import BudgetError
from rag.generation.classify import Classifier
from rag.generation.escalation import Escalation, Tools
from rag.generation.models import priced_as
from rag.generation.question import Question, question_of
from rag.generation.relay import (
    NO_CALLBACKS,
    as_chunk,
    close,
    is_failure,
    name_of,
    reason_of,
    signed,
    until_shown,
)
from rag.generation.reply import whole
from rag.generation.rules import Rule, first_match
from rag.usage.collector import calls_so_far


@dataclass(frozen=True, slots=True)
class Routes:
    """What a router decides by; see `rag.generation.router.Router`.

    Attributes
    ----------
    start : str
        The tier for questions that nothing decides.
    key : object
        What stands for the router in `Question.reached`.
    """

    tiers: Mapping[str, Any]
    start: str
    rules: Sequence[Rule]
    classify: Classifier | None
    escalate: Escalation | None
    max_calls: int
    tools: Tools
    key: object


def routed(
    routes: Routes, messages: Sequence[BaseMessage], options: Mapping[str, Any]
) -> Iterator[AIMessageChunk]:
    """Yield the reply to messages: of the first tier whose reply is good, or of the last that may be called.

    In a pipeline, pieces without content are yielded while a reply is held back (`rag.generation.relay`).
    """
    return _Run.begin(routes, messages, options).pieces()


@dataclass(slots=True)
class _Run:
    """The calls for one reply.

    Attributes
    ----------
    tier : int
        The tier that is asked.
    why : str
        Why the question was sent to the first one.
    notes : list of str
        For the user; they go out with the reply.
    before : list of AIMessageChunk
        The reply of the tier below, which stands if this one fails.
    """

    routes: Routes
    messages: Sequence[BaseMessage]
    options: Mapping[str, Any]
    question: Question
    tier: int = 0
    why: str = ""
    notes: list[str] = field(default_factory=list)
    before: list[AIMessageChunk] = field(default_factory=list)
    tried: int = 0
    earlier_calls: int = 0

    @classmethod
    def begin(cls, routes: Routes, messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> _Run:
        """Choose the tier."""
        run = cls(routes, messages, options, question_of(messages), earlier_calls=calls_so_far())
        started = time.perf_counter()
        name, run.why = run._choice()
        run.tier = run._names.index(name)
        run._step("route", started, {"tier": name, "reason": run.why})
        run.question.reached[routes.key] = run.tier
        return run

    def _choice(self) -> tuple[str, str]:
        routes, question = self.routes, self.question
        if (reached := question.reached.get(routes.key)) is not None:
            return self._names[reached], "the question has reached it"
        if (matched := first_match(routes.rules, question)) is not None:
            return matched
        start = routes.start
        if routes.classify is None:
            return start, "no rule matches" if routes.rules else "there are no rules"
        self.tried += 1
        name, why = routes.classify.tier(question.text)
        if name is None:
            self.notes.append(f"{why}; {start} was asked")
        return name or start, why

    def pieces(self) -> Iterator[AIMessageChunk]:
        """Yield the reply: that of the first tier whose reply is good, or of the last that may be called."""
        while True:
            started = time.perf_counter()
            if not self._may_go_up(1):
                yield from self._final()
                return
            held = yield from self._held()
            if held is None:
                return
            fault = self._fault(held)
            if fault is None or not self._may_go_up():
                if fault is not None:
                    self.notes.append(self._stays(fault))
                yield from self._signed(held)
                return
            self._go_up(fault, held, started)

    def _held(self) -> Generator[AIMessageChunk, None, list[AIMessageChunk] | None]:
        """Return the whole reply of a tier; None if it failed and the reply before it was yielded.

        Meanwhile pieces without content are yielded, at which a question that was left ends the reply.
        """
        stream: Iterator[Any] | None = None
        held: list[AIMessageChunk] = []
        self.tried += 1
        try:
            stream = self._model.stream(list(self.messages), NO_CALLBACKS, **self.options)
            for piece in stream:
                held.append(as_chunk(piece))
                if self.question.under_way:
                    yield AIMessageChunk(content=[])
        except Exception as error:
            yield from self._instead(error)
            return None
        finally:
            close(stream)
        return held

    def _final(self) -> Iterator[AIMessageChunk]:
        """Yield a tier's reply as it comes; if it fails before anything is shown, the reply before it."""
        self.tried += 1
        try:
            stream, first = until_shown(self._model.stream(list(self.messages), NO_CALLBACKS, **self.options))
        except Exception as error:
            yield from self._instead(error)
            return
        pieces = [*first]
        try:
            yield from self._signed(first)
            for piece in stream:
                pieces.append(as_chunk(piece))
                yield signed(pieces[-1], {})
        finally:
            close(stream)
        self.notes.clear()  # they went out with the first piece
        fault = None if self.tier == len(self._names) - 1 else self._fault(pieces)
        if fault is not None:
            note = self._stays(fault)
            yield AIMessageChunk(content=[], response_metadata={"notes": [note]})

    def _instead(self, error: Exception) -> Iterator[AIMessageChunk]:
        """Yield the reply of the tier below where this tier fails; without one, raise the failure."""
        if not self.before or not (isinstance(error, BudgetError) or is_failure(error)):
            raise error
        name, reason = self._names[self.tier], reason_of(error, name_of(self._model))
        self.tier -= 1
        self.question.reached[self.routes.key] = self.tier
        self.notes.append(f"{name} failed, so the answer of {self._names[self.tier]} stands: {reason}")
        yield from self._signed(self.before)

    # ----------------------------------------------------------------------- going up

    def _fault(self, pieces: Sequence[AIMessageChunk]) -> tuple[str, str] | None:
        """Return why a reply should go up."""
        if self.routes.escalate is None:
            return None
        return self.routes.escalate.reason(whole(pieces), self.question, self.routes.tools)

    def _may_go_up(self, ahead: int = 0) -> bool:
        """Tell whether a further tier may be called after this one, `ahead` calls from now."""
        routes = self.routes
        calls = max(self.tried, calls_so_far() - self.earlier_calls) + ahead
        return routes.escalate is not None and self.tier + 1 < len(self._names) and calls < routes.max_calls

    def _go_up(self, fault: tuple[str, str], held: list[AIMessageChunk], started: float) -> None:
        lower, higher = self._names[self.tier : self.tier + 2]
        self._step("escalate", started, {"from": lower, "to": higher, "why": fault[0], "detail": fault[1]})
        self.before = held
        self.tier += 1
        self.question.reached[self.routes.key] = self.tier
        self.notes.append(f"{higher} was asked, as the answer of {lower} is {_in_words(fault)}")

    def _stays(self, fault: tuple[str, str]) -> str:
        return (
            f"the answer of {self._names[self.tier]} is {_in_words(fault)}; no stronger model was asked, as "
            f"max_calls ({self.routes.max_calls}) is reached"
        )

    # ----------------------------------------------------------------------- parts

    @property
    def _names(self) -> list[str]:
        return list(self.routes.tiers)

    @property
    def _model(self) -> Any:
        return self.routes.tiers[self._names[self.tier]]

    def _step(self, name: str, started: float, detail: dict[str, Any]) -> None:
        self.question.steps.append(Step(name, time.perf_counter() - started, detail))

    def _signed(self, pieces: Sequence[AIMessageChunk]) -> Iterator[AIMessageChunk]:
        """Yield pieces of a reply whose first one names the model and the tier."""
        model = self._model
        metadata = [piece.response_metadata for piece in pieces]
        inner = next((each for each in metadata if "model_id" in each), {})
        called = next((each["model_name"] for each in metadata if each.get("model_name")), name_of(model))
        origin = {
            "model_name": str(inner.get("model_name") or called),
            "model_id": inner.get("model_id") or priced_as(model) or str(called),
            "tier": self._names[self.tier], "route": self.why,
            **({"notes": list(self.notes)} if self.notes else {}),
        }  # fmt: skip
        for number, piece in enumerate(pieces):
            # On the first piece only: LangChain concatenates equal metadata strings of the pieces.
            yield signed(piece, {} if number else origin)


def _in_words(fault: tuple[str, str]) -> str:
    reason, detail = fault
    shown = {"schema": "not in the form that was asked for"}.get(reason, reason)
    return f"{shown} ({detail})"
