"""A chat model that chooses among models by the question, and asks a stronger one if a reply falls short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator

from rag.core.errors import ConfigError, near_miss
from rag.generation.classify import Classifier
from rag.generation.escalation import Escalation, Tools
from rag.generation.models import NamesToolChoices, describe, is_guarded, unbound
from rag.generation.relay import StandIn, is_pause, name_of, with_tools
from rag.generation.routing import Routes, routed
from rag.generation.rules import Rule, rules_of
from rag.usage.collector import limit_usd
from rag.usage.settings import checked

#: The tier for questions that no rule and no classification decides, where there is one of this name.
OTHERWISE = "default"


class Router(StandIn):
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
    def others(self) -> Sequence[Any]:
        """The tiers' models, first the one for questions that nothing decides."""
        return [
            self.tiers[self._start],
            *(model for name, model in self.tiers.items() if name != self._start),
        ]

    @property
    def reads_tag(self) -> bool:
        """Whether a rule may decide by the question's tag."""
        return any(rule.when.tag is not None or rule.when.call is not None for rule in self.rules)

    @property
    def description(self) -> str:
        """The tiers and their models, for the user."""
        return "router: " + ", ".join(f"{name} = {name_of(model)}" for name, model in self.tiers.items())

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return a copy with tools bound to each tier; a call that does not fit its tool's schema goes up.

        A tier that cannot be made to call a tool is asked to; a reply without a call goes up, too.

        Raises
        ------
        NotImplementedError
            One of the tiers cannot call tools.
        """
        bound = {
            name: with_tools(model, tools, "the tiers", **_possible(model, kwargs))
            for name, model in self.tiers.items()
        }
        functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
        copy = self.model_copy(update={"tiers": bound})
        copy._tools = Tools(
            {each["name"]: each.get("parameters") or {} for each in functions},
            forced=kwargs.get("tool_choice") not in (None, False, "auto", "none"),
        )
        return copy.bind()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        pieces = self._stream(messages, stop, run_manager, **kwargs)
        return generate_from_stream(piece for piece in pieces if not is_pause(piece.message))

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
        routes = Routes(
            self.tiers, self._start, self.rules, self.classify, self.escalate, self.max_calls, self._tools,
            self._key,
        )  # fmt: skip
        for piece in routed(routes, messages, options):
            yield ChatGenerationChunk(message=piece)


def _possible(model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `bind_tools` without a choice of a tool that the model does not take."""
    choice = options.get("tool_choice")
    inner = unbound(model)
    if not isinstance(choice, str) or not isinstance(inner, NamesToolChoices):
        return dict(options)
    kind = choice if choice in ("auto", "any") else "tool"
    takes = kind in (inner.supports_tool_choice_values or ())
    return {name: value for name, value in options.items() if takes or name != "tool_choice"}
