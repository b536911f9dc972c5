"""Streams with joined text: every event in order, and no delay of what has arrived."""

from __future__ import annotations

import datetime as dt
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import urllib3
from botocore.eventstream import ChecksumMismatch, EventStream
from botocore.parsers import EventStreamJSONParser
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.bedrock.runtime import event_stream
from rag.bedrock.runtime.event_stream import JoinedEventStream, join_text
from rag.core.errors import GenerationError
from rag.emulator import Behaviour, Emulator, framing

ASKED: dict[str, Any] = {
    "modelId": "anthropic.claude-3-haiku-20240307-v1:0",
    "messages": [{"role": "user", "content": [{"text": "How many days?"}]}],
}
SAID = "Staff take 28 days of leave. Backups run at two, and restores are tested each quarter."


def text(block: int, content: str) -> dict[str, Any]:
    return {"contentBlockDelta": {"delta": {"text": content}, "contentBlockIndex": block}}


texts = st.builds(text, st.integers(0, 1), st.text(max_size=4))
others = st.sampled_from([
    {"messageStart": {"role": "assistant"}}, {"contentBlockStop": {"contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"citation": {"title": "a"}}, "contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"toolUse": {"input": "{"}}, "contentBlockIndex": 1}},
    {"messageStop": {"stopReason": "end_turn"}},
])  # fmt: skip


def joined(events: list[Any]) -> list[Any]:
    """Return events with the text of neighbours in one block put together."""
    out: list[Any] = []
    for event in events:
        delta = event.get("contentBlockDelta", {})
        if "text" in delta.get("delta", ()):
            block, content = delta["contentBlockIndex"], delta["delta"]["text"]
            if out and out[-1][0] == "text" and out[-1][1] == block:
                out[-1] = ("text", block, out[-1][2] + content)
            else:
                out.append(("text", block, content))
        else:
            out.append(("other", event))
    return out


@given(st.lists(st.tuples(texts | others, st.booleans()), max_size=30))
def test_join_text(
    planned: list[tuple[Any, bool]],
) -> None:
    """No event is lost or moved, and text is held only while more has arrived."""
    there, arrived, received = False, list[Any](), list[Any]()

    def stream() -> Iterator[Any]:
        nonlocal there
        for event, there in planned:
            arrived.append(event)
            yield event
            if not there:
                assert joined(received) == joined(arrived), "held back, though nothing was there to wait for"

    for event in join_text(stream(), lambda: there, lambda: 0.0):
        received.append(event)
    assert joined(received) == joined([event for event, _ in planned])


@given(st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=10))
def test_error_order(planned: list[tuple[Any, bool]]) -> None:
    """Text that arrived before an error is yielded before it."""
    there, received = False, list[Any]()

    def stream() -> Iterator[Any]:
        nonlocal there
        for event, there in planned:  # noqa: B007
            yield event
        raise ConnectionResetError("cut")

    with pytest.raises(ConnectionResetError, match="cut"):
        for event in join_text(stream(), lambda: there, lambda: 0.0):
            received.append(event)
    assert joined(received) == joined([event for event, _ in planned])


def test_reader_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's time counts towards the pause."""
    now, slept = 0.0, list[float]()
    monkeypatch.setattr(event_stream.time, "monotonic", lambda: now)
    monkeypatch.setattr(event_stream.time, "sleep", slept.append)
    for took, _ in zip(
        (0.03, 0.2, 0.0), join_text([text(0, "a")] * 3, lambda: False, lambda: 0.1), strict=True
    ):
        now += took
    assert slept == pytest.approx([0.07, 0.0, 0.1])


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 15, 40])
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_message_boundaries(size: int, cut: int) -> None:
    """Many events become few pieces, whatever the network reads."""
    words = [f"word {n} " for n in range(300)]
    events = [framing.event("contentBlockDelta", text(0, word)["contentBlockDelta"]) for word in words]
    body = b"".join(events)
    response = urllib3.HTTPResponse(io.BytesIO(body[: len(body) - cut]), preload_content=False)
    response.stream = lambda: iter(lambda: response.read(size), b"")  # type: ignore[assignment]
    received = list(JoinedEventStream(response, shape(), "ConverseStream"))
    assert "".join(piece[2] for piece in joined(received)) == "".join(words[: 299 if cut else 300])
    if size >= 1000:
        assert len(received) <= len(body) / size + 1


@pytest.mark.parametrize("at", [0, 5, 9])  # the length, that of the headers, the checksum
def test_invalid_bytes(at: int) -> None:
    """Invalid bytes raise botocore's errors."""
    good = framing.event("contentBlockDelta", text(0, "good")["contentBlockDelta"])
    bad = bytearray(good)
    bad[at] ^= 1
    response = urllib3.HTTPResponse(io.BytesIO(good + bytes(bad) + good), preload_content=False)
    received: list[Any] = []
    with pytest.raises(ChecksumMismatch):
        for event in JoinedEventStream(response, shape(), "ConverseStream"):
            received.append(event)
    assert received == [text(0, "good")]


@given(st.integers(0, 9), st.text(), st.booleans())
def test_parsed_text(block: int, content: str, padded: bool) -> None:
    """Text is parsed to botocore's result."""
    body = {"contentBlockIndex": block, "delta": {"text": content}, **({"p": "abcde"} if padded else {})}
    assert parsed(event_stream._Parser(), json.dumps(body)) == parsed(
        EventStreamJSONParser(), json.dumps(body)
    )


