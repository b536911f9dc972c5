"""Prompts of any form give messages, or one line that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import RunnableLambda

import rag
from rag.core.errors import ConfigError, UsageError
from rag.core.passages import Hit
from rag.generation.prompt import Prompt
from rag.generation.prompt_adapter import PassagePrompt, adapt

TEXT = "Leave is 28 days."
HITS = [Hit("a.md", 4, 4 + len(TEXT), TEXT, 1.0, metadata={"year": 2024})]
NUMBERED = f'<documents>\n<document index="1" source="a.md">\n{TEXT}\n</document>\n</documents>'


def sent(prompt: Any) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in adapt(prompt).messages("How long?", HITS)]


@pytest.mark.parametrize("question", ["question", "input", "query"])
@pytest.mark.parametrize("passages", ["context", "documents"])
def test_templates(question: str, passages: str) -> None:
    """A template's variables may have any of LangChain's usual names."""
    chat = ChatPromptTemplate.from_messages([("system", f"Use {{{passages}}}"), ("human", f"{{{question}}}")])
    assert sent(chat) == [("system", f"Use {NUMBERED}"), ("human", "How long?")]
    plain = PromptTemplate.from_template(f"{{{passages}}}\n{{{question}}}")
    assert sent(plain) == [("human", f"{NUMBERED}\nHow long?")]


def test_template_extras() -> None:
    """Optional history and partial values need no variable."""
    chat = ChatPromptTemplate.from_messages([
        ("system", "Speak {language}. {context}"), MessagesPlaceholder("history", optional=True), ("human", "{input}"),
    ]).partial(language="Dutch")  # fmt: skip
    assert sent(chat)[0] == ("system", f"Speak Dutch. {NUMBERED}")
    assert len(sent(chat)) == 2


@pytest.mark.parametrize(("template", "message"), [
    ("{context} {question} {tone}", r"the variable \{tone\}: the question is one of question, input, query"),
    ("{question}", r"no variable for the passages: write one of \{context\}, \{documents\}"),
    ("{context}", r"no variable for the question: write one of \{question\}"),
])  # fmt: skip
def test_template_variables(template: str, message: str) -> None:
    """Wrong or missing variables are named when the prompt is given."""
    with pytest.raises(ConfigError, match=message) as error:
        adapt(ChatPromptTemplate.from_template(template))
    assert "\n" not in str(error.value)


def generated(question: str, documents: list[Document]) -> Iterator[BaseMessage]:
    yield SystemMessage(documents[0].page_content)
    yield HumanMessage(question)


BOTH = [("system", TEXT), ("human", "How long?")]


@pytest.mark.parametrize(("prompt", "expected"), [
    (lambda question, documents: [("system", documents[0].page_content), ("human", question)], BOTH),
    (lambda question, documents: [{"role": "system", "content": documents[0].page_content},
                                  {"role": "user", "content": question}], BOTH),
    (lambda question, documents: (SystemMessage(documents[0].page_content), question), BOTH),
    (generated, BOTH),
    (lambda question, documents: f"{documents[0].page_content} {question}", [("human", f"{TEXT} How long?")]),
    (lambda question, documents: StringPromptValue(text=question), [("human", "How long?")]),
    (lambda question, documents: AIMessage(question), [("ai", "How long?")]),
    (lambda question, documents: {"role": "user", "content": question}, [("human", "How long?")]),
    (RunnableLambda(lambda values: f"{values['context'][:11]} {values['input']}"), [("human", "<documents> How long?")]),
])  # fmt: skip
def test_callables(prompt: Any, expected: list[tuple[str, str]]) -> None:
    """A function or runnable may return everything that LangChain takes for messages."""
    assert sent(prompt) == expected


def test_documents_of_callables() -> None:
    """A function is given LangChain's documents, with offsets and metadata."""
    seen: list[Document] = []
    adapt(lambda question, documents: seen.extend(documents) or question).messages("How long?", HITS)
    assert Hit.from_document(seen[0]) == HITS[0]


async def later(question: str, documents: list[Document]) -> str:
    return question


