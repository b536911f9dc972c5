"""What rag.toml calls on AWS, by its settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.config.bedrock_uses import uses
from rag.core.errors import ConfigError

HAIKU = "global.anthropic.claude-haiku-5-5"
SONNET = "global.anthropic.claude-sonnet-5-5"


def named(settings: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(use.kind, use.stage, use.name) for use in uses(settings)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"embedder": "local", "generator": "local"}, []),
        ({"generator": "openai:gpt-5", "embedder": "module:Class"}, []),
        ({"generator": "claude"}, [("chat", "generator", SONNET)]),
        ({"generator": {"use": "claude", "model": HAIKU, "guardrail": "gr1:2"}},
         [("chat", "generator", HAIKU), ("guardrail", "generator", "gr1:2")]),
        ({"generator": {"use": "claude", "fallback": [HAIKU, "openai:gpt-5", "local"]}},
         [("chat", "generator", SONNET), ("chat", "generator's fallback 1", HAIKU)]),
        ({"generator": {"use": "router", "tiers": {"small": HAIKU, "large": {"use": "claude"}}, "classify": HAIKU}},
         [("chat", "generator's tier small", HAIKU), ("chat", "generator's tier large", SONNET),
          ("chat", "generator's classifier", HAIKU)]),
        ({"retriever": {"use": "knowledge-base", "knowledge_base_id": "ABCDEFGHIJ"}},
         [("retrieve", "retriever", "ABCDEFGHIJ")]),
        ({"retriever": {"reranker": {"use": "bedrock", "model": "cohere.rerank-v3-5:0"}}},
         [("rerank", "retriever's reranker", "cohere.rerank-v3-5:0")]),
        ({"retriever": {"reranker": "bedrock"}}, [("rerank", "retriever's reranker", "amazon.rerank-v1:0")]),
        ({"cache": {"responses": {"use": "dynamodb", "table": "answers"}}}, [("table", "cache.responses", "answers")]),
        ({"batch": {"s3": "s3://bucket/jobs"}}, [("batch", "batch", "s3://bucket/jobs")]),
    ],
    ids=["none", "local", "others", "claude", "guardrail", "fallback", "router", "knowledge-base", "cohere",
         "reranker", "dynamodb", "batch"],
)  # fmt: skip
def test_uses(settings: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert named(settings) == expected


def test_an_embedder_has_its_request_and_region() -> None:
    [use] = uses({"embedder": {"use": "titan", "dimensions": 512, "region": "eu-west-1"}})
    assert (use.kind, use.name, use.region) == ("embed", "amazon.titan-embed-text-v2:0", "eu-west-1")
    assert json.loads(use.body)["dimensions"] == 512


def test_a_batch_has_its_role_and_the_models_that_it_runs() -> None:
    role = "arn:aws:iam::111122223333:role/r"
    settings = {
        "embedder": "titan",
        "generator": "claude",
        "batch": {"s3": "s3://bucket/jobs", "role_arn": role},
    }
    jobs = [use for use in uses(settings) if use.kind == "batch"]
    assert [(use.base, use.role_arn) for use in jobs] == [
        ("amazon.titan-embed-text-v2:0", role),
        (SONNET, role),
    ]


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 256, 512 or 1024 dimensions"):
        uses({"embedder": {"use": "titan", "dimensions": 3}})
