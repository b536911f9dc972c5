"""Receipts: what an answer was made from; made again, it is the same, or it is said what differs."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import UsageError
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from rag.receipts.receipt import digest
from rag.receipts.replay import replay
from rag.receipts.store import ReceiptStore
from tests.command import run

LEAVE = "How many days of annual leave do staff in Europe take?"
QUOTE = "Staff in Europe take 28 days of annual leave."


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text(f"# Leave\n\n{QUOTE}\n")
    (folder / "docs" / "us.md").write_text("# Pay\n\nPay day is the 25th of each month.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder


@pytest.fixture
def ix(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "world")
    return tmp_path / "world" / "ix"


def store(ix: Path) -> ReceiptStore:
    return ReceiptStore(ix / "receipts.sqlite")


def opened(ix: Path, **settings: Any) -> Any:
    return lambda version: rag.Pipeline(rag.Index.open(ix, version=version), settings=settings)


def changed(ix: Path) -> None:
    """Another version, in which Europe has other days, and no pay day."""
    docs = ix.parent / "docs"
    (docs / "eu.md").write_text(f"# Leave\n\n{QUOTE.replace('28', '30')}\n")
    (docs / "us.md").unlink()
    rag.build(docs, ix, embedder="static")


def test_a_receipt_says_what_an_answer_was_made_from(ix: Path) -> None:
    pipe = rag.Pipeline(ix, receipts=True)
    answer = pipe.ask(LEAVE, where="source == 'eu.md'", k=5, tag="desk", tenant="acme")
    row = store(ix).get(answer.id)
    assert (row["question"], row["where"], row["options"]) == (LEAVE, "source == 'eu.md'", {"k": 5})
    assert (row["index"], row["version"], row["tag"], row["tenant"]) == ("ix", 1, "desk", "acme")
    assert row["text_sha256"] == digest(answer.text) and row["prompt_hash"] == answer.prompt_hash != ""
    (hit,) = answer.context.hits
    assert row["passages"] == [
        {"source": "eu.md", "start": hit.start, "end": hit.end, "sha256": digest(hit.text)}
    ]
    assert store(ix).path.stat().st_mode & 0o777 == 0o600


def test_streams_tasks_conversations_data_and_threads_have_receipts(ix: Path) -> None:
    pipe = rag.Pipeline(ix, receipts={"keep_text": False})
    ids = [list(pipe.stream(LEAVE))[-1].value.id, asyncio.run(pipe.aask(LEAVE)).id]
    chat = pipe.chat()
    chat.ask(LEAVE)
    ids.append(chat.ask("And when is pay day?").id)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(pipe.ask(LEAVE).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = {row["id"]: row for row in store(ix).latest(100)}
    assert {*ids, *answers} <= rows.keys() and len(rows) == 12
    assert all(row["text"] is None for row in rows.values())
    assert rows[ids[2]]["conversation"] and "pay day" in rows[ids[2]]["search"]


def test_a_cached_answers_receipt_names_the_answer_that_was_made(ix: Path) -> None:
    pipe = rag.Pipeline(ix, receipts=True, responses=True)
    first, again = pipe.ask(LEAVE), pipe.ask(LEAVE)
    assert first.id != again.id
    assert store(ix).get(again.id)["cached"] == {"kind": "exact", "id": first.id}


def test_made_again_on_its_version_an_answer_is_the_same_whatever_came_since(ix: Path) -> None:
    answer = rag.Pipeline(ix, receipts=True).ask(LEAVE)
    changed(ix)
    found = replay(store(ix).get(answer.id), opened(ix), ask=True)
    assert found.same and found.answer is not None and found.answer.text == answer.text


def test_what_differs_is_said(ix: Path) -> None:
    answer = rag.Pipeline(ix, receipts=True).ask(LEAVE)
    row = store(ix).get(answer.id)
    changed(ix)
    found = replay({**row, "version": 2}, opened(ix), ask=True)
    text = "\n".join(found.differences)
    assert "a passage has another text: eu.md" in text and "the answer has another text" in text
    assert any(line.startswith("+") and "30 days" in line for line in found.text_diff)
    small = replay(row, opened(ix, trimmer={"budget": 20}))
    assert "the trimmer has other settings" in small.differences
    prompt = replay(row, opened(ix, prompt=rag.Prompt(system="Be brief.")))
    assert any(line.startswith("the prompt") for line in prompt.differences)


def test_a_version_that_is_gone_is_said_and_the_current_one_used(ix: Path) -> None:
    answer = rag.Pipeline(ix, receipts=True).ask(LEAVE)
    changed(ix)
    rag.Store(ix).prune(keep=1)
    found = replay(store(ix).get(answer.id), opened(ix))
    assert "version 1 of the index is gone" in found.differences[0]
    assert any("a passage has another text" in line for line in found.differences)


def test_a_store_that_fails_is_a_note(ix: Path, caplog: pytest.LogCaptureFixture) -> None:
    (ix / "receipts.sqlite").mkdir()
    answer = rag.Pipeline(ix, receipts=True).ask(LEAVE)
    assert answer.answered and any(note.startswith("the answer has no receipt") for note in answer.notes)


def test_receipts_end_and_are_forgotten_by_id_day_and_source(ix: Path) -> None:
    pipe = rag.Pipeline(ix, receipts=True)
    one, other = (
        pipe.ask(LEAVE, where="source == 'eu.md'"),
        pipe.ask("When is pay day?", where="source == 'us.md'"),
    )
    kept = store(ix)
    assert kept.forget(sources=["us.md"]) == 1
    with pytest.raises(UsageError, match="there is no receipt"):
        kept.get(other.id)
    assert kept.forget(id=one.id) == 1 and kept.latest(10) == []
    ended = {**json.loads(json.dumps({"id": "0", "tenant": "", "passages": []}))}
    kept.add(ended, time.time() - 1)
    assert kept.latest(10) == []
    pipe.ask(LEAVE)
    assert kept.forget(before=time.time() + 1) == 1


def test_a_tenants_receipts_are_its_own(ix: Path) -> None:
    pipe = rag.Pipeline(ix, receipts=True)
    mine = pipe.ask(LEAVE, tenant="a").id
    assert [row["id"] for row in store(ix).latest(10, tenant="a")] == [mine]
    assert store(ix).latest(10, tenant="b") == []
    with pytest.raises(UsageError):
        store(ix).get(mine, tenant="b")


def test_a_recording_gives_the_same_answer_byte_for_byte(
    ix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = f'It is 28 days.<cite doc="1">{QUOTE}</cite>'
    with Emulator(Behaviour(reply=reply)) as emulator:
        point_at(monkeypatch, emulator.environment())
        answer = rag.Pipeline(ix, generator="claude", receipts=True).ask(LEAVE)
        found = replay(store(ix).get(answer.id), opened(ix, generator="claude"), ask=True)
        assert found.same and found.answer is not None and found.answer.text == answer.text
        emulator.behaviour = Behaviour(reply="It is 20 days.")
        other = replay(store(ix).get(answer.id), opened(ix, generator="claude"), ask=True)
        assert "the answer has another text" in other.differences and "-It is 28 days. [1]" in other.text_diff


def test_the_commands(ix: Path) -> None:
    folder = ix.parent
    (folder / "rag.toml").write_text("[receipts]\ndays = 30\n")
    run("ask", "ix", LEAVE, cwd=folder)
    listed = run("answer", "list", "ix", cwd=folder).stdout
    id = listed.split()[0]
    assert "answered" in listed and LEAVE[:50] in listed
    shown = run("answer", "show", "ix", id[:20], cwd=folder).stdout
    assert "index          ix, version 1" in shown and "eu.md:" in shown and "28 days" in shown
    assert "retrieval and prompt are as they were" in run("answer", "replay", "ix", id, cwd=folder).stdout
    changed(ix)
    rag.Store(ix).prune(keep=1)
    differs = run("answer", "replay", "ix", id, "--ask", cwd=folder, code=1).stdout
    assert "version 1 of the index is gone" in differs and "the answer has another text" in differs
    assert "there is no receipt 'zz'" in run("answer", "show", "ix", "zz", cwd=folder, code=2).stderr
    assert "1 receipt erased" in run("answer", "forget", "ix", id, cwd=folder).stdout
