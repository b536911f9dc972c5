"""Connections to one server: of each process its own, and kept open between requests.

A child process gets connections of its own, as two processes on one connection would mix their replies.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from rag.client.address import Secret, is_local
from rag.core.errors import UsageError

#: Seconds to reach a server, at most, and for which a connection is kept: `rag serve` closes it after 65.
_CONNECT_S, _KEEP_S = 10.0, 30.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=_KEEP_S)


class Connections:
    """Makes httpx's clients for a server.

    Parameters
    ----------
    url : str
    secret : Secret
    timeout_s : float
    trusted : ssl.SSLContext, str, Path or None
        Who may vouch for the server's certificate: see `rag.client.client.Client`.
    """

    def __init__(
        self,
        url: str,
        secret: Secret,
        timeout_s: float,
        trusted: ssl.SSLContext | str | Path | None,
    ) -> None:
        self._url, self._secret = url, secret
        self._timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S), pool=None)
        self._trusted = _context(url, trusted)
        self._of_process: dict[int, httpx.Client] = {}
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()
        self._closed = False

    def sync(self) -> httpx.Client:
        """Return this process's connections; threads share them."""
        self._check()
        process = os.getpid()
        found = self._of_process.get(process)
        if found is not None:
            return found
        made = httpx.Client(**self._settings())
        kept = self._of_process.setdefault(process, made)  # of two threads, one is first
        if kept is not made:
            made.close()
        return kept

    @asynccontextmanager
    async def asynchronous(self) -> AsyncIterator[httpx.AsyncClient]:
        """Yield this event loop's connections, or such for one request if none are kept for it."""
        self._check()
        kept = self._of_loop.get(asyncio.get_running_loop())
        if kept is not None:
            yield kept
            return
        async with httpx.AsyncClient(**self._settings()) as made:
            yield made

    def keep(self) -> None:
        """Keep connections for this event loop until `aclose`."""
        self._check()
        loop = asyncio.get_running_loop()
        if loop not in self._of_loop:
            self._of_loop[loop] = httpx.AsyncClient(**self._settings())

    def close(self) -> None:
        """Close this process's connections, for good."""
        self._closed = True
        if (mine := self._of_process.pop(os.getpid(), None)) is not None:
            mine.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of the process, for good."""
        kept = self._of_loop.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept.aclose()
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise UsageError("this client is closed: make another one")

    def _settings(self) -> dict[str, Any]:
        # A proxy of the environment is for what is elsewhere: no key of a server on this machine goes there.
        return {
            "base_url": self._url, "auth": self._secret, "verify": self._trusted, "timeout": self._timeout,
            "limits": _LIMITS, "follow_redirects": False, "trust_env": not is_local(self._url),
            "headers": {"User-Agent": "bedrock-rag", "Accept-Encoding": "identity"},
        }  # fmt: skip


def _context(url: str, trusted: ssl.SSLContext | str | Path | None) -> ssl.SSLContext:
    """Return how certificates are checked; always they are.

    Raises
    ------
    UsageError
        The context does not check, or there is no certificate at the path.
    """
    if isinstance(trusted, ssl.SSLContext):
        if trusted.verify_mode is not ssl.CERT_REQUIRED or not trusted.check_hostname:
            raise UsageError(
                "the SSL context does not check certificates and names: a key goes to no such server"
            )
        return trusted
    if trusted is not None:
        path = Path(trusted)
        try:
            if path.is_dir():
                return ssl.create_default_context(capath=str(path))
            return ssl.create_default_context(cafile=str(path))
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or str(error)
        raise UsageError(f"ca: no certificates can be read from {path}: {reason}")
    if url.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used; to read all certificates takes 20 ms
    return httpx.create_ssl_context()
