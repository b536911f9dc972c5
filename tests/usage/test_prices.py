"""Prices: every number of the built-in list, profiles, ARNs, the user's entries, and the list's age."""

from __future__ import annotations

import datetime as dt
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config import settings as rag_toml
from rag.core.calls import Usage
from rag.core.errors import ConfigError
from rag.usage.price_list import PRICES
from rag.usage.prices import BUILT_IN, DATE, PriceTable, age_days, stale

#: In, out, write for 5 minutes, write for an hour, read: dollars per million tokens.
CLAUDE = {
    "claude-3-opus-20240229-v1:0": (15, 75, 18.75, 30, 1.50),
    "claude-3-5-haiku-20241022-v1:0": (0.80, 4, 1.00, 1.60, 0.08),
    "claude-3-5-sonnet-20240620-v1:0": (3, 15, 3.75, 6, 0.30),
    "claude-3-5-sonnet-20241022-v2:0": (3, 15, 3.75, 6, 0.30),
    "claude-3-7-sonnet-20250219-v1:0": (3, 15, 3.75, 6, 0.30),
    "claude-sonnet-4-20250514-v1:0": (3, 15, 3.75, 6, 0.30),
    "claude-opus-4-20250514-v1:0": (15, 75, 18.75, 30, 1.50),
    "claude-opus-4-1-20250805-v1:0": (15, 75, 18.75, 30, 1.50),
    "claude-haiku-4-5-20251001-v1:0": (1, 5, 1.25, 2, 0.10),
    "claude-sonnet-4-5-20250929-v1:0": (3, 15, 3.75, 6, 0.30),
    "claude-opus-4-5-20251101-v1:0": (5, 25, 6.25, 10, 0.50),
    "claude-sonnet-4-6": (3, 15, 3.75, 6, 0.30),
    "claude-opus-4-6-v1": (5, 25, 6.25, 10, 0.50),
    "claude-opus-4-7": (5, 25, 6.25, 10, 0.50),
    "claude-opus-4-8": (5, 25, 6.25, 10, 0.50),
    "claude-sonnet-5": (2, 10, 2.5, 4, 0.20),
    "claude-opus-5": (5, 25, 6.25, 10, 0.50),
    "claude-fable-5": (10, 50, 12.5, 20, 1.00),
    "claude-fable-5-1": (10, 50, 12.5, 20, 0.25),
    "claude-haiku-5-5": (0.10, 0.50, 0.125, 0.20, 0.01),
    "claude-sonnet-5-5": (2, 10, 2.5, 4, 0.10),
    "claude-opus-5-5": (4, 20, 5, 8, 0.20),
}
#: Those that cost the same by every regional profile.
EVEN = {name for name in CLAUDE if "-3-" in name or name.split("-2025")[0] in
        ("claude-sonnet-4", "claude-opus-4", "claude-opus-4-1")}  # fmt: skip
OTHERS = {
    "anthropic.claude-v1": (8, 24),
    "anthropic.claude-v2:1": (8, 24),
    "anthropic.claude-instant-v1": (0.80, 2.40),
    "anthropic.claude-3-haiku-20240307-v1:0": (0.25, 1.25),
    "anthropic.claude-3-sonnet-20240229-v1:0": (3, 15),
    "amazon.nova-micro-v1:0": (0.035, 0.14),
    "amazon.nova-lite-v1:0": (0.06, 0.24),
    "amazon.nova-pro-v1:0": (0.8, 3.2),
    "amazon.nova-premier-v1:0": (2.5, 12.5),
    "amazon.nova-2-lite-v1:0": (0.3, 2.5),
    "amazon.titan-text-lite-v1": (0.15, 0.20),
    "amazon.titan-text-express-v1": (0.20, 0.60),
    "amazon.titan-text-premier-v1:0": (0.50, 1.50),
    "amazon.titan-embed-text-v1": (0.10, 0),
    "amazon.titan-embed-g1-text-02": (0.10, 0),
    "amazon.titan-embed-text-v2:0": (0.02, 0),
    "amazon.nova-2-multimodal-embeddings-v1:0": (0.135, 0),
    "cohere.embed-english-v3": (0.10, 0),
    "cohere.embed-multilingual-v3": (0.10, 0),
    "cohere.embed-v4:0": (0.12, 0),
}
MILLION = 1_000_000
ARN = "arn:aws:bedrock:eu-west-1"
cost_usd = BUILT_IN.cost_usd


