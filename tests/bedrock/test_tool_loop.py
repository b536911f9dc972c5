"""Tools that Claude calls while it answers, against the emulator: turns, errors, limits, events, costs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

import rag
from rag.core.answers import ToolUse
from rag.core.errors import BudgetError, ConfigError
from rag.emulator import Behaviour, Emulator
from rag.usage.ledger import Ledger
from tests.bedrock.claude_calls import HAIKU_3, QUESTION, claude, last, lookup

Pipe = Callable[..., rag.Pipeline]
ASK = f"{QUESTION} First call the tool lookup."


@tool
async def slow_lookup(place: str) -> str:
    """Look up a place, asynchronously alone."""
    await asyncio.sleep(0)
    return f"{place} is a place"


def broken(place: str) -> str:
    """Look up a place."""
    raise ValueError(f"no\nsuch place as {place}")


def long(place: str) -> str:
    """Look up a place."""
    return place * 50_000


def refused(place: str) -> str:
    """Look up a place."""
    raise BudgetError("too dear")


def results(emulator: Emulator) -> list[dict[str, Any]]:
    """The results of tools in the last request."""
    content = [block for message in last(emulator)["messages"] for block in message["content"]]
    return [block["toolResult"] for block in content if "toolResult" in block]


@pytest.mark.parametrize("model", [None, HAIKU_3])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_result_goes_back_and_the_answer_is_cited(
    emulator: Emulator, pipe: Pipe, model: str | None, asynchronous: bool, tmp_path: Path
) -> None:
    emulator.behaviour = Behaviour(
        tool_input={"place": "Europe"},
        reply='It is 28 days.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>',
    )
    made = pipe(claude(model) if model else claude())

    async def collected() -> list[Any]:
        return [event async for event in made.astream(ASK, tools=[lookup])]

    events = asyncio.run(collected()) if asynchronous else list(made.stream(ASK, tools=[lookup]))
    answer = events[-1].value
    use = ToolUse("lookup", {"place": "Europe"})
    assert [event.value for event in events if event.kind == "tool"] == [
        use, ToolUse("lookup", {"place": "Europe"}, "Europe"),
    ]  # fmt: skip
    assert answer.text == "It is 28 days. [1]"
    assert (answer.citations[0].source, answer.citations[0].verified) == ("leave.md", True)
    assert answer.tool_uses == (ToolUse("lookup", {"place": "Europe"}, "Europe"),)
    assert [call.purpose for call in answer.calls] == ["generate", "generate"]
    assert (answer.stop_reason, answer.notes, answer.tool_calls, answer.answered) == (
        "end_turn",
        (),
        (),
        True,
    )
    assert [row.calls for row in Ledger(tmp_path / "ledger.sqlite").rows(())] == [2]
    assert results(emulator)[0]["content"] == [{"text": "Europe"}]
    assert "".join(event.value for event in events if event.kind == "text") == answer.text


def test_errors_of_tools_go_to_the_model(emulator: Emulator, pipe: Pipe) -> None:
    emulator.behaviour = Behaviour(tool_input={"place": "Mars"})
    answer = pipe().ask(f"{QUESTION} First call the tool broken.", tools=[broken])
    assert answer.tool_uses == (
        ToolUse("broken", {"place": "Mars"}, "ValueError: no such place as Mars", error=True),
    )
    assert results(emulator)[0]["status"] == "error"
    emulator.behaviour = Behaviour(tool_input={"town": "Mars"})
    assert "place" in str(pipe().ask(ASK, tools=[lookup]).tool_uses[0].output)
    emulator.behaviour = Behaviour(tool_input={"place": "Mars"})
    with pytest.raises(BudgetError, match="too dear"):
        pipe().ask(f"{QUESTION} First call the tool refused.", tools=[refused])


def test_a_long_result_is_cut_and_an_empty_one_is_said(emulator: Emulator, pipe: Pipe) -> None:
    emulator.behaviour = Behaviour(tool_input={"place": "x"}, reply="Done.")
    cut = str(pipe().ask(f"{QUESTION} Call the tool long.", tools=[long]).tool_uses[0].output)
    assert len(cut) < 20_100 and cut.endswith("30000 more characters; ask for less")
    emulator.behaviour = Behaviour(tool_input={"place": ""})
    assert pipe().ask(ASK, tools=[lookup]).tool_uses[0].output == "(nothing)"


def forever(request: Any) -> dict[str, Any]:
    return {"place": "call the tool lookup"}


def test_limits_end_the_loop_with_a_note(emulator: Emulator, pipe: Pipe) -> None:
    emulator.behaviour = Behaviour(tool_input=forever)
    answer = pipe().ask(ASK, tools=[lookup], max_turns=3)
    assert (len(answer.calls), len(answer.tool_uses), answer.answered) == (3, 2, False)
    assert answer.notes[0] == (
        "the tools were stopped before the answer was complete: the model was called 3 times: raise max_turns"
    )
    assert [call["name"] for call in answer.tool_calls] == ["lookup"] and len(answer.notes) == 1
    cost = answer.calls[0].usage.cost_usd
    assert cost is not None
    answer = pipe().ask(ASK, tools=[lookup], max_usd=3.5 * cost)
    assert len(answer.calls) < 8 and sum(call.usage.cost_usd or 0 for call in answer.calls) <= 3.5 * cost
    assert "another call may exceed max_usd" in answer.notes[0]


def test_a_tools_passages_are_cited_behind_the_questions(emulator: Emulator, pipe: Pipe) -> None:
    def reply(request: Any) -> str:
        number = re.findall(r'index=\\"(\d+)', json.dumps(request.params["messages"][-1]))[0]
        return f'At two.<cite doc="{number}">Backups run every night at two.</cite>'

    emulator.behaviour = Behaviour(tool_input={"question": "When are backups made?"}, reply=reply)
    made = pipe(claude(HAIKU_3), retriever={"k": 1})
    question = f"{QUESTION} First call the tool search_documents."
    answer = made.ask(question, tools=[made.as_tool(k=1)], where="source == 'leave.md'")
    assert (answer.citations[0].source, answer.citations[0].verified) == ("backup.txt", True)
    assert 'index="2"' in str(answer.tool_uses[0].output)


def test_an_asynchronous_tool_and_the_conversation(emulator: Emulator, pipe: Pipe) -> None:
    emulator.behaviour = Behaviour(tool_input={"place": "Europe"})
    chat = pipe(claude(HAIKU_3)).chat()
    answer = asyncio.run(chat.aask(f"{QUESTION} First call the tool slow_lookup.", tools=[slow_lookup]))
    assert answer.tool_uses[0].output == "Europe is a place"
    chat.ask("When are backups made?")
    assert [message["role"] for message in last(emulator)["messages"]] == ["user", "assistant", "user"]
    assert "toolConfig" not in last(emulator)


def test_what_is_no_tool_is_refused(emulator: Emulator, pipe: Pipe) -> None:
    for tools, match in (
        ([3], "3 is no tool"),
        ([lambda x: x], "is no tool"),
        ([lookup, lookup], "same name"),
        ([], "is empty"),
    ):
        with pytest.raises(rag.RagError, match=match):
            pipe().ask(ASK, tools=tools)
    with pytest.raises(ConfigError, match="only quotes, and calls no tools"):
        pipe("local").ask(ASK, tools=[lookup])
    with pytest.raises(ConfigError, match="max_turns is 0"):
        pipe().ask(ASK, tools=[lookup], max_turns=0)
    assert emulator.requests == []


def test_what_a_tool_asks_is_a_cost_of_the_question(emulator: Emulator, pipe: Pipe, tmp_path: Path) -> None:
    made = pipe(claude(HAIKU_3))

    def other(question: str) -> str:
        """Ask about backups."""
        return made.ask(question).text

    emulator.behaviour = Behaviour(tool_input={"question": "When are backups made?"})
    answer = made.ask(f"{QUESTION} First call the tool other.", tools=[other])
    assert "Backups run every night at two." in str(answer.tool_uses[0].output)
    assert len(answer.calls) == len(emulator.requests) == 3
    [row] = Ledger(tmp_path / "ledger.sqlite").rows(())
    assert row.calls == 3
    assert row.usd == pytest.approx(sum(call.usage.cost_usd or 0 for call in answer.calls))
