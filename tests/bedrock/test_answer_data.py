"""Answers as data with Claude against the emulator: every mechanism, repairs, quotes, streams, conversations."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import rag
from rag.core.answers import Answer
from rag.core.calls import Call, Usage
from rag.core.errors import BudgetError, ConfigError, GenerationError, UsageError
from rag.emulator import Behaviour, Emulator
from rag.generation.fallback import Fallback
from rag.usage.ledger import Ledger
from tests.bedrock.claude_calls import HAIKU, HAIKU_3, QUESTION, claude, last

Pipe = Callable[..., rag.Pipeline]
WORDS = "Staff in Europe take 28 days of annual leave."


class Leave(BaseModel):
    """How much leave there is."""

    days: int = Field(ge=1, le=366)
    region: str


class TypedLeave(TypedDict):
    """How much leave there is."""

    days: int
    region: str


@dataclasses.dataclass
class DataLeave:
    """How much leave there is."""

    days: int
    region: str


JSON_LEAVE = {
    "title": "Leave", "type": "object", "required": ["days", "region"],
    "properties": {"days": {"type": "integer", "minimum": 1}, "region": {"type": "string"}},
}  # fmt: skip
VALUES: dict[str, Any] = {"days": 28, "region": "Europe"}


def quote(field: str, words: str = WORDS) -> dict[str, Any]:
    return {"field": field, "document": 1, "quote": words}


def filled(data: Any = VALUES, *quotes: Any, missing: str = "") -> dict[str, Any]:
    return {"data": data, "quotes": list(quotes), "missing": missing}


CITED = filled(VALUES, quote("days"), quote("$.data.region", "Staff in Europe"))


def says(emulator: Emulator, *replies: Any, **more: Any) -> None:
    """Let the next calls give these replies, as text and as a tool's input; the last one for ever."""

    def nth(request: Any) -> Any:
        return replies[min(len(emulator.requests), len(replies)) - 1]

    def text(request: Any) -> str:
        content = nth(request)
        return content if isinstance(content, str) else json.dumps(content)

    emulator.behaviour = Behaviour(reply=text, tool_input=nth, **more)


@pytest.mark.parametrize("model", [HAIKU, HAIKU_3])
@pytest.mark.parametrize(
    ("schema", "data"),
    [(Leave, Leave(**VALUES)), (TypedLeave, VALUES), (DataLeave, DataLeave(**VALUES)), (JSON_LEAVE, VALUES)],
)
def test_data_fits_any_kind_of_schema(
    emulator: Emulator, pipe: Pipe, model: str, schema: Any, data: Any
) -> None:
    says(emulator, CITED)
    answer = pipe(claude(model)).ask(QUESTION, schema=schema)
    assert answer.data == data
    assert json.loads(answer.text) == VALUES
    read = Answer.from_dict(json.loads(json.dumps(answer.to_dict())))
    assert (read.data, read.fields) == (VALUES, answer.fields)
    assert {path: [each.text for each in found] for path, found in answer.field_citations.items()} == {
        "days": [WORDS], "region": ["Staff in Europe"],
    }  # fmt: skip
    assert (answer.answered, answer.supported, str(answer.support)) == (True, 1.0, "supported 2 of 2 fields")
    assert answer.citations[0].source == "leave.md" and answer.notes == ()
    assert ("outputConfig" in last(emulator)) == (model == HAIKU)
    assert "<td" in answer._repr_html_() and "days" in answer._repr_html_()


@pytest.mark.parametrize("model", [HAIKU, HAIKU_3])
def test_a_list_of_models_and_the_paths_of_its_fields(emulator: Emulator, pipe: Pipe, model: str) -> None:
    says(emulator, filled([VALUES, {"days": 22, "region": "US"}], quote("[0]"), quote("data[1].days")))
    answer = pipe(claude(model)).ask(QUESTION, schema=list[Leave])
    assert answer.data == [Leave(**VALUES), Leave(days=22, region="US")]
    assert {each.path: each.why for each in answer.fields} == {
        "[0].days": "", "[0].region": "", "[1].days": "its quotes do not have 22",
        "[1].region": "it carries no citation",
    }  # fmt: skip
    assert answer.supported == 0.5
    assert answer.notes == ("not supported by a citation: [1].days, [1].region",)
    assert [each.verdict for each in answer.field_citations["[1].days"]] == [
        "does not have the numbers of its sentence"
    ]


