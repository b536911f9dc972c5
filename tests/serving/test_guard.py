"""The guard before every route: a caller, room, and refusals that look alike."""

from __future__ import annotations

import errno
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.core.errors import RagError
from rag.serving.callers import Limits
from rag.serving.guard import Failures, Guard, block
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.limits import Limiter
from rag.serving.replies import FULL, status_of


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the caller's name."""
    name = scope["state"]["caller"].name if "caller" in scope.get("state", {}) else "nobody"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name.encode()})


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.sqlite")


def client(store: KeyStore) -> httpx.AsyncClient:
    guarded = Guard(app, KeyAuthenticator(store), Limiter(store.path.parent))
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


async def test_two_credentials_are_none(store: KeyStore) -> None:
    _, text = store.add("crm")
    async with client(store) as http:
        headers = [("authorization", f"Bearer {text}"), ("authorization", "Bearer other")]
        assert (await http.get("/x", headers=headers)).status_code == 401
        assert (await http.get("/x", headers=headers[:1])).status_code == 200


async def test_a_damaged_file_lets_nobody_in_and_tells_nothing(store: KeyStore) -> None:
    _, text = store.add("crm")
    store.database.close()
    for path in store.path.parent.glob("keys.sqlite-*"):
        path.unlink()
    store.path.write_bytes(b"no database" * 1000)
    async with client(KeyStore(store.path)) as http:
        refused = await http.get("/x", headers={"x-api-key": text})
    assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
    assert refused.json()["error"]["message"] == "callers cannot be checked at present"


async def test_a_full_disk_is_named(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own error, from a limit on the file's pages."""
    _, text = store.add("crm", limits=Limits(requests_per_minute=100))
    limiter = Limiter(store.path.parent)
    guarded = Guard(app, KeyAuthenticator(store), limiter)
    full = sqlite3.connect(":memory:", check_same_thread=False)
    full.execute("PRAGMA max_page_count = 1")

    def counting(caller: object) -> None:
        try:
            full.execute("CREATE TABLE t (x)")
        except sqlite3.Error as error:
            raise RagError("the limits of /srv/keys cannot be written") from error

    monkeypatch.setattr(limiter, "admit", counting)
    transport = httpx.ASGITransport(app=guarded)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        refused = await http.get("/v1/search", headers={"x-api-key": text})
    assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
    said = refused.json()["error"]
    assert said["message"] == "a disk of this service is full: nothing can be counted until there is room"
    assert len(said["id"]) == 26


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_behind_any_error_is_named(code: int) -> None:
    error = RagError("cannot write /srv/ledger")
    error.__cause__ = OSError(code, "no room")
    assert status_of(error) == (503, "unavailable_error", FULL)
    error.__cause__ = OSError(errno.EACCES, "no right")
    assert status_of(error)[2] == "the index cannot be used at present"


def test_an_address_is_forgiven_after_a_minute_and_is_not_its_neighbour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = Failures(most=2)
    for _ in range(3):
        failures.add(block("2001:db8::1"))
    assert 59 < failures.wait_s(block("2001:db8::ffff")) <= 60  # the same network
    assert failures.wait_s(block("2001:db8:0:1::1")) == failures.wait_s("203.0.113.9") == 0
    late = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: late)
    assert failures.wait_s(block("2001:db8::1")) == 0
    never = Failures(most=0)
    never.add("a")
    assert never.wait_s("a") == 0


async def test_what_is_no_request_of_http_is_closed(store: KeyStore) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await Guard(app, KeyAuthenticator(store))({"type": "websocket", "path": "/healthz"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
