"""Answers from the cache: the same as the model's, for nothing, and only where nothing has changed."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.answers import Answer
from rag.core.errors import ConfigError, GenerationError
from rag.generation.fallback import Fallback
from rag.response_cache import asking
from rag.response_cache.cache import ResponseCache, may_be_kept
from rag.response_cache.sqlite_store import SqliteStore
from rag.usage.ledger import Ledger
from tests.response_cache.conftest import TEXTS, write
from tests.response_cache.models import USD, Echo, Elsewhere

LEAVE = "How many days of annual leave do staff in Europe take?"


def kept(answer: Answer) -> Answer:
    """An answer without what is of the question alone."""
    return replace(answer, question="", usage=None, trace=(), calls=(), notes=(), cached=None, id="")


def test_an_equal_question_costs_nothing_and_has_the_same_answer(pipe: Any, calls: Any) -> None:
    asked = pipe()
    first, again = asked.ask(LEAVE), asked.ask(f"  {LEAVE.replace(' ', '  ')}\t")
    assert calls() == [LEAVE]
    assert (first.cached, again.cached.kind, again.cached.question) == (None, "exact", LEAVE)
    assert kept(again) == kept(first) and again.citations[0].verified
    assert again.usage.cost_usd == 0.0 and again.usage.counts == (0, 0, 0, 0)
    assert [(call.purpose, call.usage.cost_usd, call.saved_usd) for call in again.calls] == [
        ("cached", 0.0, pytest.approx(USD))
    ]
    assert again.spent == "from the response cache, 0 s old, saved $0.0020"
    assert [step.name for step in again.trace] == ["cache"]


def test_events_are_the_same_whoever_waits(pipe: Any, calls: Any) -> None:
    asked = pipe()

    async def later() -> list[Any]:
        return [event async for event in asked.astream(LEAVE)]

    first, again, awaited = list(asked.stream(LEAVE)), list(asked.stream(LEAVE)), asyncio.run(later())
    assert len(calls()) == 1 and len(first) > 4
    assert first[:-1] == again[:-1] == awaited[:-1]
    assert kept(first[-1].value) == kept(again[-1].value) == kept(awaited[-1].value)
    assert "".join(event.value for event in again if event.kind == "text") == again[-1].value.text


def test_it_is_off_unless_it_is_switched_on(folder: Path, pipe: Any, calls: Any) -> None:
    asked = pipe(responses=False)
    assert [asked.ask(LEAVE).cached for _ in range(2)] == [None, None]
    assert len(calls()) == 2 and asked.responses is None
    assert not (folder / "ix" / "responses.sqlite").exists()


def test_settings_come_from_the_file_or_the_keyword(folder: Path, tmp_path: Path) -> None:
    ix = tmp_path / "ix"
    shutil.copytree(folder / "ix", ix)
    (tmp_path / "rag.toml").write_text("[cache]\nmax_mb = 10\n[cache.responses]\nttl_hours = 2\n")
    settings = rag.config.settings.read(tmp_path / "rag.toml")
    assert rag.Pipeline(ix, settings=settings).responses.settings.ttl_hours == 2
    assert rag.Pipeline(ix, responses=True).responses.store.path == ix / "responses.sqlite"
    assert (
        rag.Pipeline(ix, responses=str(tmp_path / "r.sqlite")).responses.store.path == tmp_path / "r.sqlite"
    )
    cache = ResponseCache(SqliteStore(tmp_path / "own.sqlite"))
    assert rag.Pipeline(ix, responses=cache).responses is cache
    assert rag.Pipeline(ix, responses=cache.store).responses.store is cache.store


@pytest.mark.parametrize(
    ("table", "message"),
    [('use = "reddis"', "did you mean 'redis'"), ("ttl_hour = 3", "did you mean 'ttl_hours'"),
     ("ttl_hours = 0", "a number of hours above 0"), ("semantic = 2", "a cosine, above 0"),
     ('use = "redis"\npath = "x"', "no argument 'path'")],
)  # fmt: skip
def test_a_wrong_setting_is_named(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "rag.toml").write_text(f"[cache.responses]\n{table}\n")
    with pytest.raises(ConfigError, match=message):
        rag.config.settings.read(tmp_path / "rag.toml")


@pytest.mark.parametrize(
    "changed",
    [{"tenant": "b"}, {"where": "region == 'eu'"}, {"k": 2}, {"mode": "lexical"}, {"budget": 300}, {"unit": "tokens"},
     {"history": []}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_another_option_is_another_question(pipe: Any, calls: Any, changed: dict[str, Any]) -> None:
    asked = pipe()
    for _ in range(2):
        asked.ask(LEAVE), asked.ask(LEAVE, **changed)
    assert len(calls()) == 2


@pytest.mark.parametrize(
    "stage",
    [{"trimmer": {"budget": 3000}}, {"retriever": {"k": 2}}, {"retriever": {"where": "year >= 2023"}},
     {"prompt": rag.Prompt(system="Answer.")}, {"on_unverified": "drop"}, {"responses": {"salt": "2"}},
     {"responses": {"tenant": "b"}}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_another_stage_is_another_question(
    pipe: Any, tmp_path: Path, calls: Any, stage: dict[str, Any]
) -> None:
    path = {"path": tmp_path / "responses.sqlite"}
    stage = {**stage, "responses": {**stage.get("responses", {}), **path}}
    for _ in range(2):
        pipe().ask(LEAVE), pipe(**stage).ask(LEAVE)
    assert len(calls()) == 2


def test_filters_that_mean_the_same_are_the_same(pipe: Any, calls: Any) -> None:
    asked = pipe()
    for where in (
        "region == 'eu' and year >= 2024", "year >= 2024 and region == 'eu'",
        {"region": "eu", "year": {"$gte": 2024}}, (rag.field("year") >= 2024) & (rag.field("region") == "eu"),
    ):  # fmt: skip
        asked.ask(LEAVE, where=where)
    assert len(calls()) == 1
    asked.ask(LEAVE, where="region == 'eu' or year >= 2024")
    assert len(calls()) == 2


# ------------------------------------------------------------------------ what is not kept


@pytest.mark.parametrize(
    "model",
    [{"stop_reason": "max_tokens"}, {"stop_reason": "refusal"}, {"stop_reason": "content_filtered"},
     {"stop_reason": "guardrail_intervened"}, {"stop_reason": "tool_use"}],
    ids=lambda model: model["stop_reason"],
)  # fmt: skip
def test_what_is_cut_or_withheld_is_not_kept(
    pipe: Any, tmp_path: Path, calls: Any, model: dict[str, Any]
) -> None:
    asked = pipe(generator=Echo(log=str(tmp_path / "calls"), **model))
    assert [asked.ask(LEAVE).cached for _ in range(2)] == [None, None]
    assert len(calls()) == 2


def test_failures_and_empty_results_are_not_kept(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asked = pipe(generator=Echo(log=str(tmp_path / "calls"), fails=True))
    for _ in range(2):
        with pytest.raises(GenerationError):
            asked.ask(LEAVE)
    assert len(calls()) == 2
    nothing = [pipe().ask(LEAVE, where="year == 1999") for _ in range(2)]
    assert [answer.cached for answer in nothing] == [None, None]
    assert nothing[0].stop_reason == "nothing_found"


def test_a_stand_ins_answer_is_not_kept(pipe: Any, tmp_path: Path, calls: Any) -> None:
    log = str(tmp_path / "calls")
    asked = pipe(generator=Fallback(models=[Echo(log=log, fails=True), Echo(log=log, model_id="echo-2")]))
    answers = [asked.ask(LEAVE) for _ in range(2)]
    assert [answer.cached for answer in answers] == [None, None]
    assert "echo-2 answered, as" in answers[0].notes[0]


def test_an_answer_with_a_note_about_its_making_is_not_kept(pipe: Any) -> None:
    answer = pipe().ask(LEAVE)
    assert may_be_kept(answer)
    assert not may_be_kept(answer, ("reranking failed",))
    assert not may_be_kept(replace(answer, text=" "))
    assert may_be_kept(replace(answer, answered=False))  # the passages hold no answer: that is one


# ------------------------------------------------------------------------ versions of the index


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Documents and an index that a test may change."""
    shutil.copytree(folder / "docs", tmp_path / "docs")
    shutil.copytree(folder / "ix", tmp_path / "ix")
    return tmp_path / "docs", tmp_path / "ix"


