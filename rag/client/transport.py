"""Sends requests, again where that is safe, and reads replies within bounds; with threads or with asyncio.

No error is raised while one of httpx is handled: the frames below it hold the key in the headers of the
request, and a tool that records the local variables of tracebacks would store it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from rag.client.calls import Call
from rag.client.connections import Connections
from rag.client.events import Events
from rag.client.replies import Failure, Replies
from rag.core.answers import Event

#: Most bytes of a reply that is an error.
_MOST_ERROR = 64 << 10
#: Seconds before a request is sent again for the first time; each further time it is twice as long.
_FIRST_S = 0.2


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client waits for, and reads, at most; see `rag.client.client.Client`."""

    timeout_s: float
    retries: int
    most_wait_s: float
    most_bytes: int


@dataclass(slots=True)
class _Attempts:
    """How often a request has been sent, and for how long it waited."""

    call: Call
    bounds: Bounds
    sent: int = 0
    waited_s: float = field(default=0.0)

    def wait_s(self, failure: Failure) -> float:
        """Return the seconds until the request is sent again.

        Raises
        ------
        RagError
            It is not: that of the failure.
        """
        wait_s = failure.retry_after_s
        if wait_s is None:  # so that those who failed together do not come again together
            wait_s = _FIRST_S * 2**self.sent * random.uniform(0.5, 1.0)
        self.sent += 1
        self.waited_s += wait_s
        safe = failure.passing and (self.call.repeatable or not failure.begun)
        if not safe or self.sent > self.bounds.retries or self.waited_s > self.bounds.most_wait_s:
            raise failure.error
        return wait_s


