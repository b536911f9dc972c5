"""What stands before every route: who calls, whether there is room, and how a refusal looks.

Plain ASGI, so that the web service and an MCP server over HTTP have the same. A request that passes has
its `Caller` in ``scope["state"]["caller"]``. Of one client's address only so many failures a minute are
looked at: keys cannot be tried out. Behind a proxy every client has the proxy's address, unless the server
takes the one that the proxy names (the variable ``FORWARDED_ALLOW_IPS`` of uvicorn).
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from rag.core.errors import AuthError, TooManyError, is_full
from rag.core.ids import new_id
from rag.serving.callers import Authenticator, Caller
from rag.serving.keys import OpenAuthenticator
from rag.serving.limits import Limiter
from rag.serving.replies import FULL, RETRY_S

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Failures of one address in a minute, by default, and addresses that are remembered.
MOST_FAILURES, _MOST_ADDRESSES = 30, 10_000
#: Bits by which addresses of IPv6 are told apart: whoever has one usually has all below (RFC 6177).
_PREFIX = 64
_MINUTE_S = 60.0
_LOG = logging.getLogger(__name__)


class Failures:
    """Counts the failures of addresses over the last minute.

    Parameters
    ----------
    most : int
        After so many an address is refused; 0 refuses none.
    """

    def __init__(self, most: int = MOST_FAILURES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._of: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return the seconds for which an address is refused; 0 for none."""
        with self._lock:
            times = self._recent(address)
            full = 0 < self._most <= len(times)
            return times[0] + _MINUTE_S - time.monotonic() if full else 0.0

    def add(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            times = [*self._recent(address), time.monotonic()]
            self._of[address] = times[-max(self._most, 1) :]
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
    most_failures : int
        Of an address in a minute; 0 for no limit, where a proxy hides all addresses and limits them itself.

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
        most_failures: int = MOST_FAILURES,
    ) -> None:
        self._app, self._authenticator, self._limiter = app, authenticator, limiter
        self._open, self._failures = open_paths, Failures(most_failures)
        # What reads no file needs no thread, of which a burst of requests would each wait for one.
        self._waits = limiter is not None or not isinstance(authenticator, OpenAuthenticator)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        address = block((scope.get("client") or ("",))[0])
        if (wait_s := self._failures.wait_s(address)) > 0:
            await refuse(send, 429, "too many failed attempts", retry_after_s=int(wait_s) + 1)
            return
        try:
            headers = _headers(scope)
            caller = (
                await asyncio.to_thread(self._admitted, headers) if self._waits else self._admitted(headers)
            )
        except AuthError as error:
            self._failures.add(address)
            await refuse(send, 401, str(error))
            return
        except TooManyError as error:
            await refuse(send, 429, str(error), retry_after_s=error.retry_after_s)
            return
        except (
            Exception
        ) as error:  # whatever it is, nobody gets in by it, and nobody reads a path of this machine
            _LOG.exception("a caller could not be checked")
            why = FULL if is_full(error) else "callers cannot be checked at present"
            await refuse(send, 503, why, retry_after_s=RETRY_S)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _admitted(self, headers: Mapping[str, str]) -> Caller:
        caller = self._authenticator.caller(headers)
        if self._limiter is not None:
            self._limiter.admit(caller)
        return caller


def block(address: str) -> str:
    """Return the block of addresses that one client may have.

    Examples
    --------
    >>> block("203.0.113.9"), block("2001:db8:1:2:3:4:5:6"), block("::ffff:203.0.113.9")
    ('203.0.113.9', '2001:db8:1:2::/64', '203.0.113.9')
    """
    try:
        number = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(number), _PREFIX), strict=False))


def _headers(scope: Scope) -> dict[str, str]:
    """Return a request's headers; of one that is there twice both values, as RFC 9110 (5.3) joins them.

    Two credentials are so none: which of them another program on the way has looked at is not known here.
    """
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def refuse(send: Send, status: int, text: str, *, retry_after_s: int | None = None) -> None:
    """Send a refusal as JSON: ``{"error": {"message", "type", "id"}}``."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "unavailable_error")
    body = json.dumps({"error": {"message": text, "type": kind, "id": new_id()}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"cache-control", b"no-store")]  # fmt: skip
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
