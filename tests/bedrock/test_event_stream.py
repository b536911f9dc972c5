"""Streams as they come in: what is there goes on together, in order, and nothing waits for the next."""

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


def text(block: int, said: str) -> dict[str, Any]:
    return {"contentBlockDelta": {"delta": {"text": said}, "contentBlockIndex": block}}


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
            block, said = delta["contentBlockIndex"], delta["delta"]["text"]
            if out and out[-1][0] == "text" and out[-1][1] == block:
                out[-1] = ("text", block, out[-1][2] + said)
            else:
                out.append(("text", block, said))
        else:
            out.append(("other", event))
    return out


@given(st.lists(st.tuples(texts | others, st.booleans()), max_size=30))
def test_nothing_is_lost_or_moved_and_text_waits_only_while_more_is_there(
    planned: list[tuple[Any, bool]],
) -> None:
    there, came, found = False, list[Any](), list[Any]()

    def stream() -> Iterator[Any]:
        nonlocal there
        for event, there in planned:
            came.append(event)
            yield event
            if not there:
                assert joined(found) == joined(came), "held back, though nothing was there to wait for"

    for event in join_text(stream(), lambda: there, lambda: 0.0):
        found.append(event)
    assert joined(found) == joined([event for event, _ in planned])


@given(st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=10))
def test_what_came_before_an_error_is_given_before_it(planned: list[tuple[Any, bool]]) -> None:
    there, found = False, list[Any]()

    def stream() -> Iterator[Any]:
        nonlocal there
        for event, there in planned:  # noqa: B007
            yield event
        raise ConnectionResetError("cut")

    with pytest.raises(ConnectionResetError, match="cut"):
        for event in join_text(stream(), lambda: there, lambda: 0.0):
            found.append(event)
    assert joined(found) == joined([event for event, _ in planned])


def test_what_the_reader_takes_counts_as_pause(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_body_of_many_events_is_few_pieces_however_it_is_parted(size: int, cut: int) -> None:
    words = [f"word {n} " for n in range(300)]
    events = [framing.event("contentBlockDelta", text(0, word)["contentBlockDelta"]) for word in words]
    body = b"".join(events)
    response = urllib3.HTTPResponse(io.BytesIO(body[: len(body) - cut]), preload_content=False)
    response.stream = lambda: iter(lambda: response.read(size), b"")  # type: ignore[assignment]
    found = list(JoinedEventStream(response, shape(), "ConverseStream"))
    assert "".join(piece[2] for piece in joined(found)) == "".join(words[: 299 if cut else 300])
    if size >= 1000:
        assert len(found) <= len(body) / size + 1


@pytest.mark.parametrize("at", [0, 5, 9])  # the length, that of the headers, the checksum
def test_what_is_no_event_is_told_as_botocore_tells_it(at: int) -> None:
    good = framing.event("contentBlockDelta", text(0, "good")["contentBlockDelta"])
    bad = bytearray(good)
    bad[at] ^= 1
    response = urllib3.HTTPResponse(io.BytesIO(good + bytes(bad) + good), preload_content=False)
    found: list[Any] = []
    with pytest.raises(ChecksumMismatch):
        for event in JoinedEventStream(response, shape(), "ConverseStream"):
            found.append(event)
    assert found == [text(0, "good")]


@given(st.integers(0, 9), st.text(), st.booleans())
def test_text_is_parsed_as_botocore_parses_it(block: int, said: str, padded: bool) -> None:
    body = {"contentBlockIndex": block, "delta": {"text": said}, **({"p": "abcde"} if padded else {})}
    assert parsed(event_stream._Parser(), json.dumps(body)) == parsed(
        EventStreamJSONParser(), json.dumps(body)
    )


@pytest.mark.parametrize("body", [
    "", "{", "[]", "null", "{}", '{"delta": null}', '{"delta": {}}', '{"delta": {"text": "a"}}',
    '{"delta": {"text": null}, "contentBlockIndex": 0}', '{"delta": {"text": "a"}, "contentBlockIndex": null}',
    '{"delta": {"text": 3}, "contentBlockIndex": 0}', '{"delta": {"other": "a"}, "contentBlockIndex": 0}',
    '{"delta": {"text": "a", "more": 1}, "contentBlockIndex": 0}', '{"delta": "a", "contentBlockIndex": 0}',
])  # fmt: skip
def test_a_malformed_delta_is_parsed_or_refused_as_botocore_does(body: str) -> None:
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


def test_a_client_that_is_not_of_boto3_is_left_alone() -> None:
    class Own:
        meta = SimpleNamespace(region_name="us-east-1")

    for client in (Own(), object()):
        event_stream.join_text_events(client)


def stream_of(client: Any) -> list[Any]:
    """Return the events of an answer, without what differs from call to call."""
    return [event for event in client.converse_stream(**ASKED)["stream"] if "metadata" not in event]


def test_an_answer_that_is_there_at_once_takes_few_pieces_and_says_the_same(
    bedrock_emulator: Emulator,
) -> None:
    bedrock_emulator.behaviour = Behaviour(reply=SAID)
    plain, ours = boto3.client("bedrock-runtime"), boto3.client("bedrock-runtime")
    event_stream.join_text_events(ours)
    event_stream.join_text_events(ours)  # a client that two share
    one_by_one, found = stream_of(plain), stream_of(ours)
    assert joined(found) == joined(one_by_one)
    assert "".join(piece[2] for piece in joined(found) if piece[0] == "text") == SAID
    assert isinstance(ours.converse_stream(**ASKED)["stream"], EventStream)
    assert len(one_by_one) > 12
    assert len(found) < len(one_by_one) / 2


def test_text_does_not_wait_for_what_comes_later(bedrock_emulator: Emulator) -> None:
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
def test_a_stream_that_breaks_is_under_way_no_more(bedrock_emulator: Emulator, code: str) -> None:
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
    for each in (*accepted, listener):
        each.close()


def certificate(folder: Path) -> None:
    """Write ``here.pem``: a certificate for this machine, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1)
    ).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    (folder / "here.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )


def test_a_connection_shows_what_has_come_in_and_is_not_waited_for(
    served: tuple[str, Callable[[bytes], None]], tmp_path: Path
) -> None:
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


def test_a_response_that_shows_no_connection_has_nothing_more() -> None:
    assert not JoinedEventStream(urllib3.HTTPResponse(io.BytesIO(b""), preload_content=False)).has_more()
