"""The types that the emulator's parts exchange: a request with boto3's names, a reply, a refusal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.bedrock.runtime.faults import FAULTS

Event = tuple[str, Mapping[str, Any]]
#: The account that an emulator is, and its region where a request is not signed for one.
ACCOUNT, REGION = "123456789012", "us-east-1"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/")

#: The account that an emulator is, and its region where a request is not signed for one.
ACCOUNT, REGION = "123456789012", "us-east-1"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/")


@dataclass(frozen=True, slots=True)
class Request:
    """One parsed and checked call.

    Attributes
    ----------
    service : str
        ``bedrock-runtime``, ``bedrock-agent-runtime``, ``bedrock``, ``bedrock-agent`` or ``s3vectors``.
    operation : str
        As AWS names it: ``Converse``, ``InvokeModel``, ``Rerank``.
    params : Mapping
        The operation's input with boto3's names: members from the path, the query, the headers and
        the body; blobs are bytes, timestamps are text. InvokeModel's ``body`` is bytes.
    method, path : str
        The path is raw (``:`` is ``%3A``) and includes the query.
    headers : Mapping
        Names in lower case.
    body : bytes
    number : int
        Counts from 1.
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    number: int

    @property
    def region(self) -> str:
        """The region that the request is signed for."""
        scope = _SCOPE.search(self.headers.get("authorization", ""))
        return scope[1] if scope else REGION


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request: JSON, bytes, or a stream of events.

    Attributes
    ----------
    body : Mapping or bytes
        JSON, or the bytes to send.
    status : int
    headers : Mapping
    events : iterable of (str, Mapping), optional
        Types and payloads of an event stream, in order; `body` is then not sent.
    """

    body: Mapping[str, Any] | bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    events: Iterable[Event] | None = None


class Refusal(Exception):  # noqa: N818 -- an answer to the client, not a failure of the emulator
    """Raised to answer a call with an AWS error.

    Parameters
    ----------
    code : str
        The value of ``x-amzn-ErrorType``.
    message : str
    status : int, optional
        The HTTP status; by default that in `rag.bedrock.runtime.faults.FAULTS`, or 400.

    Examples
    --------
    >>> Refusal("ThrottlingException", "Too many requests").status
    429
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
        known = FAULTS.get(code)
        self.status = status or (known.status if known else 0) or 400


def moment(seconds: float) -> str:
    """Return a time as AWS writes it.

    Examples
    --------
    >>> moment(0.5)
    '1970-01-01T00:00:00.500000Z'
    """
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
