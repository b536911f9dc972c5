"""The stores, on a real file and a real server: items, decisions, two reviewers at once, erasure."""

from __future__ import annotations

import secrets
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rag.bedrock.storage.review_table import ReviewTable
from rag.core.errors import RagError, ReviewConflictError, UsageError
from rag.response_cache.sqlite_store import SqliteStore
from rag.review.packing import pack, unpack
from rag.review.records import STATES, Decision, Reason
from rag.review.sqlite_store import SqliteReviews
from rag.review.store import ReviewStore, Selection
from tests.review.items import added, answer_of, item_of

NOW = 1_795_615_380.0


def decision(state: str, by: str = "ana", **more: Any) -> Decision:
    return Decision(state, by, NOW, **more)  # type: ignore[arg-type]


def test_an_item_comes_back_as_it_was_with_its_answer(store: ReviewStore) -> None:
    assert isinstance(store, ReviewStore) and store.place
    answer = answer_of("Wie lang?", text="28 Tage ü\udce4 [1]")
    item = added(store, answer, where="year >= 2024", tenant="t", tag="desk", user="u", tier="small")
    assert store.get(item.id) == item and item.state == "open"
    data = store.answer(item.id)
    assert data is not None and unpack(data) == answer
    assert (store.get("none"), store.answer("none")) == (None, None)


def test_an_answer_is_queued_once(store: ReviewStore) -> None:
    first, again = added(store), added(store, tag="another")
    assert again == first and list(store.items(Selection())) == [first]
    store.decide(first.id, decision("approved"), 0)
    assert added(store).state == "approved"
    other = added(store, answer_of("How long is leave elsewhere?"))
    assert [item.id for item in store.items(Selection())] == [other.id, first.id]


def test_items_are_listed_newest_first_by_state_reason_tag_tenant_and_age(store: ReviewStore) -> None:
    old = added(store, answer_of("old"), at=NOW - 90_000, tag="a", expires_s=10**9)
    new = added(store, answer_of("new"), at=NOW, tag="b", tenant="t", reasons=(Reason("sample"), Reason("refused")),
                expires_s=10**9)  # fmt: skip
    store.decide(old.id, decision("rejected", comment="wrong"), 0)

    def ids(**selection: Any) -> list[str]:
        return [item.id for item in store.items(Selection(**selection))]

    assert ids() == [new.id, old.id]
    assert {state: ids(state=state) for state in STATES} == {
        "open": [new.id], "approved": [], "corrected": [], "rejected": [old.id],
    }  # fmt: skip
    assert ids(reason="refused") == [new.id] and ids(reason="unsupported") == [old.id]
    assert (ids(tag="a"), ids(tenant="t"), ids(tag="a", tenant="t")) == ([old.id], [new.id], [])
    assert ids(since=NOW - 1) == [new.id] and ids(since=NOW) == [new.id] and ids(since=NOW + 0.1) == []


def test_decisions_are_kept_in_order(store: ReviewStore) -> None:
    item = added(store)
    citation = answer_of().citations[0]
    made = [
        decision("corrected", answer="28 days ü [1]", citations=(citation,), comment="so"), decision("open", "bo"),
        decision("rejected", "cy", comment="no"),
    ]  # fmt: skip
    for number, each in enumerate(made):
        after = store.decide(item.id, each, number)
        assert after.decisions == tuple(made[: number + 1]) and after.state == each.state
        assert store.get(item.id) == after
    assert str(after.last) == "rejected by cy at 2026-11-25 14:03 UTC: no"


def test_the_second_of_two_reviewers_is_told_who_was_first(store: ReviewStore) -> None:
    item = added(store)
    store.decide(item.id, decision("approved", "ana"), 0)
    with pytest.raises(ReviewConflictError, match=f"was approved by ana at .*rag review reopen {item.id}"):
        store.decide(item.id, decision("rejected", "bo"), 0)
    store.decide(item.id, decision("open", "ana"), 1)
    with pytest.raises(ReviewConflictError, match="reviewed by someone else meanwhile"):
        store.decide(item.id, decision("rejected", "bo"), 0)  # saw it before it was approved and reopened
    assert [each.by for each in store.get(item.id).decisions] == ["ana", "ana"]
    with pytest.raises(ReviewConflictError, match="is open already"):
        store.decide(item.id, decision("open", "bo"), 2)
    with pytest.raises(UsageError, match="there is no item nothing"):
        store.decide("nothing", decision("approved"), 0)


