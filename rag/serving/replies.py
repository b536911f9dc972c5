"""Errors as replies: a status, and a text that says what to do and nothing of others, paths or code."""

from __future__ import annotations

from typing import Any

from rag.core.errors import (
    AuthError,
    BudgetError,
    GenerationError,
    MissingSourceError,
    RagError,
    TooManyError,
    UsageError,
    WhereError,
    is_full,
)
from rag.core.ids import new_id
from rag.serving.deadlines import DeadlineError

#: Seconds after which a request that failed for a passing reason may be sent again.
RETRY_S = 5
#: What is said of a disk on which limits, keys or a budget cannot be counted.
FULL = "a disk of this service is full: nothing can be counted until there is room"


def said_of(error: BaseException) -> tuple[int, dict[str, Any]]:
    """Return the status of a reply for an error, and what it says: ``message``, ``type``, ``id``, ``param``.

    ``param`` names the field of the request that is wrong, if that is its filter.
    """
    status, kind, text = status_of(error)
    said = {"message": text, "type": kind, "id": new_id()}
    return status, {**said, "param": "where"} if isinstance(error, WhereError) else said


def status_of(error: BaseException) -> tuple[int, str, str]:
    """Return the status, the type and the text of a reply for an error.

    Examples
    --------
    >>> status_of(UsageError("the question is empty: write one"))
    (400, 'invalid_request_error', 'the question is empty: write one')
    >>> status_of(ValueError("/home/ana/secret"))
    (500, 'server_error', 'the request failed: its id is in the log')
    """
    if is_full(error):
        return 503, "unavailable_error", FULL
    if isinstance(error, MissingSourceError):
        return 404, "not_found_error", str(error)
    if isinstance(error, AuthError):
        return 401, "authentication_error", str(error)
    if isinstance(error, TooManyError):
        return 429, "rate_limit_error", str(error)
    if isinstance(error, BudgetError):
        return 429, "budget_error", "the budget of this service is reached"
    if isinstance(error, DeadlineError):
        return 504, "timeout_error", str(error)
    if isinstance(error, WhereError | UsageError):
        return 400, "invalid_request_error", str(error)
    if isinstance(error, GenerationError):
        return 502, "model_error", "the model failed: try again"
    if isinstance(error, RagError):
        return 503, "unavailable_error", "the index cannot be used at present"
    return 500, "server_error", "the request failed: its id is in the log"
