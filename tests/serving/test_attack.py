"""No tenant gets another one's secrets; and the attack finds an application that gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest

import rag
import rag.conversation.begin  # not in a thread: pytest's import parses, as filters do (CPython issue 106905)
from rag.core.errors import BudgetError, WhereError
from rag.serving.app import create_app
from rag.serving.callers import Caller
from rag.serving.guard import Guard
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.limits import Limiter
from rag.serving.service import Service
from tests import scale
from tests.serving.credentials import Credentials
from tests.serving.tenants import ROUTES as ALL
from tests.serving.tenants import Ask, Corpus, attack, cannot_be_told_apart, keys_of, posted, source

ROUTES = {
    "search": posted("/search"),
    "ask": posted("/ask"),
    "stream": posted("/stream"),
    "source": source("/source"),
}


def service(corpus: Corpus, limiter: Limiter, responses: Path, fault: str = "") -> fastapi.FastAPI:
    """The smallest service: search, answers with a cache, a stream, and passages; with a fault to find."""
    app = fastapi.FastAPI()
    pipe = rag.Pipeline(rag.Index.open(corpus.index), responses={"path": str(responses)})

    def options(request: fastapi.Request, body: Mapping[str, Any]) -> dict[str, Any]:
        caller: Caller = request.state.caller
        asked = body.get("where")
        if fault == "the request's filter alone" and asked is not None:
            return {"where": asked}
        return {"where": caller.narrowed(asked)}

    kept: dict[str, Any] = {}

    @app.exception_handler(WhereError)
    async def wrong(request: fastapi.Request, error: WhereError) -> fastapi.Response:
        return fastapi.responses.JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(BudgetError)
    async def spent(request: fastapi.Request, error: BudgetError) -> fastapi.Response:
        return fastapi.responses.JSONResponse({"error": str(error)}, 429)

    @app.post("/search")
    def search(request: fastapi.Request, body: dict[str, Any]) -> Any:
        return [hit.to_dict() for hit in pipe.retrieve(body["question"], k=5, **options(request, body))]

    @app.post("/ask")
    def ask(request: fastapi.Request, body: dict[str, Any]) -> Any:
        with limiter.spending(request.state.caller) as spending:
            given = {**options(request, body), "tenant": request.state.caller.tenant}
            answer = spending.run(pipe.ask, body["question"], **given).to_dict()
        return kept.setdefault(body["question"], answer) if fault == "answers kept by question" else answer

    @app.post("/stream")
    async def stream(request: fastapi.Request, body: dict[str, Any]) -> Any:
        given = {**options(request, body), "tenant": request.state.caller.tenant}

        async def events() -> Any:
            with limiter.spending(request.state.caller) as spending:
                begun = spending.run(pipe.astream, body["question"], **given)
                async for event in begun:
                    if event.kind == "text":
                        yield event.value

        return fastapi.responses.StreamingResponse(events(), media_type="text/plain")

    @app.get("/source")
    def passage(request: fastapi.Request, source: str, start: int, end: int) -> Any:
        where = rag.field("source") == source
        seen = None if fault == "any source" else request.state.caller.where
        hits = list(pipe.index.scan(where if seen is None else seen & where))
        if not hits:
            raise fastapi.HTTPException(404, f"there is no source {source}")
        return {"text": hits[0].text}

    return app


def client(corpus: Corpus, store: KeyStore, fault: str = "") -> httpx.AsyncClient:
    limiter = Limiter(store.path.parent)
    app = service(corpus, limiter, store.path.parent / "responses.sqlite", fault)
    transport = httpx.ASGITransport(app=Guard(app, KeyAuthenticator(store), limiter))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://t")


@pytest.mark.soak
@pytest.mark.slow
async def test_no_tenant_gets_anothers_secrets(corpus: Corpus, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    keys = keys_of(corpus, store)
    async with client(corpus, store) as http:
        report = await attack(http, corpus, keys, routes=ROUTES, count=scale.scale(80, 4000))
        by_name = {
            "source": lambda name: Ask("GET", "/source", params={"source": name, "start": "0", "end": "9"})
        }
        await cannot_be_told_apart(http, corpus, keys, by_name)
    # Every route gave tenants what is theirs, and refused what is no filter.
    assert all(report.own[name] for name in ROUTES), report
    assert {status for _, status in report.statuses} == {200, 400, 404}


@pytest.mark.parametrize("fault", ["the request's filter alone", "answers kept by question", "any source"])
async def test_the_attack_finds_a_fault(corpus: Corpus, tmp_path: Path, fault: str) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    async with client(corpus, store, fault) as http:
        keys = keys_of(corpus, store)
        with pytest.raises(AssertionError, match=r"got secrets of \['t\d\d'"):
            await attack(http, corpus, keys, routes=ROUTES, count=300)


@pytest.mark.soak
@pytest.mark.slow
async def test_no_tenant_gets_anothers_secrets_of_the_web_service(corpus: Corpus, tmp_path: Path) -> None:
    store, limiter = KeyStore(tmp_path / "keys.sqlite"), Limiter(tmp_path)
    credentials = Credentials(corpus, store)
    settings = {"responses": {"path": str(tmp_path / "responses.sqlite")}}
    served = Service(corpus.index, lambda: rag.Pipeline(corpus.index, settings=settings), limiter)
    # Without the bound of failures, which would end the attack after 30 of them.
    app: Any = create_app(served, KeyAuthenticator(store), limiter, most_failures=0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as http:
        report = await attack(http, corpus, credentials.draw, count=scale.scale(400, 20_000))
        by_name = {
            "source": lambda name: Ask("GET", "/v1/source", params={"source": name}),
            "explain": lambda name: Ask("POST", "/v1/explain", {"question": "the budget", "expect": name}),
        }
        await cannot_be_told_apart(http, corpus, credentials.valid, by_name)
    print(f"{sum(report.statuses.values()):,} requests: {dict(report.credentials)}")
    answered = {name for name, status in report.statuses if status == 200}
    assert answered >= set(ALL) - {"explain"}, report  # of others' sources it explains nothing
    assert all(report.own[name] for name in ("search", "context", "ask", "stream", "source", "schema")), (
        report
    )
