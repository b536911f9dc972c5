"""The prices of guardrails: built in, the user's, and none."""

from __future__ import annotations

import pytest

from rag.core.errors import ConfigError
from rag.usage.prices import BUILT_IN, PriceTable

UNITS = {
    "topicPolicyUnits": 2, "contentPolicyUnits": 2, "wordPolicyUnits": 2,
    "sensitiveInformationPolicyUnits": 2, "sensitiveInformationPolicyFreeUnits": 2,
    "contextualGroundingPolicyUnits": 5, "automatedReasoningPolicyUnits": 0, "automatedReasoningPolicies": 3,
}  # fmt: skip


def test_units_have_prices() -> None:
    # By hand: (2 * 0.15 + 2 * 0.15 + 2 * 0.10 + 5 * 0.10) / 1000
    assert BUILT_IN.guardrails.cost_usd(UNITS) == pytest.approx(0.0013)
    assert BUILT_IN.guardrails.cost_usd({}) == 0.0


def test_a_policy_without_a_price_has_no_cost() -> None:
    assert BUILT_IN.guardrails.cost_usd({**UNITS, "imagePolicyUnits": 1}) is None
    assert BUILT_IN.guardrails.cost_usd({**UNITS, "imagePolicyUnits": 0}) == pytest.approx(0.0013)


def test_prices_of_the_user() -> None:
    table = PriceTable.from_settings({"guardrails": {"topics": 1.0}, "my-model": {"input": 1.0}})
    assert table.guardrails.cost_usd({"topicPolicyUnits": 2, "contentPolicyUnits": 2}) == pytest.approx(
        0.0023
    )
    assert table.find("guardrails") is None and table.find("my-model") is not None
    with pytest.raises(
        ConfigError, match="the price of guardrails has no setting 'topic': did you mean 'topics'"
    ):
        PriceTable.from_settings({"guardrails": {"topic": 1.0}})
    with pytest.raises(
        ConfigError, match="topics is a number of dollars per 1,000 text units, from 0, not -1"
    ):
        PriceTable.from_settings({"guardrails": {"topics": -1}})
