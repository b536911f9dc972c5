"""The emulator through unmodified langchain-aws."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_aws import BedrockEmbeddings, ChatBedrockConverse

from rag.emulator import Emulator
from tests.emulator.conftest import CLAUDE, COHERE, KEYS, LEAVE, NOVA, QUESTION, SCHEMA, TITAN, prompt


def chat(emulator: Emulator, model: str = CLAUDE) -> ChatBedrockConverse:
    return ChatBedrockConverse(
        model=model, region_name="eu-west-1", endpoint_url=emulator.url, max_tokens=500, **KEYS
    )  # type: ignore[arg-type]


def test_chat_invokes_streams_and_counts(emulator: Emulator) -> None:
    question = prompt(QUESTION, LEAVE)
    reply = chat(emulator).invoke(question)
    assert reply.text == f'{LEAVE}<cite doc="1">{LEAVE}</cite>'
    assert reply.response_metadata["stopReason"] == "end_turn"
    chunks = list(chat(emulator).stream(question))
    assert "".join(chunk.text for chunk in chunks) == reply.text
    assert (
        sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks)
        == reply.usage_metadata["output_tokens"]
    )
    assert emulator.problems == []


def test_chat_calls_tools_and_follows_schemas(emulator: Emulator) -> None:
    schema = {"title": "leave", "description": "Days of leave.", **SCHEMA}
    model = chat(emulator, "global.anthropic.claude-sonnet-4-5-20250929-v1:0")
    bound = model.bind_tools([schema], tool_choice="leave")
    (call,) = bound.invoke("How many?").tool_calls
    assert (call["name"], call["args"]) == ("leave", {"days": 1, "region": "eu"})
    merged = None
    for chunk in bound.stream("How many?"):
        merged = chunk if merged is None else merged + chunk
    assert merged.tool_calls[0]["args"] == {"days": 1, "region": "eu"}
    for method in ("function_calling", "json_schema"):
        output = model.with_structured_output(schema, method=method).invoke("How many?")
        assert output == {"days": 1, "region": "eu"}


def test_chat_reads_native_citations(emulator: Emulator) -> None:
    block = {
        "type": "search_result", "source": "leave.md", "title": "Leave",
        "content": [{"type": "text", "text": LEAVE}], "citations": {"enabled": True},
    }  # fmt: skip
    messages = [("human", [block, {"type": "text", "text": QUESTION}])]
    emulator.behaviour.reply = f'{LEAVE}<cite doc="1">{LEAVE}</cite> No more.'
    content = chat(emulator).invoke(messages).content
    assert content[0]["citations"][0]["location"]["search_result_location"]["search_result_index"] == 0
    merged = None
    for chunk in chat(emulator).stream(messages):
        merged = chunk if merged is None else merged + chunk
    assert merged.text == f"{LEAVE} No more."
    assert [b["citations"][0]["source"] for b in merged.content if b.get("citations")] == ["leave.md"]
    assert emulator.problems == []


@pytest.mark.parametrize(
    ("model", "size"), [(TITAN, 1024), (COHERE, 1536), (NOVA, 3072), ("amazon.titan-embed-text-v1", 1536)]
)
def test_embeddings_with_every_model(emulator: Emulator, model: str, size: int) -> None:
    embedder = BedrockEmbeddings(model_id=model, region_name="eu-west-1", endpoint_url=emulator.url, **KEYS)  # type: ignore[arg-type]
    rows = np.array(
        [*embedder.embed_documents([LEAVE, "Backups run at night."]), embedder.embed_query(QUESTION)]
    )
    assert rows.shape == (3, size)
    assert rows[2] @ rows[0] > rows[2] @ rows[1]
    assert emulator.problems == []
