"""HTTP: streaming, slow sending, concurrency and malformed requests."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rag.emulator import Emulator, Reply, Request
from rag.emulator.embedding import vectors
from tests.emulator.conftest import CLAUDE, LEAVE, MESSAGE, TITAN, client_of, invoke, streamed, user


def test_stream_is_sent_event_by_event(emulator: Emulator, client: Any) -> None:
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


def test_200_concurrent_clients(emulator: Emulator) -> None:
    emulator.behaviour.latency_s = 0.05
    client = client_of(emulator, config={"max_pool_connections": 200})
    texts = [f"text number {n}" for n in range(200)]

    def both(text: str) -> tuple[list[float], str]:
        messages = user(f"It is {text}.\n\nWhat is it?")
        events = streamed(client, messages=messages, requestMetadata={"text": text})
        text = "".join(body["delta"].get("text", "") for kind, body in events if kind == "contentBlockDelta")
        return invoke(client, TITAN, inputText=text, dimensions=256)["embedding"], text

    emulator.behaviour.reply = lambda request: request.params["requestMetadata"]["text"]
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(both, texts))
    assert np.array([row for row, _ in answers]) == pytest.approx(vectors(texts, 256), abs=1e-6)
    assert [text for _, text in answers] == texts
    numbers = sorted(request.number for request in emulator.requests)
    assert all(after == before + 1 for before, after in pairwise(numbers))
    assert (emulator.problems, emulator.counts["InvokeModel"]) == ([], 200)


def test_non_http_is_answered_400(emulator: Emulator) -> None:
    import socket

    host, port = emulator.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert emulator.problems == ["not HTTP: the request line b'hello\\r\\n'"]


def test_chunked_body(emulator: Emulator) -> None:
    body = json.dumps({"inputText": LEAVE}).encode()
    parts = iter([body[:10], body[10:]])
    request = urllib.request.Request(
        f"{emulator.url}/model/{TITAN}/invoke",
        parts,
        {"Authorization": "Bearer x", "Transfer-Encoding": "chunked"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert len(json.loads(reply.read())["embedding"]) == 1024
