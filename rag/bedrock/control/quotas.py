"""The account's quotas of Amazon Bedrock, by Service Quotas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rag.bedrock.runtime.client import client, explain
from rag.core.errors import RagError

_ADVICE = {"AccessDeniedException": "allow servicequotas:ListServiceQuotas to see them here"}


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota's name, in AWS's words, and its value."""

    name: str
    value: float


def quotas(region: str | None = None) -> list[Quota]:
    """Return the quotas of Bedrock in a region.

    Raises
    ------
    RagError
        They cannot be listed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = (
            client("service-quotas", region=region, timeout_s=15.0)
            .get_paginator("list_service_quotas")
            .paginate(ServiceCode="bedrock")
        )
        return [Quota(row["QuotaName"], row["Value"]) for page in pages for row in page["Quotas"]]
    except (BotoCoreError, ClientError) as error:
        raise RagError(explain(error, "Service Quotas", _ADVICE)) from error


def of_model(held: Iterable[Quota], name: str) -> list[Quota]:
    """Return the quotas whose names contain all words of a model's name, in any order.

    Examples
    --------
    >>> held = [Quota("requests per minute for Anthropic Claude Sonnet 5.5", 10), Quota("for Sonnet 5", 20)]
    >>> [quota.value for quota in of_model(held, "Claude Sonnet 5.5")]
    [10]
    """
    words = _words(name)
    return [quota for quota in held if words and words <= _words(quota.name)]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9.]+", text.lower()))
