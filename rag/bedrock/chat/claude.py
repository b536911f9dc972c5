"""Claude on Amazon Bedrock: LangChain's ChatBedrockConverse, with cache points, guardrails and retries.

Each request gets its cache points, guardrail and metadata before the call; this library retries the
call, and botocore's retries are off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from langchain_aws import ChatBedrockConverse
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, ValidationError, model_validator

from rag.bedrock import models
from rag.bedrock.chat import guardrails, prompt_cache, requests
from rag.bedrock.runtime import event_stream
from rag.bedrock.runtime.client import KEYS, explain, missing_keys, report_request_ids
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import ConfigError, GenerationError, near_miss
from rag.generation.structured.schemas import Target
from rag.usage.model_calls import METADATA, ModelFacts

#: A current, mid-priced model, by the profile that every region can call.
MODEL = "global.anthropic.claude-sonnet-5-5"


class ClaudeBedrock(ChatBedrockConverse):
    """A chat model on Bedrock's Converse API.

    Besides the arguments below it takes every field of LangChain's ChatBedrockConverse. An unknown name
    is refused; ChatBedrockConverse would only warn and send it to the model.

    Parameters
    ----------
    model : str
        A model id, an inference profile, or an ARN. For an ARN that does not name its model, also set
        `base_model`, which determines price and abilities.
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    max_tokens : int
        Most tokens of the reply; `Answer.stop_reason` shows whether the reply was cut there.
    temperature : float, optional
        In [0, 1]; by default the model's.
    prompt_cache : {"5m", "1h"}, optional
        How long to cache the parts that stay the same: cache points follow the tools, the system prompt
        and the earlier messages. The reply's notes say if caching cannot take effect. A request that
        already has cache points gets no others.
    cache_minimum : int, optional
        Fewest tokens of a cached prefix; by default as in `rag.bedrock.models`.
    guardrail : str or mapping, optional
        ``"identifier:version"``; see `rag.bedrock.chat.guardrails`.
    citations : {"native", "text"}, optional
        Whether to send the documents as search results, which the model cites natively, or as text. By
        default native if the model supports it and no guardrail is set.
    retry : Retry, optional
        How often and how long to retry; ChatBedrockConverse's `max_retries` sets its attempts. A `config`
        with botocore's retries replaces both.
    timeout_s : float
        Most seconds between two reads of a reply; the same as ChatBedrockConverse's `timeout`.
    connections : int
        Size of the connection pool: the number of concurrent questions.

    Raises
    ------
    ConfigError
        An argument is unknown, or two exclude each other.
    GenerationError
        The region, profile or endpoint does not exist, or the model of an application inference profile
        cannot be looked up.

    Notes
    -----
    A request with search results is streamed even by `invoke`: ChatBedrockConverse loses the citations
    of a reply of one block that is not streamed. A deep copy shares the clients. The model cannot be
    pickled, because the clients cannot.

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

    def __init__(self, model: str | None = None, /, **arguments: Any) -> None:
        if model is not None:
            arguments["model"] = model
        try:
            super().__init__(**arguments)
        except (BotoCoreError, ClientError) as error:
            # ChatBedrockConverse looked up the model of an application inference profile.
            more = "; set base_model to skip this look-up"
            raise GenerationError(explain(error, str(arguments.get("model", MODEL))) + more) from error
        except ValidationError as error:
            # langchain_aws wraps botocore's error about a region or profile in a ValueError.
            value = error.errors()[0].get("ctx", {}).get("error")
            cause = value.__cause__ if isinstance(value, BaseException) else None
            if cause is None:
                raise
            raise GenerationError(explain(cause, str(arguments.get("model", MODEL)))) from error
        event_stream.join_text_events(self.client)
        report_request_ids(self.client)

    @classmethod
    def argument_names(cls) -> set[str]:
        """Return the names of all arguments."""
        aliases = {field.alias for field in cls.model_fields.values() if field.alias}
        return {*cls.model_fields, *aliases, "region"}

    @model_validator(mode="before")
    @classmethod
    def _check_arguments(cls, values: Any) -> Any:
        """Refuse unknown names, and replace defaults of ChatBedrockConverse."""
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
            # Every Claude model streams; ChatBedrockConverse assumes it only of those on its list.
            values.setdefault("disable_streaming", False)
        if incomplete := _missing_keys(values):
            raise GenerationError(f"{model}: AWS credentials are incomplete: {incomplete}")
        if values.get("guardrail") is not None:
            values["guardrail_config"] = guardrails.guardrail_config(values["guardrail"])
        values["retry"] = _retry_of(values)
        if values.get("timeout") is not None:
            values.setdefault("timeout_s", values["timeout"])
        values["config"] = _config_of(values)
        # Either of these would make ChatBedrockConverse enable botocore's retries.
        values |= {"max_retries": None, "timeout": None}
        for name in ("request_metadata", "base_model_id", "base_model"):
            if not values.get(name):  # may be missing, but not empty
                values.pop(name, None)
        if "application-inference-profile" not in model or {"base_model_id", "base_model"} & set(values):
            # ChatBedrockConverse would create a second client, used only to look up such a profile.
            values.setdefault("bedrock_client", False)
        return values

    @property
    def abilities(self) -> models.Model | None:
        """The model's abilities; None if it is not in `rag.bedrock.models`."""
        return models.find(self.model_id, self.base_model_id)

    @property
    def context_form(self) -> str:
        """The form of the documents, of those in `rag.generation.prompt`."""
        if self.guardrail_config is not None and self.citations != "native":
            return "guarded"
        cites = self.abilities is not None and self.abilities.citations
        return (
            "search_results" if self.citations == "native" or (cites and self.citations is None) else "text"
        )

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params: dict[str, Any] = {**super()._get_ls_params(stop=stop, **kwargs)}
        params["ls_model_name"] = str(kwargs.get("model") or self.model_id)
        params[METADATA] = ModelFacts(base=self.base_model_id, cache_ttl=self.prompt_cache)
        return cast(LangSmithParams, params)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, method: Any = "auto", repairs: int = 2, **more: Any
    ) -> Runnable[Any, Any]:
        """Return a runnable that returns a validated object; see `rag.bedrock.chat.structured`.

        A `method` of ChatBedrockConverse selects ChatBedrockConverse's implementation.
        """
        if method != "auto" or more:
            method = "function_calling" if method == "auto" else method
            return super().with_structured_output(schema, include_raw=include_raw, method=method, **more)
        from rag.bedrock.chat.structured import structured

        return structured(self, schema, repairs=repairs, include_raw=include_raw)

    def bind_schema(self, target: Target) -> Runnable[Any, Any] | None:
        """Return the model held to a schema by ``outputConfig``; None if it does not take that schema."""
        from rag.bedrock.chat.structured import with_schema

        return with_schema(self, target)

    def batch_record(self, messages: Sequence[BaseMessage], **options: Any) -> dict[str, Any]:
        """Return the request for some messages as a record of a batch job holds it.

        It is that of a call on demand, without cache points and what only such calls have.

        Raises
        ------
        ConfigError
            The guardrail's trace is disabled: no reply would show whether it was checked.
        """
        from rag.bedrock.chat.batch_records import record_of

        sent, options, _ = self.model_copy(update={"prompt_cache": None})._request(messages, options)
        guardrail = options.get("guardrail_config") or self.guardrail_config
        if guardrail is not None:
            options["guardrail_config"] = guardrails.not_streamed(guardrail)
            if guardrail.get("trace") == "disabled":
                raise ConfigError(
                    "in a batch only the guardrail's trace shows that a reply was checked: leave trace out "
                    "of the guardrail, or ask without a batch"
                )
        return record_of(self, sent, options)

    def batch_reply(self, output: Mapping[str, Any]) -> BaseMessage:
        """Return the reply in the output of a batch job's record, as `stream` would have given it.

        Raises
        ------
        GenerationError
            It is not the body of a Converse response.
        """
        from rag.bedrock.chat.batch_records import reply_of

        try:
            return reply_of(self, output)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise GenerationError(
                f"{self.model_id}: a batch job's output is no reply ({type(error).__name__}): ask on demand"
            ) from error

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> ClaudeBedrock:
        """Return a copy that shares the clients, whose locks and connections cannot be copied."""
        return self.model_copy()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.disable_streaming is not True and any(map(requests.has_search_results, messages)):
            return generate_from_stream(self._stream(messages, stop, **kwargs))
        sent, options, notes = self._request(messages, kwargs)
        if self.guardrail_config is not None and "guardrail_config" not in options:
            options["guardrail_config"] = guardrails.not_streamed(self.guardrail_config)
        call = super()._generate
        result = self.retry.call(
            lambda: call(list(sent), stop=stop, run_manager=run_manager, **options), model=self.model_id
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
        sent, options, notes = self._request(messages, kwargs)
        if self.guardrail_config is not None and "guardrail_config" not in options:
            # "sync" delays text until it is checked, so that blocked text is never shown.
            options["guardrail_config"] = {"streamProcessingMode": "sync", **self.guardrail_config}
        call = super()._stream
        yield from self.retry.stream(
            lambda: call(list(sent), stop=stop, run_manager=run_manager, **options),
            model=self.model_id, shown=requests.is_visible,
        )  # fmt: skip
        if notes:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"notes": notes}))

    def _request(
        self, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]
    ) -> tuple[list[BaseMessage], dict[str, Any], list[str]]:
        """Return the messages and options to send, with cache points and metadata; and notes."""
        sent, options = [requests.in_wire_form(message) for message in messages], dict(kwargs)
        metadata = requests.metadata(messages, options.get("request_metadata") or self.request_metadata or {})
        if metadata or "request_metadata" in options:
            options["request_metadata"] = metadata or None
        if self.prompt_cache is None:
            return sent, options, []
        prompt = prompt_cache.Prompt(sent, list(options.get("tools") or ()), list(self.system or ()))
        if prompt.has_points or options.get("cache_control"):
            return sent, options, []
        minimum = self.cache_minimum
        if minimum is None:
            minimum = self.abilities.cache_minimum if self.abilities is not None else prompt_cache.MINIMUM
        if minimum is None:
            return sent, options, [f"{self.model_id} has no prompt cache: omit prompt_cache"]
        cached, size = prompt.with_points(minimum, self.prompt_cache, self.base_model_id or self.model_id)
        if cached is None:
            short = f"the unchanging part has about {size} tokens, {self.model_id} needs at least {minimum}"
            return sent, options, [f"the prompt cache has no effect: {short}"]
        if cached.tools:
            options["tools"] = cached.tools
        return cached.messages, options, []


