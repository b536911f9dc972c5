"""Claude on Amazon Bedrock: LangChain's ChatBedrockConverse, with what production asks of it.

A request goes through three steps: the prompt cache's points, the guardrail and what the request is
tagged with; then the call itself, with this library's retries around it (botocore's are off).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from langchain_aws import ChatBedrockConverse
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, ValidationError, model_validator

from rag.bedrock import models
from rag.bedrock.chat import guardrails
from rag.bedrock.runtime import event_stream
from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import ConfigError, GenerationError, near_miss
from rag.usage.model_calls import METADATA, ModelFacts
from rag.usage.tokens import estimate_tokens

#: A current, mid-priced model through the profile that every region can call.
MODEL = "global.anthropic.claude-sonnet-5-5"
#: What a value of Converse's requestMetadata may hold, how much, and how many there may be (botocore
#: 1.44.5's service model, whose white space is ASCII's).
_NOT_IN_METADATA, _METADATA_CHARS = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,.-]", re.ASCII), 256
_METADATA_ENTRIES = 16


class ClaudeBedrock(ChatBedrockConverse):
    """A chat model on Bedrock's Converse API.

    Besides the arguments below it takes every field of LangChain's ChatBedrockConverse; a name that
    neither has is refused (there it would only warn, and be sent on as a field of the model's).

    Parameters
    ----------
    model : str
        A model id, an inference profile, or an ARN; for an ARN that does not name its model, give
        `base_model`, too, so that its price and abilities are known.
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    max_tokens : int
        Most tokens of the reply; a reply that is cut there says so in `Answer.stop_reason`.
    temperature : float, optional
        In [0, 1]; by default the model's own.
    prompt_cache : {"5m", "1h"}, optional
        Put cache points behind the tools, the system prompt and the earlier messages, which are the
        same from question to question, and keep them so long. A reply's notes say where they cannot
        take effect. A request with cache points of your own gets no others.
    cache_minimum : int, optional
        Tokens that a prefix must have to be cached; by default as `rag.bedrock.models` has it.
    guardrail : str or mapping, optional
        ``"identifier:version"``; see `rag.bedrock.chat.guardrails`.
    citations : {"native", "text"}, optional
        Whether the documents are sent as search results, which the model cites by itself; by default
        where it can, and no guardrail is to check the answer against them.
    retry : Retry, optional
        How often and how long a failed call is tried again; ChatBedrockConverse's `max_retries` sets
        its attempts. With a `config` of yours that sets botocore's retries, those are used alone.
    timeout_s : float
        Seconds to wait for the next bytes of a reply; ChatBedrockConverse's `timeout` is the same.
    connections : int
        Connections that are kept open; as many as there are questions at a time.

    Raises
    ------
    ConfigError
        An argument is not known, or two exclude each other.
    GenerationError
        There is no region, profile or endpoint as given, or an application inference profile does not
        tell its model.

    Notes
    -----
    A request with search results is streamed inside `invoke`, too: ChatBedrockConverse drops the
    citations of a reply that is one block unless it is streamed. A deep copy shares the clients; it
    cannot be pickled, as they cannot.

    Examples
    --------
    >>> claude = rag.ClaudeBedrock("global.anthropic.claude-haiku-5-5")         # doctest: +SKIP
    >>> rag.Pipeline("indexes/handbook", generator=claude).ask("…")             # doctest: +SKIP
    """

    model_id: str = Field(default=MODEL, alias="model")
    max_tokens: int | None = 2048
    prompt_cache: Literal["5m", "1h"] | None = None
    cache_minimum: int | None = Field(default=None, ge=0)
    guardrail: str | Mapping[str, Any] | None = None
    citations: Literal["native", "text"] | None = None
    retry: Retry = Field(default_factory=Retry)
    timeout_s: float = Field(default=120.0, gt=0)
    connections: int = Field(default=64, ge=1)

    def __init__(self, model: str | None = None, /, **given: Any) -> None:
        if model is not None:
            given["model"] = model
        try:
            super().__init__(**given)
        except (BotoCoreError, ClientError) as error:
            # An application inference profile is asked for its model.
            more = "; with base_model given it is not asked for"
            raise GenerationError(explain(error, str(given.get("model", MODEL))) + more) from error
        except ValidationError as error:
            # No region, or no such profile: langchain_aws turns botocore's word into a ValueError.
            value = error.errors()[0].get("ctx", {}).get("error")
            cause = getattr(value, "__cause__", None)
            if cause is None:
                raise
            raise GenerationError(explain(cause, str(given.get("model", MODEL)))) from error
        event_stream.put_together(self.client)

    @classmethod
    def argument_names(cls) -> set[str]:
        """Return the names of all arguments."""
        aliases = {field.alias for field in cls.model_fields.values() if field.alias}
        return {*cls.model_fields, *aliases, "region"}

    @model_validator(mode="before")
    @classmethod
    def _own_arguments(cls, values: Any) -> Any:
        """Refuse names that there are not; fill in what ChatBedrockConverse would do otherwise."""
        known = cls.argument_names()
        for name in values:
            if name not in known:
                near = near_miss(name, known)
                raise ConfigError(f"the generator 'claude' has no argument {name!r}: {near}")
        values = {"model": MODEL, **values} if "model_id" not in values else dict(values)
        if "region" in values:
            values["region_name"] = values.pop("region")
        model = values.get("model") or values.get("model_id")
        if not isinstance(model, str) or not model:
            raise ConfigError(f"the generator's model is the id of a model, not {model!r}")
        if model.startswith("arn:"):
            values.setdefault("provider", "anthropic")
        if values.get("provider") == "anthropic" or "anthropic." in model:
            # All of Claude streams; ChatBedrockConverse knows it only of those on its list.
            values.setdefault("disable_streaming", False)
        if values.get("guardrail") is not None:
            values["guardrail_config"] = guardrails.guardrail_config(values["guardrail"])
        values["retry"] = _retry_of(values)
        if values.get("timeout") is not None:
            values.setdefault("timeout_s", values["timeout"])
        values["config"] = _config_of(values)
        # With either of these ChatBedrockConverse would give botocore its retries back.
        values |= {"max_retries": None, "timeout": None}
        for name in ("request_metadata", "base_model_id", "base_model"):
            if not values.get(name):  # may be left out, but not be empty
                values.pop(name, None)
        if "application-inference-profile" not in model or {"base_model_id", "base_model"} & set(values):
            # ChatBedrockConverse would make a second client, only to ask what model such a profile has.
            values.setdefault("bedrock_client", False)
        return values

    @property
    def traits(self) -> models.Model | None:
        """What is known of the model: its price and abilities."""
        return models.find(self.model_id, self.base_model_id)

    @property
    def context_form(self) -> str:
        """In which of `rag.generation.prompt`'s forms the documents should come."""
        if self.guardrail_config is not None and self.citations != "native":
            return "guarded"
        able = self.traits is not None and self.traits.citations
        return "search_results" if self.citations == "native" or (able and self.citations is None) else "text"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params: dict[str, Any] = {**super()._get_ls_params(stop=stop, **kwargs)}
        params["ls_model_name"] = str(kwargs.get("model") or self.model_id)
        params[METADATA] = ModelFacts(base=self.base_model_id, cache_ttl=self.prompt_cache)
        return cast(LangSmithParams, params)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, method: Any = "auto", repairs: int = 2, **more: Any
    ) -> Runnable[Any, Any]:
        """Return a runnable that gives a validated object; see `rag.bedrock.chat.structured`.

        With a `method` of ChatBedrockConverse's it does what that does.
        """
        if method != "auto" or more:
            method = "function_calling" if method == "auto" else method
            return super().with_structured_output(schema, include_raw=include_raw, method=method, **more)
        from rag.bedrock.chat.structured import structured

        return structured(self, schema, repairs=repairs, include_raw=include_raw)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> ClaudeBedrock:
        """Return a copy with the same clients, which hold locks and connections."""
        return self.model_copy()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.disable_streaming is not True and any(map(_cites, messages)):
            return generate_from_stream(self._stream(messages, stop, **kwargs))
        sent, asked, notes = self._request(messages, kwargs)
        if self.guardrail_config is not None and "guardrail_config" not in asked:
            asked["guardrail_config"] = guardrails.not_streamed(self.guardrail_config)
        call = super()._generate
        result = self.retry.call(
            lambda: call(list(sent), stop=stop, run_manager=run_manager, **asked), model=self.model_id
        )
        message = result.generations[0].message
        if notes:
            message.response_metadata["notes"] = notes
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        sent, asked, notes = self._request(messages, kwargs)
        if self.guardrail_config is not None and "guardrail_config" not in asked:
            # "sync" holds text back until it has been checked: none is shown that is blocked later.
            asked["guardrail_config"] = {"streamProcessingMode": "sync", **self.guardrail_config}
        call = super()._stream
        yield from self.retry.stream(
            lambda: call(list(sent), stop=stop, run_manager=run_manager, **asked),
            model=self.model_id, shown=_shows,
        )  # fmt: skip
        if notes:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"notes": notes}))

    def _request(
        self, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any], list[str]]:
        """Return what is sent: messages and options, with cache points and metadata; and notes."""
        sent, asked = [_in_wire_form(message) for message in messages], dict(kwargs)
        notes: list[str] = []
        given = asked.get("request_metadata") or self.request_metadata or {}
        # The user's own come first: there may be no room for both.
        metadata = dict([*given.items(), *_metadata(messages, given)][: max(_METADATA_ENTRIES, len(given))])
        if metadata or "request_metadata" in asked:
            asked["request_metadata"] = metadata or None
        if self.prompt_cache is not None and not self._has_cache_points(sent, asked):
            sent, tools, notes = self._cache_points(sent, asked.get("tools") or [])
            if tools:
                asked["tools"] = tools
        return sent, asked, notes

    def _cache_points(
        self, messages: list[BaseMessage], tools: Sequence[Any]
    ) -> tuple[list[BaseMessage], list[Any], list[str]]:
        """Put a cache point behind each part that stays: tools, system prompt, earlier messages.

        They are in this order in the model's prompt; each counts with all before it. A part that
        does not reach the model's minimum gets none: the request would carry it in vain.
        """
        least = self.cache_minimum
        if least is None:
            least = self.traits.cache_minimum if self.traits is not None else 1024
        if least is None:
            return messages, list(tools), [f"{self.model_id} has no prompt cache: leave prompt_cache out"]
        point = {"cachePoint": {"type": "default", **({"ttl": "1h"} if self.prompt_cache == "1h" else {})}}
        out, size, points = list(tools), sum(self._tokens(_plain(tool)) for tool in tools), 0
        if tools and size >= least:
            out, points = [*out, point], points + 1
        parts = list(messages)
        system = [n for n, message in enumerate(parts) if isinstance(message, SystemMessage)][-1:]
        first = system[0] + 1 if system else 0
        earlier = [n for n in range(first, len(parts) - 1) if _ends_in_content(parts[n])][-1:]
        size, before = size + sum(self._tokens(_plain(block)) for block in self.system or ()), 0
        for last in (*system, *earlier):
            size += sum(self._tokens(_plain(message.content)) for message in parts[before : last + 1])
            before = last + 1
            if size >= least:
                content = parts[last].content
                blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
                parts[last] = parts[last].model_copy(update={"content": [*blocks, point]})
                points += 1
        if points:
            return parts, out, []
        note = f"what stays the same has about {size} tokens, {self.model_id} takes {least} or more"
        return parts, out, [f"the prompt cache has no effect: {note}"]

    def _has_cache_points(self, messages: Sequence[BaseMessage], asked: Mapping[str, Any]) -> bool:
        """Tell whether the user placed cache points: there may be four, and long ones come first."""
        contents = [message.content for message in messages if not isinstance(message.content, str)]
        blocks = [*(self.system or ()), *(asked.get("tools") or ()), *itertools.chain(*contents)]
        placed = any(isinstance(block, Mapping) and "cachePoint" in block for block in blocks)
        return placed or bool(asked.get("cache_control"))

    def _tokens(self, text: str) -> int:
        return estimate_tokens(text, self.base_model_id or self.model_id)


