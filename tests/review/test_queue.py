"""Answers on their way through the queue: what is queued, once, and never at the answer's expense."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage.review_table import ReviewTable
from rag.core.errors import ConfigError
from rag.review.desk import ReviewDesk
from rag.review.queue import MOST_WAITING, ReviewQueue
from rag.review.settings import ReviewSettings
from rag.review.sqlite_store import SqliteReviews
from tests.response_cache.models import USD

LEAVE = "How many days of annual leave do staff in Europe take?"
#: A note of the answers that the fixture's model gives.
UNSUPPORTED = "no sentence of the answer is supported by a citation: check it before you rely on it"


def test_an_answer_is_queued_with_all_that_a_reviewer_needs(
    pipe: Any, desk: ReviewDesk, folder: Path
) -> None:
    answer = pipe().ask(LEAVE, where="region == 'eu'", tag="desk", tenant="acme", user="u7")
    (item,) = desk.items()
    assert answer.review_id == item.id and answer.notes == (UNSUPPORTED,)
    assert (item.question, item.search, item.where) == (LEAVE, LEAVE, "region == 'eu'")
    assert (item.tenant, item.tag, item.user, item.index, item.version) == ("acme", "desk", "u7", "ix", 1)
    assert (item.model, item.tier, item.prompt, item.answered) == ("echo-1", "", answer.prompt, True)
    assert item.cost_usd == pytest.approx(USD) and item.supported == answer.supported < 1
    assert [each.name for each in item.reasons] == ["unsupported"]
    kept = desk.answer(item.id)
    assert kept == answer and kept.context == answer.context and kept.prompt_hash == answer.prompt_hash


def test_an_answer_without_a_reason_is_not_queued(pipe: Any, desk: ReviewDesk) -> None:
    answer = pipe(review={"guardrail": True}).ask(LEAVE)
    assert (answer.review_id, answer.notes, list(desk.items())) == ("", (UNSUPPORTED,), [])
    assert not Path(desk.store.place).exists()


def test_every_way_to_ask_queues(pipe: Any, desk: ReviewDesk) -> None:
    asked = pipe()

    async def later() -> list[str]:
        one = await asked.aask("a?")
        events = [event async for event in asked.astream("b?")]
        return [one.review_id, events[-1].value.review_id]

    ids = asyncio.run(later())
    ids.append([*asked.stream("c?")][-1].value.review_id)
    chat = asked.chat(tag="talk")
    ids += [chat.ask(LEAVE).review_id, chat.ask("and in America?").review_id]
    items = [desk.item(id) for id in ids]
    assert [item.question for item in items] == ["a?", "b?", "c?", LEAVE, "and in America?"]
    assert items[-1].search != "and in America?" and "America" in items[-1].search
    assert items[-1].tag == "talk" and len(set(ids)) == 5


def test_events_before_the_answer_are_the_same(pipe: Any) -> None:
    with_queue, without = ([*pipe(review=review).stream(LEAVE)] for review in ({"sample": 1.0}, None))
    assert [event.kind for event in with_queue] == [event.kind for event in without]
    assert with_queue[1:-1] == without[1:-1]


def test_a_stream_that_is_left_ends_the_reply_and_queues_nothing(pipe: Any, desk: ReviewDesk) -> None:
    events = pipe().stream(LEAVE)
    next(events), next(events)
    events.close()
    assert list(desk.items()) == []


def test_a_cached_answer_is_queued_once(pipe: Any, desk: ReviewDesk, tmp_path: Path) -> None:
    asked = pipe(responses={"path": tmp_path / "responses.sqlite"})
    answers = [asked.ask(LEAVE, tag=str(n)) for n in range(3)]
    assert [bool(answer.cached) for answer in answers] == [False, True, True]
    (item,) = desk.items()
    assert {answer.review_id for answer in answers} == {item.id} and item.tag == "0"


def test_an_answer_that_was_cached_before_is_queued_when_it_is_given(
    pipe: Any, desk: ReviewDesk, tmp_path: Path
) -> None:
    cache = {"path": tmp_path / "responses.sqlite"}
    assert pipe(review=None, responses=cache).ask(LEAVE).review_id == ""
    answer = pipe(responses=cache).ask(LEAVE)
    item = desk.item(answer.review_id)
    assert answer.cached and (item.model, item.cost_usd) == ("echo-1", 0.0)
    assert desk.answer(item.id).cached == answer.cached


def test_a_decided_answer_that_is_given_again_stays_decided(pipe: Any, desk: ReviewDesk) -> None:
    asked = pipe()
    id = asked.ask(LEAVE).review_id
    asked.reviews.desk.approve(id, by="ana")
    assert asked.ask(LEAVE).review_id == id and desk.item(id).state == "approved"


def test_tenants_have_items_of_their_own(pipe: Any, desk: ReviewDesk) -> None:
    asked = pipe()
    ids = {asked.ask(LEAVE, tenant=name).review_id for name in ("a", "b", "a")}
    assert len(ids) == 2
    assert [item.tenant for item in desk.items(tenant="b")] == ["b"]


# ------------------------------------------------------------------------ stores that fail


class Broken(SqliteReviews):
    """A store that is down, or takes its time."""

    delay_s = 0.0
    fails = True

    def add(self, item: Any, answer: bytes, expires: float) -> Any:
        time.sleep(self.delay_s)
        if self.fails:
            raise ConnectionError("the table is down")
        return super().add(item, answer, expires)


@pytest.fixture
def broken(tmp_path: Path) -> Broken:
    return Broken(tmp_path / "broken.sqlite")


def test_a_store_that_fails_is_a_note_and_a_line_in_the_log(
    pipe: Any, broken: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    asked = pipe(review=ReviewQueue(broken, ReviewSettings(sample=1.0)))
    with caplog.at_level(logging.WARNING, "rag.review"):
        answer = asked.ask(LEAVE)
    assert answer.text.startswith("You asked") and answer.review_id == ""
    assert answer.notes[1:] == ("the answer was not queued for review (ConnectionError: the table is down)",)
    assert [record.getMessage() for record in caplog.records] == [
        "an answer was not queued for review: ConnectionError: the table is down"
    ]


def test_a_store_that_fails_keeps_no_answer_from_the_cache(pipe: Any, broken: Broken, tmp_path: Path) -> None:
    asked = pipe(
        review=ReviewQueue(broken, ReviewSettings(sample=1.0)), responses={"path": tmp_path / "r.sqlite"}
    )
    assert len(asked.ask(LEAVE).notes) == 2
    broken.fails = False
    again = asked.ask(LEAVE)
    assert again.cached and again.notes == (UNSUPPORTED,) and again.review_id


def test_a_file_that_cannot_be_made_is_a_note(pipe: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = pipe(review={"sample": 1.0, "path": tmp_path / "file" / "q.sqlite"}).ask(LEAVE)
    (_, note) = answer.notes
    assert note.startswith("the answer was not queued for review (") and answer.text


def test_a_slow_store_is_written_to_in_the_background(
    pipe: Any, broken: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    broken.fails, broken.delay_s = False, 1.0
    asked = pipe(review=ReviewQueue(broken, ReviewSettings(sample=1.0, wait_s=0.05)))
    asked.retrieve(LEAVE)
    began = time.monotonic()
    answers = [asked.ask(f"{LEAVE} {n}") for n in range(4)]
    assert time.monotonic() - began < 0.9
    assert [answer.review_id for answer in answers] == [""] * 4
    assert answers[0].notes[1:] == (
        "the review queue is slow: the answer is queued in the background, without an id yet",
    )
    until = time.monotonic() + 20
    while len([*ReviewDesk(broken).items()]) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    assert {item.question for item in ReviewDesk(broken).items()} == {answer.question for answer in answers}
    broken.delay_s = 0.0
    assert asked.ask("quick again?").review_id
    assert caplog.records == []


def test_of_answers_without_end_only_some_wait(pipe: Any, tmp_path: Path) -> None:
    let_go = threading.Event()

    class Stuck(SqliteReviews):
        def add(self, item: Any, answer: bytes, expires: float) -> Any:
            let_go.wait(60)
            return super().add(item, answer, expires)

    queue = ReviewQueue(Stuck(tmp_path / "s.sqlite"), ReviewSettings(sample=1.0, wait_s=0.01))
    asked = pipe()
    collector = asked._collector()
    answer = asked.ask(LEAVE)
    try:
        taken = [
            queue.taken(asked, {}, collector, None, replace(answer, question=str(n), review_id=""))
            for n in range(MOST_WAITING + 1)
        ]
    finally:
        let_go.set()
    assert "32 answers wait for the store already" in taken[-1].notes[-1]
    assert all("slow" in each.notes[-1] for each in taken[:-1])
    until = time.monotonic() + 30
    while len([*queue.desk.items()]) < MOST_WAITING and time.monotonic() < until:
        time.sleep(0.05)
    assert len([*queue.desk.items()]) == MOST_WAITING


# ------------------------------------------------------------------------ settings


def test_settings_come_from_the_file_or_the_keyword(folder: Path, tmp_path: Path) -> None:
    ix = folder / "ix"
    (tmp_path / "rag.toml").write_text("[review]\nsample = 20\nconfidence = 0.5\nttl_days = 3\n")
    queue = rag.Pipeline(ix, settings=rag.config.settings.read(tmp_path / "rag.toml")).reviews
    assert queue is not None and (queue.settings.share, queue.settings.ttl_days) == (0.05, 3)
    assert queue.store.place == str(ix / "reviews.sqlite")
    assert rag.Pipeline(ix).reviews is None and rag.Pipeline(ix, review=False).reviews is None
    assert rag.Pipeline(ix, review=True).reviews.settings.unsupported
    assert rag.Pipeline(ix, review=str(tmp_path / "q.sqlite")).reviews.store.place == str(
        tmp_path / "q.sqlite"
    )
    own = ReviewQueue(SqliteReviews(tmp_path / "own.sqlite"))
    assert rag.Pipeline(ix, review=own).reviews is own
    assert rag.Pipeline(ix, review=own.store).reviews.store is own.store
    assert not (ix / "reviews.sqlite").exists()


@pytest.mark.parametrize("value", [3, ["x"], object()], ids=["number", "list", "object"])
def test_what_is_no_queue_is_refused(folder: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match="the review queue"):
        rag.Pipeline(folder / "ix", review=value)


def test_confidence_needs_an_embedder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="confidence needs an embedder"):
        ReviewQueue(SqliteReviews(tmp_path / "q.sqlite"), ReviewSettings(confidence=0.5))


def test_a_queue_in_dynamodb(pipe: Any, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    settings = {"region": "us-east-1", "endpoint_url": moto, "timeout_s": 10.0}
    (tmp_path / "rag.toml").write_text(
        f'[review]\nuse = "dynamodb"\ntable = "{tmp_path.name}"\nsample = 1\nwait_s = 10\n'
        + "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    )
    table = rag.config.settings.read(tmp_path / "rag.toml")["review"]
    asked = pipe(review=rag.Pipeline(pipe().index, review=table).reviews)
    assert "ResourceNotFoundException" in asked.ask(LEAVE).notes[-1]  # there is no table yet
    ReviewTable(tmp_path.name, **settings).create()
    answer = asked.ask(LEAVE)
    desk = asked.reviews.desk
    assert (
        desk.answer(answer.review_id) == answer
        and desk.approve(answer.review_id, by="ana").state == "approved"
    )
    assert asked.ask(LEAVE).review_id == answer.review_id
