"""The smallest calls that show whether the caller may do what a pipeline needs, each with its price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rag.bedrock.control.permissions import Place, Use, needed, resources
from rag.bedrock.runtime.client import client
from rag.core.calls import Usage

#: The most that a text unit costs with a guardrail that has every policy: the sum of the prices of
#: ``bedrock/guardrails`` in litellm 1.110.2's table (November 2026): topics and content 0.15 each, personal
#: data and grounding 0.10 each, reasoning 0.17, in US dollars per 1,000 units.
GUARDRAIL_UNIT_USD = 0.67 / 1000
#: Tokens of the smallest prompt: one word, and a message's frame, counted high.
_PROMPT_TOKENS = 20
_HELLO = [{"role": "user", "content": [{"text": "Hi"}]}]


class Prices(Protocol):
    """What calls cost at most (`rag.usage.prices.PriceTable`)."""

    def estimate_usd(
        self, model: str, input_tokens: int, output_tokens: int = 0, base: str | None = None
    ) -> float | None:
        """Return the most that a call can cost, by its tokens."""

    def rerank_usd(self, model: str, documents: int, base: str | None = None) -> float | None:
        """Return what ranking some documents costs."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One call.

    Attributes
    ----------
    use : Use
    operation : str
        As AWS names it.
    resource : str
        What the permission must allow.
    usd : float or None
        The most that it costs; None where no price is known, so that it must not be made.
    call : callable
        Makes the call once; returns its tokens, or None where it has none. It raises botocore's errors.
    """

    use: Use
    operation: str
    resource: str
    usd: float | None
    call: Callable[[], Usage | None]


def probes(uses: Iterable[Use], prices: Prices, at: Callable[[Use], Place]) -> list[Probe]:
    """Return the calls that show whether uses are allowed; Retrieve has no known price, and is left out.

    Parameters
    ----------
    uses : iterable of Use
    prices : Prices
    at : callable
        Returns where a use is called.
    """
    calls = (probe for use in uses for probe in _of(use, prices, at(use)))
    return list({(probe.use.stage, probe.use.name, probe.operation): probe for probe in calls}.values())


def _of(use: Use, prices: Prices, place: Place) -> Iterator[Probe]:
    arn = next((each.resource for each in needed(use, place)), "*")
    if use.kind == "chat":
        usd = prices.estimate_usd(use.name, _PROMPT_TOKENS, 1, use.base)
        yield Probe(use, "Converse", arn, usd, lambda: _converse(use))
        yield Probe(use, "ConverseStream", arn, usd, lambda: _stream(use))
    elif use.kind == "embed":
        usd = prices.estimate_usd(use.name, _PROMPT_TOKENS, 0, use.base)
        yield Probe(use, "InvokeModel", arn, usd, lambda: _embed(use))
    elif use.kind == "rerank":
        yield Probe(use, "Rerank", "*", prices.rerank_usd(use.name, 1, use.base), lambda: _rerank(use, place))
    elif use.kind == "guardrail":
        yield Probe(use, "ApplyGuardrail", arn, GUARDRAIL_UNIT_USD, lambda: _guard(use))
    elif use.kind == "batch":
        yield Probe(use, "ListModelInvocationJobs", "*", 0.0, lambda: _jobs(use))


def _converse(use: Use) -> Usage:
    reply = _runtime(use).converse(modelId=use.name, messages=_HELLO, inferenceConfig={"maxTokens": 1})
    return usage_of(reply["usage"])


def _stream(use: Use) -> Usage:
    reply = _runtime(use).converse_stream(modelId=use.name, messages=_HELLO, inferenceConfig={"maxTokens": 1})
    last = [event["metadata"]["usage"] for event in reply["stream"] if "metadata" in event]
    return usage_of(last[-1]) if last else Usage(_PROMPT_TOKENS, 1)


def _embed(use: Use) -> Usage:
    reply = _runtime(use).invoke_model(
        modelId=use.name, body=use.body, accept="application/json", contentType="application/json"
    )
    reply["body"].read()
    count = reply["ResponseMetadata"]["HTTPHeaders"].get("x-amzn-bedrock-input-token-count")
    return Usage(int(count) if count else _PROMPT_TOKENS)


def _rerank(use: Use, place: Place) -> None:
    arn = use.name if use.name.startswith("arn:") else resources(use.name, use.base, place)[0]
    source = {"type": "TEXT", "textDocument": {"text": "a"}}
    client("bedrock-agent-runtime", region=use.region, timeout_s=30.0).rerank(
        queries=[{"type": "TEXT", "textQuery": {"text": "a"}}],
        sources=[{"type": "INLINE", "inlineDocumentSource": source}],
        rerankingConfiguration={
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": arn}, "numberOfResults": 1},
        },
    )


def _guard(use: Use) -> None:
    identifier, _, version = use.name.rpartition(":")
    _runtime(use).apply_guardrail(
        guardrailIdentifier=identifier, guardrailVersion=version, source="INPUT",
        content=[{"text": {"text": "a"}}],
    )  # fmt: skip


def _jobs(use: Use) -> None:
    client("bedrock", region=use.region, timeout_s=20.0).list_model_invocation_jobs(maxResults=1)


def _runtime(use: Use) -> Any:
    return client("bedrock-runtime", region=use.region, timeout_s=60.0)


def usage_of(counted: Mapping[str, Any]) -> Usage:
    """Return the tokens of a reply of Converse.

    Examples
    --------
    >>> usage_of({"inputTokens": 8, "outputTokens": 1, "cacheReadInputTokens": 1024}).cache_read_input_tokens
    1024
    """
    for_an_hour = sum(row["inputTokens"] for row in counted.get("cacheDetails", ()) if row.get("ttl") == "1h")
    return Usage(
        counted.get("inputTokens", 0), counted.get("outputTokens", 0),
        counted.get("cacheReadInputTokens", 0), counted.get("cacheWriteInputTokens", 0),
        cache_write_1h_input_tokens=for_an_hour,
    )  # fmt: skip
