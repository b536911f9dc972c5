"""The Bedrock emulator, through unmodified boto3 and langchain-aws."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ConnectionClosedError, EventStreamError, ReadTimeoutError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_aws import BedrockEmbeddings, ChatBedrockConverse
from moto.core.eventstream import EventStreamEncoder
from urllib3.exceptions import ProtocolError

from rag.bedrock.runtime.faults import FAULTS, code_of
from rag.core.errors import ConfigError
from rag.emulator import Behaviour, Emulator, Refusal, Reply, Request, framing, routing, signing, validating
from rag.emulator import behaviour as behaviours
from rag.emulator.behaviour import STOP_REASONS
from rag.emulator.caching import PromptCache
from rag.emulator.embedding import vectors
from rag.emulator.instances import instance
from rag.usage.tokens import estimate_tokens

CLAUDE = "global.anthropic.claude-sonnet-5-5"
TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
QUESTION = "How many days of annual leave do staff in Europe take?"
LEAVE = "Staff in Europe take 28 days of annual leave."
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Nothing of the user's own AWS settings is read."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """One server for all tests, as good as new."""
    shared_emulator.behaviour = Behaviour()
    shared_emulator.recorder, shared_emulator.secrets = None, None
    for kept in (shared_emulator.requests, shared_emulator.problems, shared_emulator.counts):
        kept.clear()
    shared_emulator.prompt_cache = PromptCache()
    return shared_emulator


def client_of(emulator: Emulator, service: str = "bedrock-runtime", **more: Any) -> Any:
    config = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 50, **more.pop("config", {})}
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=emulator.url,
        config=Config(**config),
        **{**KEYS, **more},
    )


@pytest.fixture
def client(emulator: Emulator) -> Any:
    return client_of(emulator)


def user(*blocks: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [b if isinstance(b, dict) else {"text": b} for b in blocks]}]


def search_result(text: str = LEAVE, citations: bool = True) -> dict[str, Any]:
    return {"searchResult": {
        "source": "leave.md", "title": "Leave", "content": [{"text": "First."}, {"text": text}],
        "citations": {"enabled": citations},
    }}  # fmt: skip


def text_of(reply: dict[str, Any]) -> str:
    return "".join(block["text"] for block in reply["output"]["message"]["content"])


def streamed(client: Any, **request: Any) -> list[tuple[str, dict[str, Any]]]:
    reply = client.converse_stream(**{"modelId": CLAUDE, "messages": user(QUESTION), **request})
    return [next(iter(event.items())) for event in reply["stream"]]


def invoke(client: Any, model: str, **body: Any) -> dict[str, Any]:
    return json.loads(client.invoke_model(modelId=model, body=json.dumps(body))["body"].read())


def send(
    emulator: Emulator, path: str, body: Any, method: str = "POST", **headers: str
) -> tuple[int, str, str]:
    """Send what boto3 would not: a signed request with any body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = AWSRequest(
        method, f"{emulator.url}{path}", {"Content-Type": "application/json", **headers}, data
    )
    SigV4Auth(Credentials("test", "test"), "bedrock", "eu-west-1").add_auth(request)
    return send_raw(emulator, path, data, method, dict(request.headers))


def send_raw(emulator: Emulator, path: str, data: bytes, method: str, headers: dict) -> tuple[int, str, str]:
    asked = urllib.request.Request(f"{emulator.url}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return reply.status, "", reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-amzn-ErrorType"], json.loads(error.read())["message"]


# Embeddings


@pytest.mark.parametrize("dimensions", [256, 512, 1024])
def test_titan_gives_unit_vectors_that_keep_what_is_alike_together(client: Any, dimensions: int) -> None:
    texts = [LEAVE, "Employees in Europe have 28 days of holiday.", "The database is backed up at night."]
    replies = [invoke(client, TITAN, inputText=text, dimensions=dimensions) for text in texts]
    rows = np.array([reply["embedding"] for reply in replies])
    assert rows.shape == (3, dimensions)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
    assert replies[0]["embeddingsByType"]["float"] == replies[0]["embedding"]
    assert replies[0]["inputTextTokenCount"] == estimate_tokens(
        LEAVE, "anthropic.claude-3-haiku-20240307-v1:0"
    )


def test_vectors_of_all_sizes_have_the_same_cosines() -> None:
    texts = [LEAVE, "Backups run at night.", "漢字 zzzz"]
    known = vectors(texts, 256)
    for dimensions in (384, 512, 1024, 1536, 3072):
        rows = vectors(texts, dimensions)
        assert rows @ rows.T == pytest.approx(known @ known.T, abs=1e-5)


def test_titan_gives_bits_and_vectors_of_any_length_where_asked(client: Any) -> None:
    reply = invoke(
        client, TITAN, inputText=LEAVE, dimensions=256, embeddingTypes=["binary", "float"], normalize=False
    )
    row, bits = np.array(reply["embedding"]), np.array(reply["embeddingsByType"]["binary"])
    assert np.linalg.norm(row) == pytest.approx(10.0, abs=1e-5)
    assert (bits == (row > 0)).all()


@pytest.mark.parametrize(("body", "said"), [
    ({}, r"required key \[inputText\] not found"),
    ({"inputText": "a", "dimension": 256}, r"extraneous key \[dimension\] is not permitted"),
    ({"inputText": "a", "dimensions": 300}, "300 is not a valid enum value"),
    ({"inputText": "a", "dimensions": True}, "expected type: int"),
    ({"inputText": ""}, "expected minLength: 1, actual: 0"),
    ({"inputText": 7}, "expected type: str"),
    ({"inputText": "a", "embeddingTypes": ["int8"]}, "float or binary"),
    ({"inputText": "a " * 26_000}, "Max input characters: 50000"),
    ({"inputText": "zq " * 9_000}, "Max input tokens: 8192"),
])  # fmt: skip
def test_titans_limits_are_those_of_bedrock(client: Any, emulator: Emulator, body: Any, said: str) -> None:
    with pytest.raises(ClientError, match=said) as refused:
        invoke(client, TITAN, **body)
    assert code_of(refused.value) == "ValidationException"
    assert (emulator.counts["refused"], len(emulator.problems)) == (1, 1)


