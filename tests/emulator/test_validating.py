"""Requests against botocore's service model."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from botocore.loaders import Loader
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.emulator import Emulator, routing, validating
from tests.emulator.conftest import CLAUDE, MESSAGE, send


@pytest.mark.parametrize(("body", "expected"), [
    ({"messages": [{"role": "user"}]}, 'Missing required parameter in messages[0]: "content"'),
    ({"messages": "hello"}, "Invalid type for parameter messages"),
    ({"messages": MESSAGE, "sytem": []}, 'Unknown parameter in input: "sytem"'),
    ({"messages": [{"role": "robot", "content": [{"text": "a"}]}]}, "messages[0].role: 'robot' is not one of user"),
    ({"messages": MESSAGE, "inferenceConfig": {"temperature": 3}}, "inferenceConfig.temperature: 3 is more than"),
    ({"messages": MESSAGE, "inferenceConfig": {"maxTokens": 0}}, "Invalid value for parameter inferenceConfig.maxTokens"),
    ({"messages": MESSAGE, "inferenceConfig": {"maxTokens": True}}, "inferenceConfig.maxTokens: true is not a number"),
    ({"messages": MESSAGE, "inferenceConfig": {"maxTokens": "5"}}, "Invalid type for parameter inferenceConfig.maxTokens"),
    ({"messages": MESSAGE, "inferenceConfig": {"stopSequences": ["a"] * 2501}}, "2501 members: the maximum is"),
    ({"messages": [{"role": "user", "content": [{"text": "a", "cachePoint": {"type": "default"}}]}]},
     "Can only set one of the following keys"),
    ({"messages": [{"role": "user", "content": [{}]}]}, "Must set one of the following keys"),
    ({"messages": MESSAGE, "toolConfig": {"tools": [{"toolSpec": {"name": "a b", "inputSchema": {"json": {}}}}]}},
     "toolConfig.tools[0].toolSpec.name: 'a b' does not match"),
    ({"messages": MESSAGE, "requestMetadata": {f"k{n}": "v" for n in range(17)}}, "requestMetadata: 17 entries: the maximum is 16"),
    ({"messages": MESSAGE, "requestMetadata": {}}, "requestMetadata: 0 entries: the minimum is 1"),
    ({"messages": MESSAGE, "requestMetadata": {"k": "v" * 300}}, "requestMetadata.k: 300 characters: the maximum is 256"),
    ({"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "??"}}}]}]},
     "messages[0].content[0].image.source.bytes: a blob must be base64"),
    ({"messages": MESSAGE, "modelId": "x"}, "modelId: belongs in the path"),
    ([], "the body is not a JSON object"),
    (b"{", "the body is not JSON"),
])  # fmt: skip
def test_violation_names_parameter_and_rule(emulator: Emulator, body: Any, expected: str) -> None:
    status, code, message = send(emulator, f"/model/{CLAUDE}/converse", body)
    assert (status, code) == (400, "ValidationException")
    assert expected in message
    assert expected in emulator.problems[0]
    assert emulator.requests[-1].operation == "Converse"


def test_nulls_are_absent_and_blobs_are_bytes(emulator: Emulator) -> None:
    image = {"format": "png", "source": {"bytes": base64.b64encode(b"\x89PNG").decode()}}
    body = {
        "messages": [{"role": "user", "content": [{"text": "a", "image": None}, {"image": image}]}],
        "system": None,
    }
    assert send(emulator, f"/model/{CLAUDE}/converse", body)[0] == 200
    params = emulator.requests[-1].params
    assert params["messages"][0]["content"][1]["image"]["source"]["bytes"] == b"\x89PNG"
    assert "system" not in params


def test_unchecked_patterns_are_those_python_cannot_compile() -> None:
    unread = set()
    for service in routing.SERVICES:
        for name, shape in Loader().load_service_model(service, "service-2")["shapes"].items():
            try:
                re.compile(shape.get("pattern", ""))
            except re.error:
                unread.add(name)
    assert unread == validating.UNCHECKED_PATTERNS


@settings(max_examples=60, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["messages", "role", "content", "text", "system", "toolConfig"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_any_json_body_can_be_read(body: Any) -> None:
    route = routing.find("POST", f"/model/{CLAUDE}/converse")
    params, wrong = validating.read(route, f"/model/{CLAUDE}/converse", "", {}, json.dumps(body).encode())
    assert params["modelId"] == CLAUDE
    assert all(isinstance(line, str) and line for line in wrong)