def _in_wire_form(message: BaseMessage) -> BaseMessage:
    """Return a message whose search results are as Converse has them already.

    ChatBedrockConverse would do the same, but reads the type hints of 30 classes again for each block:
    a third of a question's time on the processor.
    """
    content = message.content
    if isinstance(content, str) or not any(
        isinstance(block, dict) and block.get("type") == "search_result" for block in content
    ):
        return message
    return message.model_copy(update={"content": [_block(block) for block in content]})


def _block(block: Any) -> Any:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "text" and set(block) == {"type", "text"}:
        return {"text": block["text"]}
    if kind != "search_result":
        return block
    known = {name: block[name] for name in ("source", "title", "citations") if name in block}
    return {"searchResult": {**known, "content": [{"text": item["text"]} for item in block["content"]]}}


def _metadata(messages: Sequence[BaseMessage], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the prompt's name and version, which `rag.generation.prompt` leaves in the system message."""
    named = messages[0].additional_kwargs if messages else {}
    for name in ("prompt", "version"):
        if named.get(name) and name not in given:
            yield name, _NOT_IN_METADATA.sub("_", str(named[name]))[:_METADATA_CHARS]


def _retry_of(values: Mapping[str, Any]) -> Any:
    """Return when calls are tried again; told by one of three alone, or tries would multiply."""
    own, most = values.get("retry"), values.get("max_retries")
    retries = getattr(values.get("config"), "retries", None)
    off = retries and (retries.get("total_max_attempts") == 1 or retries.get("max_attempts") == 0)
    if sum((own is not None, most is not None, bool(retries and not (off and own)))) > 1:
        raise ConfigError("calls are tried again by retry, max_retries or the config's retries: give one")
    if most is not None:
        if isinstance(most, bool) or not isinstance(most, int):
            raise ConfigError(f"max_retries is a whole number, not {most!r}")
        return Retry(attempts=most + 1)
    if own is not None:
        return own
    return Retry(attempts=1) if retries else Retry()


def _config_of(values: Mapping[str, Any]) -> Config:
    """Return botocore's configuration, whose retries are off unless the user's own has some."""
    wait, retry = values.get("timeout_s", 120.0), values["retry"]
    patience = retry.deadline_s if isinstance(retry, Retry) else Retry.deadline_s
    if isinstance(wait, int | float):  # else it is refused when the fields are checked
        wait = min(wait, patience or wait)
    own = Config(
        max_pool_connections=values.get("connections", 64), read_timeout=wait, connect_timeout=10,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )  # fmt: skip
    given = values.get("config")
    return own if given is None else own.merge(given)


def _cites(message: BaseMessage) -> bool:
    """Tell whether a message holds search results, which the reply may cite."""
    return not isinstance(message.content, str) and any(
        isinstance(block, Mapping) and (block.get("type") == "search_result" or "searchResult" in block)
        for block in message.content
    )


def _ends_in_content(message: BaseMessage) -> bool:
    """Tell whether a cache point at the end of a message's content is at the end of the message."""
    calls = getattr(message, "tool_calls", None)
    return not calls or any(isinstance(block, Mapping) for block in message.content)


def _plain(value: Any) -> str:
    """Return what a message or tool holds, as text whose tokens can be estimated."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)


def _shows(chunk: ChatGenerationChunk) -> bool:
    """Tell whether a part of a reply holds something that the user may have seen."""
    message: Any = chunk.message
    return bool(chunk.text or getattr(message, "tool_call_chunks", None)) or any(
        isinstance(block, dict) and block.get("citations") for block in message.content
    )
