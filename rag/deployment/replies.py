"""An invocation's reply, whole or streamed, before the invocation ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from rag.core.errors import RagError, UsageError
from rag.deployment.exchange import Exchange
from rag.deployment.function import Function
from rag.deployment.invocation import (
    STREAMED,
    Context,
    Headers,
    InvocationContext,
    Request,
    request_of,
    scheduled,
)
from rag.deployment.runtime_api import Invocation, ResponseStream, RuntimeApi, error_body
from rag.serving.deadlines import DEADLINE

_LOG = logging.getLogger("rag.deployment")
#: Seconds before the end of an invocation at which an answer ends with an error that says so, and at which
#: a request ends that has not ended by then.
_MARGIN_S, _LAST_S = 1.0, 0.3


class InvocationError(RagError):
    """An invocation has no reply; Lambda reports it as an error of the function."""


@contextlib.contextmanager
def _deadline(context: Context) -> Iterator[float]:
    """Set the deadline of the request; give the seconds after which it is ended in any case."""
    left_s = context.get_remaining_time_in_millis() / 1000
    token = DEADLINE.set(time.monotonic() + max(left_s - _MARGIN_S, left_s / 2))
    try:
        yield max(left_s - _LAST_S, left_s * 0.75)
    finally:
        DEADLINE.reset(token)


async def _run(exchange: Exchange, function: Function, context: Context) -> None:
    """Let the application answer, or end it before Lambda does.

    Raises
    ------
    InvocationError
        It did not answer, or not in time.
    """
    with _deadline(context) as left_s:
        try:
            async with asyncio.timeout(left_s):
                await exchange.run(function.app)
        except TimeoutError:
            raise InvocationError("the request did not end before the invocation's deadline") from None
        except Exception as error:
            _LOG.error("invocation %s failed", context.aws_request_id, exc_info=error)
            raise InvocationError("the request failed: the log says why") from error
    if not exchange.begun:
        raise InvocationError("the request has no reply")


async def whole(function: Function, event: Any, context: Context) -> dict[str, Any]:
    """Return the reply to an event, all of it.

    Raises
    ------
    UsageError
        The event is neither a request nor a schedule.
    InvocationError
        There is no reply.
    """
    if scheduled(event):
        return {"version": await asyncio.to_thread(function.refresh)}
    return await _whole(function, request_of(event, context), context)


async def _whole(function: Function, request: Request, context: Context) -> dict[str, Any]:
    begun: list[tuple[int, Headers]] = []
    pieces: list[bytes] = []

    async def head(status: int, headers: Headers) -> None:
        begun.append((status, headers))

    async def piece(part: bytes) -> None:
        pieces.append(part)

    await _run(Exchange(request.scope, request.body, head, piece), function, context)
    status, headers = begun[0]
    return request.whole(status, headers, b"".join(pieces))


class _Streamed:
    """A streamed reply, opened when it begins; sending does not block the event loop."""

    def __init__(self, api: RuntimeApi, id: str, request: Request) -> None:
        self._api, self._id, self._request = api, id, request
        self.stream: ResponseStream | None = None
        self._turn = asyncio.Lock()  # events, and the comments between them, come from two tasks

    async def head(self, status: int, headers: Headers) -> None:
        self.stream = await asyncio.to_thread(self._api.stream, self._id, STREAMED)
        await self.piece(self._request.head(status, headers))

    async def piece(self, part: bytes) -> None:
        assert self.stream is not None
        async with self._turn:
            await asyncio.to_thread(self.stream.write, part)


async def _stream(function: Function, api: RuntimeApi, id: str, request: Request, context: Context) -> None:
    reply = _Streamed(api, id, request)
    exchange = Exchange(request.scope, request.body, reply.head, reply.piece)
    try:
        await _run(exchange, function, context)
    except InvocationError as error:
        if reply.stream is None:
            raise
        _LOG.warning("the reply to %s ended early: %s", id, error)
        await asyncio.to_thread(reply.stream.fail, error_body(error, str(error)))
        return
    assert reply.stream is not None
    if exchange.gone:
        _LOG.info("the client of %s is gone", id)
        reply.stream.abandon()
        return
    await asyncio.to_thread(reply.stream.end)


async def answer(function: Function, api: RuntimeApi, invocation: Invocation) -> None:
    """Answer an invocation of the Runtime API; what fails is reported to it, not raised."""
    context = InvocationContext(invocation.id, invocation.deadline)
    try:
        if scheduled(invocation.event):
            reply = await whole(function, invocation.event, context)
        else:
            request = request_of(invocation.event, context)
            if request.streams and function.settings.stream:
                await _stream(function, api, invocation.id, request, context)
                return
            reply = await _whole(function, request, context)
        await asyncio.to_thread(api.respond, invocation.id, reply)
    except (UsageError, RagError) as error:
        _LOG.error("invocation %s: %s", invocation.id, error)
        with contextlib.suppress(RagError):
            await asyncio.to_thread(api.fail, invocation.id, error_body(error, str(error)))