def test_cohere_answers_lists_or_types_as_asked(client: Any) -> None:
    texts = [LEAVE, "Backups run at night."]
    plain = invoke(client, COHERE, texts=texts, input_type="search_document")
    assert (plain["response_type"], plain["texts"]) == ("embeddings_floats", texts)
    assert np.array(plain["embeddings"]).shape == (2, 1536)
    typed = invoke(
        client, COHERE, texts=texts, input_type="search_query", embedding_types=["float", "binary", "int8"],
        output_dimension=256, truncate="RIGHT",
    )  # fmt: skip
    assert typed["response_type"] == "embeddings_by_type"
    sizes = {kind: np.array(rows).shape for kind, rows in typed["embeddings"].items()}
    assert sizes == {"float": (2, 256), "binary": (2, 32), "int8": (2, 256)}
    third = invoke(
        client, "cohere.embed-english-v3", texts=texts, input_type="search_document", truncate="END"
    )
    assert np.array(third["embeddings"]).shape == (2, 1024)


@pytest.mark.parametrize(("body", "said"), [
    ({"texts": ["a"]}, r"required key \[input_type\]"),
    ({"texts": ["a"] * 97, "input_type": "search_document"}, "found 97"),
    ({"texts": ["a"], "input_type": "document"}, "document is not a valid enum value"),
    ({"texts": ["a"], "input_type": "search_query", "truncate": "END"}, "END is not a valid enum value"),
    ({"texts": ["a"], "input_type": "search_query", "output_dimension": 100}, "100 is not a valid"),
])  # fmt: skip
def test_coheres_limits_are_those_of_bedrock(client: Any, body: Any, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        invoke(client, COHERE, **body)


def nova(**more: Any) -> dict[str, Any]:
    text = {"truncationMode": "NONE", "value": LEAVE}
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "text": text, **more},
    }


def test_nova_answers_one_text(client: Any) -> None:
    made = invoke(client, NOVA, **nova(embeddingDimension=384))["embeddings"]
    assert [(one["embeddingType"], len(one["embedding"])) for one in made] == [("TEXT", 384)]
    for wrong, said in (({"embeddingDimension": 512}, "512"), ({"embeddingPurpose": "INDEX"}, "INDEX")):
        with pytest.raises(ClientError, match=f"{said} is not a valid enum value"):
            invoke(client, NOVA, **nova(**wrong))


def test_a_chat_model_is_no_embedder_and_an_embedder_no_chat_model(client: Any) -> None:
    with pytest.raises(ClientError, match="use Converse"):
        invoke(client, CLAUDE, inputText="a")
    with pytest.raises(ClientError, match="doesn't support the Converse API"):
        client.converse(modelId=TITAN, messages=user("a"))


# Converse


def prompt(question: str, *documents: str) -> str:
    shown = "\n".join(
        f'<document index="{n}" source="{n}.md">\n{d}\n</document>' for n, d in enumerate(documents, 1)
    )
    return f'Quote with <cite doc="1">…</cite>.\n{shown}\n<question>{question}</question>'


