"""The models of an account and region, the inference profiles that call them, and access to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rag.bedrock.runtime.client import client
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import RagError
from rag.usage import model_ids

#: Concurrent calls when the access to many models is asked for.
_AT_ONCE = 8
_ADVICE = {
    "AccessDeniedException": "allow this action",
    "NoRegionError": "give --region, or set AWS_REGION",
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as ListFoundationModels has it.

    Attributes
    ----------
    id, name, provider : str
    inputs, outputs : tuple of str
        Modalities, e.g. ``("TEXT", "IMAGE")``.
    streams : bool
    inference : tuple of str
        ``"ON_DEMAND"``, ``"PROVISIONED"``, ``"INFERENCE_PROFILE"``.
    legacy : bool
        Whether AWS is retiring it.
    ends : datetime or None
        When it can no longer be called.
    """

    id: str
    name: str
    provider: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    streams: bool = False
    inference: tuple[str, ...] = ()
    legacy: bool = False
    ends: dt.datetime | None = None

    @property
    def on_demand(self) -> bool:
        """Whether its bare id can be called; not known (True) where AWS lists no type."""
        return not self.inference or "ON_DEMAND" in self.inference


@dataclass(frozen=True, slots=True)
class Profile:
    """An inference profile: its id, and the ids of the models behind it."""

    id: str
    models: tuple[str, ...]
    own: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """Whether the account may call a model, as GetFoundationModelAvailability says.

    Attributes
    ----------
    granted : bool
    missing : str
        What is missing; empty where nothing is.
    """

    granted: bool
    missing: str = ""


#: What each answer of GetFoundationModelAvailability means where it is not the good one.
_MISSING: Sequence[tuple[str, str, str]] = (
    ("regionAvailability", "AVAILABLE", "the region does not offer it"),
    ("entitlementAvailability", "AVAILABLE", "access to it was not requested in the Bedrock console"),
    ("authorizationStatus", "AUTHORIZED", "the account is not authorized"),
)


@dataclass(slots=True)
class Catalog:
    """Lists models; a client is made when it is first needed.

    Parameters
    ----------
    region : str, optional
        By default the environment's.
    retry : Retry
    """

    region: str | None = None
    retry: Retry = field(default_factory=lambda: Retry(attempts=4, deadline_s=30.0))
    _client: Any = None

    def models(self) -> list[Listed]:
        """Return the models of the region, sorted by provider and id.

        Raises
        ------
        RagError
            The call fails.
        """
        rows = self._call("ListFoundationModels", lambda bedrock: bedrock.list_foundation_models())
        found = [_listed(row) for row in rows["modelSummaries"]]
        return sorted(found, key=lambda model: (model.provider, model.id))

    def profiles(self) -> list[Profile]:
        """Return AWS's profiles of the region, and the account's own.

        Raises
        ------
        RagError
            A call fails.
        """
        pages = self._call(
            "ListInferenceProfiles",
            lambda bedrock: list(bedrock.get_paginator("list_inference_profiles").paginate()),
        )
        return [_profile(row) for page in pages for row in page["inferenceProfileSummaries"]]

    def access(self, model: str) -> Access:
        """Return whether the account may call a model.

        Raises
        ------
        RagError
            The call fails.
        """
        reply = self._call(
            "GetFoundationModelAvailability",
            lambda bedrock: bedrock.get_foundation_model_availability(modelId=model),
        )
        missing = [text for name, good, text in _MISSING if reply.get(name) != good]
        agreement = reply.get("agreementAvailability", {})
        if agreement.get("status") != "AVAILABLE":
            status = str(agreement.get("status", "unknown")).lower().replace("_", " ")
            missing.append(f"its agreement is {status}")
        return Access(not missing, "; ".join(missing))

    def access_to(self, models: Iterable[str]) -> dict[str, Access | RagError]:
        """Return the access to each of several models, or why it could not be had."""
        names = list(models)
        if names:
            self._bedrock()  # once, not in each thread

        def one(model: str) -> Access | RagError:
            try:
                return self.access(model)
            except RagError as error:
                return error

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(names, pool.map(one, names), strict=True))

    def _call(self, operation: str, call: Callable[[Any], Any]) -> Any:
        bedrock = self._bedrock()
        return self.retry.call(
            lambda: call(bedrock), model=f"bedrock:{operation}", error=RagError, advice=_ADVICE
        )

    def _bedrock(self) -> Any:
        if self._client is None:
            self._client = client("bedrock", region=self.region, timeout_s=20.0, connections=_AT_ONCE)
        return self._client


def _profile(row: Mapping[str, Any]) -> Profile:
    behind = tuple(dict.fromkeys(model_ids.without_arn(model["modelArn"]) for model in row["models"]))
    return Profile(row["inferenceProfileId"], behind, row["type"] == "APPLICATION")


def _listed(row: Mapping[str, Any]) -> Listed:
    lifecycle = row.get("modelLifecycle", {})
    return Listed(
        row["modelId"], row.get("modelName", ""), row.get("providerName", ""),
        tuple(row.get("inputModalities", ())), tuple(row.get("outputModalities", ())),
        bool(row.get("responseStreamingSupported")), tuple(row.get("inferenceTypesSupported", ())),
        lifecycle.get("status") == "LEGACY", lifecycle.get("endOfLifeTime"),
    )  # fmt: skip
