"""The service over a real server: answers, streams, bounds, new versions; errors that say no more than they may."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from rag.serving.app import create_app
from rag.serving.keys import KeyStore, OpenAuthenticator
from rag.serving.replies import status_of
from rag.serving.service import Service
from tests.command import run
from tests.serving.served import running

LEAVE = "How many days of annual leave do staff in Europe take?"
QUOTE = "Staff in Europe take 28 days of annual leave."


@pytest.fixture(scope="module")
def ix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text(f"# Leave\n\n{QUOTE}\n\nSick notes go to the manager.\n")
    (folder / "docs" / "us.md").write_text("# Pay\n\nPay day is the 25th of each month.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


def service(ix: Path, **settings: Any) -> Service:
    return Service(ix, lambda: rag.Pipeline(ix, settings=settings))


@pytest.fixture(scope="module")
def http(ix: Path) -> Iterator[httpx.Client]:
    with (
        running(create_app(service(ix), OpenAuthenticator())) as address,
        httpx.Client(base_url=address) as client,
    ):
        yield client


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream, without its comments."""
    sent = [part for part in text.strip().split("\n\n") if not part.startswith(":")]
    parts = [dict(line.split(": ", 1) for line in part.splitlines()) for part in sent]
    return [(part["event"], json.loads(part["data"])) for part in parts]


def test_the_answer_is_the_pipelines(http: httpx.Client, ix: Path) -> None:
    reply = http.post("/v1/ask", json={"question": LEAVE})
    answer, same = rag.Answer.from_dict(reply.json()), rag.Pipeline(ix).ask(LEAVE)
    assert (answer.text, answer.citations, answer.context) == (same.text, same.citations, same.context)
    assert reply.headers["cache-control"] == "no-store" and "server" not in reply.headers.get("x", "")


def test_a_stream_is_the_same_events(http: httpx.Client, ix: Path) -> None:
    sent = events(http.post("/v1/ask", json={"question": LEAVE, "stream": True}).text)
    same = list(rag.Pipeline(ix).stream(LEAVE))
    assert [kind for kind, _ in sent] == [event.kind for event in same]
    assert [value for kind, value in sent if kind == "text"] == [e.value for e in same if e.kind == "text"]
    by_accept = http.post("/v1/ask", json={"question": LEAVE}, headers={"accept": "text/event-stream"})
    assert by_accept.headers["content-type"].startswith("text/event-stream")


def test_search_context_source_and_schema(http: httpx.Client) -> None:
    hits = http.post("/v1/search", json={"question": LEAVE, "k": 1}).json()["hits"]
    assert len(hits) == 1 and QUOTE in hits[0]["text"]
    context = http.post("/v1/context", json={"question": LEAVE, "budget": 200}).json()
    assert sum(len(hit["text"]) for hit in context["hits"]) <= 200
    near = http.get("/v1/source", params={"source": "eu.md", "start": 10, "end": 20}).json()["chunks"]
    assert QUOTE in "".join(chunk["text"] for chunk in near)
    assert http.get("/v1/source", params={"source": "nothing.md"}).status_code == 404
    assert "fields" in http.get("/v1/schema").json()
    explained = http.post(
        "/v1/explain", json={"question": "Pay day?", "expect": "the 25th of each month"}
    ).json()
    assert explained["stage"] == "kept"


