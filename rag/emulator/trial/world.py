"""What the steps of a trial share: the models, clients, prices, and the limit of what they may cost."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rag.bedrock.control.probes import usage_of
from rag.bedrock.models import Model, find
from rag.bedrock.runtime.client import client
from rag.core.calls import Call, Usage
from rag.usage.ledger_settings import LedgerSettings, settings
from rag.usage.meter import Meter
from rag.usage.prices import CacheTtl, PriceTable
from rag.usage.tokens import estimate_all, estimate_tokens

#: How much higher than the estimate a prompt's tokens may be, and what tools or a schema add (Anthropic,
#: "Tool use", has up to 700 tokens of a system prompt of its own).
_MARGIN, _EXTRA_TOKENS = 1.5, 700
TITAN = "amazon.titan-embed-text-v2:0"


@dataclass
class World:
    """What a trial calls, and with what.

    Parameters
    ----------
    model, base : str
        The chat model, and the model behind it where its ARN does not name it.
    region : str
    reranker : str
        The ARN of a reranking model.
    guardrail : str
        ``"identifier:version"``; empty for none.
    s3, role_arn : str
        Of a batch job; empty for none.
    folder : Path
        For the index, the ledger and files; it is deleted afterwards.
    sample : Path
        The folder of the sample handbook.
    max_usd : float
        The most that the trial may cost: every call is refused that could pass it.
    prices : PriceTable
    build, pipeline : callable
        ``rag.build`` and ``rag.Pipeline``.
    storage : optional
        An S3 client with the user's credentials.
    """

    model: str
    region: str
    reranker: str
    folder: Path
    sample: Path
    max_usd: float
    prices: PriceTable
    build: Callable[..., Any]
    pipeline: Callable[..., Any]
    base: str | None = None
    guardrail: str = ""
    s3: str = ""
    role_arn: str = ""
    storage: Any = None
    #: Makes prompts of this trial unlike any that a cache may hold.
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def abilities(self) -> Model | None:
        """What is known of the chat model."""
        return find(self.model, self.base)

    @property
    def cache_minimum(self) -> int | None:
        """Tokens of the shortest prefix that is cached; None where the model caches none."""
        return self.abilities.cache_minimum if self.abilities is not None else 1024

    @property
    def ledger(self) -> LedgerSettings:
        """The trial's own ledger and limit, for every stage and call."""
        path = str(self.folder / "ledger.sqlite")
        return settings({"path": path, "stop_usd": self.max_usd, "per": "ever", "tag": "doctor"})

    @cached_property
    def meter(self) -> Meter:
        """The meter of calls that no stage makes."""
        return Meter.of(self.ledger, self.folder, self.prices)

    @cached_property
    def runtime(self) -> Any:
        """A client of bedrock-runtime."""
        return client("bedrock-runtime", region=self.region, timeout_s=120.0)

    @cached_property
    def agents(self) -> Any:
        """A client of bedrock-agent-runtime."""
        return client("bedrock-agent-runtime", region=self.region, timeout_s=60.0)

    @cached_property
    def control(self) -> Any:
        """A client of bedrock."""
        return client("bedrock", region=self.region, timeout_s=60.0)

    def most_tokens(self, request: Mapping[str, Any]) -> int:
        """Return the most tokens that a chat request's prompt can have."""
        texts = [
            json.dumps(request[name], default=repr) for name in ("messages", "system") if name in request
        ]
        more = [name for name in ("toolConfig", "outputConfig") if name in request]
        texts += [json.dumps(request[name]) for name in more]
        return int(_MARGIN * sum(estimate_all(texts, self.base or self.model))) + _EXTRA_TOKENS * bool(more)

    def chat_usd(self, request: Mapping[str, Any], cache_ttl: CacheTtl | None = None) -> float | None:
        """Return the most that a chat request can cost."""
        out = request["inferenceConfig"]["maxTokens"]
        return self.prices.estimate_usd(
            self.model, self.most_tokens(request), out, self.base, cache_ttl=cache_ttl
        )

    def chat(self, request: Mapping[str, Any], cache_ttl: CacheTtl | None = None) -> Mapping[str, Any]:
        """Make a call of Converse under the limit, and return its reply."""
        with self._reserved(request, cache_ttl) as held:
            reply: Mapping[str, Any] = self.runtime.converse(modelId=self.model, **request)
            held.settle(Call(self.model, "doctor", self._known(reply.get("usage"), request)))
        return reply

    def stream(self, request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Make a call of ConverseStream under the limit, and return its events."""
        with self._reserved(request, None) as held:
            reply = self.runtime.converse_stream(modelId=self.model, **request)
            events: list[Mapping[str, Any]] = list(reply["stream"])
            last = [event["metadata"].get("usage", {}) for event in events if "metadata" in event]
            held.settle(Call(self.model, "doctor", self._known(last[-1] if last else None, request)))
        return events

    def _known(self, counted: Mapping[str, Any] | None, request: Mapping[str, Any]) -> Usage:
        """Return the tokens that a reply tells; where it tells none, the most that there can be."""
        if counted:
            return usage_of(counted)
        return Usage(self.most_tokens(request), request["inferenceConfig"]["maxTokens"])

    def _reserved(self, request: Mapping[str, Any], cache_ttl: CacheTtl | None) -> Any:
        return self.meter.reserve(
            self.model, input_tokens=self.most_tokens(request), base=self.base, cache_ttl=cache_ttl,
            output_tokens=request["inferenceConfig"]["maxTokens"],
        )  # fmt: skip

    def embed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a call of Titan under the limit, and return its reply."""
        tokens = estimate_tokens(str(body["inputText"]))
        with self.meter.reserve(TITAN, input_tokens=tokens, purpose="embed") as held:
            reply = self.runtime.invoke_model(
                modelId=TITAN,
                body=json.dumps(body),
                accept="application/json",
                contentType="application/json",
            )
            read: Mapping[str, Any] = json.loads(reply["body"].read())
            held.settle(Call(TITAN, "doctor", Usage(int(read.get("inputTextTokenCount", tokens)))))
        return read

    def spent(self) -> float:
        """Return the dollars spent so far."""
        return self.meter.ledger.spent() if self.meter.ledger.path.exists() else 0.0

    def prefix(self, tokens: int) -> str:
        """Return a text of at least so many tokens, which no cache holds: sentences of the sample."""
        texts = [path.read_text(encoding="utf-8") for path in _files(self.sample)]
        found = f"Reference {self.nonce}."
        for text in texts:
            if estimate_tokens(found, self.base or self.model) >= tokens:
                break
            found += "\n\n" + text
        while estimate_tokens(found, self.base or self.model) > tokens * 1.2:
            found = found[: int(len(found) * 0.9)]
        return found


def _files(sample: Path) -> Sequence[Path]:
    return sorted(sample.rglob("*.md"))