def test_of_many_reviewers_at_once_one_wins(store: ReviewStore) -> None:
    item = added(store)
    won: list[str] = []
    lost: list[str] = []

    def work(name: str) -> None:
        try:
            store.decide(item.id, decision("approved", name), 0)
            won.append(name)
        except ReviewConflictError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=work, args=(f"r{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1 and len(lost) == 7
    assert all(f"approved by {won[0]}" in each for each in lost)
    assert [each.by for each in store.get(item.id).decisions] == won


def test_of_equal_answers_at_once_one_is_kept(store: ReviewStore) -> None:
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(added(store).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 8 and len(set(got)) == 1
    assert [item.id for item in store.items(Selection())] == [got[0]]


def test_what_has_expired_is_gone(store: ReviewStore) -> None:
    gone, there = added(store, answer_of("gone"), expires_s=-2), added(store, answer_of("there"))
    assert store.get(gone.id) is None and list(store.items(Selection())) == [there]
    with pytest.raises(UsageError, match="there is no item"):
        store.decide(gone.id, decision("approved"), 0)
    again = added(store, answer_of("gone"))
    assert again.id != gone.id and store.get(again.id) == again
    added(store, answer_of("gone too"), expires_s=-2)
    assert store.prune() in (1, 2) and store.prune() == 0
    assert {item.id for item in store.items(Selection())} == {again.id, there.id}


def test_items_are_erased_with_all_that_belongs_to_them(store: ReviewStore) -> None:
    one, two = added(store, answer_of("one")), added(store, answer_of("two"))
    store.decide(one.id, decision("approved"), 0)
    assert store.remove(lambda item, answer: answer.question == "one") == 1
    assert (store.get(one.id), store.answer(one.id)) == (None, None)
    assert [item.id for item in store.items(Selection())] == [two.id]
    again = added(store, answer_of("one"))
    assert again.id != one.id and store.get(again.id).decisions == ()
    assert store.remove(lambda item, answer: False) == 0


def test_many_items_are_listed_in_pages(tmp_path: Path) -> None:
    store = SqliteReviews(tmp_path / "s.sqlite")
    made = [added(store, answer_of(str(n)), at=NOW + n, expires_s=10**9).id for n in range(450)]
    assert [item.id for item in store.items(Selection())] == made[::-1]
    assert [item.id for item in store.items(Selection(since=NOW + 440))] == made[:439:-1]


# ------------------------------------------------------------------------ the file


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    store = SqliteReviews(tmp_path / "deep" / "s.sqlite")
    assert (list(store.items(Selection())), store.prune()) == ([], 0)
    assert not (tmp_path / "deep").exists()  # to look makes no file
    added(store)
    files = list((tmp_path / "deep").iterdir())
    assert {path.name for path in files} == {"s.sqlite", "s.sqlite-wal", "s.sqlite-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_is_erased_is_not_left_in_the_file(tmp_path: Path) -> None:
    store = SqliteReviews(tmp_path / "s.sqlite")
    added(store, answer_of("a secret question" * 20))
    store.decide(next(store.items(Selection())).id, decision("rejected", comment="a secret comment"), 0)
    store.remove(lambda item, answer: True)
    assert all(b"a secret" not in path.read_bytes() for path in tmp_path.iterdir())
    added(store, answer_of("another secret"), expires_s=-1)
    added(store)  # erases what has expired
    store.prune()
    assert all(b"another secret" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "r.sqlite").put("a", b"b", 60)
    with pytest.raises(RagError, match="is no review queue"):
        added(SqliteReviews(tmp_path / "r.sqlite"))


def test_a_damaged_answer_is_named() -> None:
    with pytest.raises(RagError, match="an answer of the review queue is damaged"):
        unpack(b"no zlib")


# ------------------------------------------------------------------------ the table


def test_an_answer_that_dynamodb_cannot_hold_is_refused(
    tmp_path: Path, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    one, two = (
        ReviewTable("t-" + tmp_path.name, region="us-east-1", endpoint_url=moto, queue=name, timeout_s=10.0)
        for name in "ab"
    )
    one.create()
    answer = answer_of(text=secrets.token_hex(500_000))
    with pytest.raises(RagError, match="larger than an item of DynamoDB may be"):
        one.add(item_of(answer), pack(answer), time.time() + 60)
    item = added(one)
    assert two.get(item.id) is None and list(two.items(Selection())) == []  # queues of one table do not meet
    assert added(two).id != item.id and two.remove(lambda item, answer: True) == 1
    assert one.get(item.id) == item