def test_a_conversation_sends_its_messages(http: httpx.Client) -> None:
    turns = [{"role": "user", "content": "When is pay day?"}, {"role": "assistant", "content": "The 25th."}]
    reply = http.post(
        "/v1/chat", json={"question": "And how many days of leave in Europe?", "messages": turns}
    )
    assert "28 days" in reply.json()["text"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "question: Field required"), ({"question": ""}, "question: String should have at least 1"),
        ({"question": "x", "wehre": "a == 1"}, "wehre: Extra inputs are not permitted"),
        ({"question": "x", "k": 10_000}, "k: Input should be less than or equal to 200"),
        ({"question": "x", "where": "sourec == 'a'"}, "no document has a field 'sourec': did you mean 'source'?"),
        ({"question": "x", "where": "__import__('os')"}, "where has no function '__import__'"),
        ({"question": "x" * 9_000}, "question: String should have at most 8000"),
        ("[", "JSON decode error"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_what_is_wrong(http: httpx.Client, body: Any, text: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    reply = http.post("/v1/search", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 400 and text in reply.json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(http: httpx.Client) -> None:
    large = json.dumps({"question": "x" * (2 << 20)})
    assert http.post("/v1/ask", content=large).status_code == 413
    parts = (large[at : at + 65_536].encode() for at in range(0, len(large), 65_536))
    assert http.post("/v1/ask", content=parts).status_code == 413


def test_errors_say_nothing_of_paths_or_code() -> None:
    for error in (OSError("/secret/path"), rag.core.errors.StoreCorruptError("/secret/path is damaged"),
                  rag.core.errors.GenerationError("https://host: key abc")):  # fmt: skip
        assert "secret" not in status_of(error)[2] and "abc" not in status_of(error)[2]


async def test_more_requests_than_fit_are_told_to_come_again(ix: Path) -> None:
    app = create_app(service(ix), OpenAuthenticator(), most_requests=2)
    app.under_way = 2  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as client:
        reply = await client.get("/healthz")
    assert reply.status_code == 429 and reply.headers["retry-after"] == "1"


def test_a_new_version_is_taken_over_and_a_damaged_one_is_not(ix: Path, tmp_path: Path) -> None:
    copy = tmp_path / "ix"
    shutil.copytree(ix, copy)
    served = service(copy)
    with running(create_app(served, OpenAuthenticator(), poll_s=0.05)) as address:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "new.md").write_text("# Parking\n\nParking is free after six.\n")
        rag.build(tmp_path / "docs", copy, embedder="static")
        ask = {"question": "Is parking free?", "k": 1}
        deadline = time.monotonic() + 10
        while httpx.get(f"{address}/readyz").json()["version"] == 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "Parking" in httpx.post(f"{address}/v1/search", json=ask).json()["hits"][0]["text"]
        (copy / "CURRENT").write_text("77\n")
        while httpx.get(f"{address}/readyz").json()["status"] == "ok":
            assert time.monotonic() < deadline + 10
            time.sleep(0.05)
        assert httpx.post(f"{address}/v1/search", json=ask).status_code == 200


def test_a_client_that_leaves_ends_the_models_reply(
    ix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(["word"] * 400)
    with Emulator(Behaviour(reply=text, token_s=0.02)) as emulator:
        point_at(monkeypatch, emulator.environment())
        settings = {"generator": "claude", "ledger": str(tmp_path / "l.sqlite")}
        served = service(ix, **settings)
        with running(create_app(served, OpenAuthenticator())) as address:
            with httpx.stream("POST", f"{address}/v1/ask", json={"question": LEAVE, "stream": True}) as reply:
                for line in reply.iter_lines():
                    if line == "event: text":
                        break
            deadline = time.monotonic() + 10
            ledger = served.pipeline.meter.ledger
            while not ledger.rows() or not ledger.rows()[0].calls:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        (row,) = ledger.rows()
        assert row.calls == 1 and 0 < row.output_tokens < 400


def test_the_command_refuses_to_serve_the_world_without_keys(ix: Path) -> None:
    refused = run("serve", ix, "--host", "0.0.0.0", code=2)
    assert "without keys the service does not start on 0.0.0.0" in refused.stderr
    assert "there is no index" in run("serve", ix.parent / "nothing", code=2).stderr


def test_once_there_was_a_key_keys_are_needed(ix: Path, tmp_path: Path) -> None:
    """That the last one was revoked, or has expired, opens no door to everyone."""
    from rag.cli.serve import Application

    index = tmp_path / "ix"
    shutil.copytree(ix, index)

    def guarded(is_open: bool = False, config: Path | None = None) -> bool:
        return Application(index, "127.0.0.1", is_open, (), 10, 1, None, False, config).checked()

    (tmp_path / "rag.toml").write_text('[serving.auth]\nuse = "keys"\n')
    assert not guarded() and guarded(config=tmp_path / "rag.toml")
    store = KeyStore(index / "keys.sqlite")
    store.add("crm")
    assert guarded()
    store.revoke("crm")
    assert guarded() and not guarded(is_open=True)


def test_the_command_serves_and_drains(ix: Path) -> None:
    words = [sys.executable, "-m", "rag", "serve", str(ix), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        address = line.split()[-1]
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
        assert httpx.post(f"{address}/v1/ask", json={"question": LEAVE}).json()["answered"]
        assert "rag_questions_total" in httpx.get(f"{address}/metrics").text
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert "Traceback" not in process.stderr.read()