def build(docs: Path, ix: Path) -> None:
    rag.build(docs, ix, embedder="static")


def test_a_version_with_the_same_passages_keeps_an_answer(pipe: Any, calls: Any, own: Any) -> None:
    docs, ix = own
    build(docs, ix)
    first = pipe(ix).ask(LEAVE, where="region == 'eu'")
    (docs / "new.md").write_text("---\nregion: us\n---\nThe canteen opens at noon.\n")
    build(docs, ix)
    again = pipe(ix).ask(LEAVE, where="region == 'eu'")
    assert (again.cached.kind, again.text, len(calls())) == ("unchanged", first.text, 1)
    assert pipe(ix).ask(LEAVE, where="region == 'eu'").cached.kind == "exact"


def test_a_version_with_another_passage_asks_anew(pipe: Any, calls: Any, own: Any) -> None:
    docs, ix = own
    pipe(ix).ask(LEAVE)
    (docs / "new.md").write_text("Staff in Europe take 30 days of annual leave from 2027.\n")
    build(docs, ix)
    answer = pipe(ix).ask(LEAVE)
    assert (answer.cached, len(calls())) == (None, 2)
    assert "new.md" in [hit.source for hit in answer.context.hits]


def test_a_changed_source_asks_anew_though_its_passages_stay(pipe: Any, calls: Any, own: Any) -> None:
    docs, ix = own
    build(docs, ix)
    first = pipe(ix).ask(LEAVE, where="region == 'eu'")
    (docs / "eu.md").write_text(TEXTS["eu.md"] + "\n\n")  # blanks at the end: no passage holds them
    build(docs, ix)
    answer = pipe(ix).ask(LEAVE, where="region == 'eu'")
    assert [hit.text for hit in answer.context.hits] == [hit.text for hit in first.context.hits]
    assert (answer.cached, len(calls())) == (None, 2)