class Transport:
    """Sends requests to one server.

    Parameters
    ----------
    connections : Connections
    replies : Replies
    bounds : Bounds
    """

    def __init__(self, connections: Connections, replies: Replies, bounds: Bounds) -> None:
        self._connections, self._replies, self._bounds = connections, replies, bounds

    # ------------------------------------------------------------------- with threads

    def fetch(self, call: Call) -> bytes:
        """Return the body of a reply.

        Raises
        ------
        RagError
            There is none, or it is an error.
        """
        attempts = _Attempts(call, self._bounds)
        while isinstance(body := self._whole(call), Failure):
            time.sleep(attempts.wait_s(body))
        return body

    def events(self, call: Call) -> Iterator[Event]:
        """Yield the events of a reply; to leave them closes the connection, which ends the server's work."""
        attempts = _Attempts(call, self._bounds)
        while isinstance(reply := self._send(call), Failure):
            time.sleep(attempts.wait_s(reply))
        events = self._reading()
        with contextlib.closing(reply):
            pieces = reply.iter_raw()
            while not isinstance(piece := self._next(pieces), Failure) and piece is not None:
                yield from events.feed(piece)
        self._end(events, piece)

    def _whole(self, call: Call) -> bytes | Failure:
        reply = self._send(call)
        return reply if isinstance(reply, Failure) else self._body(reply)

    def _send(self, call: Call) -> httpx.Response | Failure:
        """Return a reply whose body is to be read, or why there is none."""
        client = self._connections.sync()
        try:
            reply = client.send(client.build_request(**_request(call)), stream=True)
        except httpx.HTTPError as error:
            return self._replies.unreachable(error)
        if reply.status_code == 200 and _plain(reply):
            return reply
        body = self._body(reply, _MOST_ERROR)
        return self._refused(reply, body)

    def _body(self, reply: httpx.Response, most_bytes: int = 0) -> bytes | Failure:
        reading = _Body(self._replies, self._bounds, most_bytes)
        with contextlib.closing(reply):
            pieces = reply.iter_raw()
            while (more := reading.add(self._next(pieces))) is None:
                pass
        return more

    def _next(self, pieces: Iterator[bytes]) -> bytes | Failure | None:
        try:
            return next(pieces, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return self._replies.unreachable(error)

    # ------------------------------------------------------------------- with asyncio

    async def afetch(self, call: Call) -> bytes:
        """Return the body of a reply; see `fetch`."""
        attempts = _Attempts(call, self._bounds)
        async with self._connections.asynchronous() as client:
            while isinstance(body := await self._awhole(client, call), Failure):
                await asyncio.sleep(attempts.wait_s(body))
        return body

    async def aevents(self, call: Call) -> AsyncGenerator[Event, None]:
        """Yield the events of a reply; see `events`."""
        attempts = _Attempts(call, self._bounds)
        async with self._connections.asynchronous() as client:
            while isinstance(reply := await self._asend(client, call), Failure):
                await asyncio.sleep(attempts.wait_s(reply))
            events = self._reading()
            try:
                pieces = reply.aiter_raw()
                while not isinstance(piece := await self._anext(pieces), Failure) and piece is not None:
                    for event in events.feed(piece):
                        yield event
            finally:
                await reply.aclose()
        self._end(events, piece)

    async def _awhole(self, client: httpx.AsyncClient, call: Call) -> bytes | Failure:
        reply = await self._asend(client, call)
        return reply if isinstance(reply, Failure) else await self._abody(reply)

    async def _asend(self, client: httpx.AsyncClient, call: Call) -> httpx.Response | Failure:
        try:
            reply = await client.send(client.build_request(**_request(call)), stream=True)
        except httpx.HTTPError as error:
            return self._replies.unreachable(error)
        if reply.status_code == 200 and _plain(reply):
            return reply
        body = await self._abody(reply, _MOST_ERROR)
        return self._refused(reply, body)

    async def _abody(self, reply: httpx.Response, most_bytes: int = 0) -> bytes | Failure:
        reading = _Body(self._replies, self._bounds, most_bytes)
        try:
            pieces = reply.aiter_raw()
            while (more := reading.add(await self._anext(pieces))) is None:
                pass
        finally:
            await reply.aclose()
        return more

    async def _anext(self, pieces: AsyncIterator[bytes]) -> bytes | Failure | None:
        try:
            return await anext(pieces, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return self._replies.unreachable(error)

    # ------------------------------------------------------------------- both

    def _refused(self, reply: httpx.Response, body: bytes | Failure) -> Failure:
        if reply.status_code == 200:
            return Failure(self._replies.strange("it is compressed, which was not asked for"))
        return self._replies.refused(
            reply.status_code, reply.headers, b"" if isinstance(body, Failure) else body
        )

    def _reading(self) -> Events:
        return Events(self._replies, self._bounds.most_bytes, self._bounds.timeout_s)

    def _end(self, events: Events, last: Failure | bytes | None) -> None:
        """Check that a stream was whole; what breaks behind the answer takes nothing from it."""
        if isinstance(last, Failure) and not events.whole:
            raise last.error
        events.end()


class _Body:
    """The pieces of a body, up to a size and a time."""

    def __init__(self, replies: Replies, bounds: Bounds, most_bytes: int) -> None:
        self._replies, self._timeout_s = replies, bounds.timeout_s
        self._most_bytes = most_bytes or bounds.most_bytes
        self._until = time.monotonic() + bounds.timeout_s
        self._body = bytearray()

    def add(self, piece: bytes | Failure | None) -> bytes | Failure | None:
        """Return the whole body once it has ended, or why it cannot be had; None for more."""
        if piece is None:
            return bytes(self._body)
        if isinstance(piece, Failure):
            return piece
        self._body += piece
        if len(self._body) > self._most_bytes:
            return self._replies.large(self._most_bytes)
        return self._replies.late(self._timeout_s) if time.monotonic() > self._until else None


def _request(call: Call) -> dict[str, Any]:
    headers = {} if call.body is None else {"Content-Type": "application/json"}
    return {
        "method": call.method,
        "url": call.path,
        "content": call.body,
        "params": call.params,
        "headers": headers,
    }


def _plain(reply: httpx.Response) -> bool:
    """Tell whether a body is as it was sent: what is compressed might be without bounds."""
    return str(reply.headers.get("content-encoding", "identity")).lower() == "identity"
