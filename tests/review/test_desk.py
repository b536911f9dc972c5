"""Decisions of reviewers: approve, correct with verified citations, reject, reopen, forget."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.errors import ReviewConflictError, UsageError
from rag.core.passages import Context, Hit
from rag.review.citing import cited, kept_citations
from rag.review.desk import ReviewDesk
from rag.review.records import Item
from rag.review.sqlite_store import SqliteReviews
from tests.response_cache.conftest import TEXTS, write
from tests.review.items import added, answer_of

QUESTION = "How many days of annual leave do staff in Europe take?"


@pytest.fixture
def item(desk: ReviewDesk) -> Item:
    return added(desk.store)


def test_a_decision_names_who_when_and_why(desk: ReviewDesk, item: Item) -> None:
    approved = desk.approve(item.id, by="ana", comment="as in the policy")
    assert (approved.state, approved.last.by, approved.last.comment) == (
        "approved",
        "ana",
        "as in the policy",
    )
    with pytest.raises(
        ReviewConflictError, match=r"was approved by ana at .* UTC: as in the policy; to decide again"
    ):
        desk.reject(item.id, by="bo", comment="no")
    assert desk.reopen(item.id, by="bo").state == "open"
    rejected = desk.reject(item.id, by="bo", comment="no")
    assert [(each.state, each.by) for each in rejected.decisions] == [
        ("approved", "ana"), ("open", "bo"), ("rejected", "bo"),
    ]  # fmt: skip


def test_a_page_that_was_opened_before_decides_nothing(desk: ReviewDesk, item: Item) -> None:
    desk.approve(item.id, by="ana")
    desk.reopen(item.id, by="ana")
    with pytest.raises(ReviewConflictError, match="reviewed by someone else meanwhile"):
        desk.approve(item.id, by="bo", seen=0)
    assert desk.approve(item.id, by="bo", seen=2).state == "approved"


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        (lambda desk, id: desk.approve("x", by="a"), "there is no item x in .*reviews.sqlite: see `rag review list`"),
        (lambda desk, id: desk.approve(id, by=" "), "a decision needs a name"),
        (lambda desk, id: desk.reject(id, by="a", comment=" "), "a rejection needs a comment"),
        (lambda desk, id: desk.correct(id, " ", by="a"), "the corrected answer is empty"),
        (lambda desk, id: desk.correct(id, "x [3]", by="a"), r"marks \[3\], which is no verified citation: \[1\]"),
        (lambda desk, id: desk.correct(id, "x", by="a", answerable=False, citations=answer_of().citations),
         "cites nothing"),
        (lambda desk, id: desk.forget(), "say what to erase"),
        (lambda desk, id: desk.forget(text="  "), "say what to erase"),
    ],
    ids=["missing", "nobody", "no comment", "empty", "mark", "refusal", "forget", "blank"],
)  # fmt: skip
def test_a_wrong_decision_is_refused(desk: ReviewDesk, item: Item, decide: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decide(desk, item.id)
    assert desk.item(item.id) == item


def test_a_correction_keeps_the_citations_that_it_marks_and_adds_others() -> None:
    quotes = [Citation(n, f"{n}.md", 0, 5, "words", verified=n != 3) for n in (1, 2, 3)]
    answer = answer_of(citations=tuple(quotes))
    new = Citation(1, "new.md", 3, 8, "other", verified=True)
    kept = kept_citations("So [2] and [4].", answer, [new])
    assert [(each.number, each.source) for each in kept] == [(2, "2.md"), (4, "new.md")]
    assert kept_citations("So.", answer, []) == ()
    with pytest.raises(UsageError, match=r"marks \[3\]"):  # its words were nowhere
        kept_citations("So [3].", answer, [])


# ------------------------------------------------------------------------ citations


@pytest.fixture
def asked(pipe: Any) -> tuple[rag.Index, Item, Answer, ReviewDesk]:
    asking = pipe()
    desk, id = asking.reviews.desk, asking.ask(QUESTION).review_id
    return asking.index, desk.item(id), desk.answer(id), desk


def test_a_citation_is_found_by_its_offsets_or_its_words(
    asked: tuple[rag.Index, Item, Answer, ReviewDesk],
) -> None:
    index, item, answer, desk = asked
    start = TEXTS["us.md"].index("22 days")
    by_offsets = cited(index, f"us.md#{start}-{start + 7}", item, answer)
    assert by_offsets == Citation(1, "us.md", start, start + 7, "22 days", True, section=("Leave",))
    assert cited(index, "us.md#22 days", item, answer) == by_offsets
    last = max(each.number for each in answer.citations)
    corrected = desk.correct(item.id, f"22 days. [{last + 1}]\n", by="ana", citations=[by_offsets])
    (kept,) = corrected.last.citations
    assert (corrected.last.answer, kept.number, kept.text) == (f"22 days. [{last + 1}]", last + 1, "22 days")
    assert TEXTS["us.md"][kept.start : kept.end] == kept.text


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("us.md", "'us.md' is no citation: write SOURCE#START-END"),
        ("us.md#", "is no citation"), ("#1-2", "is no citation"),
        ("fr.md#1-2", "ix, version 1, has no document fr.md"),
        ("us.md#40-9999", "us.md in version 1 holds no text at 40-9999 in one piece: its text ends at"),
        ("us.md#9-9", "holds no text at 9-9"),
        ("us.md#23 days", "us.md in version 1 does not hold the words '23 days': copy them exactly"),
        ("us.md#a", r"us.md in version 1 holds \d+ times the words 'a': quote more"),
    ],
)  # fmt: skip
def test_a_citation_that_is_nowhere_is_refused(asked: Any, place: str, message: str) -> None:
    index, item, answer, _ = asked
    with pytest.raises(UsageError, match=message):
        cited(index, place, item, answer)


def test_a_citation_is_looked_up_in_the_version_that_was_asked(
    pipe: Any, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ix"
    shutil.copytree(folder / "ix", path)
    asking = pipe(path)
    item = asking.reviews.desk.item(asking.ask(QUESTION).review_id)
    answer = asking.reviews.desk.answer(item.id)
    docs = write(
        tmp_path / "docs", **{"us.md": "# Leave\n\nStaff in America take 25 days of annual leave.\n"}
    )
    rag.build(docs, path, embedder="static")
    now = rag.Index.open(path)
    with pytest.raises(UsageError, match=f"the question was put to version 1, not {now.version}"):
        cited(now, "us.md#25 days", item, answer)
    before = rag.Index.open(path, version=item.version)
    assert cited(before, "us.md#22 days", item, answer).text == "22 days"
    with pytest.raises(UsageError, match="does not hold the words '25 days'"):
        cited(before, "us.md#25 days", item, answer)


def test_another_index_with_the_same_version_is_refused(asked: Any, tmp_path: Path) -> None:
    _, item, answer, _ = asked
    docs = tmp_path / "other"
    docs.mkdir()
    (docs / "eu.md").write_text("# Leave\n\nNobody takes leave.\n")
    (docs / "us.md").write_text("# Leave\n\n22 days\n")
    rag.build(docs, tmp_path / "ox", embedder="static")
    with pytest.raises(UsageError, match="ox is not the index that was asked"):
        cited(rag.Index.open(tmp_path / "ox"), "us.md#22 days", item, answer)


# ------------------------------------------------------------------------ erasing


def test_items_that_quote_a_document_are_forgotten(tmp_path: Path) -> None:
    desk = ReviewDesk(SqliteReviews(tmp_path / "r.sqlite"))
    old, new = Hit("hr/old.md", 0, 3, "abc", 1.0), Hit("hr/new.md", 0, 3, "abc", 1.0)
    context = answer_of().context
    added(desk.store, answer_of("sent", citations=(), context=replace(context, hits=(old,))))
    added(desk.store, answer_of("cites", citations=(Citation(1, "hr/old.md", 0, 3, "abc", True),)))
    corrected = added(desk.store, answer_of("corrected", citations=(), context=replace(context, hits=(new,))))
    desk.correct(corrected.id, "abc [1]", by="ana", citations=(Citation(1, "hr/old.md", 0, 3, "abc", True),))
    other = added(desk.store, answer_of("other"))
    assert desk.forget(source="hr/new.*") == 1
    assert desk.forget(source="hr/old.md") == 2
    assert [item.id for item in desk.items()] == [other.id]


@pytest.mark.parametrize(
    "words", ["jane  DOE", "annual leave", "u-17", "she asked", "a corrected text", "bo reviewer"]
)
def test_items_that_hold_words_are_forgotten(tmp_path: Path, words: str) -> None:
    desk = ReviewDesk(SqliteReviews(tmp_path / "r.sqlite"))
    item = added(desk.store, answer_of("How much leave has Jane Doe?"), user="u-17")
    desk.correct(item.id, "A corrected text.", by="Bo Reviewer", comment="she asked")
    added(
        desk.store,
        answer_of("other", text="x", citations=(), context=Context((), 0, 1, "chars")),
    )
    assert desk.forget(text="nothing of it") == 0
    assert desk.forget(text=words) == 1 and len([*desk.items()]) == 1


def test_old_items_are_forgotten_by_state(desk: ReviewDesk) -> None:
    ids = [added(desk.store, answer_of(str(n)), at=1e9 + n, expires_s=1e9).id for n in range(4)]
    desk.approve(ids[0], by="ana")
    assert desk.forget(before=1e9 + 2, state="approved") == 1
    assert desk.forget(before=1e9 + 2) == 1
    assert sorted(item.id for item in desk.items()) == ids[2:]