@pytest.mark.parametrize("prefix", ["anthropic.", "global.anthropic."])
@pytest.mark.parametrize("name", CLAUDE)
def test_each_kind_of_token_of_claude_has_its_price(name: str, prefix: str) -> None:
    kinds = [
        Usage(1000), Usage(0, 1000), Usage(0, 0, 0, 1000), Usage(0, 0, 0, 1000, None, 1000), Usage(0, 0, 1000),
    ]  # fmt: skip
    for usage, price in zip(kinds, CLAUDE[name], strict=True):
        assert cost_usd(prefix + name, usage) == pytest.approx(price / 1000)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_model_has_its_price_and_no_cached_token_is_free(name: str) -> None:
    price_in, price_out = OTHERS[name]
    assert cost_usd(name, Usage(MILLION)) == pytest.approx(price_in)
    assert cost_usd(name, Usage(0, MILLION)) == pytest.approx(price_out)
    assert cost_usd(name, Usage(0, 0, 0, MILLION)) == pytest.approx(price_in)
    assert (cost_usd(name, Usage(0, 0, MILLION)) or 0) > 0


def test_the_list_holds_nothing_that_these_tests_do_not_name() -> None:
    rerankers = {"amazon.rerank-v1:0", "cohere.rerank-v3-5:0"}
    assert set(PRICES) == {f"anthropic.{name}" for name in CLAUDE} | set(OTHERS) | rerankers


@pytest.mark.parametrize(
    ("model", "border", "dearer_in", "dearer_out"),
    [("anthropic.claude-haiku-5-5", 100_000, 0.5, 2.5),
     ("anthropic.claude-sonnet-4-20250514-v1:0", 200_000, 6, 22.5),
     ("anthropic.claude-sonnet-4-5-20250929-v1:0", 200_000, 6, 22.5)],
)  # fmt: skip
def test_a_long_prompt_costs_more_with_all_its_tokens_the_cached_ones_counted(
    model: str, border: int, dearer_in: float, dearer_out: float
) -> None:
    price = PRICES[model]
    assert price.output is not None
    at, above = Usage(border, 1000), Usage(border - 5, 1000, 3, 3)
    assert cost_usd(model, at) == pytest.approx((border * price.input + 1000 * price.output) / MILLION)
    factor = dearer_in / price.input
    expected = (
        (border - 5) * dearer_in + 1000 * dearer_out + 3 * factor * (price.cache_read + price.cache_write)
    )
    assert cost_usd(model, above) == pytest.approx(expected / MILLION)


@pytest.mark.parametrize("prefix", ["us", "eu", "apac", "jp", "au"])
def test_a_regional_profile_costs_a_tenth_more_from_claude_4_5_on(prefix: str) -> None:
    usage = Usage(1000, 200, 300, 400, None, 100)
    for name in CLAUDE:
        there, here = (
            cost_usd(f"{prefix}.anthropic.{name}", usage),
            cost_usd(f"global.anthropic.{name}", usage),
        )
        assert there == pytest.approx((1.0 if name in EVEN else 1.1) * (here or 0)), name


def test_profiles_of_other_models_have_their_own_prices() -> None:
    assert cost_usd("us.amazon.nova-pro-v1:0", Usage(MILLION)) == pytest.approx(0.8)
    assert cost_usd("eu.amazon.nova-pro-v1:0", Usage(MILLION, MILLION)) == pytest.approx(1.05 + 4.2)
    assert cost_usd("apac.amazon.nova-lite-v1:0", Usage(0, 0, MILLION)) == pytest.approx(0.01575)
    assert cost_usd("us.amazon.nova-2-lite-v1:0", Usage(MILLION, MILLION)) == pytest.approx(0.33 + 2.75)
    assert cost_usd("us.cohere.embed-v4:0", Usage(MILLION)) == pytest.approx(0.12)
    assert cost_usd("us-gov.anthropic.claude-3-haiku-20240307-v1:0", Usage(MILLION)) == pytest.approx(0.3)
    assert cost_usd("us-gov.anthropic.claude-sonnet-5", Usage(MILLION)) == pytest.approx(2.4)


