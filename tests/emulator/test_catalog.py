"""The emulator lists models, profiles and access, says who calls, and denies on demand."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.emulator import Emulator
from rag.emulator.catalog import name_of
from tests.emulator.conftest import CLAUDE, MESSAGE, client_of, send

SONNET = CLAUDE.removeprefix("global.")


@pytest.fixture
def control(emulator: Emulator) -> Any:
    return client_of(emulator, "bedrock")


@pytest.mark.parametrize(
    ("filters", "provider", "count"),
    [
        ({"byProvider": "Anthropic"}, "Anthropic", 21),
        ({"byOutputModality": "EMBEDDING"}, None, 3),
        ({"byInferenceType": "ON_DEMAND", "byProvider": "Cohere"}, "Cohere", 2),
        ({"byCustomizationType": "FINE_TUNING"}, None, 0),
    ],
    ids=["provider", "modality", "inference", "customization"],
)  # fmt: skip
def test_filters(control: Any, filters: dict[str, str], provider: str | None, count: int) -> None:
    rows = control.list_foundation_models(**filters)["modelSummaries"]
    assert len(rows) == count
    assert provider is None or {row["providerName"] for row in rows} == {provider}


def test_a_model_by_id_and_by_arn(control: Any) -> None:
    arn = f"arn:aws:bedrock:eu-west-1::foundation-model/{SONNET}"
    for name in (SONNET, arn):
        details = control.get_foundation_model(modelIdentifier=name)["modelDetails"]
        assert (details["modelId"], details["modelArn"]) == (SONNET, arn)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        control.get_foundation_model(modelIdentifier="anthropic.claude-none")


def test_profiles_come_in_pages(control: Any) -> None:
    whole = control.list_inference_profiles()["inferenceProfileSummaries"]
    pages = control.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 5})
    paged = [row for page in pages for row in page["inferenceProfileSummaries"]]
    assert [row["inferenceProfileId"] for row in paged] == [row["inferenceProfileId"] for row in whole]
    assert {row["inferenceProfileId"].partition(".")[0] for row in whole} == {"eu", "global"}
    assert control.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"] == []
    with pytest.raises(ClientError, match="nextToken is not valid"):
        control.list_inference_profiles(nextToken="x")


def test_names_of_models() -> None:
    assert name_of("amazon.nova-lite-v1:0") == "Nova Lite"
    assert name_of("anthropic.claude-opus-4-1-20250805-v1:0") == "Claude Opus 4.1"


def test_denied_actions_are_refused_as_by_iam(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.denied = frozenset({"bedrock:InvokeModel"})
    with pytest.raises(ClientError) as refused:
        client.converse(modelId=CLAUDE, messages=MESSAGE)
    error = refused.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error["Error"]["Code"] == "AccessDeniedException"
    assert (
        "not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:eu-west-1:123456789012:"
        f"inference-profile/{CLAUDE} because"
    ) in error["Error"]["Message"]
    client.converse_stream(modelId=CLAUDE, messages=MESSAGE)  # another action
    assert emulator.counts["denied"] == 1


def test_a_model_without_access(emulator: Emulator, client: Any, control: Any) -> None:
    emulator.behaviour.no_access = frozenset({SONNET})
    with pytest.raises(ClientError, match="You don't have access to the model"):
        client.converse(modelId=CLAUDE, messages=MESSAGE)
    found = control.get_foundation_model_availability(modelId=SONNET)
    assert (found["entitlementAvailability"], found["agreementAvailability"]["status"]) == (
        "NOT_AVAILABLE", "NOT_AVAILABLE",
    )  # fmt: skip


def test_sts_answers_in_xml_and_refuses_with_its_own_codes(emulator: Emulator) -> None:
    assert client_of(emulator, "sts").get_caller_identity()["Account"] == "123456789012"
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client_of(emulator, "sts", aws_secret_access_key="wrong").get_caller_identity()
    emulator.behaviour.denied = frozenset({"sts:GetCallerIdentity"})
    with pytest.raises(ClientError, match="AccessDenied"):
        client_of(emulator, "sts").get_caller_identity()


def test_service_quotas(emulator: Emulator) -> None:
    quotas = client_of(emulator, "service-quotas")
    assert quotas.list_service_quotas(ServiceCode="bedrock")["Quotas"][0]["Value"] == 6000.0
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        quotas.list_service_quotas(ServiceCode="lambda")


def test_other_requests_to_the_root_are_unknown(emulator: Emulator) -> None:
    assert send(emulator, "/", b"Action=DeleteUser&Version=2011-06-15")[:2] == (
        404,
        "UnknownOperationException",
    )
