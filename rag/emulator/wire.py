"""What goes between the emulator's parts: a request as boto3 named it, its reply, a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.bedrock.runtime.faults import FAULTS

Event = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """One call, parsed and checked.

    Attributes
    ----------
    service : str
        ``bedrock-runtime``, ``bedrock-agent-runtime`` or ``bedrock``.
    operation : str
        As AWS names it: ``Converse``, ``InvokeModel``, ``Rerank``.
    params : Mapping
        The operation's input as boto3 names it: members of the path, the query, the headers and the
        body; blobs are bytes, timestamps text. InvokeModel's ``body`` is bytes.
    method, path : str
        The path is raw (``:`` is ``%3A``) and holds the query.
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


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: JSON, bytes, or a stream of events.

    Attributes
    ----------
    body : Mapping or bytes
        JSON, or the bytes as they are.
    status : int
    headers : Mapping
    events : iterable of (str, Mapping), optional
        An event stream's types and payloads, in order; `body` is not sent then.
    """

    body: Mapping[str, Any] | bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    events: Iterable[Event] | None = None


class Refusal(Exception):  # noqa: N818 -- it is an answer, not an error of ours
    """A call that is answered as an AWS error.

    Parameters
    ----------
    code : str
        As ``x-amzn-ErrorType`` names it.
    message : str
    status : int, optional
        The HTTP status; by default that of `rag.bedrock.runtime.faults.FAULTS`, else 400.

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