def test_an_arn_that_names_a_model_has_its_price_and_an_accounts_own_only_by_its_base() -> None:
    titan = f"{ARN}::foundation-model/amazon.titan-embed-text-v2:0"
    assert cost_usd(titan, Usage(MILLION)) == pytest.approx(0.02)
    profile = f"{ARN}:123456789012:inference-profile/eu.anthropic.claude-sonnet-5-5"
    assert cost_usd(profile, Usage(MILLION)) == pytest.approx(2.2)
    for kind in ("application-inference-profile/abc123", "provisioned-model/x1", "inference-profile/none"):
        assert cost_usd(f"{ARN}:123456789012:{kind}", Usage(1)) is None
    application = f"{ARN}:123456789012:application-inference-profile/abc123"
    assert cost_usd(application, Usage(MILLION), "us.anthropic.claude-opus-5") == pytest.approx(5.5)


def test_provisioned_throughput_has_no_price_per_token_until_one_is_entered() -> None:
    provisioned = f"{ARN}:123456789012:provisioned-model/x1"
    assert cost_usd(provisioned, Usage(MILLION), "anthropic.claude-sonnet-5-5") is None
    advice = BUILT_IN.advice(provisioned)
    assert (
        "paid by the hour" in advice and f'[prices."{provisioned}"]' in advice and "or 0 for both" in advice
    )
    table = PriceTable.from_settings({provisioned: {"input": 0, "output": 0}})
    assert table.cost_usd(provisioned, Usage(MILLION, MILLION), "anthropic.claude-sonnet-5-5") == 0.0


def test_what_is_not_in_the_list_has_no_price_rather_than_none_to_pay() -> None:
    for name in ("", "some.other-model", "xx.anthropic.claude-sonnet-5", "anthropic.claude-9", "gpt-9"):
        assert BUILT_IN.find(name) is None
        assert cost_usd(name, Usage(1)) is None
        assert BUILT_IN.estimate_usd(name, 1) is None
        assert BUILT_IN.rerank_usd(name, 1) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_id_breaks_the_search(name: str, base: str) -> None:
    table = PriceTable.from_settings({name: {"input": 7.0}})
    for each in (name, f"arn:{name}", f"us.{name}"):
        price = table.find(each, base)
        assert price is None or price.input >= 0
    entered = table.find(name)
    assert entered is not None and entered.input == 7.0


def test_a_reranker_is_paid_by_the_hundred_documents() -> None:
    assert BUILT_IN.rerank_usd("amazon.rerank-v1:0", 1) == pytest.approx(0.001)
    assert BUILT_IN.rerank_usd("cohere.rerank-v3-5:0", 100) == pytest.approx(0.002)
    arn = f"{ARN}::foundation-model/cohere.rerank-v3-5:0"
    assert BUILT_IN.rerank_usd(arn, 101) == pytest.approx(0.004)
    assert cost_usd("amazon.rerank-v1:0", Usage(1000)) is None
    assert BUILT_IN.rerank_usd("amazon.nova-pro-v1:0", 1) is None


def test_an_estimate_is_what_the_call_costs_at_most() -> None:
    estimate = BUILT_IN.estimate_usd
    assert estimate("global.anthropic.claude-sonnet-5-5", 10_000, 2_000) == pytest.approx(0.04)
    assert estimate("anthropic.claude-haiku-5-5", 200_000, 0) == pytest.approx(0.1)
    assert estimate("global.anthropic.claude-sonnet-5-5", 10_000, cache_ttl="5m") == pytest.approx(0.025)
    assert estimate("global.anthropic.claude-sonnet-5-5", 10_000, cache_ttl="1h") == pytest.approx(0.04)


@given(
    st.sampled_from(sorted(PRICES)), st.sampled_from(["", "us.", "eu.", "us-gov."]),
    *[st.integers(0, 300_000)] * 4,
)  # fmt: skip
def test_no_use_of_the_cache_costs_more_than_its_estimate(model, prefix, plain, out, read, write) -> None:
    if PRICES[model].per_query is not None:
        return
    actual = cost_usd(prefix + model, Usage(plain, out, read, write, None, write))
    most = BUILT_IN.estimate_usd(prefix + model, plain + read + write, out, cache_ttl="1h")
    assert actual is not None and most is not None and actual <= most * (1 + 1e-12)


# ---------------------------------------------------------------------- [prices] of rag.toml