def test_claude_quotes_the_documents_of_rags_prompt(client: Any) -> None:
    documents = ("Backups run every night at two.", LEAVE)
    reply = client.converse(modelId=CLAUDE, messages=user(prompt(QUESTION, *documents)))
    assert text_of(reply) == f'{LEAVE}<cite doc="2">{LEAVE}</cite>'
    assert reply["stopReason"] == "end_turn"
    usage = reply["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert usage["outputTokens"] == estimate_tokens(text_of(reply), CLAUDE)


@pytest.mark.parametrize("blocks", [
    ["Backups run every night at two.\n\n" + LEAVE + "\n\n" + QUESTION],
    [{"guardContent": {"text": {"text": LEAVE, "qualifiers": ["grounding_source"]}}},
     {"guardContent": {"text": {"text": QUESTION, "qualifiers": ["query"]}}}],
    [{"document": {"name": "leave", "format": "txt", "source": {"bytes": LEAVE.encode()}}}, QUESTION],
    [search_result(citations=False), QUESTION],
])  # fmt: skip
def test_claude_reads_every_form_of_prompt_and_speaks_no_tags_unasked(client: Any, blocks: Any) -> None:
    assert text_of(client.converse(modelId=CLAUDE, messages=user(*blocks))) == LEAVE


def test_claude_cites_search_results_natively(client: Any) -> None:
    messages = user(search_result("Backups run every night at two."), search_result(), QUESTION)
    (block,) = client.converse(modelId=CLAUDE, messages=messages)["output"]["message"]["content"]
    cited = block["citationsContent"]
    assert cited["content"] == [{"text": LEAVE}]
    assert cited["citations"] == [{
        "title": "Leave", "source": "leave.md", "sourceContent": [{"text": LEAVE}],
        "location": {"searchResultLocation": {"searchResultIndex": 1, "start": 1, "end": 2}},
    }]  # fmt: skip
    events = streamed(client, messages=messages)
    deltas = [body["delta"] for kind, body in events if kind == "contentBlockDelta"]
    assert "".join(delta.get("text", "") for delta in deltas) == LEAVE
    assert deltas[-1] == {"citation": cited["citations"][0]}
    assert {body["contentBlockIndex"] for kind, body in events if "Block" in kind} == {0}


def test_a_forced_reply_is_said_and_its_tags_become_citations_where_there_are_results(
    emulator: Emulator, client: Any
) -> None:
    emulator.behaviour.reply = 'Europe: 28.<cite doc="1">28 days</cite> No more.<cite doc="9">x</cite>'
    assert text_of(client.converse(modelId=CLAUDE, messages=user(QUESTION))) == emulator.behaviour.reply
    content = client.converse(modelId=CLAUDE, messages=user(search_result(), QUESTION))["output"]["message"][
        "content"
    ]
    assert [next(iter(block)) for block in content] == ["citationsContent", "text"]
    assert content[1]["text"] == " No more."


def test_replies_may_differ_from_call_to_call(emulator: Emulator, client: Any) -> None:
    replies = iter(["one", "two"])
    emulator.behaviour.reply = lambda request: next(replies)
    assert [text_of(client.converse(modelId=CLAUDE, messages=user("a"))) for _ in range(2)] == ["one", "two"]


def test_a_stream_says_what_a_reply_says_event_by_event(client: Any) -> None:
    messages = user(prompt(QUESTION, LEAVE))
    whole = client.converse(modelId=CLAUDE, messages=messages)
    events = streamed(client, messages=messages)
    kinds = [kind for kind, _ in events]
    assert kinds[0] == "messageStart" and kinds[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert kinds.count("contentBlockDelta") > 8
    said = "".join(body["delta"]["text"] for kind, body in events if kind == "contentBlockDelta")
    assert said == text_of(whole)
    assert events[-1][1]["usage"] == whole["usage"]


def test_most_tokens_and_stop_sequences_end_a_reply(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.reply = "one two three four five six seven eight nine ten"
    cut = client.converse(modelId=CLAUDE, messages=user("a"), inferenceConfig={"maxTokens": 5})
    assert cut["stopReason"] == "max_tokens"
    assert emulator.behaviour.reply.startswith(text_of(cut))
    assert 1 <= cut["usage"]["outputTokens"] <= 5
    stopped = client.converse(
        modelId=CLAUDE, messages=user("a"), inferenceConfig={"stopSequences": ["seven", " four"]},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    )  # fmt: skip
    assert (text_of(stopped), stopped["stopReason"]) == ("one two three", "stop_sequence")
    assert stopped["additionalModelResponseFields"] == {"stop_sequence": " four"}
    emulator.behaviour.stop_reason = "model_context_window_exceeded"
    assert streamed(client)[-2][1]["stopReason"] == "model_context_window_exceeded"


SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["days", "region"],
    "properties": {"days": {"type": "integer"}, "region": {"enum": ["eu", "us"]}},
}  # fmt: skip
TOOLS = {"tools": [{"toolSpec": {"name": "leave", "inputSchema": {"json": SCHEMA}}}]}


def test_tools_are_called_when_forced_or_asked_for(emulator: Emulator, client: Any) -> None:
    for more, text in (
        ({"toolChoice": {"any": {}}}, "a"),
        ({"toolChoice": {"tool": {"name": "leave"}}}, "a"),
        ({}, "Call the tool leave"),
    ):
        reply = client.converse(modelId=CLAUDE, messages=user(text), toolConfig={**TOOLS, **more})
        use = reply["output"]["message"]["content"][0]["toolUse"]
        assert (use["name"], use["input"], reply["stopReason"]) == (
            "leave",
            {"days": 1, "region": "eu"},
            "tool_use",
        )
    emulator.behaviour.tool_input = {"days": "many"}
    events = streamed(client, toolConfig={**TOOLS, "toolChoice": {"any": {}}})
    start = next(body["start"]["toolUse"] for kind, body in events if kind == "contentBlockStart")
    parts = [body["delta"]["toolUse"]["input"] for kind, body in events if kind == "contentBlockDelta"]
    assert (start["name"], len(parts), json.loads("".join(parts))) == ("leave", 2, {"days": "many"})
    assert (
        text_of(client.converse(modelId=CLAUDE, messages=user(LEAVE + "\n\n" + QUESTION), toolConfig=TOOLS))
        == LEAVE
    )


def test_a_json_schema_is_answered_with_an_instance(emulator: Emulator, client: Any) -> None:
    def asked(schema: Any) -> Any:
        structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "leave"}}
        config = {"textFormat": {"type": "json_schema", "structure": structure}}
        return json.loads(text_of(client.converse(modelId=CLAUDE, messages=user("a"), outputConfig=config)))

    assert asked(SCHEMA) == {"days": 1, "region": "eu"}
    emulator.behaviour.reply = '{"days": "many"}'
    assert asked(SCHEMA) == {"days": "many"}
    with pytest.raises(ClientError, match="'additionalProperties' of an object must be false"):
        asked({"type": "object", "properties": {}})
    with pytest.raises(ClientError, match="'minimum' is not supported"):
        asked({"type": "integer", "minimum": 3})


def test_instances_keep_to_references_choices_and_bounds() -> None:
    schema = {
        "$defs": {"day": {"type": "string", "format": "date"}},
        "type": "object",
        "properties": {
            "from": {"$ref": "#/$defs/day"}, "n": {"type": "number", "minimum": 2.5},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]}, "yes": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "both": {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            "short": {"type": "string", "maxLength": 2}, "long": {"type": "string", "minLength": 7},
        },
    }  # fmt: skip
    assert instance(schema) == {
        "from": "2026-01-31", "n": 2.5, "either": None, "yes": True, "list": [1, 1],
        "both": {"a": 1, "b": 2}, "short": "te", "long": "textxxx",
    }  # fmt: skip


def test_guardrails_block_mask_and_say_so(emulator: Emulator, client: Any) -> None:
    config = {"guardrailIdentifier": "abc123", "guardrailVersion": "1", "trace": "enabled"}
    request = {"modelId": CLAUDE, "messages": user(LEAVE + "\n\n" + QUESTION), "guardrailConfig": config}
    assert text_of(client.converse(**request)) == LEAVE
    emulator.behaviour.guardrail = "masked"
    masked = client.converse(**request)
    assert text_of(masked) == "Staff in Europe take {NUMBER} days of annual leave."
    (found,) = masked["trace"]["guardrail"]["outputAssessments"]["abc123"]
    (rule,) = found["sensitiveInformationPolicy"]["regexes"]
    assert (rule["match"], rule["action"]) == ("28", "ANONYMIZED")
    emulator.behaviour.guardrail = "blocked"
    blocked = client.converse(**request)
    assert blocked["stopReason"] == "guardrail_intervened"
    (topic,) = blocked["trace"]["guardrail"]["inputAssessment"]["abc123"]["topicPolicy"]["topics"]
    assert (topic["action"], blocked["usage"]["totalTokens"]) == ("BLOCKED", 0)
    assert streamed(client, **request)[-1][1]["trace"] == blocked["trace"]
    assert (
        text_of(client.converse(modelId=CLAUDE, messages=request["messages"])) == LEAVE
    )  # names no guardrail


