"""Abilities of Bedrock's models, and what a reply's tokens cost."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from rag.bedrock.models import MODELS, find
from rag.generation import reply as replies
from rag.usage.prices import BUILT_IN
from tests.conftest import ROOT

CONTEXTS = {
    "anthropic.claude-haiku-4-5-20251001-v1:0": 200_000,
    "anthropic.claude-haiku-5-5": 1_000_000,
    "anthropic.claude-sonnet-4-5-20250929-v1:0": 200_000,
    "anthropic.claude-sonnet-5": 1_000_000,
    "anthropic.claude-sonnet-5-5": 1_000_000,
    "anthropic.claude-opus-4-5-20251101-v1:0": 200_000,
    "anthropic.claude-opus-5": 1_000_000,
    "anthropic.claude-opus-5-5": 1_000_000,
    "anthropic.claude-3-haiku-20240307-v1:0": 200_000,
    "amazon.nova-micro-v1:0": 128_000,
    "amazon.nova-lite-v1:0": 300_000,
    "amazon.nova-pro-v1:0": 300_000,
    "amazon.titan-embed-text-v2:0": 8_192,
    "cohere.embed-v4:0": 128_000,
    "amazon.nova-2-multimodal-embeddings-v1:0": 8_172,
    "amazon.rerank-v1:0": 32_000,
    "cohere.rerank-v3-5:0": 4_096,
}
MILLION = 1_000_000


def test_the_contexts_of_all_models() -> None:
    assert {name: model.context_tokens for name, model in MODELS.items()} == CONTEXTS


def test_an_arn_that_names_a_model_or_profile_is_found_and_an_accounts_own_only_by_its_base() -> None:
    arn = "arn:aws:bedrock:eu-west-1"
    titan = find(f"{arn}::foundation-model/amazon.titan-embed-text-v2:0")
    assert titan is not None and titan.id == "amazon.titan-embed-text-v2:0"
    profile = find(f"{arn}:123456789012:inference-profile/eu.anthropic.claude-sonnet-5-5")
    assert profile is not None and profile.id == "anthropic.claude-sonnet-5-5"
    for own in ("application-inference-profile/abc123", "provisioned-model/x1", "inference-profile/none"):
        assert find(f"{arn}:123456789012:{own}") is None
        based = find(f"{arn}:123456789012:{own}", "us.anthropic.claude-opus-5")
        assert based is not None and based.id == "anthropic.claude-opus-5"
    for name in ("", "some.other-model", "xx.anthropic.claude-sonnet-5", "anthropic.claude-9", "gpt-9"):
        assert find(name) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_id_breaks_the_search(name: str, base: str) -> None:
    for each in (name, f"arn:{name}", f"us.{name}"):
        assert find(each, base) is None or find(each, base).id in MODELS  # type: ignore[union-attr]


def test_abilities_are_those_of_the_models_generation() -> None:
    minimum = {name: model.cache_minimum for name, model in MODELS.items() if model.citations}
    assert minimum == {
        "anthropic.claude-haiku-4-5-20251001-v1:0": 4096, "anthropic.claude-haiku-5-5": 512,
        "anthropic.claude-sonnet-4-5-20250929-v1:0": 1024, "anthropic.claude-sonnet-5": 1024,
        "anthropic.claude-sonnet-5-5": 512, "anthropic.claude-opus-4-5-20251101-v1:0": 4096,
        "anthropic.claude-opus-5": 512, "anthropic.claude-opus-5-5": 512,
    }  # fmt: skip
    old = MODELS["anthropic.claude-3-haiku-20240307-v1:0"]
    assert (old.citations, old.cache_minimum, old.structured) == (False, None, False)
    assert not any(model.structured for name, model in MODELS.items() if "claude" not in name)
    assert find("us.anthropic.claude-haiku-4-5-20251001-v1:0").structured  # type: ignore[union-attr]
    assert MODELS["amazon.titan-embed-text-v2:0"].cache_minimum is None


def test_every_model_that_rag_names_has_a_price() -> None:
    named = re.compile(r"([a-z-]+\.)?(anthropic|amazon|cohere)\.[a-z]+(-[a-z0-9]+)+(:\d+)?")
    found = {
        node.value
        for file in (ROOT / "rag").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and named.fullmatch(node.value)
    }
    assert {"amazon.titan-embed-text-v2:0", "global.anthropic.claude-sonnet-5-5"} <= found
    assert [name for name in sorted(found) if BUILT_IN.find(name) is None] == []


class Generator:
    """A chat model that says which model it is; nothing else of one is looked at."""

    def __init__(self, model_id: str, base_model_id: str | None = None) -> None:
        self.model_id, self.base_model_id = model_id, base_model_id


def reply(details: dict[str, int], **metadata: str) -> AIMessage:
    told = {
        "input_tokens": 10_000,
        "output_tokens": 100,
        "total_tokens": 10_100,
        "input_token_details": details,
    }
    return AIMessage("An answer.", usage_metadata=told, response_metadata=metadata)  # type: ignore[arg-type]


def test_tokens_that_are_cached_for_an_hour_are_paid_as_such() -> None:
    details = {
        "cache_read": 1000,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 2000,
        "ephemeral_1h_input_tokens": 3000,
    }
    usage = replies.usage(Generator("global.anthropic.claude-sonnet-5-5"), reply(details))
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (4000, 1000)
    assert (usage.cache_write_input_tokens, usage.cache_write_1h_input_tokens) == (5000, 3000)
    dollars = (4000 * 2 + 1000 * 0.1 + 2000 * 2.5 + 3000 * 4 + 100 * 10) / MILLION
    assert usage.cost_usd == pytest.approx(dollars)


def test_writes_of_which_nothing_more_is_said_are_for_five_minutes() -> None:
    usage = replies.usage(
        Generator("anthropic.claude-opus-5-5"), reply({"cache_read": 0, "cache_creation": 5000})
    )
    assert (usage.input_tokens, usage.cache_write_input_tokens, usage.cache_write_1h_input_tokens) == (
        5000,
        5000,
        0,
    )
    assert usage.cost_usd == pytest.approx((5000 * 4 + 5000 * 5 + 100 * 20) / MILLION)


def test_the_model_that_answered_is_paid_not_the_one_that_was_asked() -> None:
    asked = Generator("global.anthropic.claude-opus-5-5")
    cheap = replies.usage(asked, reply({}, model_id="global.anthropic.claude-haiku-5-5"))
    assert cheap.cost_usd == pytest.approx((10_000 * 0.10 + 100 * 0.50) / MILLION)
    own = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
    assert replies.usage(Generator(own), reply({})).cost_usd is None
    based = replies.usage(Generator(own, "anthropic.claude-opus-5-5"), reply({}))
    assert based.cost_usd == pytest.approx((10_000 * 4 + 100 * 20) / MILLION)
