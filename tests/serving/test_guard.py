"""The guard before every route: a caller, room, and refusals that look alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.serving.callers import Limits
from rag.serving.guard import Guard
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.limits import Limiter


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the caller's name."""
    name = scope["state"]["caller"].name if "caller" in scope.get("state", {}) else "nobody"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name.encode()})


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.sqlite")


def client(store: KeyStore) -> httpx.AsyncClient:
    guarded = Guard(app, KeyAuthenticator(store), Limiter(store.database))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=guarded), base_url="http://t")


async def test_a_request_has_its_caller_or_is_refused(store: KeyStore) -> None:
    key, text = store.add("crm", limits=Limits(requests_per_minute=2))
    async with client(store) as http:
        assert (await http.get("/healthz")).text == "nobody"
        refused = await http.get("/v1/search")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["type"] == "authentication_error"
        headers = {"Authorization": f"Bearer {text}"}
        assert [(await http.get("/v1/search", headers=headers)).text for _ in range(2)] == [key.id] * 2
        late = await http.get("/v1/search", headers=headers)
        assert late.status_code == 429 and 1 <= int(late.headers["retry-after"]) <= 30


async def test_keys_cannot_be_tried_out(store: KeyStore) -> None:
    _, text = store.add("crm")
    async with client(store) as http:
        codes = [(await http.get("/x", headers={"x-api-key": f"rag_{n}"})).status_code for n in range(40)]
        assert codes.count(401) == 30 and set(codes[30:]) == {429}
        # Also the right key, until the minute is over: nobody learns which one it is.
        assert (await http.get("/x", headers={"x-api-key": text})).status_code == 429


async def test_what_is_no_request_of_http_is_closed(store: KeyStore) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await Guard(app, KeyAuthenticator(store))({"type": "websocket", "path": "/healthz"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
