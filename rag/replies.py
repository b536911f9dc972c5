"""What a generator's replies say of themselves: which model, what it cost, why it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.records import Usage


def describe(generator: Any) -> str:
    """Return what the user is told about a generator."""
    own = getattr(generator, "description", None)
    if isinstance(own, str):
        return own
    return f"{type(generator).__name__} {model_of(generator) or ''}".strip()


def model_of(generator: Any) -> str | None:
    """Return the model's id, under whichever name a chat model keeps it; None if it keeps none."""
    found = (getattr(generator, name, None) for name in ("model_id", "model", "model_name"))
    return next((value for value in found if isinstance(value, str) and value), None)


def usage(generator: Any, message: Any) -> Usage:
    """Return the tokens of a reply, and their price where the model's is known."""
    said = getattr(message, "usage_metadata", None) or {}
    detail = said.get("input_token_details") or {}
    read = int(detail.get("cache_read") or 0)
    written = int(detail.get("cache_creation") or 0)
    counted = Usage(
        # LangChain's input_tokens include what was read from and written to the cache.
        max(int(said.get("input_tokens", 0)) - read - written, 0),
        int(said.get("output_tokens", 0)), read, written,
    )  # fmt: skip
    return Usage(counted.input_tokens, counted.output_tokens, read, written, _price(generator, counted))


def _price(generator: Any, counted: Usage) -> float | None:
    if getattr(generator, "_llm_type", "") == "extractive":
        return 0.0
    model = getattr(generator, "model_id", None)
    if not isinstance(model, str):
        return None
    from rag.bedrock.prices import cost_usd

    return cost_usd(model, counted)


def explain(error: Exception, generator: Any) -> str:
    """Return one line about a generator's failure, and what to do."""
    model = describe(generator)
    if type(error).__module__.startswith("botocore"):
        from rag.bedrock.clients import explain as explain_aws

        return explain_aws(error, model)
    return f"{model}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def learn(counter: Any, texts: Sequence[str], usage: Usage) -> None:
    """Tell a token counter what a reply's usage says of the texts that were sent."""
    observe, estimate = getattr(counter, "observe", None), getattr(counter, "estimate", None)
    actual = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
    known = getattr(counter, "model", "") is not None  # the local answerer's usage is an estimate itself
    if callable(observe) and callable(estimate) and actual and known:
        observe(sum(map(estimate, texts)), actual)