def test_an_entry_wins_over_the_list_and_missing_cache_prices_count_as_input() -> None:
    sonnet = "anthropic.claude-sonnet-5-5"
    table = PriceTable.from_settings({sonnet: {"input": 1.0, "output": 4.0}, f"jp.{sonnet}": {"input": 9}})
    for usage, expected in ((Usage(MILLION), 1.0), (Usage(0, MILLION), 4.0), (Usage(0, 0, MILLION), 1.0),
                            (Usage(0, 0, 0, MILLION), 1.0), (Usage(0, 0, 0, MILLION, None, MILLION), 1.0)):  # fmt: skip
        assert table.cost_usd(sonnet, usage) == pytest.approx(expected)
    assert table.cost_usd(f"eu.{sonnet}", Usage(MILLION)) == pytest.approx(1.1)  # the profile's factor
    assert table.cost_usd(f"jp.{sonnet}", Usage(MILLION)) == pytest.approx(9)  # an entry of its own
    assert table.cost_usd(f"{ARN}::foundation-model/{sonnet}", Usage(MILLION)) == pytest.approx(1.0)
    assert table.cost_usd("amazon.nova-pro-v1:0", Usage(MILLION)) == pytest.approx(0.8)


def test_any_langchain_model_may_be_priced_with_or_without_its_provider() -> None:
    table = PriceTable.from_settings(
        {"openai:gpt-9": {"input": 2, "output": 8, "cache_read": 0.5}, "my-reranker": {"per_query": 0.01}}
    )
    assert table.cost_usd("gpt-9", Usage(0, 0, MILLION)) == pytest.approx(0.5)
    assert table.cost_usd("openai:gpt-9", Usage(0, MILLION)) == pytest.approx(8)
    assert table.rerank_usd("my-reranker", 150) == pytest.approx(0.02)


def test_a_price_without_output_prices_no_reply() -> None:
    table = PriceTable.from_settings({"my-model": {"input": 2}})
    assert table.cost_usd("my-model", Usage(MILLION)) == 2.0
    assert table.cost_usd("my-model", Usage(MILLION, 1)) is None
    assert table.advice("my-model") == (
        'the price of my-model has no output: enter it in rag.toml, [prices."my-model"] with output = …'
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [({"m": {"inptu": 3}}, "the price of 'm' has no setting 'inptu': did you mean 'input'?"),
     ({"m": {"input": "3"}}, "the price of 'm''s input is a number of dollars per million tokens, from 0, not '3'"),
     ({"m": {"input": True}}, "not True"), ({"m": {"input": -1}}, "not -1"),
     ({"m": {"input": float("nan")}}, "not nan"), ({"m": {"input": float("inf")}}, "not inf"),
     ({"m": {"output": 3}}, "the price of 'm': give input"), ({"m": 3}, r"write [prices.\"m\"] and input = …"),
     ({"m": {}}, "give input"), (3, "[prices] holds a table for each model")],
)  # fmt: skip
def test_a_wrong_price_is_refused_in_one_line(value: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        PriceTable.from_settings(value)
    assert message.replace("\\", "") in str(error.value)
    assert "\n" not in str(error.value)


def test_rag_toml_is_checked_when_it_is_read(tmp_path) -> None:
    path = tmp_path / "rag.toml"
    path.write_text('[prices."us.anthropic.claude-next"]\ninput = 3.0\noutput = 15\n')
    table = PriceTable.from_settings(rag_toml.read(path)["prices"])
    assert table.cost_usd("us.anthropic.claude-next", Usage(MILLION, MILLION)) == pytest.approx(18)
    path.write_text('[prices."m"]\ninput = 3.0\noutptu = 15\n')
    with pytest.raises(ConfigError, match=r"rag.toml, \[prices\]: .*did you mean 'output'"):
        rag_toml.read(path)


# ---------------------------------------------------------------------- the list's age


def test_the_list_says_so_when_it_is_older_than_180_days() -> None:
    assert age_days(DATE) == 0
    assert stale(DATE + dt.timedelta(180)) is None
    sentence = stale(DATE + dt.timedelta(181))
    assert sentence is not None
    assert sentence.startswith("prices are of 2026-11-25, 181 days ago: compare them")


def test_prices_are_of_the_last_180_days() -> None:
    """Time alone does not fail this test: pytest shows the sentence among its warnings."""
    if sentence := stale():
        warnings.warn(sentence, stacklevel=1)
