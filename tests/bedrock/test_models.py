"""Prices and abilities of Bedrock's models: every number of the table, profiles, ARNs, and its age."""

from __future__ import annotations

import ast
import datetime as dt
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from rag.bedrock import models
from rag.bedrock.models import DATE, MODELS, cost_usd, estimate_usd, find, rerank_usd, stale
from rag.core.answers import Usage
from rag.generation import reply as replies
from tests.conftest import ROOT

#: In, out, write for 5 minutes, write for an hour, read (dollars for a million tokens), context.
CLAUDE = {
    "claude-haiku-4-5-20251001-v1:0": (1, 5, 1.25, 2, 0.10, 200_000),
    "claude-haiku-5-5": (0.10, 0.50, 0.125, 0.20, 0.01, 1_000_000),
    "claude-sonnet-4-5-20250929-v1:0": (3, 15, 3.75, 6, 0.30, 200_000),
    "claude-sonnet-5": (2, 10, 2.5, 4, 0.20, 1_000_000),
    "claude-sonnet-5-5": (2, 10, 2.5, 4, 0.10, 1_000_000),
    "claude-opus-4-5-20251101-v1:0": (5, 25, 6.25, 10, 0.50, 200_000),
    "claude-opus-5": (5, 25, 6.25, 10, 0.50, 1_000_000),
    "claude-opus-5-5": (4, 20, 5, 8, 0.20, 1_000_000),
}
OTHERS = {
    "anthropic.claude-3-haiku-20240307-v1:0": (0.25, 1.25, 200_000),
    "amazon.nova-micro-v1:0": (0.035, 0.14, 128_000),
    "amazon.nova-lite-v1:0": (0.06, 0.24, 300_000),
    "amazon.nova-pro-v1:0": (0.8, 3.2, 300_000),
    "amazon.titan-embed-text-v2:0": (0.02, 0, 8_192),
    "cohere.embed-v4:0": (0.12, 0, 128_000),
    "amazon.nova-2-multimodal-embeddings-v1:0": (0.135, 0, 8_172),
}
MILLION = 1_000_000


@pytest.mark.parametrize("prefix", ["anthropic.", "global.anthropic."])
@pytest.mark.parametrize("name", CLAUDE)
def test_each_kind_of_token_of_claude_has_its_price(name: str, prefix: str) -> None:
    price_in, price_out, write_5m, write_1h, read, context = CLAUDE[name]
    found = find(prefix + name)
    assert found is not None
    assert found.context_tokens == context
    each = found.price
    assert (each.input, each.output) == (price_in, price_out)
    assert (each.cache_write_5m, each.cache_write_1h, each.cache_read) == (write_5m, write_1h, read)
    small = [
        Usage(1000),
        Usage(0, 1000),
        Usage(0, 0, 0, 1000),
        Usage(0, 0, 0, 1000, None, 1000),
        Usage(0, 0, 1000),
    ]
    prices = (price_in, price_out, write_5m, write_1h, read)
    for usage, expected in zip(small, prices, strict=True):
        assert cost_usd(prefix + name, usage) == pytest.approx(expected / 1000)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_model_has_its_price(name: str) -> None:
    price_in, price_out, context = OTHERS[name]
    assert cost_usd(name, Usage(MILLION)) == pytest.approx(price_in)
    assert cost_usd(name, Usage(0, MILLION)) == pytest.approx(price_out)
    assert MODELS[name].context_tokens == context


def test_the_table_holds_nothing_that_these_tests_do_not_name() -> None:
    rerankers = {"amazon.rerank-v1:0", "cohere.rerank-v3-5:0"}
    assert set(MODELS) == {f"anthropic.{name}" for name in CLAUDE} | set(OTHERS) | rerankers


@pytest.mark.parametrize(
    ("model", "border", "dearer_in", "dearer_out"),
    [("anthropic.claude-haiku-5-5", 100_000, 0.5, 2.5),
     ("anthropic.claude-sonnet-4-5-20250929-v1:0", 200_000, 6, 22.5)],
)  # fmt: skip
def test_a_long_prompt_costs_more_with_all_its_tokens_the_cached_ones_counted(
    model: str, border: int, dearer_in: float, dearer_out: float
) -> None:
    price = MODELS[model].price
    at, above = Usage(border, 1000), Usage(border - 5, 1000, 3, 3)
    assert cost_usd(model, at) == pytest.approx((border * price.input + 1000 * price.output) / MILLION)
    factor = dearer_in / price.input
    expected = (
        (border - 5) * dearer_in + 1000 * dearer_out + 3 * factor * (price.cache_read + price.cache_write_5m)
    )
    assert cost_usd(model, above) == pytest.approx(expected / MILLION)


