"""Answer GetInferenceProfile: AWS's profiles of the models that `rag` knows, and those set for the emulator.

Wire form: botocore 1.44.5's model of bedrock. Regions: Amazon Bedrock User Guide, "Supported Regions and
models for inference profiles" (read November 2026), two of each group, which suffices to name the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rag.emulator.wire import ACCOUNT, Refusal, Reply, Request
from rag.usage import model_ids

_CREATED = "2026-01-31T12:00:00Z"
REGIONS: Mapping[str, tuple[str, ...]] = {
    "us": ("us-east-1", "us-west-2"), "eu": ("eu-central-1", "eu-west-1"), "us-gov": ("us-gov-west-1",),
    "apac": ("ap-northeast-1", "ap-southeast-2"), "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"), "global": ("us-east-1", "eu-west-1"),
}  # fmt: skip


class Profiles(Protocol):
    """The state of an emulator that this operation uses."""

    @property
    def inference_profiles(self) -> Mapping[str, str]:
        """Application inference profiles: ids or ARNs to the ids of their models."""


def get(emulator: Profiles, request: Request) -> Reply:
    """Answer GetInferenceProfile."""
    wanted = str(request.params["inferenceProfileIdentifier"])
    name = wanted.rsplit("/", 1)[-1]
    for known, model in emulator.inference_profiles.items():
        if name == known.rsplit("/", 1)[-1] and (
            "arn:" not in wanted or "arn:" not in known or wanted == known
        ):
            return Reply(profile_of(known, "APPLICATION", model))
    from rag.bedrock.models import find

    prefix, model = model_ids.split(name)
    if not prefix or find(model) is None or "application-inference-profile" in wanted:
        raise Refusal("ResourceNotFoundException", f"The inference profile {wanted} does not exist")
    return Reply(profile_of(name, "SYSTEM_DEFINED", name))


def profile_of(known: str, kind: str, model: str) -> dict[str, Any]:
    """Return a profile as AWS describes it.

    Parameters
    ----------
    known : str
        Its id or ARN.
    kind : {"SYSTEM_DEFINED", "APPLICATION"}
    model : str
        The id or profile that it calls.
    """
    name = known.rsplit("/", 1)[-1]
    path = "inference-profile" if kind == "SYSTEM_DEFINED" else "application-inference-profile"
    arn = known if known.startswith("arn:") else f"arn:aws:bedrock:us-east-1:{ACCOUNT}:{path}/{name}"
    prefix, model = model_ids.split(model)
    regions = REGIONS.get(prefix, ("us-east-1",))
    return {
        "inferenceProfileName": "".join(c if c.isalnum() else " " for c in name)[:64].strip(),
        "inferenceProfileArn": arn, "inferenceProfileId": name, "type": kind, "status": "ACTIVE",
        "createdAt": _CREATED, "updatedAt": _CREATED,
        "models": [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model}"} for region in regions],
    }  # fmt: skip
