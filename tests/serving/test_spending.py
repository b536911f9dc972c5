"""A caller's dollars hold for what the web service asks Claude for it, at once and in streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from rag.serving.app import create_app
from rag.serving.callers import Limits
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.limits import Limiter
from rag.serving.service import Service
from rag.usage.ledger import Ledger
from tests.serving.tenants import Corpus

pytestmark = pytest.mark.slow
QUESTION = {"question": "What is the code of the budget plan?"}


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(Behaviour(reply="The budget is confidential.", latency_s=0.05)) as running:
        point_at(monkeypatch, running.environment())
        yield running


class World:
    """The service over Claude, with callers, and what was really paid."""

    def __init__(self, corpus: Corpus, folder: Path) -> None:
        self.store, self.limiter = KeyStore(folder / "keys.sqlite"), Limiter(folder)
        self.ledger = Ledger(folder / "ledger.sqlite")
        settings = {"generator": "claude", "ledger": str(self.ledger.path)}
        service = Service(corpus.index, lambda: rag.Pipeline(corpus.index, settings=settings), self.limiter)
        app: Any = create_app(service, KeyAuthenticator(self.store), self.limiter)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t", timeout=60)

    async def ask(self, key: str, **more: Any) -> httpx.Response:
        return await self.http.post("/v1/ask", json={**QUESTION, **more}, headers={"x-api-key": key})


async def test_a_caller_without_dollars_asks_no_model(
    corpus: Corpus, tmp_path: Path, emulator: Emulator
) -> None:
    world = World(corpus, tmp_path)
    key, text = world.store.add("poor", limits=Limits(usd_per_day=0.000001))
    refused = await world.ask(text)
    assert refused.status_code == 429 and 5 < int(refused.headers["retry-after"]) <= 86_400
    assert (
        refused.json()["error"]["message"]
        == f"this call could bring {key.id} above its limit of under $0.0001 a day"
    )
    stream = await world.ask(text, stream=True)
    assert (
        "event: error" in stream.text
        and "above its limit" in stream.text
        and "event: text" not in stream.text
    )
    assert not emulator.requests and not world.ledger.rows()


async def test_many_questions_at_once_never_cost_more_than_the_limit(
    corpus: Corpus, tmp_path: Path, emulator: Emulator
) -> None:
    world = World(corpus, tmp_path)
    rich, one = world.store.add("rich", limits=Limits(usd_per_day=5.0))
    assert (await world.ask(one)).json()["answered"] is not None
    usd = world.ledger.spent()
    assert usd > 0 and world.limiter.spent(rich.caller).usd == pytest.approx(usd)
    # Of 32 answers those of 30, but for what is set aside: the longest reply that each could have.
    limit = 30 * usd
    key, text = world.store.add("busy", limits=Limits(usd_per_day=limit))
    statuses: set[int] = set()
    for _ in range(4):
        replies = await asyncio.gather(*(world.ask(text) for _ in range(8)))
        statuses |= {reply.status_code for reply in replies}
        assert world.limiter.spent(key.caller).usd <= limit
    assert statuses == {200, 429} and world.ledger.spent() - usd <= limit
    # The other one is not held up by it.
    assert (await world.ask(one)).status_code == 200
