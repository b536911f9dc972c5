"""What stands before every route: who calls, whether there is room, and how a refusal looks.

Plain ASGI, so that the web service and an MCP server over HTTP have the same. A request that passes has
its `Caller` in ``scope["state"]["caller"]``. Of one client's address only so many failures a minute are
looked at: keys cannot be tried out.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rag.core.errors import AuthError, RagError
from rag.serving.callers import Authenticator
from rag.serving.limits import Limiter, TooManyError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Failures of one address in a minute, and addresses that are remembered.
_MOST_FAILURES, _MOST_ADDRESSES = 30, 10_000
_MINUTE_S = 60.0


class Failures:
    """Counts the failures of addresses over the last minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return the seconds for which an address is refused; 0 for none."""
        with self._lock:
            times = self._recent(address)
            return times[0] + _MINUTE_S - time.monotonic() if len(times) >= _MOST_FAILURES else 0.0

    def add(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            times = [*self._recent(address), time.monotonic()]
            self._of[address] = times[-_MOST_FAILURES:]
            self._of.move_to_end(address)
            while len(self._of) > _MOST_ADDRESSES:
                self._of.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        now = time.monotonic()
        return [each for each in self._of.get(address, ()) if now - each < _MINUTE_S]


class Guard:
    """An ASGI application behind which every request has a caller.

    Parameters
    ----------
    app : ASGI application
    authenticator : Authenticator
    limiter : Limiter, optional
        Without one, callers have no limits.
    open_paths : frozenset of str
        Paths that need no caller, such as ``/healthz``.

    Examples
    --------
    >>> guarded = Guard(app, KeyAuthenticator(KeyStore("keys.sqlite")))                # doctest: +SKIP
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        limiter: Limiter | None = None,
        open_paths: frozenset[str] = frozenset(("/healthz", "/readyz")),
    ) -> None:
        self._app, self._authenticator, self._limiter = app, authenticator, limiter
        self._open, self._failures = open_paths, Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        address = (scope.get("client") or ("",))[0]
        if (wait_s := self._failures.wait_s(address)) > 0:
            await refuse(send, 429, "too many failed attempts", retry_after_s=int(wait_s) + 1)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            caller = await asyncio.to_thread(self._authenticator.caller, headers)
        except AuthError as error:
            self._failures.add(address)
            await refuse(send, 401, str(error))
            return
        try:
            if self._limiter is not None:
                await asyncio.to_thread(self._limiter.admit, caller)
        except TooManyError as error:
            await refuse(send, 429, str(error), retry_after_s=error.retry_after_s)
            return
        except RagError:
            await refuse(send, 503, "limits cannot be read at present", retry_after_s=5)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)


async def refuse(send: Send, status: int, text: str, *, retry_after_s: int | None = None) -> None:
    """Send a refusal as JSON: ``{"error": {"message", "type"}}``."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "unavailable_error")
    body = json.dumps({"error": {"message": text, "type": kind}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"cache-control", b"no-store")]  # fmt: skip
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
