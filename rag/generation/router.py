"""A chat model that chooses among models by the question, and asks a stronger one where a reply falls short.

A reply that may still go one tier up is held back until it is judged: text that was shown cannot be taken
back in LangChain's streams, nor in those of most servers.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator

from rag.core.answers import Step
from rag.core.errors import BudgetError, ConfigError, near_miss
from rag.generation.classify import Classifier
from rag.generation.escalation import Escalation, Tools
from rag.generation.models import context_form, describe, is_guarded, priced_as
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
    with_tools,
)
from rag.generation.reply import whole
from rag.generation.rules import Rule, first_match, rules_of
from rag.usage.collector import calls_so_far, limit_usd
from rag.usage.model_calls import METADATA, ModelFacts
from rag.usage.settings import checked

#: The tier for questions that no rule and no classification decides, where there is one of this name.
OTHERWISE = "default"


class Router(BaseChatModel):
    """Sends a question to one of several models, and its reply to the next one if it falls short.

    The tier is that of the first rule that matches, else the one that the classifier names, else
    `otherwise`. With `escalate`, a reply is judged when it is complete, and one that falls short is replaced
    by the next tier's, within `max_calls` and `max_usd`; a reply that may be replaced is held back until
    then. If the next tier fails or is refused, the reply before it stands, with a note.

    The reply's `response_metadata` names the model that answered (``"model_name"``, ``"model_id"``), its
    ``"tier"`` and why (``"route"``); ``"notes"`` tell the user of replaced replies. In a pipeline the trace
    has the steps ``route`` and ``escalate``.

    Parameters
    ----------
    tiers : dict of str to BaseChatModel
        From the weakest to the strongest; any Runnable over messages is accepted, a `Fallback` too.
    rules : sequence of Rule, or of mappings with ``when`` and ``tier``
    classify : Classifier or mapping, optional
        With the keys ``model``, and ``describe`` for what each tier is for.
    otherwise : str, optional
        By default ``"default"`` if there is such a tier, else the first.
    escalate : Escalation or mapping, optional
        Without it a reply is final, and streamed as it comes.
    max_calls : int
        Most calls for one reply, the classification included.
    max_usd : float, optional
        Most dollars for one question, retrieval included; checked before each call, as a budget is. It
        needs a question under way (`rag.usage.collector.Collector`), as in a pipeline.

    Raises
    ------
    ConfigError
        A rule or `otherwise` names no tier, or one tier has a guardrail and another has none.

    Notes
    -----
    Documents are sent in a form that suits all tiers, as by `Fallback`.

    Examples
    --------
    >>> rules = [{"when": {"question_words_at_least": 20}, "tier": "large"}]
    >>> Router(tiers={"small": haiku, "large": opus}, rules=rules)             # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    tiers: dict[str, Runnable[Any, Any]] = Field(min_length=1)
    rules: tuple[Rule, ...] = ()
    classify: Classifier | None = None
    otherwise: str | None = None
    escalate: Escalation | None = None
    max_calls: int = Field(default=3, ge=1)
    max_usd: float | None = Field(default=None, gt=0)
    _tools: Tools = PrivateAttr(default_factory=Tools)
    _key: object = PrivateAttr(default_factory=object)  # a copy with bound tools has the same

    @field_validator("rules", mode="before")
    @classmethod
    def _read_rules(cls, value: Any) -> Any:
        return rules_of(value)

    @field_validator("classify", mode="before")
    @classmethod
    def _read_classify(cls, value: Any, known: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            return None if value is False else value
        return Classifier.of(list(known.data.get("tiers", ())), value.get("model"), value.get("describe"))

    @field_validator("escalate", mode="before")
    @classmethod
    def _read_escalate(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return None if value is False else value
        return checked(Escalation, value, "the generator's escalate")

    def model_post_init(self, context: Any, /) -> None:
        """Check what belongs together."""
        super().model_post_init(context)
        names = [self._start, *(rule.tier for rule in self.rules)]
        for name in names:
            if name not in self.tiers:
                raise ConfigError(f"the generator has no tier {name!r}: {near_miss(name, self.tiers)}")
        if self.classify is not None and self.max_calls < 2:
            raise ConfigError("max_calls = 1 leaves no call for an answer after the classification: raise it")
        guarded = {name: is_guarded(model) for name, model in self.tiers.items()}
        if len(set(guarded.values())) > 1:
            free = next(name for name, has in guarded.items() if not has)
            raise ConfigError(
                f"the generator's tier {free!r} ({describe(self.tiers[free])}) has no guardrail and would "
                'bypass that of the other tiers: write it as {use = "claude", model = "…", guardrail = "…"}, '
                "or leave it out"
            )

    @property
    def _start(self) -> str:
        return self.otherwise or (OTHERWISE if OTHERWISE in self.tiers else next(iter(self.tiers)))

    @property
    def _llm_type(self) -> str:
        return "router"

    @property
    def model_id(self) -> str | None:
        """The id of the model for questions that nothing decides."""
        return priced_as(self.tiers[self._start])

    @property
    def description(self) -> str:
        """The tiers and their models, for the user."""
        return "router: " + ", ".join(f"{name} = {name_of(model)}" for name, model in self.tiers.items())

    @property
    def context_form(self) -> str:
        """The form of the documents that suits all tiers (see `rag.generation.prompt`)."""
        forms = {context_form(model) for model in self.tiers.values()}
        return forms.pop() if len(forms) == 1 else "text"

    @property
    def guarded(self) -> bool:
        """Whether each tier has a guardrail, so that every answer is checked."""
        return all(map(is_guarded, self.tiers.values()))

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return a copy with tools bound to each tier; a call that does not fit its tool's schema goes up.

        Raises
        ------
        NotImplementedError
            One of the tiers cannot call tools.
        """
        bound = {name: with_tools(model, tools, "the tiers", **kwargs) for name, model in self.tiers.items()}
        functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
        copy = self.model_copy(update={"tiers": bound})
        copy._tools = Tools(
            {each["name"]: each.get("parameters") or {} for each in functions},
            forced=kwargs.get("tool_choice") not in (None, False, "auto", "none"),
        )
        return copy.bind()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params: dict[str, Any] = {**super()._get_ls_params(stop=stop, **kwargs)}
        params["ls_model_name"] = str(
            kwargs.get("model") or self.model_id or name_of(self.tiers[self._start])
        )
        params[METADATA] = ModelFacts(stands_for_others=True)
        return cast(LangSmithParams, params)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if self.max_usd is not None and not limit_usd(self.max_usd):
            raise ConfigError("max_usd needs to know what a question has cost: use the router in a pipeline")
        options = {**kwargs, **({} if stop is None else {"stop": stop})}
        for piece in _Run.begin(self, messages, options).pieces():
            yield ChatGenerationChunk(message=piece)


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

    router: Router
    messages: Sequence[BaseMessage]
    options: dict[str, Any]
    question: Question
    tier: int = 0
    why: str = ""
    notes: list[str] = field(default_factory=list)
    before: list[AIMessageChunk] = field(default_factory=list)
    tried: int = 0
    earlier_calls: int = 0

    @classmethod
    def begin(cls, router: Router, messages: Sequence[BaseMessage], options: dict[str, Any]) -> _Run:
        """Choose the tier."""
        run = cls(router, messages, options, question_of(messages), earlier_calls=calls_so_far())
        started = time.perf_counter()
        name, run.why = run._choice()
        run.tier = run._names.index(name)
        run._step("route", started, {"tier": name, "reason": run.why})
        run.question.reached[router._key] = run.tier
        return run

    def _choice(self) -> tuple[str, str]:
        router, question = self.router, self.question
        if (reached := question.reached.get(router._key)) is not None:
            return self._names[reached], "the question has reached it"
        if (matched := first_match(router.rules, question)) is not None:
            return matched
        start = router._start
        if router.classify is None:
            return start, "no rule matches" if router.rules else "there are no rules"
        self.tried += 1
        name, why = router.classify.tier(question.text)
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
        name = self._names[self.tier]
        self.notes.append(
            f"{name} was to answer instead, but failed: {reason_of(error, name_of(self._model))}"
        )
        yield from self._signed(self.before, self.tier - 1)

    # ----------------------------------------------------------------------- going up

    def _fault(self, pieces: Sequence[AIMessageChunk]) -> tuple[str, str] | None:
        """Return why a reply should go up."""
        if self.router.escalate is None:
            return None
        return self.router.escalate.reason(whole(pieces), self.question, self.router._tools)

    def _may_go_up(self, ahead: int = 0) -> bool:
        """Tell whether a further tier may be called after this one, `ahead` calls from now."""
        router = self.router
        calls = max(self.tried, calls_so_far() - self.earlier_calls) + ahead
        return router.escalate is not None and self.tier + 1 < len(self._names) and calls < router.max_calls

    def _go_up(self, fault: tuple[str, str], held: list[AIMessageChunk], started: float) -> None:
        lower, higher = self._names[self.tier : self.tier + 2]
        self._step("escalate", started, {"from": lower, "to": higher, "why": fault[0], "detail": fault[1]})
        self.before = held
        self.tier += 1
        self.question.reached[self.router._key] = self.tier
        self.notes.append(f"{higher} was asked, as the answer of {lower} is {_in_words(fault)}")

    def _stays(self, fault: tuple[str, str]) -> str:
        return (
            f"the answer of {self._names[self.tier]} is {_in_words(fault)}; no stronger model was asked, as "
            f"max_calls ({self.router.max_calls}) is reached"
        )

    # ----------------------------------------------------------------------- parts

    @property
    def _names(self) -> list[str]:
        return list(self.router.tiers)

    @property
    def _model(self) -> Any:
        return self.router.tiers[self._names[self.tier]]

    def _step(self, name: str, started: float, detail: dict[str, Any]) -> None:
        self.question.steps.append(Step(name, time.perf_counter() - started, detail))

    def _signed(self, pieces: Sequence[AIMessageChunk], tier: int | None = None) -> Iterator[AIMessageChunk]:
        """Yield pieces of a reply whose first one names the model and the tier."""
        name = self._names[self.tier if tier is None else tier]
        model = self.router.tiers[name]
        metadata = [piece.response_metadata for piece in pieces]
        inner = next((each for each in metadata if "model_id" in each), {})
        called = next((each["model_name"] for each in metadata if each.get("model_name")), name_of(model))
        origin = {
            "model_name": str(inner.get("model_name") or called),
            "model_id": inner.get("model_id") or priced_as(model) or str(called),
            "tier": name, "route": self.why,
            **({"notes": list(self.notes)} if self.notes else {}),
        }  # fmt: skip
        for number, piece in enumerate(pieces):
            # On the first piece only: LangChain concatenates equal metadata strings of the pieces.
            yield signed(piece, {} if number else origin)


def _in_words(fault: tuple[str, str]) -> str:
    reason, detail = fault
    shown = {"schema": "not in the form that was asked for"}.get(reason, reason)
    return f"{shown} ({detail})"