def test_passages_alone_do_not_keep_an_answer_of_another_version(
    pipe: Any, calls: Any, own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs, ix = own
    build(docs, ix)
    pipe(ix).ask(LEAVE, where="region == 'eu'")
    (docs / "new.md").write_text("---\nregion: us\n---\nThe canteen opens at noon.\n")
    build(docs, ix)
    monkeypatch.setattr(asking, "_hashes", lambda index: {"eu.md": "another", "sev.md": "another"})
    assert pipe(ix).ask(LEAVE, where="region == 'eu'").cached is None and len(calls()) == 2


def test_indexes_of_one_name_are_told_apart(pipe: Any, calls: Any, tmp_path: Path) -> None:
    for name, days in (("a", 28), ("b", 29)):
        text = f"Staff in Europe take {days} days of annual leave.\n"
        build(write(tmp_path / name / "docs", **{"eu.md": text}), tmp_path / name / "ix")
    answers = [pipe(tmp_path / name / "ix").ask(LEAVE) for name in "ab"]
    assert [answer.cached for answer in answers] == [None, None]
    assert answers[0].citations[0].text != answers[1].citations[0].text


def test_a_retriever_that_reads_elsewhere_is_asked_each_time(pipe: Any, calls: Any, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("Leave is 28 days.")
    asked = pipe(retriever=Elsewhere(path=str(note)))
    assert asked.ask(LEAVE).cached is None
    assert asked.ask(LEAVE).cached.kind == "exact"
    note.write_text("Leave is 30 days.")
    answer = asked.ask(LEAVE)
    assert (answer.cached, answer.context.hits[0].text, len(calls())) == (None, "Leave is 30 days.", 2)


def test_a_prompt_of_others_is_rendered_each_time(pipe: Any, calls: Any) -> None:
    day = ["Monday"]

    def prompt(question: str, documents: Any) -> str:
        return f"<question>{question} {day[0]}</question>\n{documents[0].page_content}"

    asked = pipe(prompt=prompt)
    assert [asked.ask(LEAVE).cached is None for _ in range(2)] == [True, False]
    day[0] = "Tuesday"
    answer = asked.ask(LEAVE)
    assert (answer.cached, len(calls())) == (None, 2) and "Tuesday" in answer.text
    assert asked.ask(LEAVE).cached.kind == "exact"


def test_a_stage_that_cannot_be_described_is_named_once(pipe: Any, calls: Any, tmp_path: Path) -> None:
    class Local(Echo):
        """A class that no other process has."""

    asked = pipe(generator=Local(log=str(tmp_path / "calls")))
    notes = [[note for note in asked.ask(LEAVE).notes if "fingerprint" in note] for _ in range(2)]
    assert len(notes[0]) == 1 and "Local is not known" in notes[0][0] and notes[1] == []
    assert len(calls()) == 1


# ------------------------------------------------------------------------ conversations, and money


def test_a_cached_turn_is_part_of_the_conversation(pipe: Any, calls: Any) -> None:
    pipeline = pipe()
    talks = []
    for _ in range(2):
        chat = pipeline.chat()
        answers = [chat.ask(LEAVE), chat.ask("And in America?"), chat.ask("Who may declare a SEV-1?")]
        talks.append((chat, answers))
    (first, asked), (again, cached) = talks
    assert len(calls()) == 3 and all(answer.cached for answer in cached) and not any(a.cached for a in asked)
    assert [kept(a) for a in cached] == [kept(a) for a in asked]
    assert again.messages == first.messages and len(again.messages) == 6
    assert again.transcript == first.transcript
    other = pipeline.chat()
    other.ask("Who may declare a SEV-1?")
    assert other.ask("And in America?").cached is None  # the history is another one


def test_what_was_saved_is_in_the_ledger_and_shown(pipe: Any, folder: Path, tmp_path: Path) -> None:
    from tests.command import run

    asked = pipe()
    for _ in range(3):
        asked.ask(LEAVE, tag="desk")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    rows = {row.group: row for row in ledger.rows(("purpose",))}
    assert (rows["cached",].calls, rows["cached",].cached, rows["cached",].usd) == (0, 2, None)
    assert rows["cached",].saved_usd == pytest.approx(2 * USD)
    (total,) = ledger.rows()
    assert (total.calls, total.cached, total.usd) == (1, 2, pytest.approx(USD))
    assert ledger.spent() == pytest.approx(USD)
    shown = run("cost", tmp_path / "ledger.sqlite").stdout.splitlines()
    assert "cached  saved" in shown[1] or any("cached" in line and "saved" in line for line in shown)
    assert ["echo-1", "cached", "desk", "0", "0", "0", "0", "0", "2", "$0.0040", "$0.0000"] in map(
        str.split, shown
    )
    found = json.loads(run("cost", tmp_path / "ledger.sqlite", "--json").stdout)
    assert found["total"]["saved_usd"] == pytest.approx(2 * USD) and found["total"]["calls"] == 1


def test_free_answers_leave_no_ledger(pipe: Any, tmp_path: Path) -> None:
    asked = pipe(generator="local")
    asked.ask(LEAVE)
    answer = asked.ask(LEAVE)
    assert (answer.cached.kind, answer.cached.saved_usd) == ("exact", 0.0)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_an_answer_ends_with_its_time(
    pipe: Any, tmp_path: Path, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time as clock

    asked = pipe(responses={"path": tmp_path / "r.sqlite", "ttl_hours": 1.0})
    asked.ask(LEAVE)
    now = clock.time()
    monkeypatch.setattr(clock, "time", lambda: now + 3599)
    assert asked.ask(LEAVE).cached.age_s == pytest.approx(3599, abs=5)
    monkeypatch.setattr(clock, "time", lambda: now + 3601)
    assert asked.ask(LEAVE).cached is None and len(calls()) == 2
