"""Requests to a server: their routes, and their bodies from a question's options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from rag.core.errors import UsageError, WhereError, near_miss
from rag.index.filters.parse import parse

#: Most characters of a filter in the string form that a server reads (`rag.index.filters.parse`).
_MOST_FILTER = 20_000
#: Options of a pipeline that a server decides, or that cannot be sent, and what to do.
_ELSEWHERE = {
    "tenant": "it is the key's",
    "history": "use chat()",
    "follow_up": "the server's is used",
    "schema": "a server answers in text",
    "tools": "a server calls none",
    "user": "it is the key's",
    "variables": "they are the server's",
}


class SearchOptions(TypedDict, total=False):
    """Which passages a question may rest on.

    Attributes
    ----------
    where : Where, str or mapping, optional
        A filter in any notation; the server combines it with what the key may see.
    k : int, optional
        How many passages to retrieve, from 1 to 200.
    mode : {"hybrid", "dense", "lexical"}, optional
    """

    where: Any
    k: int | None
    mode: Literal["hybrid", "dense", "lexical"] | None


class ContextOptions(SearchOptions, total=False):
    """The size of a context, too.

    Attributes
    ----------
    budget : int, optional
        The most that the context may hold, in `unit`.
    unit : {"chars", "tokens"}, optional
    """

    budget: int | None
    unit: Literal["chars", "tokens"] | None


class AskOptions(ContextOptions, total=False):
    """The tag of a question, too.

    Attributes
    ----------
    tag : str, optional
        Recorded with the question's calls in the server's ledger.
    """

    tag: str | None


SEARCH, CONTEXT, ASK = (
    frozenset(kind.__annotations__) | extra
    for kind, extra in (
        (SearchOptions, frozenset[str]()),
        (ContextOptions, frozenset(SearchOptions.__annotations__)),
        (AskOptions, frozenset(ContextOptions.__annotations__) | frozenset(SearchOptions.__annotations__)),
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    Attributes
    ----------
    method, path : str
    body : bytes or None
        JSON.
    params : mapping of str to str
        Of the query.
    repeatable : bool
        Whether it may be sent again although the server may have begun with it: a search may, a question,
        whose answer a model is paid for, may not.
    """

    method: str
    path: str
    body: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


def asked(
    path: str,
    question: object,
    options: Mapping[str, Any],
    known: frozenset[str],
    *,
    repeatable: bool = True,
    **more: Any,
) -> Call:
    """Return the request for a question.

    Parameters
    ----------
    path, question : str
    options : mapping
        Of the question; those that are None are left out.
    known : frozenset of str
        The options that the route takes.
    repeatable : bool
        See `Call`.
    **more
        Further fields of the body.

    Raises
    ------
    WhereError
        The filter cannot be read.
    UsageError
        The question is empty or no text, or there is no such option.
    """
    if not isinstance(question, str) or not question.strip():
        raise UsageError("the question is empty: write one")
    for name in options.keys() - known:
        if name in _ELSEWHERE:
            raise UsageError(f"{name} cannot be sent to a server: {_ELSEWHERE[name]}")
        raise UsageError(f"there is no option {name!r}: {near_miss(name, known)}")
    body = {name: value for name, value in options.items() if value is not None}
    if "where" in body:
        body["where"] = _filter(body["where"])
    return Call("POST", path, _json({"question": question, **body, **more}), repeatable=repeatable)


def _json(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # a lone surrogate, too
        raise UsageError(f"the request is no JSON: {error}") from None


def _filter(where: Any) -> str | dict[str, Any]:
    """Return a filter as a server takes it: the string form, or a dict where that is too long."""
    read = parse(where)
    text = read.to_string()
    if len(text) <= _MOST_FILTER:
        return text
    try:
        return read.to_langchain()
    except WhereError as error:
        raise WhereError(f"where has over {_MOST_FILTER:,} characters: {error}") from None