def _missing_keys(values: Mapping[str, Any]) -> str | None:
    """Return which access keys are missing; ChatBedrockConverse takes each from the environment by itself."""
    token = values.get("bedrock_api_key") or os.environ.get("AWS_BEARER_TOKEN_BEDROCK")
    if token or values.get("credentials_profile_name") or values.get("client") is not None:
        return None
    return missing_keys({name: values.get(name.lower()) or os.environ.get(name) for name in KEYS})


def _retry_of(values: Mapping[str, Any]) -> Any:
    """Return the retry policy.

    Accept only one of retry, max_retries and config.retries; combined, they would multiply attempts.
    """
    retry, most = values.get("retry"), values.get("max_retries")
    config = values.get("config")
    retries: Mapping[str, Any] | None = config.retries if isinstance(config, Config) else None
    off = retries and (retries.get("total_max_attempts") == 1 or retries.get("max_attempts") == 0)
    if sum((retry is not None, most is not None, bool(retries and not (off and retry)))) > 1:
        raise ConfigError("retry, max_retries and the config's retries would multiply attempts: set only one")
    if most is not None:
        if isinstance(most, bool) or not isinstance(most, int):
            raise ConfigError(f"max_retries is a whole number, not {most!r}")
        return Retry(attempts=most + 1)
    if retry is not None:
        return retry
    return Retry(attempts=1) if retries else Retry()


def _config_of(values: Mapping[str, Any]) -> Config:
    """Return botocore's configuration, without retries unless the user's configuration sets them."""
    wait, retry = values.get("timeout_s", 120.0), values["retry"]
    deadline_s = retry.deadline_s if isinstance(retry, Retry) else Retry.deadline_s
    if isinstance(wait, int | float):  # any other type is refused when the fields are validated
        wait = min(wait, deadline_s or wait)
    config = Config(
        max_pool_connections=values.get("connections", 64), read_timeout=wait, connect_timeout=10,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )  # fmt: skip
    override = values.get("config")
    return config if override is None else config.merge(override)