@pytest.mark.parametrize(("prompt", "message"), [
    (lambda question, documents: 7, "the prompt <lambda> returned int 7: return a string"),
    (lambda question, documents: None, "returned None: "),
    (lambda question, documents: b"bytes", "returned bytes b'bytes': "),
    (lambda question, documents: [], "returned no messages"),
    (lambda question, documents: [("human", "x"), 5], "returned int 5 among its messages"),
    (lambda question, documents: [("robot", "x")], r"returned tuple \('robot', 'x'\) among its messages"),
    (lambda question, documents: {"question": question}, "returned dict {'question': 'How long\\?'} among"),
    (lambda question, documents: documents, "returned Document among its messages"),
    (later, "the prompt later returned coroutine: "),
    (lambda question, documents: documents[7], "the prompt <lambda> failed: IndexError: list index out of range"),
])  # fmt: skip
def test_wrong_returns(prompt: Any, message: str) -> None:
    """A wrong return is one line that names its type."""
    with pytest.raises(UsageError, match=message) as error:
        adapt(prompt).messages("How long?", HITS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("prompt", "message"), [
    (lambda question: question, r"the prompt <lambda> takes \(question\): it must take \(question, documents\)"),
    (7, "the prompt is int 7: give a name"), (Prompt, "the prompt is the class Prompt: give"),
    ({"a": 1}, "the prompt is dict {'a': 1}: give"),
])  # fmt: skip
def test_no_prompts(prompt: Any, message: str) -> None:
    """What cannot be a prompt is refused when it is given."""
    with pytest.raises(ConfigError, match=message):
        adapt(prompt)


def test_interface() -> None:
    """Ours is used as it is; so is any other with the interface, and it is given hits."""

    class Mine:
        name = "mine"

        def messages(self, question: str, hits: list[Hit]) -> list[BaseMessage]:
            return [HumanMessage(f"{hits[0].source}: {question}")]

    ours, mine = Prompt(), Mine()
    assert adapt(ours) is ours
    assert adapt(mine) is mine
    assert isinstance(ours, PassagePrompt)
    assert sent(mine) == [("human", "a.md: How long?")]
    assert (adapt(generated).name, adapt(RunnableLambda(generated, name="gen")).name) == ("generated", "gen")


def test_pipeline(folder: Path, tmp_path: Path) -> None:
    """A template answers with verified citations, and its name is in the answer."""
    rag.build(folder, tmp_path / "ix", embedder="static")
    chat = ChatPromptTemplate.from_messages([("system", "{context}"), ("human", "{input}")])
    chat.name = "mine"
    model = FakeListChatModel(responses=['28 days.<cite doc="1">28 days of annual leave</cite>'])
    answer = rag.Pipeline(tmp_path / "ix", prompt=chat, generator=model).ask("Leave?", where="region == 'eu'")
    assert (answer.text, answer.prompt, answer.supported) == ("28 days. [1]", "mine", 1.0)
    with pytest.raises(ConfigError, match="no variable for the question"):
        rag.Pipeline(tmp_path / "ix", prompt=ChatPromptTemplate.from_template("{context}"))


def test_own_system_text() -> None:
    """The contract is appended to a system text of one's own, in the prompt's form, unless cite=False."""
    cited, bare = Prompt(system="Be brief."), Prompt(system="Be brief.", cite=False)
    native = Prompt(system="Be brief.", form="search_results")
    assert cited.system.startswith("Be brief.\n\nHow to use the documents:")
    assert '<cite doc="N">exact words</cite>' in cited.system and "<no_answer/>" in cited.system
    assert "<cite" not in native.system and "search results" in native.system
    assert bare.system == bare.messages("Who?", [])[0].text == "Be brief."
    assert (cited.name, Prompt("mine", system="x").name) == ("custom", "mine (custom)")
    assert len({cited.version, bare.version, native.version}) == 3


def test_own_file(tmp_path: Path) -> None:
    """A file is the whole system text; the contract is appended on request."""
    path = tmp_path / "mine.md"
    path.write_text("Be brief.\n")
    assert Prompt(str(path)).system == "Be brief.\n"
    assert Prompt(str(path), cite=True).system == Prompt(system="Be brief.").system
    with pytest.raises(ConfigError, match="'answer-v1' contains the citation contract"):
        Prompt(cite=False)
