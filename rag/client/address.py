"""Where a server is, and the key for it: checked once, and never shown."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Generator
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

import httpx

from rag.core.errors import UsageError

#: The variables that name a server and the key for it.
SERVER, KEY = "RAG_SERVER", "RAG_KEY"
#: What a header may hold, without spaces (RFC 9110, 5.5).
_KEY = re.compile(r"[\x21-\x7e]{1,16384}")
_PORTS = {"http": 80, "https": 443}


class Secret(httpx.Auth):
    """A key, or a token, that goes with each request and is shown nowhere.

    Raises
    ------
    UsageError
        The key cannot stand in a header; the text does not quote it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        wrong = value is not None and _KEY.fullmatch(value) is None
        self._value = "" if wrong or value is None else value
        value = None  # this frame is part of a traceback, whose local variables some tools record
        if wrong:
            raise UsageError(
                "the key is no key or token: it has a space, a line end or a character beyond ASCII"
            )

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(…)" if self._value else "Secret()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: make the client anew, with the key from the environment")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the key to a request."""
        if self._value:
            request.headers["Authorization"] = f"Bearer {self._value}"
        yield request

    def hidden(self, text: str) -> str:
        """Return a text without the key, which a server may have sent back."""
        return text.replace(self._value, "…") if self._value else text


def checked_url(url: str | None) -> str:
    """Return the URL of a server, by default `SERVER`'s, without a slash at its end.

    Raises
    ------
    UsageError
        There is none, or it is no plain ``http://`` or ``https://`` URL.

    Examples
    --------
    >>> checked_url("https://rag.example.com/handbook/")
    'https://rag.example.com/handbook'
    """
    url = url if url is not None else os.environ.get(SERVER)
    if not url:
        raise UsageError(f'no server is named: give its URL, e.g. "http://127.0.0.1:8000", or set {SERVER}')
    try:
        parts = urlsplit(url)
        _ = parts.port, httpx.URL(url)
    except (TypeError, ValueError, AttributeError, httpx.InvalidURL):
        parts = SplitResult("", "", "", "", "")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the server's URL has a name or password: give the key as key=")
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise UsageError('the server\'s URL is no address such as "https://rag.example.com"')
    return url.rstrip("/")


def key_for(url: str, key: Secret) -> Secret:
    """Return the key for a server: the one given, else that of `KEY` if it is for this server.

    With `SERVER` set, the key of `KEY` is for that server, and is sent to no other.
    """
    named = os.environ.get(SERVER)
    own = not key and (not named or _origin(named) == _origin(url))
    return Secret(os.environ.get(KEY) or None) if own else key


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None


def is_local(url: str) -> bool:
    """Tell whether a URL is for this machine.

    Examples
    --------
    >>> is_local("http://127.0.0.1:8000"), is_local("http://[::1]:8000"), is_local("http://10.0.0.7:8000")
    (True, True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_private(url: str) -> bool:
    """Tell whether nobody on the way can read what goes to a URL."""
    return urlsplit(url).scheme == "https" or is_local(url)
