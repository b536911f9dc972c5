"""Models' calls as LangChain's callbacks report them, each paid for by the question under way.

This sees every chat model and text model, ours or another's, at any depth of a chain: those that rephrase
a question, repair a structured reply, or stand in for another one. Before a call the budget is asked;
afterwards the reply's usage is recorded. A call that ends early was billed all the same: what is not known
of it is estimated, high rather than low.
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from rag.core.calls import Usage
from rag.usage.collector import LISTENERS, Collector, PaidCall, purpose, under_way
from rag.usage.messages import texts_of
from rag.usage.tokens import estimate_all

#: The key in a chat model's LangSmith metadata under which ours say what `ModelCalls` must know.
METADATA = "rag_model"
#: What a reply may have where its model does not say.
MOST_OUTPUT_TOKENS = 4096

_LISTENER: contextvars.ContextVar[ModelCalls | None] = contextvars.ContextVar("model_calls", default=None)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one of our chat models says of itself, in its run's metadata.

    Attributes
    ----------
    stands_for_others : bool
        It makes no call of its own: the models behind it report theirs.
    base : str or None
        The model behind an application inference profile.
    cache_ttl : {"5m", "1h"} or None
        How long the prompt may be cached; writing to the cache costs more.
    """

    stands_for_others: bool = False
    base: str | None = None
    cache_ttl: str | None = None


@dataclass(slots=True)
class _Run:
    call: PaidCall
    model: str | None
    input_tokens: int | None
    prompt: Sequence[str]
    text: list[str] = field(default_factory=list)


