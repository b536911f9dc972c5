"""Data in replies of any chat model: its mechanisms, JSON that is partial or has text around it, and paths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field

import rag
from rag.core.errors import ConfigError, GenerationError
from rag.core.passages import Hit
from rag.generation.fallback import Fallback
from rag.generation.structured.envelope import FieldQuote, Filled, cited, envelope
from rag.generation.structured.forms import form_of
from rag.generation.structured.json_text import PartialJson, json_in, written
from rag.generation.structured.schemas import target

TEXT = "Staff in Europe take 28 days of annual leave."


class Leave(BaseModel):
    """How much leave there is."""

    days: int
    region: str


REPLY = {
    "data": {"days": 28, "region": "Europe"}, "missing": "",
    "quotes": [{"field": "days", "document": 1, "quote": TEXT}, {"field": "region", "document": 1, "quote": "in Europe"}],
}  # fmt: skip


class Told(BaseChatModel):
    """Gives its replies in order, without streaming, and keeps what it was called with."""

    replies: list[AIMessage]
    called: list[dict[str, Any]] = Field(default_factory=list)
    sent: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "told"

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.sent.append(list(messages))
        self.called.append({**kwargs, "stop": stop})
        message = self.replies[min(len(self.called), len(self.replies)) - 1]
        return ChatResult(generations=[ChatGeneration(message=message.model_copy())])


class WithTools(Told):
    """Takes tools, as OpenAI's models do."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=list(tools), **kwargs)


class WithStructuredOutput(Told):
    """Has a ``with_structured_output`` of its own, and no tools."""

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        assert include_raw and schema["title"] == "Leave"
        return self | RunnableLambda(
            lambda raw: {"raw": raw, "parsed": json.loads(raw.text) if raw.text[0] == "{" else None}
        )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("structured")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text(f"# Leave\n\n{TEXT}\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


def ask(
    index: rag.Index, model: Any, question: str = "How many days of leave in Europe?", **options: Any
) -> Any:
    return rag.Pipeline(index, generator=model).ask(question, **options)


def called(**args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "Leave", "args": args, "id": "1"}])


def test_a_model_with_tools_calls_one(index: rag.Index) -> None:
    model = WithTools(replies=[called(**REPLY)])
    for each in (model, model.bind(temperature=0.0)):
        answer = ask(index, each, schema=Leave)
        assert (answer.data, answer.supported) == (Leave(days=28, region="Europe"), 1.0)
    assert [call["tool_choice"] for call in model.called] == ["Leave", "Leave"]
    assert [call.get("temperature") for call in model.called] == [None, 0.0]


def test_a_model_that_writes_instead_is_repaired(index: rag.Index) -> None:
    model = WithTools(replies=[AIMessage("28 days."), called(**REPLY, more=1)])
    assert ask(index, model, schema=Leave).data == Leave(days=28, region="Europe")
    assert "call the tool Leave" in model.sent[1][-1].text
    with pytest.raises(GenerationError, match="after 3 calls the reply does not fit"):
        ask(index, WithTools(replies=[AIMessage("28 days.")]), schema=Leave)


def test_a_model_with_structured_output_alone_is_adapted(index: rag.Index) -> None:
    model = WithStructuredOutput(replies=[AIMessage("Sorry?"), AIMessage(json.dumps(REPLY))])
    answer = ask(index, model, schema=Leave)
    assert (answer.data, [call.purpose for call in answer.calls]) == (
        Leave(days=28, region="Europe"), ["generate", "repair"],
    )  # fmt: skip


def test_any_other_model_is_asked_in_words_and_stopped_behind_the_json(index: rag.Index) -> None:
    model = Told(replies=[AIMessage(f"Sure.\n<json>{json.dumps(REPLY)}</json> And more {{}}")])
    assert ask(index, model, schema=Leave).data == Leave(days=28, region="Europe")
    assert model.called[0]["stop"] == ["</json>"]
    assert '"$ref"' not in model.sent[0][-1].text and '"days"' in model.sent[0][-1].text
    function: Any = RunnableLambda(lambda messages: json.dumps(REPLY))
    assert ask(index, function, schema=Leave).data == Leave(days=28, region="Europe")


def test_a_fallback_that_cannot_is_refused() -> None:
    with pytest.raises(ConfigError, match="remove it from the fallback"):
        form_of(Fallback(models=[WithTools(replies=[]), FakeListChatModel(responses=["x"])]), target(Leave))


