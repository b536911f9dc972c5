"""Abilities of Bedrock's models, and what a reply's tokens cost."""

from __future__ import annotations

import ast
import re

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from rag.bedrock.models import MODELS, Model, find
from rag.core.calls import Usage
from rag.usage.model_calls import usage_of
from rag.usage.prices import BUILT_IN
from tests.conftest import ROOT

#: Context, citations, cache minimum and structured output, copied by hand from the sources that
#: `rag.bedrock.models` names.
CLAUDE = {
    "claude-3-haiku-20240307-v1:0": (200_000, False, None, False),
    "claude-3-opus-20240229-v1:0": (200_000, False, None, False),
    "claude-3-5-sonnet-20240620-v1:0": (200_000, False, None, False),
    "claude-3-5-sonnet-20241022-v2:0": (200_000, False, None, False),
    "claude-3-5-haiku-20241022-v1:0": (200_000, True, 2048, False),
    "claude-3-7-sonnet-20250219-v1:0": (200_000, True, 1024, False),
    "claude-sonnet-4-20250514-v1:0": (200_000, True, 1024, False),
    "claude-opus-4-20250514-v1:0": (200_000, True, 1024, False),
    "claude-opus-4-1-20250805-v1:0": (200_000, True, 1024, False),
    "claude-haiku-4-5-20251001-v1:0": (200_000, True, 4096, True),
    "claude-sonnet-4-5-20250929-v1:0": (200_000, True, 1024, True),
    "claude-opus-4-5-20251101-v1:0": (200_000, True, 4096, True),
    "claude-sonnet-4-6": (1_000_000, True, 1024, True),
    "claude-opus-4-6-v1": (1_000_000, True, 4096, True),
    "claude-opus-4-7": (1_000_000, True, 2048, False),
    "claude-opus-4-8": (1_000_000, True, 1024, True),
    "claude-sonnet-5": (1_000_000, True, 1024, True),
    "claude-opus-5": (1_000_000, True, 512, False),
    "claude-haiku-5-5": (1_000_000, True, 512, True),
    "claude-sonnet-5-5": (1_000_000, True, 512, True),
    "claude-opus-5-5": (1_000_000, True, 512, False),
}
CONTEXTS = {
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


def test_abilities() -> None:
    """Every model has the abilities in its sources."""
    claude = {f"anthropic.{name}": abilities for name, abilities in CLAUDE.items()}
    assert MODELS.keys() == {*claude, *CONTEXTS}
    for name, (context, citations, cache_minimum, structured) in claude.items():
        assert MODELS[name] == Model(name, context, citations, cache_minimum, structured)
    for name, context in CONTEXTS.items():
        minimum = 1000 if "nova-2" not in name and "nova" in name else None
        assert MODELS[name] == Model(name, context, cache_minimum=minimum)


def test_citations_documented_by_aws() -> None:
    """The models that botocore's documentation of SearchResultBlock names cite."""
    shape = botocore.session.get_session().get_service_model("bedrock-runtime").shape_for("SearchResultBlock")
    names = re.findall(r"(Opus|Sonnet|Haiku) ([\d.]+)|([\d.]+) (Haiku)", shape.documentation)
    documented = {f"{a or d} {b or c}".lower().rstrip(".") for a, b, c, d in names}
    assert documented == {"opus 4.1", "opus 4", "sonnet 4.5", "sonnet 4", "sonnet 3.7", "haiku 3.5"}
    for name in documented:
        family, version = name.split()
        version = version.replace(".", "-")
        ids = [
            id for id in MODELS if re.search(rf"claude-({family}-{version}|{version}-{family})-\d{{8}}", id)
        ]
        assert len(ids) == 1 and MODELS[ids[0]].citations, name


def test_find_by_arn() -> None:
    """An ARN that names a model or profile is known; any other ARN needs a base model."""
    arn = "arn:aws:bedrock:eu-west-1"
    titan = find(f"{arn}::foundation-model/amazon.titan-embed-text-v2:0")
    assert titan is not None and titan.id == "amazon.titan-embed-text-v2:0"
    profile = find(f"{arn}:123456789012:inference-profile/eu.anthropic.claude-sonnet-5-5")
    assert profile is not None and profile.id == "anthropic.claude-sonnet-5-5"
    for suffix in ("application-inference-profile/abc123", "provisioned-model/x1", "inference-profile/none"):
        assert find(f"{arn}:123456789012:{suffix}") is None
        based = find(f"{arn}:123456789012:{suffix}", "us.anthropic.claude-opus-5")
        assert based is not None and based.id == "anthropic.claude-opus-5"
    for name in ("", "some.other-model", "xx.anthropic.claude-sonnet-5", "anthropic.claude-9", "gpt-9"):
        assert find(name) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_find_any_id(name: str, base: str) -> None:
    """No id raises."""
    for model_id in (name, f"arn:{name}", f"us.{name}"):
        model = find(model_id, base)
        assert model is None or model.id in MODELS


def test_every_model_has_a_price() -> None:
    """Every model id in the code of rag has a price."""
    pattern = re.compile(r"([a-z-]+\.)?(anthropic|amazon|cohere)\.[a-z]+(-[a-z0-9]+)+(:\d+)?")
    ids = {
        node.value
        for file in (ROOT / "rag").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value)
    }
    assert {"amazon.titan-embed-text-v2:0", "global.anthropic.claude-sonnet-5-5"} <= ids
    assert [name for name in sorted(ids) if BUILT_IN.find(name) is None] == []


def reply(details: dict[str, int]) -> AIMessage:
    usage = {
        "input_tokens": 10_000, "output_tokens": 100, "total_tokens": 10_100,
        "input_token_details": details,
    }  # fmt: skip
    return AIMessage("An answer.", usage_metadata=usage)  # type: ignore[arg-type]


def test_one_hour_cache_price() -> None:
    """Tokens cached for an hour have their price."""
    usage = usage_of(reply({
        "cache_read": 1000, "cache_creation": 0, "ephemeral_5m_input_tokens": 2000,
        "ephemeral_1h_input_tokens": 3000,
    }))  # fmt: skip
    assert usage == Usage(4000, 100, 1000, 5000, cache_write_1h_input_tokens=3000)
    dollars = (4000 * 2 + 1000 * 0.1 + 2000 * 2.5 + 3000 * 4 + 100 * 10) / MILLION
    assert BUILT_IN.cost_usd("global.anthropic.claude-sonnet-5-5", usage) == pytest.approx(dollars)


def test_default_cache_price() -> None:
    """Cache writes without a duration have the price of five minutes."""
    usage = usage_of(reply({"cache_read": 0, "cache_creation": 5000}))
    assert usage == Usage(5000, 100, 0, 5000)
    dollars = (5000 * 4 + 5000 * 5 + 100 * 20) / MILLION
    assert BUILT_IN.cost_usd("anthropic.claude-opus-5-5", usage) == pytest.approx(dollars)


def test_price_by_base_model() -> None:
    """An application inference profile has a price only by its base model."""
    usage = usage_of(reply({}))
    assert usage is not None
    arn = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
    assert BUILT_IN.cost_usd(arn, usage) is None
    dollars = (10_000 * 4 + 100 * 20) / MILLION
    assert BUILT_IN.cost_usd(arn, usage, "anthropic.claude-opus-5-5") == pytest.approx(dollars)
