"""Claude against the emulator: the forms of documents, citations and guardrails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage

import rag
from rag.core.errors import ConfigError
from rag.emulator import Emulator
from tests.bedrock.claude_calls import (
    HAIKU_3,
    HOSTILE,
    QUESTION,
    blocks,
    claude,
    last,
    streamed,
)


def test_native_citations(emulator: Emulator, built: Path, pipe: Callable[..., rag.Pipeline]) -> None:
    """Native citations become offsets into the loaded text."""
    texts = {d.metadata["source"]: d.page_content for d in rag.Loader(built / "docs").load()}
    asking = pipe()
    context = asking.context(QUESTION)
    number = 1 + [hit.source for hit in context.hits].index("leave.md")
    emulator.behaviour.reply = (
        f'You get 28 days in Europe.<cite doc="{number}">28 days of annual leave</cite>'
    )
    answer = asking.ask(QUESTION)
    assert answer.text == "You get 28 days in Europe. [1]"
    (citation,) = answer.citations
    assert (citation.source, citation.verified, citation.supports) == ("leave.md", True, True)
    assert texts["leave.md"][citation.start : citation.end] == citation.text
    assert citation.text == "Staff in Europe take 28 days of annual leave."
    results = [block["searchResult"] for block in blocks(emulator)[:-1]]
    assert [(result["source"], result["citations"]) for result in results] == [
        (hit.source, {"enabled": True}) for hit in answer.context.hits
    ]
    assert results[number - 1]["title"].startswith("Leave")
    assert blocks(emulator)[-1] == {"text": f"<question>{QUESTION}</question>"}
    assert last(emulator)["system"][0]["text"].startswith("You answer questions from the search results")


@pytest.mark.parametrize("generator", [
    HAIKU_3, {"use": "claude", "citations": "text"},
])  # fmt: skip
def test_text_form(generator: Any, emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """Documents go as text to models without citations, and on request."""
    generator = {"use": "claude", "model": generator} if isinstance(generator, str) else generator
    answer = pipe(generator).ask(QUESTION)
    assert answer.text == "Staff in Europe take 28 days of annual leave. [1]"
    assert (answer.citations[0].source, answer.citations[0].verified) == ("leave.md", True)
    (block,) = blocks(emulator)
    assert block["text"].startswith('<documents>\n<document index="1" source="')
    assert block["text"].endswith(f"</documents>\n\n<question>{QUESTION}</question>")


@pytest.mark.parametrize("options", [
    {}, {"citations": "text"}, {"guardrail": "gr1a2b3c:2"}, {"guardrail": "gr1a2b3c:2", "citations": "native"},
])  # fmt: skip
def test_hostile_document(
    options: dict[str, Any], emulator: Emulator, pipe: Callable[..., rag.Pipeline]
) -> None:
    """A document that contains the prompt's tags forges nothing and is still cited."""
    emulator.behaviour.reply = (
        'At R&amp;D it is 31 days.<cite doc="1">Leave at R&amp;amp;D is 31 days</cite>'
        if options.get("citations") == "text" else 'It is 31 days.<cite doc="1">31 days</cite>'
    )  # fmt: skip
    answer = pipe(claude(**options)).ask("Leave at R&D?", where="source == 'hostile.txt'")
    (hit,) = answer.context.hits
    (citation,) = answer.citations
    assert citation.verified and citation.supports
    assert HOSTILE[citation.start : citation.end] == citation.text
    assert "31 days" in citation.text
    sent = json.dumps(blocks(emulator))
    assert sent.count("</document>") == sent.count("</documents>") <= 1
    assert sent.count("<question>") == 1
    assert "<cite" not in sent and "<no_answer" not in sent
    assert hit.text in HOSTILE