def test_a_masked_answer_still_names_the_documents_that_it_cites(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.guardrail = "masked"
    config = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    messages = user(prompt(QUESTION, "Backups run every night at two.", LEAVE))
    hidden = LEAVE.replace("28", "{NUMBER}")
    reply = client.converse(modelId=CLAUDE, messages=messages, guardrailConfig=config)
    assert text_of(reply) == f'{hidden}<cite doc="2">{hidden}</cite>'


def test_a_prompt_above_the_models_context_is_refused_as_too_long(client: Any) -> None:
    haiku = "anthropic.claude-haiku-4-5-20251001-v1:0"  # takes 200,000 tokens
    with pytest.raises(ClientError, match="Input is too long for requested model") as refused:
        client.converse(modelId=haiku, messages=user("leave " * 250_000))
    assert code_of(refused.value) == "ValidationException"
    assert client.converse(modelId=haiku, messages=user("leave " * 100_000))["usage"]["inputTokens"] > 90_000


@pytest.mark.parametrize("asked", ["Begin with `<no_answer/>` if it is nowhere.", "Be brief."])
def test_what_is_not_in_the_documents_is_marked_where_the_prompt_has_a_mark_for_it(
    client: Any, asked: str
) -> None:
    reply = client.converse(modelId=CLAUDE, system=[{"text": asked}], messages=user(QUESTION))
    assert text_of(reply).startswith("<no_answer/>") == ("<no_answer/>" in asked)


def test_apply_guardrail_says_what_it_did(emulator: Emulator, client: Any) -> None:
    def applied(text: str) -> Any:
        return client.apply_guardrail(
            guardrailIdentifier="abc123",
            guardrailVersion="DRAFT",
            source="OUTPUT",
            content=[{"text": {"text": text}}],
        )

    assert (applied(LEAVE)["action"], applied(LEAVE)["outputs"]) == ("NONE", [])
    emulator.behaviour.guardrail = "masked"
    assert applied(LEAVE)["outputs"] == [{"text": LEAVE.replace("28", "{NUMBER}")}]
    assert applied("no numbers")["action"] == "NONE"
    emulator.behaviour.guardrail = "blocked"
    assert applied("x" * 1500)["action"] == "GUARDRAIL_INTERVENED"
    assert applied("x" * 1500)["usage"]["contentPolicyUnits"] == 2


def test_count_tokens_counts_as_converse_bills(client: Any) -> None:
    messages, system = user(prompt(QUESTION, LEAVE)), [{"text": "Be brief."}]
    billed = client.converse(modelId=CLAUDE, messages=messages, system=system)["usage"]["inputTokens"]
    counted = client.count_tokens(
        modelId=CLAUDE, input={"converse": {"messages": messages, "system": system}}
    )
    assert counted["inputTokens"] == billed
    body = json.dumps({"messages": [{"role": "user", "content": "one two three"}]})
    assert (
        3 <= client.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})["inputTokens"] <= 30
    )


def test_the_prompt_cache_is_written_read_and_passed_over_as_bedrock_does(client: Any) -> None:
    long = {"text": "The handbook says this and that. " * 200}
    request = {
        "modelId": CLAUDE, "messages": user(QUESTION),
        "system": [long, {"cachePoint": {"type": "default", "ttl": "1h"}}],
    }  # fmt: skip
    first, second = (client.converse(**request)["usage"] for _ in range(2))
    tokens = estimate_tokens(long["text"], CLAUDE)
    assert (first["cacheWriteInputTokens"], first["cacheReadInputTokens"]) == (tokens, 0)
    assert first["cacheDetails"] == [{"ttl": "1h", "inputTokens": tokens}]
    assert (second["cacheWriteInputTokens"], second["cacheReadInputTokens"]) == (0, tokens)
    assert (
        first["totalTokens"] == second["totalTokens"] == first["inputTokens"] + tokens + first["outputTokens"]
    )
    short = client.converse(
        **{**request, "system": [{"text": "Short."}, {"cachePoint": {"type": "default"}}]}
    )
    assert short["usage"]["cacheWriteInputTokens"] == 0


def test_a_cached_beginning_lives_for_its_time_and_longer_ones_pay_the_difference() -> None:
    now = [0.0]
    cache = PromptCache(lambda: now[0])
    point, part = {"cachePoint": {"type": "default"}}, {"text": "word " * 300}
    short = {"system": [part, point], "messages": []}
    both = {"system": [part, point, part, point], "messages": []}
    tokens = cache.use(short, CLAUDE, 100).written[0][1]
    assert cache.use(both, CLAUDE, 100) == type(cache.use(short, CLAUDE, None))(tokens, (("5m", tokens),))
    now[0] = 299.0
    assert cache.use(short, CLAUDE, 100).read == tokens  # and is kept for five minutes more
    now[0] = 590.0
    assert cache.use(short, CLAUDE, 100).read == tokens
    now[0] = 891.0
    assert cache.use(short, CLAUDE, 100).written == (("5m", tokens),)
    assert cache.use(short, "anthropic.claude-opus-5-5", 100).read == 0  # another model's
    assert cache.use(short, CLAUDE, None).written == ()


# langchain-aws


