"""The web service: routes over a `Service`, behind a guard and bounds.

Replies are the records of the library as JSON (`Answer.to_dict`, `Hit.to_dict`). A stream is server-sent
events, named as those of `Pipeline.stream`; an error in it is an event ``error``. Retrieval runs in a pool of
threads, waiting for a model does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.middleware.cors import CORSMiddleware

from rag.core.errors import TooManyError
from rag.core.ids import new_id
from rag.serving import forms
from rag.serving.bounds import BoundedBody, Bounds
from rag.serving.callers import Authenticator, Caller
from rag.serving.deadlines import in_time
from rag.serving.guard import MOST_FAILURES, App, Guard
from rag.serving.limits import Limiter
from rag.serving.openai import completion, models
from rag.serving.replies import RETRY_S, said_of
from rag.serving.service import Service
from rag.serving.streams import EventStream, sent_events, whole
from rag.serving.turns import history

_LOG = logging.getLogger("rag.serving")
#: Paths that need no caller.
#: The page is a frame without data: it asks for a key where the service needs one.
_PAGE = {"/": "index.html", "/page.js": "page.js", "/page.css": "page.css", "/favicon.svg": "favicon.svg"}
_FOLDER = Path(__file__).with_name("page")
OPEN = frozenset(("/healthz", "/readyz", *_PAGE))
Metrics = Callable[[], bytes]
#: Threads that may wait at once.
_WAITING = 64


def create_app(
    service: Service,
    authenticator: Authenticator,
    limiter: Limiter | None = None,
    *,
    metrics: Metrics | None = None,
    origins: tuple[str, ...] = (),
    most_bytes: int = 1 << 20,
    most_requests: int = 1000,
    most_failures: int = MOST_FAILURES,
    threads: int = 4,
    poll_s: float = 2.0,
    open_paths: frozenset[str] = OPEN,
    version: str = "1",
    hosts: frozenset[str] = frozenset(),
    ended: Callable[[], None] | None = None,
) -> App:
    """Return the service as an ASGI application.

    Parameters
    ----------
    service : Service
    authenticator : Authenticator
    limiter : Limiter, optional
    metrics : callable, optional
        Returns metrics in Prometheus' text form, for ``/metrics``.
    origins : tuple of str
        Other sites whose pages may call (CORS); none by default.
    most_bytes, most_requests : int
        See `rag.serving.bounds.Bounds`.
    most_failures : int
        See `rag.serving.guard.Guard`.
    threads : int
        Of retrieval.
    poll_s : float
        Seconds between looks for a new version.
    open_paths : frozenset of str
        Paths that need no caller.
    version : str
        For the description of the interface (OpenAPI).
    hosts : frozenset of str
        Names of this server, without port, that a request may be for; empty for any. A service without
        keys names its own: else a web site whose name points here could read it (DNS rebinding).
    ended : callable, optional
        Called once all requests have ended.

    Examples
    --------
    >>> app = create_app(Service(path, lambda: rag.Pipeline(path)), OpenAuthenticator())  # doctest: +SKIP
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="rag-serving")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Waiting for models and limits takes threads, not CPUs: Python's default is some six.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(_WAITING, thread_name_prefix="rag-waiting")
        )
        watching = asyncio.create_task(_watch(service, poll_s))
        yield
        watching.cancel()
        pool.shutdown(wait=False, cancel_futures=True)
        if ended is not None:
            await asyncio.to_thread(ended)

    app = FastAPI(title="rag", version=version, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service, app.state.pool = service, pool
    _add_routes(app, service, pool)
    _add_page(app)
    _add_state(app, service, metrics)
    app.add_exception_handler(Exception, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    guarded: App = Guard(
        BoundedBody(_Caught(app), most_bytes), authenticator, limiter, open_paths, most_failures
    )
    if origins:
        guarded = CORSMiddleware(
            guarded, allow_origins=origins, allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key"],
        )  # fmt: skip
    return Bounds(guarded, most_requests=most_requests, hosts=hosts)


async def _watch(service: Service, poll_s: float) -> None:
    while True:
        await asyncio.sleep(poll_s)
        await asyncio.to_thread(service.refresh)


class _Caught:
    """Keeps Starlette from raising an error again that was answered already."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            _LOG.debug("answered with an error: %s", type(error).__name__)


def _caller(request: Request) -> Caller:
    caller = request.scope["state"]["caller"]
    assert isinstance(caller, Caller)
    return caller


def error_reply(error: BaseException, request: Request) -> JSONResponse:
    """Return the reply for an error; one that nobody foresaw goes to the log with the request's id."""
    status, said = said_of(error)
    if status >= 500:
        _LOG.error("request %s to %s failed", said["id"], request.url.path, exc_info=error)
    headers = {}
    if isinstance(error, TooManyError):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status in (429, 502, 503, 504):
        headers["Retry-After"] = str(RETRY_S)
    return JSONResponse({"error": said}, status, headers)


async def _failed(request: Request, error: Exception) -> Response:
    return error_reply(error, request)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    text = f"{place}: {first['msg']}" if place else str(first["msg"])
    return JSONResponse({"error": {"message": text, "type": "invalid_request_error", "id": new_id()}}, 400)


def _add_routes(app: FastAPI, service: Service, pool: ThreadPoolExecutor) -> None:
    async def ran(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await in_time(loop.run_in_executor(pool, partial(function, *args, **named)))

    @app.post("/v1/search", summary="The best passages")
    async def search(query: forms.Query, request: Request) -> dict[str, Any]:
        options = query.options()
        hits = await ran(service.search, _caller(request), query.question, **{"k": 10, **options})
        return {"version": service.version, "hits": [hit.to_dict() for hit in hits[: query.k or 10]]}

    @app.post("/v1/retrieve", summary="The passages that a context is made from")
    async def retrieve(query: forms.Budgeted, request: Request) -> dict[str, Any]:
        hits = await ran(service.search, _caller(request), query.question, **query.options())
        return {"version": service.version, "hits": [hit.to_dict() for hit in hits]}

    @app.post("/v1/context", summary="What would be sent to the model")
    async def context(query: forms.Budgeted, request: Request) -> Any:
        found = await ran(service.context, _caller(request), query.question, **query.options())
        return found.to_dict()

    @app.post("/v1/explain", summary="What became of a passage")
    async def explain(query: forms.Explain, request: Request) -> Any:
        found = await ran(service.explain, _caller(request), query.question, query.expect, **query.options())
        return found.to_dict()

    @app.get("/v1/source", summary="A passage in its surroundings")
    async def source(
        request: Request, source: str, start: int = 0, end: int | None = None, around: int = 500
    ) -> dict[str, Any]:
        around = max(0, min(around, 5_000))
        hits = await ran(service.source, _caller(request), source, start, end, around)
        return {"source": source, "chunks": [hit.to_dict() for hit in hits]}

    @app.get("/v1/schema", summary="Fields to filter by")
    async def schema(request: Request) -> dict[str, Any]:
        return {"fields": await ran(service.schema, _caller(request))}

    @app.post("/v1/ask", summary="An answer with citations", response_model=None)
    async def ask(query: forms.Ask, request: Request) -> Response:
        options = {**query.options(), **({"tag": query.tag} if query.tag else {})}
        return await _answer(service, query.question, options, query.stream, request)

    @app.post("/v1/chat", summary="An answer to a follow-up", response_model=None)
    async def chat(query: forms.ChatAsk, request: Request) -> Response:
        before = await history([(turn.role, turn.content) for turn in query.messages])
        options = {**query.options(), "history": before, **({"tag": query.tag} if query.tag else {})}
        return await _answer(service, query.question, options, query.stream, request)

    @app.post("/v1/chat/completions", summary="The same in OpenAI's form", response_model=None)
    async def completions(query: forms.Completion, request: Request) -> Response:
        return await completion(service, query, _caller(request), request)

    @app.get("/v1/models", summary="The models in OpenAI's form")
    async def listed() -> dict[str, Any]:
        return models(service)


async def _answer(
    service: Service, question: str, options: dict[str, Any], stream: bool, request: Request
) -> Response:
    events = service.events(_caller(request), question, **options)
    if stream or "text/event-stream" in request.headers.get("accept", ""):
        return EventStream(sent_events(events))
    answer = await whole(events, request)
    return JSONResponse(answer.to_dict()) if answer is not None else Response(status_code=499)


def _add_page(app: FastAPI) -> None:
    """Add the page and its parts."""

    async def part(request: Request) -> Response:
        return FileResponse(_FOLDER / _PAGE[request.url.path])

    for path in _PAGE:
        app.add_route(path, part, include_in_schema=False)


def _add_state(app: FastAPI, service: Service, metrics: Metrics | None) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        ready = {"status": "ok" if not service.problem else "stale", "version": service.version}
        return JSONResponse(ready)

    @app.get("/metrics", include_in_schema=False)
    async def counted() -> Response:
        if metrics is None:
            return PlainTextResponse("", 404)
        return PlainTextResponse(metrics(), media_type="text/plain; version=0.0.4")
