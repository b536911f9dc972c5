"""The trace of a caller, which its questions continue (W3C Trace Context, header ``traceparent``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rag.core.extras import require

_HEADERS = (b"traceparent", b"tracestate")
App = Callable[[Any, Any, Any], Awaitable[None]]


class Continued:
    """An ASGI application whose requests are in the traces that their headers name.

    A server that is instrumented already, so that a span is current, keeps that one. A header that is not
    well-formed is ignored, as the specification asks (https://www.w3.org/TR/trace-context/, "Processing
    model"). The caller's baggage is not taken over: nobody vouches for it.

    Parameters
    ----------
    app : callable
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._trace = require("opentelemetry.trace", extra="otel")
        self._context = require("opentelemetry.context", extra="otel")
        self._read = require(
            "opentelemetry.trace.propagation.tracecontext", extra="otel"
        ).TraceContextTextMapPropagator()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve a request."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope.get("headers") or () if name in _HEADERS
        }  # fmt: skip
        if not headers or self._trace.get_current_span().get_span_context().is_valid:
            await self._app(scope, receive, send)
            return
        token = self._context.attach(self._read.extract(headers))
        try:
            await self._app(scope, receive, send)
        finally:
            self._context.detach(token)