def test_texts_of_turns_are_joined(index: rag.Index) -> None:
    def look(place: str) -> str:
        """Look up a place."""
        return place

    first = AIMessage("I look it up.", tool_calls=[{"name": "look", "args": {"place": "EU"}, "id": "1"}])
    model = WithTools(replies=[first, AIMessage(f'It is 28.<cite doc="1">{TEXT}</cite>')])
    assert ask(index, model, tools=[look]).text == "I look it up.\n\nIt is 28. [1]"
    wrong = AIMessage("", tool_calls=[{"name": "find", "args": {}, "id": "1"}])
    answer = ask(index, WithTools(replies=[wrong, AIMessage("No.")]), tools=[look])
    assert answer.tool_uses[0].output == "UsageError: there is no tool 'find': use one of look"
    answer = ask(index, WithTools(replies=[first]), tools=[look], max_usd=1.0)
    assert answer.notes[0].endswith("the price of a call is not known: add it to [prices]")


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', 'Here:\n```json\n{"a": 1}\n```', '{"a": 1} I hope [this] helps.', 'JSON: {"a": 1}'],
)
def test_one_object_with_text_around_it(text: str) -> None:
    assert json_in(text) == {"a": 1}


@pytest.mark.parametrize(
    "text", ["", "none", '{"a": {"b": 1}', '{"a": 1} or {"a": 2}', '{"a": NaN}', "{a} {}"]
)
def test_what_is_not_one_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        json_in(text)


NAMES = st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12,
)  # fmt: skip
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


def begins(part: Any, whole: Any) -> bool:
    """Tell whether a value may become another one by growing."""
    if isinstance(whole, dict):
        names = list(whole)[: len(part)] if isinstance(part, dict) else None
        return names is not None and list(part) == names and all(begins(part[n], whole[n]) for n in names)
    if isinstance(whole, list):
        return isinstance(part, list) and len(part) <= len(whole) and all(map(begins, part, whole))
    if isinstance(whole, str):
        return isinstance(part, str) and whole.startswith(part)
    return type(part) is type(whole) and part == whole


@given(OBJECTS, st.booleans(), st.data())
def test_partial_json_only_grows(value: dict[str, Any], ascii_: bool, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=ascii_)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    reader, at, before = PartialJson(), 0, None
    for cut in [*cuts, len(text)]:
        known, at = reader.feed(text[at:cut]), cut
        assert known is None or begins(known, value)
        assert before is None or begins(before, known)
        before = known
    if len(text) < 64:
        assert before == value


@given(VALUES)
def test_written_json_is_the_value_and_spans_hold_its_parts(value: Any) -> None:
    text, spans = written(value)
    assert json.loads(text) == value
    assert spans["$"] == (0, len(text))
    assert all(0 <= start < end <= len(text) for start, end in spans.values())


@pytest.mark.parametrize(
    "path", ["items[0].days", "$.data.items[0].days", "/items/0/days", "items.0.days", "data.items[0]"]
)
def test_paths_in_any_notation(path: str) -> None:
    filled = Filled(None, {"items": [{"days": 28}]}, (FieldQuote(path, 1, TEXT),), "")
    result = cited(filled, [Hit("eu.md", 0, len(TEXT), TEXT, 1.0)], "")
    assert [(each.path, each.supported) for each in result.fields] == [("items[0].days", True)]
    assert (
        result.text[slice(result.support.sentences[0].start, result.support.sentences[0].end)] == '"days": 28'
    )


def test_a_path_that_is_nowhere_is_noted_and_nothing_states_nothing() -> None:
    filled = Filled(None, {"a": None, "b": "", "c": [], "d": True}, (FieldQuote("x.y", 1, TEXT),), "")
    result = cited(filled, [Hit("eu.md", 0, len(TEXT), TEXT, 1.0)], "")
    assert [(each.path, each.why) for each in result.fields] == [("d", "it carries no citation")]
    assert result.notes == ("a quote names the field 'x.y', which is not in the data",)


def test_an_envelope_keeps_the_references_of_its_schema() -> None:
    tree = {
        "title": "Tree", "type": "object", "properties": {"name": {"$ref": "#/$defs/Name"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
        "$defs": {"Name": {"type": "string"}},
    }  # fmt: skip
    made = envelope(target(tree))
    parts = made.schema["properties"]["data"]["anyOf"][0]["properties"]["parts"]
    assert parts["items"] == {"$ref": "#/properties/data/anyOf/0"}
    value = {"data": {"name": "a", "parts": [{"name": "b"}]}, "quotes": [], "missing": ""}
    assert made.check(value)[0].plain == value["data"]
    assert made.check({**value, "quotes": [{"field": "name"}]})[1] == [
        "$.quotes[0]: give field, document and quote"
    ]
