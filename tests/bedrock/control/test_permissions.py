"""The policy that a pipeline needs, with least rights; and what a refusal of AWS lacks."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.bedrock.control.permissions import (
    Permission,
    Place,
    Use,
    action_of,
    denied,
    needed,
    policy,
    resources,
)
from rag.core.errors import RagError

HERE = Place("eu-west-1", "111122223333")
SONNET = "anthropic.claude-sonnet-5-5"
APPLICATION = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123"


@pytest.mark.parametrize(
    ("model", "base", "expected"),
    [
        ("amazon.titan-embed-text-v2:0", None,
         ["arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0"]),
        (f"eu.{SONNET}", None, [
            f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.{SONNET}",
            f"arn:aws:bedrock:*::foundation-model/{SONNET}",
        ]),
        (f"global.{SONNET}", None, [
            f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.{SONNET}",
            f"arn:aws:bedrock:*::foundation-model/{SONNET}",
            f"arn:aws:bedrock:::foundation-model/{SONNET}",
        ]),
        (APPLICATION, f"eu.{SONNET}", [APPLICATION, f"arn:aws:bedrock:*::foundation-model/{SONNET}"]),
        (APPLICATION, None, [APPLICATION]),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}", None,
         [f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}"]),
        (f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.{SONNET}", None, [
            f"arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.{SONNET}",
            f"arn:aws:bedrock:*::foundation-model/{SONNET}",
        ]),
    ],
    ids=["id", "regional", "global", "application-with-base", "application", "model-arn", "profile-arn"],
)  # fmt: skip
def test_a_model_needs_the_models_behind_its_profile(
    model: str, base: str | None, expected: list[str]
) -> None:
    assert list(resources(model, base, HERE)) == expected


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (Use("embed", "embedder", "m.x"), {"bedrock:InvokeModel"}),
        (Use("chat", "generator", "m.x"), {"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}),
        (Use("chat", "generator", APPLICATION),
         {"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "bedrock:GetInferenceProfile"}),
        (Use("rerank", "reranker", "m.rerank"), {"bedrock:InvokeModel", "bedrock:Rerank"}),
        (Use("retrieve", "retriever", "ABCDEFGHIJ"), {"bedrock:Retrieve"}),
        (Use("guardrail", "generator", "gr1a2b3c:2"), {"bedrock:ApplyGuardrail"}),
        (Use("table", "cache", "answers"),
         {f"dynamodb:{name}" for name in ("GetItem", "PutItem", "DeleteItem", "DescribeTable", "Scan")}),
        (Use("batch", "batch", "s3://bucket/p", "m.x", role_arn="arn:aws:iam::111122223333:role/r"),
         {"bedrock:CreateModelInvocationJob", "bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob",
          "bedrock:ListModelInvocationJobs", "s3:GetObject", "s3:PutObject", "s3:ListBucket", "iam:PassRole"}),
    ],
    ids=lambda value: value.kind + ("-arn" if "arn" in value.name else "") if isinstance(value, Use) else "",
)  # fmt: skip
def test_what_each_use_needs(use: Use, expected: set[str]) -> None:
    assert {each.action for each in needed(use, HERE)} == expected


def test_a_policy_joins_actions_on_the_same_resources_and_limits_the_role() -> None:
    batch = Use("batch", "batch", "s3://bucket/p", role_arn="arn:aws:iam::111122223333:role/r")
    made = policy(needed(batch, HERE))
    assert made["Version"] == "2012-10-17"
    by_action = {action: statement for statement in made["Statement"] for action in statement["Action"]}
    assert by_action["s3:PutObject"]["Resource"] == ["arn:aws:s3:::bucket/p/*"]
    assert by_action["s3:PutObject"] is by_action["s3:GetObject"]
    assert by_action["s3:ListBucket"]["Resource"] == ["arn:aws:s3:::bucket"]
    assert by_action["iam:PassRole"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}
    }
    assert "Condition" not in by_action["s3:ListBucket"]


def refusal(message: str, code: str = "AccessDeniedException") -> Any:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Converse")


def test_a_refusal_names_the_action_and_resource_that_aws_names() -> None:
    error = refusal(
        "User: u is not authorized to perform: bedrock:InvokeModel on resource: arn:x because no policy"
    )
    assert denied(error, "Converse") == Permission("bedrock:InvokeModel", "arn:x")
    wrapped = RagError("one line")
    wrapped.__cause__ = error
    assert denied(wrapped, "Converse") == Permission("bedrock:InvokeModel", "arn:x")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal("no"), Permission("bedrock:InvokeModelWithResponseStream", "*")),
        (refusal("You don't have access to the model with the specified model ID."), None),
        (refusal("Model access is denied due to IAM user ... AWS Marketplace actions"), None),
        (refusal("bad", "ValidationException"), None),
        (ValueError("no"), None),
    ],
    ids=["unnamed", "no-access", "marketplace", "invalid", "other"],
)
def test_other_refusals(error: Exception, expected: Permission | None) -> None:
    assert denied(error, "ConverseStream") == expected


def test_actions_of_operations() -> None:
    assert action_of("Converse") == "bedrock:InvokeModel"
    assert action_of("ListServiceQuotas") == "servicequotas:ListServiceQuotas"
    assert action_of("Retrieve") == "bedrock:Retrieve"
