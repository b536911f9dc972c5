"""The prices of guardrails, by text units.

A price that is otherwise on the bill is entered in rag.toml, in US dollars per 1,000 text units::

    [prices.guardrails]
    topics = 0.15
    filters = 0.15
    pii = 0.10
    grounding = 0.10
    reasoning = 0.17

Words and regexes are free. The built-in prices are those of ``bedrock/guardrails`` in the table of litellm
1.110.2 (``model_prices_and_context_window_backup.json`` of the PyPI package, read 25 November 2026, which
names https://aws.amazon.com/bedrock/pricing/ as its source): of text, on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rag.usage.settings import Dollars, Settings, checked

_PER_THOUSAND = "a number of dollars per 1,000 text units, from 0"
#: Members of GuardrailUsage, with what they are called in rag.toml; None for what is free.
_UNITS: Mapping[str, str | None] = {
    "topicPolicyUnits": "topics", "contentPolicyUnits": "filters",
    "sensitiveInformationPolicyUnits": "pii", "contextualGroundingPolicyUnits": "grounding",
    "automatedReasoningPolicyUnits": "reasoning", "wordPolicyUnits": None,
    "sensitiveInformationPolicyFreeUnits": None,
}  # fmt: skip
#: Members of GuardrailUsage that count no units.
_NO_UNITS = ("automatedReasoningPolicies",)


class GuardrailPrices(Settings):
    """US dollars per 1,000 text units, by policy: ``[prices.guardrails]``.

    Examples
    --------
    >>> round(GuardrailPrices().cost_usd({"topicPolicyUnits": 2, "wordPolicyUnits": 2}), 6)
    0.0003
    """

    topics: Dollars = Field(default=0.15, description=_PER_THOUSAND)
    filters: Dollars = Field(default=0.15, description=_PER_THOUSAND)
    pii: Dollars = Field(default=0.10, description=_PER_THOUSAND)
    grounding: Dollars = Field(default=0.10, description=_PER_THOUSAND)
    reasoning: Dollars = Field(default=0.17, description=_PER_THOUSAND)

    @classmethod
    def from_settings(cls, value: Mapping[str, Any]) -> GuardrailPrices:
        """Check ``[prices.guardrails]``; what is missing is the built-in price.

        Raises
        ------
        ConfigError
            A name is unknown, or a value refused.
        """
        return checked(cls, value, "the price of guardrails")

    def cost_usd(self, units: Mapping[str, int]) -> float | None:
        """Return the cost of text units, named as in GuardrailUsage; None if one has no known price."""
        total = 0.0
        for unit, count in units.items():
            if not count or unit in _NO_UNITS:
                continue
            if unit not in _UNITS:
                return None
            name = _UNITS[unit]
            total += 0.0 if name is None else count * float(getattr(self, name)) / 1000
        return total