def chat(emulator: Emulator, model: str = CLAUDE) -> ChatBedrockConverse:
    return ChatBedrockConverse(
        model=model, region_name="eu-west-1", endpoint_url=emulator.url, max_tokens=500, **KEYS
    )  # type: ignore[arg-type]


def test_langchains_chat_model_invokes_streams_and_counts(emulator: Emulator) -> None:
    asked = prompt(QUESTION, LEAVE)
    reply = chat(emulator).invoke(asked)
    assert reply.text == f'{LEAVE}<cite doc="1">{LEAVE}</cite>'
    assert reply.response_metadata["stopReason"] == "end_turn"
    chunks = list(chat(emulator).stream(asked))
    assert "".join(chunk.text for chunk in chunks) == reply.text
    assert (
        sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks)
        == reply.usage_metadata["output_tokens"]
    )
    assert emulator.problems == []


def test_langchains_chat_model_calls_tools_and_keeps_to_schemas(emulator: Emulator) -> None:
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
        made = model.with_structured_output(schema, method=method).invoke("How many?")
        assert made == {"days": 1, "region": "eu"}


def test_langchains_chat_model_reads_native_citations(emulator: Emulator) -> None:
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
def test_langchains_embedder_works_with_all_models(emulator: Emulator, model: str, size: int) -> None:
    embedder = BedrockEmbeddings(model_id=model, region_name="eu-west-1", endpoint_url=emulator.url, **KEYS)  # type: ignore[arg-type]
    rows = np.array(
        [*embedder.embed_documents([LEAVE, "Backups run at night."]), embedder.embed_query(QUESTION)]
    )
    assert rows.shape == (3, size)
    assert rows[2] @ rows[0] > rows[2] @ rows[1]
    assert emulator.problems == []


# Routing and validation


@pytest.mark.parametrize(("method", "path", "operation"), [
    ("POST", "/model/amazon.titan-embed-text-v2%3A0/invoke", ("bedrock-runtime", "InvokeModel")),
    ("POST", "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A000000000000%3Ainference-profile%2Fx/converse-stream",
     ("bedrock-runtime", "ConverseStream")),
    ("POST", "/guardrail/abc/version/1/apply", ("bedrock-runtime", "ApplyGuardrail")),
    ("POST", "/rerank", ("bedrock-agent-runtime", "Rerank")),
    ("POST", "/knowledgebases/KB12345678/retrieve", ("bedrock-agent-runtime", "Retrieve")),
    ("POST", "/model-invocation-job", ("bedrock", "CreateModelInvocationJob")),
    ("GET", "/model-invocation-jobs", ("bedrock", "ListModelInvocationJobs")),
])  # fmt: skip
def test_requests_find_their_operation_on_the_raw_path(
    method: str, path: str, operation: tuple[str, str]
) -> None:
    route = routing.find(method, path)
    assert (route.service, route.operation) == operation


def test_every_operation_of_the_three_services_is_found_by_its_own_path() -> None:
    for service in routing.SERVICES:
        model = ServiceModel(Loader().load_service_model(service, "service-2"))
        for name in model.operation_names:
            http = model.operation_model(name).http
            path = re.sub(r"\{[^}]+\}", "x", http["requestUri"].partition("?")[0])
            found = routing.find(http["method"], path)
            assert (found.service, found.operation) == (service, name)


def test_an_unknown_path_is_told_near_ones(emulator: Emulator) -> None:
    status, code, message = send(emulator, "/model/x/convers", {})
    assert (status, code) == (404, "UnknownOperationException")
    assert "POST /model/{modelId}/converse" in message
    with pytest.raises(ClientError, match="the emulator has no GetAsyncInvoke"):
        arn = "arn:aws:bedrock:eu-west-1:000000000000:async-invoke/abcdefghijkl"
        client_of(emulator).get_async_invoke(invocationArn=arn)


MESSAGE = [{"role": "user", "content": [{"text": "a"}]}]


@pytest.mark.parametrize(("body", "said"), [
    ({"messages": [{"role": "user"}]}, 'Missing required parameter in messages[0]: "content"'),
    ({"messages": "hello"}, "Invalid type for parameter messages"),
    ({"messages": MESSAGE, "sytem": []}, 'Unknown parameter in input: "sytem"'),
    ({"messages": [{"role": "robot", "content": [{"text": "a"}]}]}, "messages[0].role: 'robot' is none of user"),
    ({"messages": MESSAGE, "inferenceConfig": {"temperature": 3}}, "inferenceConfig.temperature: 3 is more than"),
    ({"messages": MESSAGE, "inferenceConfig": {"maxTokens": 0}}, "Invalid value for parameter inferenceConfig.maxTokens"),
    ({"messages": MESSAGE, "inferenceConfig": {"maxTokens": True}}, "inferenceConfig.maxTokens: true is no number"),
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
     "messages[0].content[0].image.source.bytes: a blob is base64"),
    ({"messages": MESSAGE, "modelId": "x"}, "modelId: is no part of the body"),
    ([], "the body is not a JSON object"),
    (b"{", "the body is not JSON"),
])  # fmt: skip
def test_a_request_that_breaks_the_service_model_is_refused_by_name(
    emulator: Emulator, body: Any, said: str
) -> None:
    status, code, message = send(emulator, f"/model/{CLAUDE}/converse", body)
    assert (status, code) == (400, "ValidationException")
    assert said in message
    assert said in emulator.problems[0]
    assert emulator.requests[-1].operation == "Converse"


def test_nulls_are_members_that_are_not_there_and_blobs_are_bytes(emulator: Emulator) -> None:
    image = {"format": "png", "source": {"bytes": base64.b64encode(b"\x89PNG").decode()}}
    body = {
        "messages": [{"role": "user", "content": [{"text": "a", "image": None}, {"image": image}]}],
        "system": None,
    }
    assert send(emulator, f"/model/{CLAUDE}/converse", body)[0] == 200
    params = emulator.requests[-1].params
    assert params["messages"][0]["content"][1]["image"]["source"]["bytes"] == b"\x89PNG"
    assert "system" not in params


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