@pytest.mark.parametrize("body", [
    "", "{", "[]", "null", "{}", '{"delta": null}', '{"delta": {}}', '{"delta": {"text": "a"}}',
    '{"delta": {"text": null}, "contentBlockIndex": 0}', '{"delta": {"text": "a"}, "contentBlockIndex": null}',
    '{"delta": {"text": 3}, "contentBlockIndex": 0}', '{"delta": {"other": "a"}, "contentBlockIndex": 0}',
    '{"delta": {"text": "a", "more": 1}, "contentBlockIndex": 0}', '{"delta": "a", "contentBlockIndex": 0}',
])  # fmt: skip
def test_malformed_delta(body: str) -> None:
    """Malformed deltas are parsed or refused as by botocore."""
    assert parsed(event_stream._Parser(), body) == parsed(EventStreamJSONParser(), body)


def parsed(parser: Any, body: str) -> Any:
    """Return what a parser makes of a delta, or the kind of its error."""
    response = {
        "status_code": 200, "body": body.encode(),
        "headers": {":event-type": "contentBlockDelta", ":message-type": "event"},
    }  # fmt: skip
    try:
        return parser.parse(response, shape())
    except Exception as error:
        return type(error)


@cache
def shape() -> Any:
    """The service model of a stream's events."""
    client = boto3.client("bedrock-runtime", region_name="us-east-1")
    return client.meta.service_model.operation_model("ConverseStream").get_event_stream_output()


def test_other_client() -> None:
    """Clients of other libraries are unchanged."""

    class Own:
        meta = SimpleNamespace(region_name="us-east-1")

    for client in (Own(), object()):
        event_stream.join_text_events(client)


def stream_of(client: Any) -> list[Any]:
    """Return the events of an answer, without what differs from call to call."""
    return [event for event in client.converse_stream(**ASKED)["stream"] if "metadata" not in event]


def test_whole_answer(
    bedrock_emulator: Emulator,
) -> None:
    """An answer that arrives at once has few pieces and the same text."""
    bedrock_emulator.behaviour = Behaviour(reply=SAID)
    plain, ours = boto3.client("bedrock-runtime"), boto3.client("bedrock-runtime")
    event_stream.join_text_events(ours)
    event_stream.join_text_events(ours)  # a client that two share
    one_by_one, received = stream_of(plain), stream_of(ours)
    assert joined(received) == joined(one_by_one)
    assert "".join(piece[2] for piece in joined(received) if piece[0] == "text") == SAID
    assert isinstance(ours.converse_stream(**ASKED)["stream"], EventStream)
    assert len(one_by_one) > 12
    assert len(received) < len(one_by_one) / 2


def test_no_delay(bedrock_emulator: Emulator) -> None:
    """Text is not delayed by later text."""
    bedrock_emulator.behaviour = Behaviour(reply=SAID, token_s=0.3)
    pieces: list[str] = []
    for chunk in rag.ClaudeBedrock().stream("How many days?"):
        if chunk.text:
            pieces.append(chunk.text)
            if len(pieces) == 2:
                break
    assert SAID.startswith("".join(pieces))
    assert len("".join(pieces)) < len(SAID) / 2
    wait_until(lambda: event_stream._open_streams == 0)


@pytest.mark.parametrize("code", ["StreamCut", "ModelStreamErrorException"])
def test_broken_stream(bedrock_emulator: Emulator, code: str) -> None:
    """A broken stream no longer counts as open."""
    bedrock_emulator.behaviour = Behaviour(reply=SAID)
    bedrock_emulator.fail_next(code, moment="stream")
    pieces: list[str] = []
    with pytest.raises(GenerationError, match="the answer is cut here"):
        pieces.extend(chunk.text for chunk in rag.ClaudeBedrock().stream("How many days?"))
    assert event_stream._open_streams == 0


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


# ---------------------------------------------------------------------- real connections


@pytest.fixture(params=["plain", "tls"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[bytes], None]]]:
    """A server of one chunked reply: its URL, and what sends the next chunk of it."""
    certificate(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    ready = threading.Event()

    def accept() -> None:
        connection, _ = listener.accept()
        if request.param == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "here.pem")
            connection = context.wrap_socket(connection, server_side=True)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        accepted.append(connection)
        ready.set()

    def send(data: bytes) -> None:
        assert ready.wait(20)
        accepted[0].sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    thread = threading.Thread(target=accept)
    thread.start()
    scheme = "https" if request.param == "tls" else "http"
    yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/", send
    thread.join(20)
    for opened in (*accepted, listener):
        opened.close()


def certificate(folder: Path) -> None:
    """Write ``here.pem``: a certificate for this machine, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    built = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1)
    ).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    (folder / "here.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + built.public_bytes(serialization.Encoding.PEM)
    )


def test_has_more(served: tuple[str, Callable[[bytes], None]], tmp_path: Path) -> None:
    """has_more does not wait, with and without TLS."""
    url, send = served
    with urllib3.PoolManager(ca_certs=str(tmp_path / "here.pem"), assert_hostname=False) as pool:
        response = pool.request("GET", url, preload_content=False, retries=False, timeout=30)
        stream = JoinedEventStream(response)
        assert not stream.has_more()
        send(b"one")
        wait_until(stream.has_more)
        chunks = response.stream()
        assert next(chunks) == b"one"
        assert not stream.has_more()
        send(b"two")
        send(b"three")
        wait_until(stream.has_more)
        assert next(chunks) == b"two"
        wait_until(stream.has_more)
        assert next(chunks) == b"three"
        assert not stream.has_more()
        assert response.connection.sock.gettimeout() == 30  # as it was
        send(b"")  # the last chunk
        assert list(chunks) == []
        assert not stream.has_more()
        response.close()


def test_no_connection() -> None:
    assert not JoinedEventStream(urllib3.HTTPResponse(io.BytesIO(b""), preload_content=False)).has_more()
