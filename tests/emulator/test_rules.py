"""Rules of Converse that the service model does not state."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.bedrock.runtime.faults import code_of
from tests.emulator.conftest import CLAUDE, TOOLS, search_result


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


CALL = {"toolUse": {"toolUseId": "t1", "name": "leave", "input": {}}}

RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "28"}]}}

HELLO = {"text": "hello"}


def points(*ttls: str | None) -> list[dict[str, Any]]:
    return [{"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}} for ttl in ttls]


@pytest.mark.parametrize(("request_", "expected"), [
    ({"messages": [turn("assistant", HELLO)]}, "must start with a user message"),
    ({"messages": [turn("user", HELLO), turn("user", HELLO)]}, "must alternate between user and assistant"),
    ({"messages": [turn("user", {"text": " \n"})]}, "messages[0].content[0] is blank"),
    ({"messages": []}, "at least one message is required"),
    ({"messages": [turn("user", HELLO, *points(None, None, None, None, None))]}, "5 cachePoint blocks: the maximum is 4"),
    ({"messages": [turn("user", HELLO, *points("1h"))], "system": [HELLO, *points(None)]}, "1h must not come after one of 5m"),
    ({"messages": [turn("user", HELLO), turn("assistant", CALL), turn("user", HELLO)], "toolConfig": TOOLS},
     "Expected toolResult blocks at messages[2].content for the following Ids: t1"),
    ({"messages": [turn("user", RESULT)], "toolConfig": TOOLS}, "toolResult t1 has no toolUse"),
    ({"messages": [turn("user", HELLO), turn("assistant", CALL), turn("user", RESULT)]}, "toolConfig field must be defined"),
    ({"messages": [turn("user", HELLO)], "toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "x"}}}}, "'x' is not among the tools leave"),
    ({"messages": [turn("user", search_result(), search_result(citations=False))]}, "enabled must be the same"),
    ({"messages": [turn("user", HELLO)], "toolConfig": {**TOOLS, "toolChoice": {"any": {}}},
      "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}, "Thinking may not be enabled"),
])  # fmt: skip
def test_broken_rule_is_refused(client: Any, request_: Any, expected: str) -> None:
    with pytest.raises(ClientError) as refused:
        client.converse(modelId=CLAUDE, **request_)
    assert expected in str(refused.value)
    assert code_of(refused.value) == "ValidationException"


def test_valid_conversation_with_tools_and_cache_points(client: Any) -> None:
    messages = [
        turn("user", HELLO, *points("1h")),
        turn("assistant", CALL),
        turn("user", RESULT, HELLO, *points("5m")),
    ]
    client.converse(
        modelId=CLAUDE, messages=messages, toolConfig=TOOLS, system=[{"text": "a"}, *points("1h")],
        requestMetadata={"tag": "x"}, performanceConfig={"latency": "standard"}, serviceTier={"type": "default"},
    )  # fmt: skip
