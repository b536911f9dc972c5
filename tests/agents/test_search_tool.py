"""A pipeline as a tool of LangChain's agents: numbers, filters, bounds, and citations that survive."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage, messages_from_dict, messages_to_dict

import rag
from rag.agents.cited_answer import cited_answer
from rag.core.errors import UsageError, WhereError


class Scripted(GenericFakeChatModel):
    """Gives its messages in order, and takes any tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> rag.Pipeline:
    folder = tmp_path_factory.mktemp("agents")
    (folder / "docs").mkdir()
    for name, text in {
        "eu.md": "---\nregion: eu\n---\n# Leave in Europe\n\nStaff in Europe take 28 days of annual leave.\n",
        "us.md": "---\nregion: us\n---\n# Leave in America\n\nStaff in America take 22 days of annual leave.\n",
    }.items():
        (folder / "docs" / name).write_text(text)
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Pipeline(folder / "ix")


def call(question: str, id_: str, **more: Any) -> dict[str, Any]:
    return {"name": "search_documents", "args": {"question": question, **more}, "id": id_}


def run(tools: Any, *messages: AIMessage) -> dict[str, Any]:
    agent: Any = create_agent(
        Scripted(messages=iter(messages)), tools if isinstance(tools, list) else [tools]
    )
    result: dict[str, Any] = agent.invoke({"messages": [("human", "How many days of leave are there?")]})
    return result


def numbers(result: dict[str, Any]) -> list[list[int]]:
    return [
        [int(number) for number in re.findall(r'<document index="(\d+)"', str(message.text))]
        for message in result["messages"] if isinstance(message, ToolMessage)
    ]  # fmt: skip


TWICE = AIMessage("", tool_calls=[call("Leave in Europe?", "a"), call("Leave in America?", "b")])
AGAIN = AIMessage("", tool_calls=[call("Leave in America?", "c")])


def test_citations_survive_the_agents_final_text(pipe: rag.Pipeline) -> None:
    final = AIMessage(
        'It is 28 days in Europe.<cite doc="101">Staff in Europe take 28 days of annual leave.</cite> In America '
        'it is 22 days [201]. On Mars it is 9.<cite doc="101">nine days on Mars</cite> See [77].'
    )
    answer = cited_answer(run(pipe.as_tool(k=1), TWICE, final))
    assert answer.text == (
        "It is 28 days in Europe. [1] In America it is 22 days. [2] On Mars it is 9. [3?] See (77)."
    )
    assert [(each.source, each.verified) for each in answer.citations] == [
        ("eu.md", True), ("us.md", True), ("eu.md", False),
    ]  # fmt: skip
    first = answer.citations[0]
    assert (first.text, first.section) == (
        "Staff in Europe take 28 days of annual leave.",
        ("Leave in Europe",),
    )
    assert answer.question == "How many days of leave are there?"
    assert [use.name for use in answer.tool_uses] == ["search_documents"] * 2
    assert len(answer.context.hits) == 2 and str(answer.support).startswith("supported 2 of ")


def test_numbers_are_unique_over_all_calls_of_a_run(pipe: rag.Pipeline) -> None:
    tools = [pipe.as_tool(), pipe.as_tool("search_again")]
    other = AIMessage("", tool_calls=[{"name": "search_again", "args": {"question": "Leave?"}, "id": "d"}])
    result = run(tools, TWICE, AGAIN, other, AIMessage("Done."))
    blocks = numbers(result)
    assert [block[0] for block in blocks] == [101, 201, 301, 401]
    flat = [number for block in blocks for number in block]
    assert len(set(flat)) == len(flat)
    # In another process, from a stored state whose first messages were dropped, too.
    stored = messages_from_dict(json.loads(json.dumps(messages_to_dict(result["messages"][3:]))))
    again = AIMessage("", tool_calls=[call("Leave in America?", "e")])
    agent: Any = create_agent(Scripted(messages=iter([again, AIMessage("Done.")])), [pipe.as_tool()])
    assert numbers(agent.invoke({"messages": [*stored, ("human", "And?")]}))[-1][0] == 501


def test_the_model_cannot_widen_the_filter(pipe: rag.Pipeline) -> None:
    ask = AIMessage("", tool_calls=[call("Leave?", "a", where="region == 'us' or region != 'us'")])
    for narrow in (False, True):
        result = run(pipe.as_tool(where="region == 'eu'", narrow=narrow), ask, AIMessage("Done."))
        assert {hit.source for hit in cited_answer(result).context.hits} == {"eu.md"}
    ask = AIMessage("", tool_calls=[call("Leave?", "a", where="region == 'us'")])
    result = run(pipe.as_tool(where="region == 'eu'", narrow=True), ask, AIMessage("Done."))
    assert result["messages"][2].text == "No passage fits this question."
    ask = AIMessage("", tool_calls=[call("Leave?", "a", where="regoin == 'us'"), call(" ", "b")])
    result = run(pipe.as_tool(narrow=True), ask, AIMessage("Done."))
    assert [message.status for message in result["messages"][2:4]] == ["error", "error"]
    assert "did you mean 'region'" in result["messages"][2].text
    assert "where" not in pipe.as_tool().args
    with pytest.raises(WhereError, match="region"):
        pipe.as_tool(where="regoin == 'eu'")
    with pytest.raises(UsageError, match="no option 'top'"):
        pipe.as_tool(top=3)
    with pytest.raises(UsageError, match="budget"):
        pipe.as_tool(budget=0)


def test_a_result_is_bounded(pipe: rag.Pipeline) -> None:
    result = pipe.as_tool(budget=70).invoke({**call("Leave in Europe?", "a"), "type": "tool_call"})
    passages = re.findall(r"<document [^>]*>\n(.*?)\n</document>", result.content, re.DOTALL)
    assert 0 < sum(map(len, passages)) <= 70


def test_outside_an_agent_each_call_has_numbers_of_its_own(pipe: rag.Pipeline) -> None:
    tool = pipe.as_tool(k=1)
    results = [tool.invoke({**call("Leave?", id_), "type": "tool_call"}) for id_ in "ab"]
    assert [re.findall(r'index="(\d+)"', result.content) for result in results] == [["101"], ["201"]]


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(UsageError, match="last message is not an answer"):
        cited_answer({"messages": []})
    with pytest.raises(UsageError, match="pass what the agent returned"):
        cited_answer("text")