CALL = {"toolUse": {"toolUseId": "t1", "name": "leave", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "28"}]}}
HELLO = {"text": "hello"}


def points(*ttls: str | None) -> list[dict[str, Any]]:
    return [{"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}} for ttl in ttls]


@pytest.mark.parametrize(("request_", "said"), [
    ({"messages": [turn("assistant", HELLO)]}, "must start with a user message"),
    ({"messages": [turn("user", HELLO), turn("user", HELLO)]}, "must alternate between user and assistant"),
    ({"messages": [turn("user", {"text": " \n"})]}, "messages[0].content[0] is blank"),
    ({"messages": []}, "at least one message"),
    ({"messages": [turn("user", HELLO, *points(None, None, None, None, None))]}, "5 cachePoint blocks: the maximum is 4"),
    ({"messages": [turn("user", HELLO, *points("1h"))], "system": [HELLO, *points(None)]}, "1h must not come after one of 5m"),
    ({"messages": [turn("user", HELLO), turn("assistant", CALL), turn("user", HELLO)], "toolConfig": TOOLS},
     "Expected toolResult blocks at messages[2].content for the following Ids: t1"),
    ({"messages": [turn("user", RESULT)], "toolConfig": TOOLS}, "toolResult t1 answers no toolUse"),
    ({"messages": [turn("user", HELLO), turn("assistant", CALL), turn("user", RESULT)]}, "toolConfig field must be defined"),
    ({"messages": [turn("user", HELLO)], "toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "x"}}}}, "'x' is none of the tools leave"),
    ({"messages": [turn("user", search_result(), search_result(citations=False))]}, "enabled must be the same"),
    ({"messages": [turn("user", HELLO)], "toolConfig": {**TOOLS, "toolChoice": {"any": {}}},
      "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}, "Thinking may not be enabled"),
])  # fmt: skip
def test_what_the_model_does_not_say_is_refused_too(client: Any, request_: Any, said: str) -> None:
    with pytest.raises(ClientError) as refused:
        client.converse(modelId=CLAUDE, **request_)
    assert said in str(refused.value)
    assert code_of(refused.value) == "ValidationException"


def test_a_whole_conversation_with_tools_and_cache_points_is_taken(client: Any) -> None:
    messages = [
        turn("user", HELLO, *points("1h")),
        turn("assistant", CALL),
        turn("user", RESULT, HELLO, *points("5m")),
    ]
    client.converse(
        modelId=CLAUDE, messages=messages, toolConfig=TOOLS, system=[{"text": "a"}, *points("1h")],
        requestMetadata={"tag": "x"}, performanceConfig={"latency": "standard"}, serviceTier={"type": "default"},
    )  # fmt: skip


def test_the_patterns_that_python_cannot_read_are_those_that_are_passed_over() -> None:
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
def test_no_body_breaks_the_reading(body: Any) -> None:
    route = routing.find("POST", f"/model/{CLAUDE}/converse")
    params, wrong = validating.read(route, f"/model/{CLAUDE}/converse", "", {}, json.dumps(body).encode())
    assert params["modelId"] == CLAUDE
    assert all(isinstance(line, str) and line for line in wrong)


# Signatures


def test_a_wrong_secret_an_unknown_key_and_a_missing_signature_are_refused(emulator: Emulator) -> None:
    with pytest.raises(ClientError) as refused:
        client_of(emulator, aws_secret_access_key="wrong").converse(modelId=CLAUDE, messages=MESSAGE)
    assert code_of(refused.value) == "InvalidSignatureException"
    emulator.secrets = {"KEY": "secret"}
    with pytest.raises(ClientError) as refused:
        client_of(emulator).converse(modelId=CLAUDE, messages=MESSAGE)
    assert code_of(refused.value) == "UnrecognizedClientException"
    assert client_of(emulator, aws_access_key_id="KEY", aws_secret_access_key="secret").converse(
        modelId=CLAUDE, messages=MESSAGE
    )
    status, code, _ = send_raw(emulator, f"/model/{CLAUDE}/converse", b"{}", "POST", {})
    assert (status, code) == (403, "MissingAuthenticationTokenException")
    assert emulator.counts["refused"] == 3


def signed(emulator: Emulator, at: dt.datetime, service: str = "bedrock", query: str = "") -> AWSRequest:
    request = AWSRequest("POST", f"{emulator.url}/model/{CLAUDE}/converse{query}", {"X-Tag": "a  b"}, b"{}")
    signer = SigV4Auth(Credentials("test", "test", "token"), service, "eu-west-1")
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return request


def check(emulator: Emulator, request: AWSRequest, **changed: Any) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["host"] = emulator.url.removeprefix("http://")
    path = request.url.removeprefix(emulator.url)
    whole = Request(
        "",
        "",
        {},
        **{"method": "POST", "path": path, "headers": headers, "body": b"{}", "number": 1, **changed},
    )
    try:
        signing.check(whole, None, "test")
    except Refusal as refusal:
        return refusal.code
    return "right"


def test_what_botocore_signs_is_right_and_any_change_is_seen(emulator: Emulator) -> None:
    now = dt.datetime.now(dt.UTC)
    request = signed(emulator, now)
    assert check(emulator, request) == "right"
    assert check(emulator, signed(emulator, now, query="?b=2&a=x%20y&a=1")) == "right"
    assert check(emulator, request, body=b"{ }") == "InvalidSignatureException"
    assert check(emulator, request, method="PUT") == "InvalidSignatureException"
    assert check(emulator, request, path="/model/other/converse") == "InvalidSignatureException"
    assert check(emulator, signed(emulator, now, service="s3")) == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(4, "right"), (-4, "right"), (6, "InvalidSignatureException"), (-6, "InvalidSignatureException")],
)
def test_a_clock_that_is_five_minutes_off_is_refused(emulator: Emulator, minutes: int, expected: str) -> None:
    assert (
        check(emulator, signed(emulator, dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes))) == expected
    )


def test_bearer_tokens_are_taken_and_checks_can_be_left_out(emulator: Emulator) -> None:
    path, body = f"/model/{CLAUDE}/converse", json.dumps({"messages": MESSAGE}).encode()
    assert send_raw(emulator, path, body, "POST", {"Authorization": "Bearer abc"})[0] == 200
    emulator.secrets = {"KEY": "secret"}
    assert send_raw(emulator, path, body, "POST", {"Authorization": "Bearer abc"})[0] == 403
    assert send_raw(emulator, path, body, "POST", {"Authorization": "Bearer secret"})[0] == 200
    with Emulator(check_signatures=False) as lax:
        assert send_raw(lax, path, body, "POST", {})[0] == 200


# Framing, failures, quotas


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["messageStart", "contentBlockDelta", "metadata"]),
    st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=4),
)
def test_events_are_framed_as_moto_frames_them(kind: str, payload: dict[str, str]) -> None:
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    assert framing.event(kind, payload) == EventStreamEncoder().encode_message(headers, body)


