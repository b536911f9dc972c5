"""The settings of a guardrail; limits are those of botocore 1.44.5's model of bedrock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from rag.usage.settings import Settings

#: What happens where something is detected: the text is blocked, the match is masked, it is only reported;
#: or it is not looked for.
Mode = Literal["block", "mask", "detect", "off"]
Strength = Literal["none", "low", "medium", "high"]
Tier = Literal["classic", "standard"]
STRENGTHS, TIERS = get_args(Strength), get_args(Tier)
UNMASKED = ("block", "detect", "off")
#: GuardrailContentFilterType, and GuardrailPiiEntityType, in lower case.
FILTERS = ("sexual", "violence", "hate", "insults", "misconduct", "prompt_attack")
PII = (
    "address", "age", "aws_access_key", "aws_secret_key", "ca_health_number", "ca_social_insurance_number",
    "credit_debit_card_cvv", "credit_debit_card_expiry", "credit_debit_card_number", "driver_id", "email",
    "international_bank_account_number", "ip_address", "license_plate", "mac_address", "name", "password",
    "phone", "pin", "swift_code", "uk_national_health_service_number", "uk_national_insurance_number",
    "uk_unique_taxpayer_reference_number", "url", "username", "us_bank_account_number",
    "us_bank_routing_number", "us_individual_tax_identification_number", "us_passport_number",
    "us_social_security_number", "vehicle_identification_number",
)  # fmt: skip
_BEDROCK = r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}"
_KEY = (
    r"(arn:aws(-[^:]+)?:kms:[a-zA-Z0-9-]*:[0-9]{12}:(key/[a-zA-Z0-9-]{36}|alias/[a-zA-Z0-9-_/]+)"
    r"|[a-zA-Z0-9-]{36}|alias/[a-zA-Z0-9-_/]+)"
)
_PROFILE = rf"({_BEDROCK}:guardrail-profile/)?[a-z0-9-]+\.guardrail\.v[0-9:]+"
_POLICY = rf"{_BEDROCK}:automated-reasoning-policy/[a-z0-9]{{12}}(:([1-9][0-9]{{0,11}}))?"
_LOOKAROUND = re.compile(r"\(\?<?[=!]")


def _text(most: int) -> Any:
    return Field(
        strict=True, min_length=1, max_length=most, description=f"a text of 1 to {most:,} characters"
    )


class Ways(Settings):
    """What happens to a prompt, and to an answer."""

    input: Mode = "block"
    output: Mode = "block"


class Topic(Settings):
    """A denied topic: ``[[topics]]``."""

    name: str = Field(strict=True, min_length=1, max_length=100, pattern=r"^[0-9a-zA-Z\-_ !?.]+$",
                      description="1 to 100 letters, digits, blanks and -_!?.")  # fmt: skip
    definition: str = _text(200)
    examples: tuple[Annotated[str, Field(strict=True, min_length=1, max_length=100)], ...] = Field(
        (), max_length=5, description="at most 5 texts of 1 to 100 characters"
    )
    ways: Ways = Ways()


class Filter(Settings):
    """A content filter: a line of ``[filters]``."""

    input: Strength = "none"
    output: Strength = "none"
    ways: Ways = Ways()
    images: bool = Field(False, strict=True, description="true or false")


class Word(Settings):
    """A word or phrase: an item of ``block`` in ``[words]``."""

    text: str = _text(100)
    ways: Ways = Ways()


class Regex(Settings):
    """A pattern of sensitive information: ``[[regexes]]``."""

    name: str = _text(100)
    pattern: str = _text(500)
    description: str | None = Field(None, strict=True, min_length=1, max_length=1000,
                                    description="a text of 1 to 1,000 characters")  # fmt: skip
    ways: Ways = Ways(input="mask", output="mask")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        if _LOOKAROUND.search(value):  # User Guide, "Sensitive information filters"
            raise ValueError("Bedrock has no lookaround: write the pattern without (?=, (?!, (?<= and (?<!")
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"it is not a regular expression ({error}): correct it") from None
        return value


class Threshold(Settings):
    """A check of contextual grounding: a line of ``[grounding]``."""

    threshold: float = Field(strict=True, ge=0, le=0.99, description="a number of 0 to 0.99")
    action: Literal["block", "detect", "off"] = "block"


class Reasoning(Settings):
    """Automated reasoning: ``[reasoning]``."""

    policies: tuple[Annotated[str, Field(strict=True, pattern=f"^{_POLICY}$")], ...] = Field(
        min_length=1, max_length=2, description="1 or 2 ARNs of automated reasoning policies"
    )
    confidence: float | None = Field(None, strict=True, ge=0, le=1, description="a number of 0 to 1")


class GuardrailSettings(Settings):
    """A guardrail, without the names that make its file short.

    Attributes
    ----------
    topics_tier, filters_tier, grounding_tier : {"classic", "standard"}
    profanity : Ways or None
        None where the managed list is not used.
    """

    name: str = Field(
        strict=True, pattern=r"^[0-9a-zA-Z\-_]{1,50}$", description="1 to 50 letters, digits, - and _"
    )
    description: str | None = Field(None, strict=True, min_length=1, max_length=200,
                                    description="a text of 1 to 200 characters")  # fmt: skip
    blocked_input: str = _text(500)
    blocked_output: str = _text(500)
    topics_tier: Tier = "classic"
    filters_tier: Tier = "classic"
    grounding_tier: Tier = "classic"
    cross_region: str | None = Field(None, strict=True, pattern=f"^{_PROFILE}$",
                                     description="a guardrail profile: us.guardrail.v1:0")  # fmt: skip
    kms_key: str | None = Field(None, strict=True, pattern=f"^{_KEY}$",
                                description="the ARN, id or alias/… of a KMS key")  # fmt: skip
    tags: Mapping[str, str] = Field(default_factory=dict, description="a table of texts")
    topics: tuple[Topic, ...] = Field((), max_length=30, description="at most 30 tables [[topics]]")
    filters: Mapping[str, Filter] = Field(default_factory=dict)
    words: tuple[Word, ...] = Field((), max_length=10_000, description="at most 10,000 words")
    profanity: Ways | None = None
    pii: Mapping[str, Ways] = Field(default_factory=dict)
    regexes: tuple[Regex, ...] = Field((), max_length=30, description="at most 30 tables [[regexes]]")
    grounding: Mapping[str, Threshold] = Field(default_factory=dict)
    reasoning: Reasoning | None = None