class ModelCalls(BaseCallbackHandler):
    """Reports the calls of models to a collector."""

    raise_error = True  # a call that the budget refuses must not be made
    run_inline = True

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._runs: dict[UUID, _Run] = {}
        self._lock = threading.Lock()

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Ask the budget before a chat model's call."""
        texts = [text for message in messages[0] for text in texts_of(message.content)]
        self._begin(serialized, texts, run_id, metadata or {}, kwargs.get("invocation_params") or {})

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Ask the budget before a text model's call."""
        self._begin(serialized, prompts, run_id, metadata or {}, kwargs.get("invocation_params") or {})

    def _begin(
        self,
        serialized: Any,
        prompt: Sequence[str],
        run_id: UUID,
        metadata: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> None:
        if under_way() not in (None, self._collector):  # inherited: another question's call, which reports it
            return
        facts: ModelFacts = metadata.get(METADATA) or ModelFacts()
        if facts.stands_for_others:
            return
        local = "extractive" in (params.get("_type"), metadata.get("ls_model_type"))
        model = None if local else model_of(metadata, params, serialized)
        tokens = None
        if self._collector.has_limits and model is not None:
            tokens = _input_tokens(prompt, params, facts.base or model)
        longest = params.get("max_tokens") or metadata.get("ls_max_tokens") or MOST_OUTPUT_TOKENS
        call = self._collector.begin(
            model, purpose(), input_tokens=tokens or 0, output_tokens=int(longest), base=facts.base,
            cache_ttl=facts.cache_ttl,
        )  # fmt: skip
        with self._lock:
            self._runs[run_id] = _Run(call, model, tokens, prompt)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Keep the text, for the estimate of a call that ends early."""
        run = self._runs.get(run_id)
        if run is not None and isinstance(token, str):
            run.text.append(token)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Record what the call used."""
        run = self._ended(run_id)
        if run is None:
            return
        message = message_of(response)
        usage = usage_of(message) if message is not None else _text_usage(response)
        answered = answered_by(message)
        if run.model is None:  # on this machine
            run.call.end(_free(usage or Usage()), model="extractive")
            return
        # A reply that does not tell its tokens was not free; what it cost is not known.
        run.call.end(usage or Usage(), model=answered if answered != run.model else None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record what a call used that failed or was left: nothing, unless its reply had begun."""
        run = self._ended(run_id)
        if run is None:
            return
        response = kwargs.get("response")
        message = message_of(response) if isinstance(response, LLMResult) else None
        usage = usage_of(message)
        began = message is not None or bool(run.text)
        if run.model is None or not began:
            run.call.end(None)
            return
        if usage is None or not usage.input_tokens:
            read = run.input_tokens
            if read is None:
                read = _input_tokens(run.prompt, {}, run.model)
            text = "".join(run.text) or (str(message.text) if message is not None else "")
            usage = Usage(read, sum(estimate_all([text], run.model)) if text else 0)
        run.call.end(usage)

    def _ended(self, run_id: UUID) -> _Run | None:
        with self._lock:
            return self._runs.pop(run_id, None)


def usage_of(message: Any) -> Usage | None:
    """Return the tokens that a reply's metadata tell; None where they tell none.

    LangChain's ``input_tokens`` include what was read from and written to the cache; ours do not.
    """
    counted: Mapping[str, Any] | None = getattr(message, "usage_metadata", None)
    if not counted:
        return None
    detail = counted.get("input_token_details") or {}
    read = int(detail.get("cache_read") or 0)
    for_an_hour = int(detail.get("ephemeral_1h_input_tokens") or 0)
    # Where LangChain says how long they are kept, its cache_creation is 0.
    kept = int(detail.get("ephemeral_5m_input_tokens") or 0) + for_an_hour
    written = max(int(detail.get("cache_creation") or 0), kept)
    return Usage(
        max(int(counted.get("input_tokens", 0)) - read - written, 0), int(counted.get("output_tokens", 0)),
        read, written, cache_write_1h_input_tokens=for_an_hour,
    )  # fmt: skip


#: What text models call their tokens, in and out: OpenAI's interface, Bedrock's and Anthropic's, Ollama's.
_NAMES = (
    ("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"),
    ("prompt_eval_count", "eval_count"),
)  # fmt: skip


def _text_usage(response: LLMResult) -> Usage | None:
    """Return the tokens that a text model's reply tells, as a whole or in its generation."""
    whole = response.llm_output or {}
    generations = response.generations[0] if response.generations else []
    info = (generations[0].generation_info if generations else None) or {}
    places = [whole.get("token_usage"), whole.get("usage"), info.get("usage_metadata"), info.get("usage")]
    for told in (place for place in (*places, info) if isinstance(place, Mapping)):
        for read, written in _NAMES:
            if told.get(read) or told.get(written):
                return Usage(int(told.get(read) or 0), int(told.get(written) or 0))
    return None


def _free(usage: Usage) -> Usage:
    return Usage(usage.input_tokens, usage.output_tokens, cost_usd=0.0)


def message_of(response: LLMResult) -> Any:
    """Return a result's message; None of a text model."""
    first = response.generations[0] if response.generations else []
    return getattr(first[0], "message", None) if first else None


def answered_by(message: Any) -> str | None:
    """Return the model that a reply names as its own."""
    metadata = getattr(message, "response_metadata", None) or {}
    name = metadata.get("model_id")
    return name if isinstance(name, str) and name else None


def model_of(metadata: Mapping[str, Any], params: Mapping[str, Any], serialized: Any) -> str:
    """Return a model's id; the name of its class where it has none, so that its price can be given."""
    for name in (
        metadata.get("ls_model_name"),
        *(params.get(key) for key in ("model_id", "model", "model_name")),
    ):
        if isinstance(name, str) and name:
            return name
    kind = (serialized or {}).get("name") or ((serialized or {}).get("id") or ["a model"])[-1]
    return str(kind)


def _input_tokens(prompt: Sequence[str], params: Mapping[str, Any], model: str) -> int:
    texts = list(prompt)
    for key in ("tools", "system", "output_config"):
        if params.get(key):
            texts.append(json.dumps(params[key], default=str))
    return sum(estimate_all(texts, model)) if texts else 0


def _listen(collector: Collector) -> None:
    _LISTENER.set(ModelCalls(collector))


class _Quiet(logging.Filter):
    """LangChain logs what a handler raises; a refusal of the budget is raised to the user anyway."""

    def filter(self, record: logging.LogRecord) -> bool:
        return f"{ModelCalls.__name__}." not in record.getMessage()


register_configure_hook(_LISTENER, inheritable=True)
logging.getLogger("langchain_core.callbacks.manager").addFilter(_Quiet())
LISTENERS.append(_listen)
