"""What a server replies that is no result, as the library's own errors."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from rag.client.address import Secret
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
from rag.core.format import shortened

#: Characters of a server's text that are shown.
_MOST_TEXT = 600
_OF_TYPE: Mapping[str, Callable[[str], RagError]] = {
    "authentication_error": AuthError, "budget_error": BudgetError, "invalid_request_error": UsageError,
    "not_found_error": MissingSourceError, "model_error": GenerationError,
}  # fmt: skip
_OF_STATUS: Mapping[int, Callable[[str], RagError]] = {
    400: UsageError, 401: AuthError, 403: AuthError, 413: UsageError, 422: UsageError
}  # fmt: skip
#: Statuses that pass: of the gateway before a server, or of a server that cannot answer now (RFC 9110, 15.6).
_PASSING = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no result.

    Attributes
    ----------
    error : RagError
        What is raised if the request is not sent again.
    begun : bool
        Whether the server may have begun to answer.
    passing : bool
        Whether the same request may succeed later.
    retry_after_s : float or None
        Seconds after which the server wants it again.
    """

    error: RagError
    begun: bool = True
    passing: bool = False
    retry_after_s: float | None = None


class Replies:
    """Reads what a server replies that is no result.

    Parameters
    ----------
    url : str
        The server's, which errors name.
    secret : Secret
        What no error shows, should the server send it back.
    """

    def __init__(self, url: str, secret: Secret) -> None:
        self._url, self._secret = url, secret

    def unreachable(self, error: httpx.HTTPError | httpx.StreamError) -> Failure:
        """Return why a request got no reply, or none that ends."""
        url, reason = self._url, self._shown(str(error)) or type(error).__name__
        if isinstance(error, httpx.ConnectError) and _is_tls(error):
            text = f"{url} has no certificate that can be trusted: {reason}"
            return Failure(ServerError(text), begun=False)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            text = f"{url} cannot be reached ({reason}): is `rag serve` running there?"
            return Failure(ServerError(text), begun=False, passing=True)
        if isinstance(error, httpx.TimeoutException):
            return Failure(
                ServerError(f"{url} did not answer in time: try again, or give a longer timeout_s")
            )
        if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
            text = f"the connection to {url} broke ({reason}): try again"
            return Failure(ServerError(text), passing=True)
        return Failure(ServerError(f"the request to {url} failed: {reason}"))

    def late(self, timeout_s: float) -> Failure:
        """Return that a reply did not end in time, though bytes of it came."""
        text = f"{self._url} did not answer within {timeout_s:g} s: try again, or give a longer timeout_s"
        return Failure(ServerError(text))

    def large(self, most_bytes: int) -> Failure:
        """Return that a reply is larger than any of a `rag serve` should be."""
        return Failure(
            ServerError(f"the reply of {self._url} has more than {most_bytes:,} bytes: is it a `rag serve`?")
        )

    def strange(self, what: object) -> ServerError:
        """Return that a reply is not what a `rag serve` of this version sends."""
        return ServerError(
            f"{self._url} sent what is no reply of `rag serve` ({self._shown(what)}): check the address, and "
            "that server and client have the same version of rag"
        )

    def broken(self) -> ServerError:
        """Return that a stream ended without its answer."""
        return ServerError(f"the stream of {self._url} ended before its answer was whole: ask again")

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """Return why a reply is no result, by its status and what it says."""
        if 300 <= status < 400:
            to = self._shown(headers.get("location", "nowhere"))
            text = f"{self._url} redirects to {to}: requests follow no redirect; give the right address"
            return Failure(ServerError(text, status=status))
        wait_s = seconds(headers.get("retry-after"))
        error = self.error_of(_read(body), status, wait_s)
        passing = status in _PASSING and not isinstance(error, BudgetError)
        # A request that a server has no room for is not begun; what a gateway says is not known.
        return Failure(error, status != 429, passing, wait_s)

    def error_of(self, said: Mapping[str, Any], status: int, retry_after_s: float | None = None) -> RagError:
        """Return the error that a server names by ``type`` and ``message``, with ``id`` and ``param``."""
        kind, message, id = (self._shown(said.get(name) or "") for name in ("type", "message", "id"))
        text = message or f"{self._url} replied with the status {status}"
        if id:
            text += f" (request {id})"
        error: RagError
        if kind == "rate_limit_error" or (status == 429 and kind != "budget_error"):
            error = TooManyError(text, retry_after_s or 1)
        elif kind == "invalid_request_error" and said.get("param") == "where":
            error = WhereError(text)
        elif kind in _OF_TYPE or status in _OF_STATUS:  # what stands before a server knows no types
            error = (_OF_TYPE.get(kind) or _OF_STATUS[status])(text)
        else:
            if not message and status in (404, 405):
                text += ": no `rag serve` is there, or it is another version"
            error = ServerError(text, status=status)
        error.request_id = id
        return error

    def _shown(self, text: object) -> str:
        """Return a server's text as it may be shown: a line without control characters, not long, no key."""
        line = " ".join(self._secret.hidden(str(text)).split())
        return shortened("".join(char if char.isprintable() else "\ufffd" for char in line), _MOST_TEXT)


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def seconds(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); None without one.

    Examples
    --------
    >>> seconds("7"), seconds("Sat, 01 Jan 2000 00:00:00 GMT"), seconds("soon")
    (7.0, 0.0, None)
    """
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = email.utils.parsedate_to_datetime(text)
        return max((until - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