def test_a_quote_that_is_nowhere_is_marked_or_dropped(emulator: Emulator, pipe: Pipe) -> None:
    says(emulator, filled(VALUES, quote("days", "28 days of annual leave"), quote("region", "the whole EU")))
    answer = pipe().ask(QUESTION, schema=Leave)
    days, region = answer.fields
    assert (days.supported, region.supported, region.why) == (True, False, "its quote is not in the context")
    assert not region.citations[0].verified
    assert answer.support_lines == [
        "supported 1 of 2 fields",
        'not supported: ""region": "Europe"": its quote is not in the context',
    ]
    dropped = pipe(on_unverified="drop").ask(QUESTION, schema=Leave)
    assert dropped.fields[1].citations == () and not dropped.fields[1].supported
    assert json.loads(json.dumps(answer.to_dict()))["fields"][1]["why"] == region.why


@pytest.mark.parametrize("model", [HAIKU, HAIKU_3])
def test_repairs_are_in_the_calls_and_in_the_ledger(
    emulator: Emulator, pipe: Pipe, model: str, tmp_path: Path
) -> None:
    says(emulator, filled({"days": 400, "region": "Europe"}), CITED)
    answer = pipe(claude(model)).ask(QUESTION, schema=Leave)
    assert answer.data == Leave(**VALUES)
    assert [call.purpose for call in answer.calls] == ["generate", "repair"]
    assert all((call.usage.cost_usd or 0) > 0 for call in answer.calls)
    assert "$.data.days: Input should be less than or equal to 366" in json.dumps(last(emulator)["messages"])
    rows = {row.group[0]: row.usd for row in Ledger(tmp_path / "ledger.sqlite").rows(("purpose",))}
    assert rows == {call.purpose: pytest.approx(call.usage.cost_usd) for call in answer.calls}
    with pytest.raises(GenerationError, match=r"does not fit the schema Leave: \$\.data\.days"):
        says(emulator, *[filled({"days": 400, "region": "Europe"})] * 9)
        pipe(claude(model)).ask(QUESTION, schema=Leave, repairs=0)


def test_text_around_the_json_is_left_out_and_a_cut_reply_refused(emulator: Emulator, pipe: Pipe) -> None:
    says(emulator, f"Here it is:\n```json\n{json.dumps(CITED)}\n```\nAnything else?")
    answer = pipe(claude(HAIKU)).ask(QUESTION, schema=Leave)
    assert (answer.data, len(answer.calls)) == (Leave(**VALUES), 1)
    says(emulator, json.dumps(CITED)[:-30], stop_reason="max_tokens")
    with pytest.raises(GenerationError, match="the reply is cut, so it is not read: raise max_tokens"):
        pipe(claude(HAIKU)).ask(QUESTION, schema=Leave)
    says(emulator, CITED, stop_reason="content_filtered")
    withheld = pipe(claude(HAIKU)).ask(QUESTION, schema=Leave)
    assert (withheld.data, withheld.answered, withheld.text) == (None, False, "null")
    assert withheld.notes == ("the model's content filter withheld the answer",)


def test_what_the_documents_do_not_hold_is_no_data(emulator: Emulator, pipe: Pipe) -> None:
    says(emulator, filled(None, missing="Nothing is said of leave on Mars."))
    answer = pipe().ask(QUESTION, schema=Leave)
    assert (answer.data, answer.answered, answer.text) == (None, False, "null")
    assert answer.notes == ("Nothing is said of leave on Mars.",)
    assert answer.fields == () and answer.supported is None


