"""Servers that break, lie and refuse: each is one of the library's own errors, and no answer is ever short."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import rag
from rag.client.replies import seconds
from rag.core.errors import (
    AuthError,
    BudgetError,
    GenerationError,
    MissingSourceError,
    RagError,
    ServerError,
    TooManyError,
    UsageError,
    WhereError,
)
from tests.client.raw import event, raw, reply, streamed

QUICK: dict[str, Any] = {"timeout_s": 0.5, "retries": 0}


def error(kind: str, message: str = "no", **more: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "id": "01abc", **more}}


@pytest.fixture(scope="module")
def answer(address: str) -> dict[str, Any]:
    """A true answer, as JSON has it."""
    return rag.Client(address).ask("How many days of annual leave in EU?").to_dict()


async def failing(url: str, kind: type[RagError], text: str, **settings: Any) -> None:
    """Each way of asking, with threads and with asyncio, ends with this error."""
    client = rag.Client(url, **{**QUICK, **settings})
    ways: list[Callable[[], Any]] = [
        lambda: client.ask("q"),
        lambda: list(client.stream("q")),
        lambda: client.search("q"),
    ]
    for way in ways:
        with pytest.raises(kind, match=text) as caught:
            way()
        assert type(caught.value) is kind and caught.value.__context__ is None
    for asking in (client.aask, client.asearch):
        with pytest.raises(kind, match=text):
            await asking("q")
    with pytest.raises(kind, match=text):
        [each async for each in client.astream("q")]


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (400, error("invalid_request_error", "k: wrong"), UsageError, r"k: wrong \(request 01abc\)"),
        (400, error("invalid_request_error", "no field", param="where"), WhereError, "no field"),
        (401, error("authentication_error", "no key"), AuthError, "no key"), (403, b"<html>", AuthError, "the status 403"),
        (404, error("not_found_error", "no source"), MissingSourceError, "no source"),
        (404, b"Not Found", ServerError, "404: no `rag serve` is there"),
        (413, error("unavailable_error", "too long"), UsageError, "too long"),
        (429, error("rate_limit_error", "wait"), TooManyError, "wait"), (429, b"", TooManyError, "status 429"),
        (429, error("budget_error", "spent"), BudgetError, "spent"),
        (500, error("server_error", "its id is in the log"), ServerError, "in the log"),
        (502, error("model_error", "the model failed"), GenerationError, "the model failed"),
        (502, b"Bad gateway", ServerError, "status 502"), (503, error("unavailable_error"), ServerError, "no"),
        (200, b"", ServerError, "no reply of `rag serve`|ended before its answer"),
        (204, b"", ServerError, "status 204"), (418, b"[1, 2]", ServerError, "status 418"),
        (500, b"[" * 30_000, ServerError, "status 500"), (500, {"error": {"message": ["x"]}}, ServerError, "x"),
        (500, error("x", "a\x1b[31m\r\nb\x00"), ServerError, "a�\\[31m b�"),
    ],
)  # fmt: skip
async def test_replies_are_the_librarys_own_errors(
    status: int, body: Any, kind: type[RagError], text: str
) -> None:
    with raw([reply(body, status)]) as server:
        await failing(server.address, kind, text)


async def test_a_reply_that_is_no_record(answer: dict[str, Any]) -> None:
    for body in (
        b"{",
        b'"text"',
        b"[]",
        b"\xff\xfe",
        b"9" * 5000,
        b'{"hits": 3}',
        b'{"hits": [{"source": 1}]}',
    ):
        with raw([reply(body)]) as server:
            client = rag.Client(server.address, **QUICK)
            for way in (client.ask, client.search, client.context):
                with pytest.raises(ServerError, match="no reply of `rag serve`"):
                    way("q")
            with pytest.raises(ServerError, match="no reply of `rag serve`"):
                await client.aask("q")
    for name, value in {
        "text": 7,
        "answered": "yes",
        "citations": [{}],
        "usage": None,
        "context": [],
    }.items():
        with raw([reply({**answer, name: value})]) as server, pytest.raises(ServerError, match="no reply of"):
            rag.Client(server.address).ask("q")


@pytest.mark.parametrize(
    "cut",
    [
        lambda whole: whole[:-40], lambda whole: whole[: len(whole) // 2], lambda whole: whole[:20], lambda whole: b"",
    ],
)  # fmt: skip
async def test_a_reply_that_breaks_off(answer: dict[str, Any], cut: Callable[[bytes], bytes]) -> None:
    with raw([cut(reply(answer))]) as server:
        await failing(server.address, ServerError, "the connection to .* broke|ended before its answer")


async def test_a_stream_that_breaks_off_is_an_error_behind_what_came(answer: dict[str, Any]) -> None:
    text, last = event("text", "Staff take"), event("answer", answer)
    broken = [
        streamed(text), streamed(text, end=False), streamed(text, last[:-1]), streamed(text, last[: len(last) // 2], end=False),
        streamed(text, last[:20]), streamed(text)[:-12],
    ]  # fmt: skip
    for sent in broken:
        with raw([sent]) as server:
            came = []
            with pytest.raises(ServerError, match=r"broke|ended before its answer was whole"):
                for each in rag.Client(server.address).stream("q"):
                    came.append(each.value)
            assert came in ([], ["Staff take"]) and len(server.requests) == 1
            with pytest.raises(ServerError):
                [each async for each in rag.Client(server.address).astream("q")]


def test_what_breaks_behind_the_answer_takes_nothing_from_it(answer: dict[str, Any]) -> None:
    with raw([streamed(event("answer", answer), end=False)]) as server:
        (only,) = rag.Client(server.address).stream("q")
        assert only.value.to_dict() == answer


def test_a_stream_in_any_pieces(answer: dict[str, Any]) -> None:
    """Comments, line ends of both kinds, events of servers to come, and characters cut in two."""
    whole = b": accepted\n\n" + event("text", "Größe ") + event("later", {"x": 1}) + b": working\n\n"
    whole += b'event: text\r\ndata: "\xe2\x82\xac"\r\n\r\n' + event("answer", answer)
    for size in (1, 7, len(whole)):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        with raw([streamed(*pieces)]) as server:
            assert [each.value for each in rag.Client(server.address).stream("q")][:2] == ["Größe ", "€"]


@pytest.mark.parametrize(
    ("sent", "kind", "text"),
    [
        (event("error", {"message": "the model failed", "type": "model_error", "status": 502, "id": "01x"}), GenerationError, r"failed \(request 01x\)"),
        (event("error", 3), ServerError, "ended before"), (event("error", {}), ServerError, "status 500"),
        (event("text", 5), ServerError, "the event text where none may be"), (b"event: text\ndata: {\n\n", ServerError, "no JSON"),
        (event("citation", {"number": "1"}), ServerError, "no reply of"), (b"<html>\n", ServerError, "none of an event"),
        (event("context", {"hits": 1}), ServerError, "no reply of"),
    ],
)  # fmt: skip
def test_a_stream_that_lies(sent: bytes, kind: type[RagError], text: str) -> None:
    with raw([streamed(sent)]) as server, pytest.raises(kind, match=text):
        list(rag.Client(server.address).stream("q"))


async def test_replies_are_bounded(answer: dict[str, Any]) -> None:
    endless = streamed(*[b"x" * 10_000] * 50, end=False)
    with raw([endless]) as server:
        await failing(server.address, ServerError, "more than 100,000 bytes", most_bytes=100_000)
    with raw([reply(b"x" * 500_000, 500)]) as server:
        await failing(server.address, ServerError, "status 500")
    with raw([reply(gzip.compress(b" " * 10_000_000), content_encoding="gzip")]) as server:
        await failing(server.address, ServerError, "it is compressed")


def drip(first: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(piece)
            time.sleep(0.05)

    return send


async def test_waiting_ends() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    silent = drip(b"", b"")
    for part in (silent, drip(head, b""), drip(head, b"1\r\nx\r\n")):
        with raw([part]) as server:
            began = time.monotonic()
            await failing(server.address, ServerError, "did not answer (in time|within 0.5 s)")
            assert time.monotonic() - began < 20


def test_a_server_at_work_is_waited_for(answer: dict[str, Any]) -> None:
    """Its comments say so, for as long as it takes."""

    def slow(connection: socket.socket) -> None:
        connection.sendall(streamed(b": accepted\n\n", end=False))
        for _ in range(8):
            time.sleep(0.1)
            connection.sendall(b"c\r\n: working\n\n\n\r\n")
        last = event("answer", answer)
        connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))

    with raw([slow]) as server:
        assert [each.kind for each in rag.Client(server.address, **QUICK).stream("q")] == ["answer"]


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    await failing(url, ServerError, "cannot be reached .*is `rag serve` running there")


async def test_no_redirect_is_followed() -> None:
    with raw([reply({})]) as other, raw([reply(b"", 307, location=f"{other.address}/v1/ask")]) as server:
        await failing(server.address, ServerError, f"redirects to {other.address}/v1/ask", key="rag_abc")
        assert other.requests == []


# ---------------------------------------------------------------------- again


def test_what_was_not_begun_is_sent_again(answer: dict[str, Any]) -> None:
    busy = reply(error("rate_limit_error"), 429, retry_after="0")
    with raw([busy, busy, reply(answer)]) as server:
        assert rag.Client(server.address).ask("q").to_dict() == answer
        assert len(server.requests) == 3
    with raw([busy]) as server, pytest.raises(TooManyError):
        rag.Client(server.address, retries=4).ask("q")
    assert len(server.requests) == 5


def test_a_question_that_may_have_begun_is_not(answer: dict[str, Any]) -> None:
    for first in (
        b"",
        reply(b"", 502),
        reply(b"", 503, retry_after="0"),
        reply(answer)[:-9],
        reply(b"", 500),
    ):
        with raw([first, reply(answer)]) as server:
            with pytest.raises(ServerError):
                rag.Client(server.address).ask("q")
            assert len(server.requests) == 1


async def test_a_search_is() -> None:
    found = reply({"hits": []})
    for first in (b"", reply(b"", 502), reply(b"", 503, retry_after="0"), found[:-3]):
        with raw([first, found, first, found]) as server:
            client = rag.Client(server.address)
            assert client.search("q") == [] == await client.asearch("q")
            assert len(server.requests) == 4
    with raw([reply(b"", 500), found]) as server, pytest.raises(ServerError):
        rag.Client(server.address).search("q")


def test_retry_after_is_honoured_up_to_a_bound(answer: dict[str, Any]) -> None:
    later = reply(error("rate_limit_error"), 429, retry_after="1")
    with raw([later, reply(answer)]) as server:
        began = time.monotonic()
        rag.Client(server.address).ask("q")
        assert time.monotonic() - began >= 1
    tomorrow = reply(error("rate_limit_error"), 429, retry_after="40000")
    with raw([tomorrow]) as server:
        began = time.monotonic()
        with pytest.raises(TooManyError) as caught:
            rag.Client(server.address).ask("q")
        assert caught.value.retry_after_s == 40_000 and len(server.requests) == 1
        assert time.monotonic() - began < 5
    with raw([reply(error("budget_error"), 429, retry_after="0")]) as server:
        with pytest.raises(BudgetError):
            rag.Client(server.address).ask("q")
        assert len(server.requests) == 1


def test_a_retry_after_that_is_none() -> None:
    assert [seconds(text) for text in (None, "", "soon", "-3", "1.5", "²", "9" * 400)] == [None] * 6 + [
        999_999_999.0
    ]
    assert (
        3500
        < (seconds(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))) or 0)
        <= 3600
    )
