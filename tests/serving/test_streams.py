"""Server-sent events: a connection is never silent for long, and comments stand between whole events only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx
import pytest
from fastapi import FastAPI

from rag.serving.streams import EventStream
from tests.serving.served import running


def app_of(waits: list[float], beat_s: float) -> FastAPI:
    """An application with one stream, whose events come after so many seconds each."""
    app = FastAPI()
    app.state.closed = False

    async def events() -> AsyncGenerator[str, None]:
        try:
            for number, wait in enumerate(waits):
                await asyncio.sleep(wait)
                yield f"event: text\ndata: {number}\n\n"
        finally:
            app.state.closed = True

    @app.get("/")
    async def stream() -> EventStream:
        return EventStream(events(), beat_s)

    return app


def test_the_first_byte_does_not_wait_for_the_first_event() -> None:
    with running(app_of([1.5], 60)) as address, httpx.stream("GET", address) as reply:
        started = time.monotonic()
        lines = reply.iter_lines()
        assert next(lines) == ": accepted"
        assert time.monotonic() - started < 1.2
        assert [line for line in lines if line] == ["event: text", "data: 0"]
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["x-accel-buffering"] == "no"


def test_comments_fill_a_silence_and_only_a_silence() -> None:
    with running(app_of([0.05] * 10 + [1.0, 0.0], 0.3)) as address:
        parts = httpx.get(address).text.split("\n\n")
    assert parts[-1] == ""
    assert [part for part in parts[:-1] if not part.startswith(":")] == [
        f"event: text\ndata: {n}" for n in range(12)
    ]
    working = [at for at, part in enumerate(parts) if part == ": working"]
    assert 2 <= len(working) <= 4
    assert parts.index("event: text\ndata: 9") < working[0] < parts.index("event: text\ndata: 10")


def test_a_client_that_leaves_ends_the_events_and_the_comments() -> None:
    app = app_of([0.0, 30.0], 0.1)
    with running(app) as address:
        with httpx.stream("GET", address) as reply:
            assert next(reply.iter_lines()) == ": accepted"
        deadline = time.monotonic() + 10
        while not app.state.closed:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("waits", [[], [0.0]])
def test_a_stream_without_a_silence_ends_whole(waits: list[float]) -> None:
    with running(app_of(waits, 0.01)) as address:
        text = httpx.get(address).text
    assert text.startswith(": accepted\n\n") and text.count("data:") == len(waits)