@pytest.mark.parametrize("model", [HAIKU, HAIKU_3])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_partial_data_comes_before_the_answer(
    emulator: Emulator, pipe: Pipe, model: str, asynchronous: bool
) -> None:
    async def collected() -> list[Any]:
        return [event async for event in pipe(claude(model)).astream(QUESTION, schema=Leave)]

    says(emulator, CITED)
    made = pipe(claude(model))
    events = asyncio.run(collected()) if asynchronous else list(made.stream(QUESTION, schema=Leave))
    partial = [event.value for event in events if event.kind == "data"]
    assert partial[-1] == VALUES
    assert all(set(value.items()) <= set(VALUES.items()) or "region" in value for value in partial)
    assert "".join(event.value for event in events if event.kind == "text") == events[-1].value.text
    assert [event.kind for event in events][-1] == "answer"
    assert [event.value.number for event in events if event.kind == "citation"] == [1, 2]


def test_a_fallback_answers_by_a_tool(emulator: Emulator, pipe: Pipe) -> None:
    says(emulator, CITED, CITED)
    emulator.fail_next("AccessDeniedException")
    answer = pipe(Fallback(models=[claude(HAIKU), claude(HAIKU_3)])).ask(QUESTION, schema=Leave)
    assert (answer.data, answer.generator) == (Leave(**VALUES), HAIKU_3)
    assert "toolConfig" in last(emulator) and "answered, as" in answer.notes[0]


def test_a_conversation_may_ask_for_data_in_between(emulator: Emulator, pipe: Pipe) -> None:
    chat = pipe().chat()
    chat.ask(QUESTION)
    says(emulator, *[CITED] * 3)
    assert chat.ask("And as data?", schema=Leave).data == Leave(**VALUES)
    emulator.behaviour = Behaviour()
    chat.ask("When are backups made?")
    sent = last(emulator)["messages"]
    assert json.loads(sent[3]["content"][0]["text"]) == VALUES
    assert "outputConfig" not in last(emulator) and "as data" not in json.dumps(sent[:2])


def test_the_request_holds_no_native_citations(emulator: Emulator, pipe: Pipe) -> None:
    says(emulator, CITED)
    pipe().ask(QUESTION, schema=Leave)
    content = last(emulator)["messages"][-1]["content"]
    assert {
        block["searchResult"]["citations"]["enabled"] for block in content if "searchResult" in block
    } == {False}
    assert "Answer this question as data" in content[-1]["text"]


def test_a_budget_refuses_a_repair(emulator: Emulator, pipe: Pipe) -> None:
    made = pipe(claude(HAIKU), ledger={"stop_usd": 1.0})

    def reply(request: Any) -> str:
        made.meter.record(Call("another", "generate", Usage(cost_usd=1.0)))  # meanwhile, of the same account
        return json.dumps(filled({"days": 400, "region": "Europe"}))

    emulator.behaviour = Behaviour(reply=reply)
    with pytest.raises(BudgetError):
        made.ask(QUESTION, schema=Leave)
    assert len(emulator.requests) == 1


def test_what_cannot_be_asked_for_is_refused_before_anything_is_paid_for(
    emulator: Emulator, pipe: Pipe
) -> None:
    for options, error in (
        ({"schema": Leave, "tools": [print]}, UsageError), ({"repairs": 1}, UsageError), ({"schema": 3}, ConfigError),
        ({"schema": Leave, "repairs": -1}, ConfigError), ({"schema": {"type": "integr"}}, ConfigError), ({"max_usd": 1}, UsageError),
    ):  # fmt: skip
        with pytest.raises(error):
            pipe().ask(QUESTION, **options)
    with pytest.raises(ConfigError, match="the local answerer only quotes, and fills no schema"):
        pipe("local").ask(QUESTION, schema=Leave)
    assert emulator.requests == []


def test_nothing_found_is_no_data_without_a_call(emulator: Emulator, pipe: Pipe) -> None:
    answer = pipe().ask(QUESTION, schema=Leave, where="source == 'none.md'")
    assert (answer.data, answer.text, answer.calls, answer.stop_reason) == (None, "null", (), "nothing_found")


def test_an_answer_to_a_json_schema_is_given_again(emulator: Emulator, pipe: Pipe, tmp_path: Path) -> None:
    says(emulator, CITED)
    asked = pipe(claude(), responses={"path": tmp_path / "responses.sqlite"})
    first, again = (asked.ask(QUESTION, schema=JSON_LEAVE) for _ in range(2))
    assert (first.cached, again.cached.kind, again.data) == (None, "exact", VALUES)
    assert again.fields == first.fields and again.field_citations["days"][0].verified
