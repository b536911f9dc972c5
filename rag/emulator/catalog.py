"""Answer the operations that list models: those of `rag.bedrock.models`, and the profiles that call them.

Wire forms: botocore 1.44.5's model of bedrock. That model does not list ``INFERENCE_PROFILE`` as a type of
inference; published replies of AWS have it for models that are called by a profile only (Claude Sonnet 4.6,
2026). Names are made from the ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from rag.bedrock.models import MODELS, Model
from rag.emulator.behaviour import Behaviour
from rag.emulator.profiles import REGIONS, profile_of
from rag.emulator.wire import Refusal, Reply, Request, moment
from rag.usage import model_ids
from rag.usage.price_list import PRICES

_PROVIDERS = {"anthropic": "Anthropic", "amazon": "Amazon", "cohere": "Cohere"}
#: Claude before 3.7 is called by its id as well, later models by a profile only.
_BY_ID = re.compile(r"anthropic\.claude-3-(?:haiku|opus|5-)")
#: A page of ListInferenceProfiles.
_PAGE = 1000
_BEGAN = 1_750_000_000.0


class Account(Protocol):
    """The state of an emulator that these operations use."""

    @property
    def behaviour(self) -> Behaviour:
        """Which models the account has no access to."""

    @property
    def inference_profiles(self) -> Mapping[str, str]:
        """Application inference profiles: ids or ARNs to the ids of their models."""


def list_models(emulator: Account, request: Request) -> Reply:
    """Answer ListFoundationModels."""
    params = request.params
    wanted = {
        "providerName": params.get("byProvider"), "outputModalities": params.get("byOutputModality"),
        "inferenceTypesSupported": params.get("byInferenceType"),
        "customizationsSupported": params.get("byCustomizationType"),
    }  # fmt: skip
    rows = [_summary(model, request.region) for model in MODELS.values()]
    return Reply({
        "modelSummaries": [
            row for row in rows
            if all(value is None or value in row[name] for name, value in wanted.items())
        ]
    })  # fmt: skip


def get_model(emulator: Account, request: Request) -> Reply:
    """Answer GetFoundationModel."""
    return Reply({"modelDetails": _summary(_known(request.params["modelIdentifier"]), request.region)})


def availability(emulator: Account, request: Request) -> Reply:
    """Answer GetFoundationModelAvailability."""
    model = _known(request.params["modelId"])
    status = "NOT_AVAILABLE" if model.id in emulator.behaviour.no_access else "AVAILABLE"
    return Reply({
        "modelId": model.id, "agreementAvailability": {"status": status},
        "authorizationStatus": "AUTHORIZED", "entitlementAvailability": status,
        "regionAvailability": "AVAILABLE",
    })  # fmt: skip


def list_profiles(emulator: Account, request: Request) -> Reply:
    """Answer ListInferenceProfiles: AWS's of the region, and the account's own."""
    params = request.params
    wanted, size = params.get("typeEquals"), int(params.get("maxResults", _PAGE))
    rows = [row for row in _profiles(emulator, request.region) if wanted in (None, row["type"])]
    try:
        start = int(params.get("nextToken", "0"))
    except ValueError:
        raise Refusal("ValidationException", "The nextToken is not valid.") from None
    token = {"nextToken": str(start + size)} if start + size < len(rows) else {}
    return Reply({"inferenceProfileSummaries": rows[start : start + size], **token})


def name_of(id: str) -> str:
    """Return a model's name, as AWS writes them.

    Examples
    --------
    >>> name_of("anthropic.claude-3-5-haiku-20241022-v1:0"), name_of("anthropic.claude-sonnet-5-5")
    ('Claude 3.5 Haiku', 'Claude Sonnet 5.5')
    """
    words = re.sub(r"(?<=\d)-(?=\d)", ".", re.sub(r"-\d{8}|-v\d+(?::\d+)?$|:\d+$", "", id.partition(".")[2]))
    return " ".join(word.capitalize() for word in words.split("-"))


def _summary(model: Model, region: str) -> dict[str, Any]:
    lifecycle = {"status": "ACTIVE", "startOfLifeTime": moment(_BEGAN)}
    if "-20240" in model.id:
        lifecycle |= {"status": "LEGACY", "endOfLifeTime": moment(_BEGAN + 60_000_000)}
    images = model.id.startswith("anthropic.") or "nova-lite" in model.id or "nova-pro" in model.id
    return {
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model.id}", "modelId": model.id,
        "modelName": name_of(model.id), "providerName": _PROVIDERS[model.id.partition(".")[0]],
        "inputModalities": ["TEXT", "IMAGE"] if images else ["TEXT"],
        "outputModalities": ["EMBEDDING"] if model.kind == "embedding" else ["TEXT"],
        "responseStreamingSupported": model.kind == "chat", "customizationsSupported": [],
        "inferenceTypesSupported": ["INFERENCE_PROFILE"] if by_profile_only(model.id) else ["ON_DEMAND"],
        "modelLifecycle": lifecycle,
    }  # fmt: skip


def by_profile_only(model: str) -> bool:
    """Whether a model's bare id cannot be called on demand."""
    return model.startswith("anthropic.") and not _BY_ID.match(model)


def _known(identifier: str) -> Model:
    model = MODELS.get(model_ids.without_arn(identifier))
    if model is None:
        raise Refusal(
            "ResourceNotFoundException", f"Could not resolve the foundation model from {identifier}."
        )
    return model


def _profiles(emulator: Account, region: str) -> Iterator[dict[str, Any]]:
    here = next((name for name, regions in REGIONS.items() if name != "global" and region in regions), "us")
    for model in MODELS:
        if not by_profile_only(model):
            continue
        price = PRICES.get(model)
        for prefix in (here, "global") if price is not None and price.regional > 1 else (here,):
            yield profile_of(f"{prefix}.{model}", "SYSTEM_DEFINED", f"{prefix}.{model}")
    for name, model in emulator.inference_profiles.items():
        yield profile_of(name, "APPLICATION", model)
