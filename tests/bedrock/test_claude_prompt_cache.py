"""Claude against the emulator: cache points and their effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

import rag
from rag.emulator import Emulator
from tests.bedrock.claude_calls import (
    HAIKU_3,
    LONG,
    QUESTION,
    SONNET,
    claude,
    last,
    lookup,
)

EARLIER = [
    SystemMessage(LONG),
    HumanMessage("Is there leave?"),
    AIMessage("There is."),
    HumanMessage(QUESTION),
]


@pytest.mark.parametrize(("ttl", "point"), [
    ("5m", {"cachePoint": {"type": "default"}}), ("1h", {"cachePoint": {"type": "default", "ttl": "1h"}}),
])  # fmt: skip
def test_cache_points(ttl: Any, point: dict[str, Any], emulator: Emulator) -> None:
    """Cache points follow tools, system prompt and earlier messages."""
    message = claude(prompt_cache=ttl, cache_minimum=0).bind_tools([lookup]).invoke(EARLIER)
    sent = last(emulator)
    assert sent["toolConfig"]["tools"][1:] == [point]
    assert sent["system"] == [{"text": LONG}, point]
    assert [m["content"][1:] for m in sent["messages"]] == [[], [point], []]
    assert json.dumps(sent).count("cachePoint") == 3
    assert "notes" not in message.response_metadata


def test_cache_minimum(emulator: Emulator) -> None:
    """Only a prefix of at least the model's minimum gets a cache point."""
    claude(prompt_cache="5m").bind_tools([lookup]).invoke(EARLIER)
    sent = last(emulator)  # the tool alone is too short, with the system prompt it is not
    assert [len(sent["toolConfig"]["tools"]), len(sent["system"]), len(sent["messages"][1]["content"])] == [
        1,
        2,
        2,
    ]
    claude(prompt_cache="5m", cache_minimum=5_000).invoke(EARLIER)
    assert "cachePoint" not in json.dumps(last(emulator))


def test_cache_without_effect(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """A note says when the prompt cache cannot take effect."""
    (short,) = pipe(claude(prompt_cache="5m")).ask(QUESTION).notes
    assert short.startswith("the prompt cache has no effect: the unchanging part has about ")
    assert short.endswith(f"tokens, {SONNET} needs at least 512")
    (none,) = pipe({"use": "claude", "model": HAIKU_3, "prompt_cache": "1h"}).ask(QUESTION).notes
    assert none == f"{HAIKU_3} has no prompt cache: omit prompt_cache"
    message = claude(prompt_cache="5m").invoke("Hello?")
    assert message.response_metadata["notes"][0].startswith("the prompt cache has no effect")
    assert "cachePoint" not in json.dumps(last(emulator))


@pytest.mark.parametrize(("ttl", "price"), [("5m", 2.5), ("1h", 4.0)])
def test_cache_prices(ttl: str, price: float, emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """The first call pays for writing the cache, the second for reading it."""
    pipeline = pipe(claude(prompt_cache=ttl), prompt=rag.Prompt("mine", system=LONG))
    first, second = pipeline.ask(QUESTION).usage, pipeline.ask(QUESTION).usage
    kept = first.cache_write_input_tokens
    assert kept > 512
    assert (first.cache_read_input_tokens, second.cache_read_input_tokens) == (0, kept)
    assert (second.cache_write_input_tokens, second.input_tokens) == (0, first.input_tokens)
    assert first.cache_write_1h_input_tokens == (kept if ttl == "1h" else 0)
    rest = 2 * first.input_tokens + 10 * first.output_tokens
    assert first.cost_usd == pytest.approx((rest + price * kept) / 1e6)
    assert second.cost_usd == pytest.approx((rest + 0.10 * kept) / 1e6)
    spent = pipeline.meter.ledger.rows()[0]
    assert (spent.cache_read_tokens, spent.cache_write_tokens) == (kept, kept)
    assert spent.usd == pytest.approx(first.cost_usd + second.cost_usd)


OWN = {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize("placed", [1, 2, 4])
def test_user_cache_points(placed: int, emulator: Emulator) -> None:
    """A request that already has cache points gets no others."""
    texts = [part for n in range(placed) for part in ({"type": "text", "text": f"Part {n}."}, OWN)]
    messages = [SystemMessage(LONG), HumanMessage(texts), AIMessage("Yes."), HumanMessage(QUESTION)]
    # A point of an hour before one of five minutes would be in order, one behind it is refused.
    claude(prompt_cache="1h", cache_minimum=0).bind_tools([lookup]).invoke(messages)
    assert json.dumps(last(emulator)).count("cachePoint") == placed
    rag.ClaudeBedrock(prompt_cache="1h", cache_minimum=0, system=[LONG, OWN]).invoke(QUESTION)
    assert json.dumps(last(emulator)).count("cachePoint") == 1
    claude(prompt_cache="5m", cache_minimum=0).invoke(EARLIER, cache_control={"ttl": "1h"})
    assert "5m" not in json.dumps(last(emulator))


def test_cache_after_tool_call(emulator: Emulator) -> None:
    """A message that only calls a tool gets no cache point."""
    call = {"name": "lookup", "args": {"place": "Europe"}, "id": "call-1", "type": "tool_call"}
    turn = [
        HumanMessage("Look it up."),
        AIMessage("", tool_calls=[call]),
        ToolMessage("28", tool_call_id="call-1"),
    ]
    claude(prompt_cache="5m", cache_minimum=0).bind_tools([lookup]).invoke(turn)
    first, second, _ = last(emulator)["messages"]
    assert first["content"] == [{"text": "Look it up."}, OWN]
    assert [list(block) for block in second["content"]] == [["toolUse"]]
