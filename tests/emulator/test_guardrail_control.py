"""The control plane of guardrails: created, read, updated, versioned, listed, tagged, deleted, refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.emulator import Emulator
from tests.emulator.conftest import client_of
from tests.emulator.guardrails import GUARDRAIL, fits, made


@pytest.fixture
def control(emulator: Emulator) -> Any:
    return client_of(emulator, "bedrock")


def refused(code: str, call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code
    return str(error.value.response["Error"]["Message"])


def test_a_guardrail_is_read_as_it_was_made(control: Any) -> None:
    key = "alias/guardrails"
    identifier = made(control, kmsKeyId=key, description="For the desk.", crossRegionConfig={
        "guardrailProfileIdentifier": "us.guardrail.v1:0"
    })  # fmt: skip
    reply = control.get_guardrail(guardrailIdentifier=identifier)
    fits(control, "GetGuardrail", reply)
    assert (reply["version"], reply["status"], reply["description"]) == ("DRAFT", "READY", "For the desk.")
    assert reply["wordPolicy"] == {"words": [{"text": "falcon"}]}
    assert reply["sensitiveInformationPolicy"]["piiEntities"][0]["type"] == "EMAIL"
    assert reply["crossRegionDetails"]["guardrailProfileId"] == "us.guardrail.v1:0"
    assert reply["kmsKeyArn"].startswith("arn:aws:kms:eu-west-1:123456789012:key/")
    by_arn = control.get_guardrail(guardrailIdentifier=reply["guardrailArn"])
    assert by_arn["guardrailId"] == identifier


def test_versions_keep_what_the_draft_was(control: Any) -> None:
    identifier = made(control)
    first = control.create_guardrail_version(guardrailIdentifier=identifier, description="first")
    changed = {**GUARDRAIL, "wordPolicyConfig": {"wordsConfig": [{"text": "merlin"}]}}
    control.update_guardrail(guardrailIdentifier=identifier, **changed)
    second = control.create_guardrail_version(guardrailIdentifier=identifier)
    assert (first["version"], second["version"]) == ("1", "2")
    old = control.get_guardrail(guardrailIdentifier=identifier, guardrailVersion="1")
    assert (old["wordPolicy"]["words"], old["description"]) == ([{"text": "falcon"}], "first")
    assert control.get_guardrail(guardrailIdentifier=identifier)["wordPolicy"]["words"] == [
        {"text": "merlin"}
    ]
    rows = control.list_guardrails(guardrailIdentifier=identifier)
    fits(control, "ListGuardrails", rows)
    assert [row["version"] for row in rows["guardrails"]] == ["DRAFT", "1", "2"]


def test_lists_come_in_pages(control: Any) -> None:
    for number in range(5):
        made(control, name=f"g{number}")
    names, more = [], {}
    while True:
        page = control.list_guardrails(maxResults=2, **more)
        names += [row["name"] for row in page["guardrails"]]
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    assert names == ["g0", "g1", "g2", "g3", "g4"]


def test_equal_tokens_make_one_guardrail_and_one_version(control: Any) -> None:
    identifier = made(control, clientRequestToken="one")
    assert made(control, clientRequestToken="one") == identifier
    again = {"guardrailIdentifier": identifier, "clientRequestToken": "two"}
    assert [control.create_guardrail_version(**again)["version"] for _ in range(2)] == ["1", "1"]
    assert "already exists" in refused("ConflictException", control.create_guardrail, **GUARDRAIL)


def test_versions_and_guardrails_are_deleted(control: Any) -> None:
    identifier = made(control)
    for _ in range(2):
        control.create_guardrail_version(guardrailIdentifier=identifier)
    control.delete_guardrail(guardrailIdentifier=identifier, guardrailVersion="1")
    get = control.get_guardrail
    refused("ResourceNotFoundException", get, guardrailIdentifier=identifier, guardrailVersion="1")
    assert control.create_guardrail_version(guardrailIdentifier=identifier)["version"] == "3"
    control.delete_guardrail(guardrailIdentifier=identifier)
    refused("ResourceNotFoundException", get, guardrailIdentifier=identifier)
    assert control.list_guardrails()["guardrails"] == []


def test_tags_are_set_and_removed(control: Any) -> None:
    arn = control.get_guardrail(
        guardrailIdentifier=made(control, tags=[{"key": "team", "value": "hr"}, {"key": "a", "value": "b"}])
    )["guardrailArn"]
    control.tag_resource(resourceARN=arn, tags=[{"key": "team", "value": "desk"}])
    control.untag_resource(resourceARN=arn, tagKeys=["a"])
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "desk"}]


def test_a_guardrail_is_busy_for_a_while(emulator: Emulator, control: Any) -> None:
    emulator.guardrails.busy_s = 0.2
    identifier = made(control)
    assert control.get_guardrail(guardrailIdentifier=identifier)["status"] == "CREATING"
    message = refused(
        "ConflictException", control.update_guardrail, guardrailIdentifier=identifier, **GUARDRAIL
    )
    assert "is CREATING" in message
    time.sleep(0.25)
    control.update_guardrail(guardrailIdentifier=identifier, **GUARDRAIL)
    assert control.get_guardrail(guardrailIdentifier=identifier)["status"] == "UPDATING"


def test_quotas(control: Any) -> None:
    identifier = made(control)
    for _ in range(20):
        control.create_guardrail_version(guardrailIdentifier=identifier)
    version = control.create_guardrail_version
    assert "20 versions" in refused("ServiceQuotaExceededException", version, guardrailIdentifier=identifier)


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("wordPolicyConfig", {"wordsConfig": [{"text": "x" * 101}]}, "101 characters: the maximum is 100"),
        ("wordPolicyConfig", {"wordsConfig": [{"text": "a"}, {"text": "a"}]}, "'a' occurs twice"),
        ("name", "a b", "does not match"),
        ("contentPolicyConfig", {"filtersConfig": [
            {"type": "PROMPT_ATTACK", "inputStrength": "HIGH", "outputStrength": "HIGH"}
        ]}, "the outputStrength of PROMPT_ATTACK must be NONE"),
        ("contextualGroundingPolicyConfig", {"filtersConfig": [{"type": "GROUNDING", "threshold": 1.0}]},
         "a threshold must be at most 0.99"),
        ("sensitiveInformationPolicyConfig", {"regexesConfig": [
            {"name": "r", "pattern": "(?=a)", "action": "BLOCK"}
        ]}, "has a lookaround"),
        ("sensitiveInformationPolicyConfig", {"regexesConfig": [
            {"name": "r", "pattern": "(", "action": "BLOCK"}
        ]}, "is not valid"),
        ("topicPolicyConfig", {"topicsConfig": [{"name": "t", "definition": "d", "type": "DENY"}],
                               "tierConfig": {"tierName": "STANDARD"}}, "requires crossRegionConfig"),
    ],
    ids=["length", "twice", "name", "attack", "threshold", "lookaround", "regex", "tier"],
)  # fmt: skip
def test_what_bedrock_refuses_is_refused(control: Any, member: str, value: Any, message: str) -> None:
    said = refused("ValidationException", control.create_guardrail, **{**GUARDRAIL, member: value})
    assert message in said


def test_a_guardrail_without_policy_is_refused(control: Any) -> None:
    bare = {name: value for name, value in GUARDRAIL.items() if not name.endswith("PolicyConfig")}
    assert "at least one policy" in refused("ValidationException", control.create_guardrail, **bare)