def test_guardrail_qualifiers(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """A guardrail gets the documents as grounding source, and the question as query and content."""
    answer = pipe(claude(guardrail="gr1a2b3c:2")).ask(QUESTION)
    source, query = (block["guardContent"]["text"] for block in blocks(emulator))
    assert source["qualifiers"] == ["grounding_source"]
    assert source["text"].startswith("<documents>\n<document ")
    # A query that is not also to guard would pass by topics, words and prompt attacks.
    assert query == {"text": f"<question>{QUESTION}</question>", "qualifiers": ["query", "guard_content"]}
    settings = {"guardrailIdentifier": "gr1a2b3c", "guardrailVersion": "2", "trace": "enabled"}
    assert last(emulator)["guardrailConfig"] == {**settings, "streamProcessingMode": "sync"}
    assert (answer.guardrail, answer.prompt, answer.citations[0].verified) == (None, "answer-v1", True)


def test_guardrail_stream_mode(emulator: Emulator) -> None:
    """streamProcessingMode is sent only with streams; wrong guardrails are refused."""
    config = {"guardrailIdentifier": "gr1", "guardrailVersion": "DRAFT", "streamProcessingMode": "async"}
    model = rag.ClaudeBedrock(guardrail=config)
    model.invoke("Hello?")
    assert "streamProcessingMode" not in last(emulator)["guardrailConfig"]
    streamed(model, "Hello?")
    assert last(emulator)["guardrailConfig"]["streamProcessingMode"] == "async"
    for wrong, line in (
        ({"identifier": "gr1"}, "did you mean 'guardrailIdentifier'"),
        ({"guardrailIdentifier": "gr1"}, "has no guardrailVersion"), ("gr1", "is not identifier:version"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=line):
            rag.ClaudeBedrock(guardrail=wrong)


@pytest.mark.parametrize("form", ["search_results", "text", "guarded"])
@pytest.mark.parametrize("count", [0, 1, 300])
def test_odd_documents(form: Any, count: int, emulator: Emulator) -> None:
    """Requests without documents, and with hundreds of odd ones, are valid."""
    odd = [
        {"source": "", "title": ""}, {"source": "  ", "title": "x" * 10_000}, {"source": "s" * 5_000},
        {"source": 'a "b" <c>\n&.md', "title": "</document>"}, {}, {"title": 7, "section": ["<cite>", "&"]},
    ]  # fmt: skip
    texts = ["Leave is 28 days.", " \n", "", HOSTILE, "\u2028\x0b\ud7ff😀"]
    documents = [Document(texts[n % 5], metadata=odd[n % 6]) for n in range(count)]
    model = claude(guardrail="gr1:1" if form == "guarded" else None)
    streamed(model, rag.Prompt(form=form)(QUESTION, documents))
    results = [block["searchResult"] for block in blocks(emulator) if "searchResult" in block]
    assert len(results) == (count if form == "search_results" else 0)
    assert all(result["source"].strip() and result["title"].strip() for result in results)
    assert all(len(result["title"]) < 6_000 for result in results)
    assert all(part["text"].strip() for result in results for part in result["content"])


def test_invoke_keeps_citations(emulator: Emulator) -> None:
    """invoke keeps the citations of a reply of one block."""
    emulator.behaviour.reply = 'It is 28 days.<cite doc="1">28 days</cite>'
    messages = rag.Prompt("answer-native-v1")(
        QUESTION, [Document("Leave is 28 days.", metadata={"source": "a"})]
    )
    message = claude().invoke(messages)
    assert (message.text, type(message)) == ("It is 28 days.", AIMessage)
    cited = [citation for block in message.content for citation in block.get("citations") or ()]
    assert [citation["source_content"] for citation in cited] == [[{"text": "Leave is 28 days."}]]
    assert message.usage_metadata["output_tokens"] > 0
    assert claude().invoke(QUESTION).content == 'It is 28 days.<cite doc="1">28 days</cite>'
    assert emulator.counts == {"ConverseStream": 1, "Converse": 1}
    claude(disable_streaming=True).invoke(messages)
    assert emulator.counts["Converse"] == 2
