"""GetInferenceProfile names the models behind a profile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import rag
from rag.core.errors import GenerationError
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at

ARN = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdefghijkl"
HAIKU = "anthropic.claude-haiku-5-5"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    profiles = {ARN: f"global.{HAIKU}", "short1": HAIKU}
    with Emulator(inference_profiles=profiles) as running, pytest.MonkeyPatch.context() as patch:
        point_at(patch, running.environment())
        yield running


@pytest.fixture(scope="module")
def control(emulator: Emulator) -> Any:
    return boto3.client("bedrock")


@pytest.mark.parametrize(
    ("wanted", "kind", "models"),
    [
        (f"global.{HAIKU}", "SYSTEM_DEFINED", [HAIKU, HAIKU]),
        (f"us.{HAIKU}", "SYSTEM_DEFINED", [HAIKU, HAIKU]),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.{HAIKU}", "SYSTEM_DEFINED", [HAIKU, HAIKU]),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "SYSTEM_DEFINED",
         ["anthropic.claude-sonnet-4-5-20250929-v1:0"]),
        (ARN, "APPLICATION", [HAIKU, HAIKU]),
        ("abcdefghijkl", "APPLICATION", [HAIKU, HAIKU]),
        ("short1", "APPLICATION", [HAIKU]),
    ],
)  # fmt: skip
def test_a_profile_names_its_models(control: Any, wanted: str, kind: str, models: list[str]) -> None:
    profile = control.get_inference_profile(inferenceProfileIdentifier=wanted)
    assert (profile["type"], profile["status"]) == (kind, "ACTIVE")
    assert [model["modelArn"].rsplit("/")[-1] for model in profile["models"]] == models
    assert profile["inferenceProfileId"] == wanted.rsplit("/", 1)[-1]
    assert profile["createdAt"].year == 2026


@pytest.mark.parametrize(
    "wanted",
    [
        HAIKU,
        "us.anthropic.claude-of-tomorrow",
        ARN.replace("abc", "xyz"),
        ARN.replace("eu-west-1", "us-west-2"),
    ],
)
def test_an_unknown_profile_is_not_found(control: Any, wanted: str) -> None:
    with pytest.raises(ClientError) as refused:
        control.get_inference_profile(inferenceProfileIdentifier=wanted)
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_claude_looks_up_the_model_behind_a_profile(emulator: Emulator) -> None:
    claude = rag.ClaudeBedrock(ARN)
    assert claude.base_model_id == HAIKU
    assert claude.invoke("Who?").text
    with pytest.raises(GenerationError, match="set base_model to skip this look-up"):
        rag.ClaudeBedrock(ARN.replace("abc", "xyz"))
