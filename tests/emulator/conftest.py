"""A shared emulator, clients for it, and requests to send."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from rag.emulator import Behaviour, Emulator
from rag.emulator.caching import PromptCache
from rag.emulator.guardrails.store import Guardrails

CLAUDE = "global.anthropic.claude-sonnet-5-5"
TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-v4:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
QUESTION = "How many days of annual leave do staff in Europe take?"
LEAVE = "Staff in Europe take 28 days of annual leave."
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
MESSAGE = [{"role": "user", "content": [{"text": "a"}]}]
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["days", "region"],
    "properties": {"days": {"type": "integer"}, "region": {"enum": ["eu", "us"]}},
}  # fmt: skip
TOOLS = {"tools": [{"toolSpec": {"name": "leave", "inputSchema": {"json": SCHEMA}}}]}


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
    shared_emulator.prompt_cache, shared_emulator.guardrails = PromptCache(), Guardrails()
    return shared_emulator


@pytest.fixture
def client(emulator: Emulator) -> Any:
    return client_of(emulator)


def client_of(emulator: Emulator, service: str = "bedrock-runtime", **more: Any) -> Any:
    config = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 50, **more.pop("config", {})}
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=emulator.url,
        config=Config(**config),
        **{**KEYS, **more},
    )


def user(*blocks: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [b if isinstance(b, dict) else {"text": b} for b in blocks]}]


def search_result(text: str = LEAVE, citations: bool = True) -> dict[str, Any]:
    return {"searchResult": {
        "source": "leave.md", "title": "Leave", "content": [{"text": "First."}, {"text": text}],
        "citations": {"enabled": citations},
    }}  # fmt: skip


def prompt(question: str, *documents: str) -> str:
    shown = "\n".join(
        f'<document index="{n}" source="{n}.md">\n{d}\n</document>' for n, d in enumerate(documents, 1)
    )
    return f'Quote with <cite doc="1">…</cite>.\n{shown}\n<question>{question}</question>'


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
    request = urllib.request.Request(f"{emulator.url}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, "", reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-amzn-ErrorType"], json.loads(error.read())["message"]
