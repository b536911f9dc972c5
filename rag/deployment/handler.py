"""``rag.deployment.handler.handler``: the service for Lambda's own runtime of Python, by Mangum.

Its replies are sent whole: that runtime does not stream (`rag.deployment.runtime` does).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from rag.deployment.exchange import started
from rag.deployment.function import Function, function
from rag.deployment.invocation import Context
from rag.deployment.replies import whole


class Handler:
    """Answers events; it keeps the application started between them.

    Parameters
    ----------
    made : Function

    Examples
    --------
    >>> reply = Handler(function(os.environ))(event, context)                          # doctest: +SKIP
    """

    def __init__(self, made: Function) -> None:
        self._function = made
        self._loop = asyncio.new_event_loop()
        self._started = started(made.app)
        self._loop.run_until_complete(self._started.__aenter__())

    def __call__(self, event: Any, context: Context) -> dict[str, Any]:
        """Return the reply to an event, as its invoker reads it."""
        self._function.look()
        return self._loop.run_until_complete(whole(self._function, event, context))

    def close(self) -> None:
        """End the application."""
        self._loop.run_until_complete(self._started.__aexit__(None, None, None))
        self._loop.close()


_MADE: list[Handler] = []


def handler(event: Any, context: Context) -> dict[str, Any]:
    """Return the reply to an event; the first makes the service."""
    if not _MADE:
        _MADE.append(Handler(function(os.environ)))
    return _MADE[0](event, context)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:  # while Lambda starts a container it gives it a whole processor
    _MADE.append(Handler(function(os.environ)))