def encoder_headers(code: str) -> dict[str, str]:
    return {":message-type": "exception", ":exception-type": code, ":content-type": "application/json"}


def test_exceptions_are_framed_in_lower_camel_case() -> None:
    made = framing.exception("ThrottlingException", "no")
    assert made == EventStreamEncoder().encode_message(
        encoder_headers("throttlingException"), b'{"message":"no"}'
    )


SENT = [code for code, fault in FAULTS.items() if fault.status]


@pytest.mark.parametrize("code", SENT)
def test_every_fault_arrives_in_botocore_under_its_own_name(
    emulator: Emulator, client: Any, code: str
) -> None:
    emulator.fail_next(code)
    with pytest.raises(ClientError) as failed:
        client.converse(modelId=CLAUDE, messages=MESSAGE)
    assert code_of(failed.value) == code
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == FAULTS[code].status
    assert text_of(client.converse(modelId=CLAUDE, messages=MESSAGE))


@pytest.mark.parametrize(
    "code", [code for code in behaviours.IN_STREAM if code != "StreamCut"] + ["ValidationException"]
)
@pytest.mark.parametrize(("moment", "pieces"), [("stream", 2), ("after", 10)])
def test_faults_in_mid_stream_arrive_as_event_stream_errors(
    emulator: Emulator, client: Any, code: str, moment: Any, pieces: int
) -> None:
    emulator.behaviour.reply = "one two three four five six seven eight nine ten"
    emulator.fail_next(code, moment=moment, events=2)
    assert client.converse(modelId=CLAUDE, messages=MESSAGE)["stopReason"] == "end_turn"  # waits for a stream
    seen = []
    with pytest.raises(EventStreamError) as failed:
        for event in client.converse_stream(modelId=CLAUDE, messages=MESSAGE)["stream"]:
            seen += list(event)
    assert code_of(failed.value) == code
    assert (seen.count("contentBlockDelta"), "messageStop" in seen) == (pieces, False)
    assert len(streamed(client)) == 14


@pytest.mark.parametrize("moment", ["stream", "after"])
def test_a_cut_stream_ends_without_its_end(emulator: Emulator, client: Any, moment: Any) -> None:
    emulator.fail_next("StreamCut", moment=moment)
    seen = []
    with pytest.raises(ProtocolError) as failed:
        for event in client.converse_stream(modelId=CLAUDE, messages=MESSAGE)["stream"]:
            seen += list(event)
    assert code_of(failed.value) == "StreamCut"
    assert seen[0] == "messageStart" and "messageStop" not in seen


def test_connections_are_cut_or_fall_silent_on_demand(emulator: Emulator) -> None:
    emulator.fail_next("ConnectionClosedError")
    with pytest.raises(ConnectionClosedError):
        client_of(emulator).converse(modelId=CLAUDE, messages=MESSAGE)
    emulator.fail_next("ReadTimeoutError")
    with pytest.raises(ReadTimeoutError):
        client_of(emulator, config={"read_timeout": 0.1}).converse(modelId=CLAUDE, messages=MESSAGE)
    assert emulator.counts["failed"] == 2


def test_the_reasons_to_stop_are_those_of_the_service_model() -> None:
    assert set(STOP_REASONS) == set(
        boto3.client("bedrock-runtime", region_name="eu-west-1")
        .meta.service_model.shape_for("StopReason")
        .enum
    )


def test_what_no_server_does_cannot_be_asked_for(emulator: Emulator) -> None:
    for code in ("NoCredentialsError", "ThrottlingExeption"):
        with pytest.raises(ConfigError, match="no server fails with"):
            emulator.fail_next(code)


def test_botocore_itself_tries_again_after_a_fault(emulator: Emulator) -> None:
    emulator.fail_next("ThrottlingException")
    patient = client_of(emulator, config={"retries": {"mode": "standard", "total_max_attempts": 3}})
    assert patient.converse(modelId=CLAUDE, messages=MESSAGE)["ResponseMetadata"]["RetryAttempts"] == 1
    assert (emulator.counts["Converse"], emulator.counts["throttled"]) == (2, 1)


def test_a_bucket_lets_through_its_burst_and_then_its_rate() -> None:
    bucket = behaviours.TokenBucket(3000, 1.0, now=0.0)
    assert sum(bucket.take(1, now=0.0) for _ in range(200)) == 50
    assert sum(bucket.take(1, now=0.001 * ms) for ms in range(1, 2001)) == 100
    tokens = behaviours.TokenBucket(600, 2.0, now=0.0)
    assert tokens.take(100, now=0.0)  # more than it ever holds: let through when full, and owed
    assert not tokens.take(1, now=7.9)
    assert tokens.take(1, now=8.2)