@pytest.mark.parametrize("prefix", ["us", "eu", "apac", "jp", "au"])
def test_a_regions_profile_of_claude_costs_a_tenth_more_in_every_way(prefix: str) -> None:
    usage = Usage(1000, 200, 300, 400, None, 100)
    for name in CLAUDE:
        there, here = (
            cost_usd(f"{prefix}.anthropic.{name}", usage),
            cost_usd(f"global.anthropic.{name}", usage),
        )
        assert there == pytest.approx(1.1 * (here or 0))


def test_profiles_of_other_models_have_their_own_prices() -> None:
    assert cost_usd("us.amazon.nova-pro-v1:0", Usage(MILLION)) == pytest.approx(0.8)
    assert cost_usd("eu.amazon.nova-pro-v1:0", Usage(MILLION, MILLION)) == pytest.approx(1.05 + 4.2)
    assert cost_usd("apac.amazon.nova-lite-v1:0", Usage(0, 0, MILLION)) == pytest.approx(0.01575)
    assert cost_usd("us.cohere.embed-v4:0", Usage(MILLION)) == pytest.approx(0.12)
    assert cost_usd("us.anthropic.claude-3-haiku-20240307-v1:0", Usage(MILLION)) == pytest.approx(0.25)
    assert cost_usd("us-gov.anthropic.claude-sonnet-5", Usage(MILLION)) == pytest.approx(2.4)


def test_an_arn_that_names_a_model_or_profile_is_found_and_an_accounts_own_only_by_its_base() -> None:
    arn = "arn:aws:bedrock:eu-west-1"
    titan = find(f"{arn}::foundation-model/amazon.titan-embed-text-v2:0")
    assert titan is not None and titan.id == "amazon.titan-embed-text-v2:0"
    profile = find(f"{arn}:123456789012:inference-profile/eu.anthropic.claude-sonnet-5-5")
    assert profile is not None and profile.price.input == pytest.approx(2.2)
    for own in ("application-inference-profile/abc123", "provisioned-model/x1", "inference-profile/none"):
        assert find(f"{arn}:123456789012:{own}") is None
        assert cost_usd(f"{arn}:123456789012:{own}", Usage(1)) is None
    based = find(f"{arn}:123456789012:application-inference-profile/abc123", "us.anthropic.claude-opus-5")
    assert based is not None and based.price.input == pytest.approx(5.5)


def test_what_is_not_in_the_table_has_no_price_rather_than_none_to_pay() -> None:
    for name in ("", "some.other-model", "xx.anthropic.claude-sonnet-5", "anthropic.claude-9", "gpt-9"):
        assert find(name) is None
        assert cost_usd(name, Usage(1)) is None
        assert estimate_usd(name, 1) is None
        assert rerank_usd(name, 1) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_id_breaks_the_search(name: str, base: str) -> None:
    for each in (name, f"arn:{name}", f"us.{name}"):
        assert find(each, base) is None or find(each, base).id in MODELS  # type: ignore[union-attr]


def test_a_reranker_is_paid_by_the_hundred_documents() -> None:
    assert rerank_usd("amazon.rerank-v1:0", 1) == pytest.approx(0.001)
    assert rerank_usd("cohere.rerank-v3-5:0", 100) == pytest.approx(0.002)
    assert rerank_usd(
        "arn:aws:bedrock:eu-west-1::foundation-model/cohere.rerank-v3-5:0", 101
    ) == pytest.approx(0.004)
    assert cost_usd("amazon.rerank-v1:0", Usage(1000)) is None
    assert rerank_usd("amazon.nova-pro-v1:0", 1) is None


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
    assert not any(MODELS[name].structured for name in OTHERS)
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
    assert [name for name in sorted(found) if find(name) is None] == []


def test_the_table_says_so_when_it_is_older_than_180_days() -> None:
    assert models.age_days(DATE) == 0
    assert stale(DATE + dt.timedelta(180)) is None
    said = stale(DATE + dt.timedelta(181))
    assert said is not None
    assert said.startswith("prices are of 2026-11-01, 181 days ago: compare them")


def test_prices_are_of_the_last_180_days() -> None:
    """Time alone does not fail this test: pytest shows the sentence among its warnings."""
    if said := stale():
        warnings.warn(said, stacklevel=1)


def test_an_estimate_is_what_the_call_costs_at_most_without_a_cache() -> None:
    assert estimate_usd("global.anthropic.claude-sonnet-5-5", 10_000, 2_000) == pytest.approx(0.04)
    assert estimate_usd("anthropic.claude-haiku-5-5", 200_000, 0) == pytest.approx(0.1)


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