@settings(max_examples=100, deadline=None)
@given(st.floats(6, 6000), st.floats(0.1, 10), st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_a_bucket_never_lets_through_more_than_burst_and_rate(
    rate: float, burst_s: float, waits: list[float]
) -> None:
    bucket, now, taken = behaviours.TokenBucket(rate, burst_s, 0.0), 0.0, 0
    for wait in waits:
        now += wait
        taken += bucket.take(1, now)
    assert taken <= bucket.holds + now * rate / 60 + 1e-6


def test_quotas_of_requests_and_tokens_throttle_by_name(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.requests_per_minute = 1.0
    invoke(client, TITAN, inputText="a")
    with pytest.raises(ClientError, match="Too many requests") as refused:
        invoke(client, TITAN, inputText="a")
    assert code_of(refused.value) == "ThrottlingException"
    emulator.behaviour = Behaviour(tokens_per_minute=60.0)
    client.converse(modelId=CLAUDE, messages=MESSAGE, inferenceConfig={"maxTokens": 1000})
    with pytest.raises(ClientError, match="Too many tokens"):
        invoke(client, TITAN, inputText="a")
    assert emulator.counts["throttled"] == 2


def test_random_failures_come_as_often_as_asked_and_the_same_for_a_seed() -> None:
    def drawn(seed: int) -> list[str]:
        chance, wanted = behaviours.Chance(), Behaviour(fail=0.3, stream_fail=0.2, seed=seed)
        failures = [chance.failure(wanted, stream=True) for _ in range(2000)]
        return [f"{failure.code} {failure.moment}" if failure else "" for failure in failures]

    codes = drawn(1)
    assert codes == drawn(1) != drawn(2)
    before = [code for code in codes if code.endswith("before")]
    assert 540 <= len(before) <= 660
    assert {code.split()[0] for code in before} == set(behaviours.RETRIED)
    assert 220 <= sum(code.endswith("stream") for code in codes) <= 340


def test_latencies_are_constant_or_spread_as_asked() -> None:
    chance = behaviours.Chance()
    assert chance.latency_s(Behaviour(latency_s=0.25)) == 0.25
    spread = sorted(chance.latency_s(Behaviour(latency_s=(0.2, 2.0))) for _ in range(4000))
    assert spread[2000] == pytest.approx(0.2, rel=0.1)
    assert spread[3960] == pytest.approx(2.0, rel=0.25)


def test_a_stream_comes_event_by_event_and_not_at_its_end(emulator: Emulator, client: Any) -> None:
    more = threading.Event()

    def events() -> Iterator[tuple[str, dict[str, Any]]]:
        yield "messageStart", {"role": "assistant"}
        assert more.wait(10)
        yield "messageStop", {"stopReason": "end_turn"}

    class Recorder:
        def handle(self, request: Request) -> Reply:
            return Reply(events=events())

    emulator.recorder = Recorder()
    stream = iter(client.converse_stream(modelId=CLAUDE, messages=MESSAGE)["stream"])
    assert "messageStart" in next(stream)
    more.set()
    assert "messageStop" in next(stream)


def test_slow_sending_changes_no_byte(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.bytes_per_second = 200_000
    assert len(invoke(client, TITAN, inputText=LEAVE, dimensions=256)["embedding"]) == 256
    assert streamed(client)[-1][0] == "metadata"


def test_two_hundred_at_once_get_their_own_answers(emulator: Emulator) -> None:
    emulator.behaviour.latency_s = 0.05
    client = client_of(emulator, config={"max_pool_connections": 200})
    texts = [f"text number {n}" for n in range(200)]

    def both(text: str) -> tuple[list[float], str]:
        asked = user(f"It is {text}.\n\nWhat is it?")
        events = streamed(client, messages=asked, requestMetadata={"text": text})
        said = "".join(body["delta"].get("text", "") for kind, body in events if kind == "contentBlockDelta")
        return invoke(client, TITAN, inputText=text, dimensions=256)["embedding"], said

    emulator.behaviour.reply = lambda request: request.params["requestMetadata"]["text"]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(both, texts))
    assert np.array([row for row, _ in answers]) == pytest.approx(vectors(texts, 256), abs=1e-6)
    assert [said for _, said in answers] == texts
    numbers = sorted(request.number for request in emulator.requests)
    assert all(after == before + 1 for before, after in pairwise(numbers))
    assert (emulator.problems, emulator.counts["InvokeModel"]) == ([], 200)


def test_an_emulator_ends_with_its_connections_and_its_environment_leads_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Emulator(secrets={"KEY": "secret"}) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        client = boto3.Session().client("bedrock-runtime")
        assert client.converse(modelId=CLAUDE, messages=MESSAGE)["stopReason"] == "end_turn"
        for service in ("bedrock", "bedrock-agent-runtime"):
            assert boto3.Session().client(service).meta.endpoint_url == emulator.url
        listening = emulator._listener
    assert listening.socket.fileno() == -1


def test_a_fault_of_the_emulators_own_is_told_apart_from_those_on_demand(
    emulator: Emulator, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(request: Request) -> str:
        raise RuntimeError("no reply here")

    emulator.behaviour.reply = broken
    with pytest.raises(ClientError, match="the emulator failed: no reply here"):
        client.converse(modelId=CLAUDE, messages=MESSAGE)
    assert emulator.problems == ["the emulator itself failed: RuntimeError: no reply here"]
    assert "Traceback" in capsys.readouterr().err


def test_what_is_not_http_is_answered_400_and_noted(emulator: Emulator) -> None:
    import socket

    host, port = emulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert emulator.problems == ["not HTTP: the request line b'hello\\r\\n'"]


def test_bodies_in_chunks_are_read(emulator: Emulator) -> None:
    body = json.dumps({"inputText": LEAVE}).encode()
    parts = iter([body[:10], body[10:]])
    asked = urllib.request.Request(
        f"{emulator.url}/model/{TITAN}/invoke",
        parts,
        {"Authorization": "Bearer x", "Transfer-Encoding": "chunked"},
    )
    with urllib.request.urlopen(asked, timeout=10) as reply:
        assert len(json.loads(reply.read())["embedding"]) == 1024
