"""Decided items as golden questions, and what reviewers' decisions come to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from rag.core.citations import Citation
from rag.core.format import utc_text
from rag.evaluation import evaluate, read
from rag.review.desk import ReviewDesk
from rag.review.golden import golden_rows
from rag.review.page import page
from rag.review.records import Reason
from rag.review.statistics import Decided, decided, table, wilson
from tests.review.items import LEAVE, added, answer_of

QUESTION = "How many days of annual leave do staff in Europe take?"


def rows_of(desk: ReviewDesk) -> tuple[list[dict[str, Any]], list[str]]:
    return golden_rows(desk, desk.items())


def test_an_approved_answer_is_a_golden_question_with_its_citations(desk: ReviewDesk) -> None:
    item = added(desk.store, where="region == 'eu'", search="How long is leave in Europe?")
    assert rows_of(desk) == ([], [])  # it is open
    at = desk.approve(item.id, by="ana", comment="ok").last.at
    (row,), notes = rows_of(desk)
    assert notes == []
    assert row == {
        "id": f"review-{item.id}", "question": "How long is leave in Europe?", "where": "region == 'eu'",
        "evidence": [{"source": "eu.md", "start": 9, "end": 9 + len(LEAVE)}], "answer": LEAVE,
        "tags": ["review"], "review": {"item": item.id, "state": "approved", "by": "ana", "at": utc_text(at), "comment": "ok",
                   "index": "ix", "version": 1},
    }  # fmt: skip


def test_a_corrected_answer_is_one_with_what_the_reviewer_cites(desk: ReviewDesk) -> None:
    item = added(desk.store)
    new = (Citation(1, "us.md", 3, 9, "22 days", verified=True),) * 2
    desk.correct(item.id, "22 days. [2] [3]", by="ana", citations=new)
    (row,), _ = rows_of(desk)
    assert row["answer"] == "22 days." and row["evidence"] == [{"source": "us.md", "start": 3, "end": 9}]


def test_no_answer_is_a_question_without_evidence(desk: ReviewDesk) -> None:
    refused, wrong = added(desk.store, answer_of("a", answered=False)), added(desk.store, answer_of("b"))
    desk.approve(refused.id, by="ana")
    desk.correct(wrong.id, "They do not say.", by="ana", answerable=False)
    rows, notes = rows_of(desk)
    assert [(row["question"], row["answerable"]) for row in rows] == [("b", False), ("a", False)]
    assert not any("evidence" in row for row in rows) and notes == []


def test_rejected_items_are_left_out_and_missing_evidence_is_told(desk: ReviewDesk) -> None:
    unverified = Citation(1, "eu.md", 0, 0, "made up", verified=False)
    one, two = added(desk.store, answer_of("a", citations=(unverified,))), added(desk.store, answer_of("b"))
    three = added(desk.store, answer_of("c"))
    desk.approve(one.id, by="ana")
    desk.reject(two.id, by="ana", comment="no")
    desk.correct(three.id, "So.", by="ana")
    rows, notes = rows_of(desk)
    assert [(row["question"], row["answer"]) for row in rows] == [("c", "So."), ("a", LEAVE)]
    assert not any({"evidence", "answerable"} & set(row) for row in rows)
    assert [question.answerable for question in read(rows)] == [True, True]
    assert notes == [
        "1 rejected left out: reopen and correct them, so that it is known what is right",
        "2 without evidence, as no citation of theirs is verified: reopen, and cite",
    ]


def test_exported_questions_are_a_golden_set(
    pipe: Any, desk: ReviewDesk, folder: Path, tmp_path: Path
) -> None:
    asked = pipe()
    leave = asked.ask(QUESTION, where="region == 'eu'")
    moon = asked.ask("How tall is the moon?")
    desk.approve(leave.review_id, by="ana")
    desk.correct(moon.review_id, "The documents do not say.", by="ana", answerable=False)
    path = tmp_path / "golden.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(desk)[0]))
    questions = {question.question: question for question in read(path)}
    assert questions[QUESTION].answerable and not questions["How tall is the moon?"].answerable
    texts = {each.name: each.read_text() for each in (folder / "docs").iterdir()}
    assert [texts[span.source][span.start : span.end] for span in questions[QUESTION].evidence] == [
        citation.text for citation in leave.citations
    ]
    result = evaluate(asked, path)
    assert result.metrics["recall"].mean == 1.0 and result.unanswerable == 1


def test_an_answer_as_a_list_keeps_its_brackets(desk: ReviewDesk) -> None:
    item = added(desk.store, answer_of(text="[1]", data=[1]))
    desk.approve(item.id, by="ana")
    assert rows_of(desk)[0][0]["answer"] == "[1]"


# ------------------------------------------------------------------------ statistics


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (8, 10), (50, 100), (3, 3), (1, 2000)])
def test_intervals_are_those_of_scipy(count: int, of: int) -> None:
    exact = binomtest(count, of).proportion_ci(0.95, method="wilson")
    assert wilson(count, of) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_decisions_are_counted_per_group(desk: ReviewDesk) -> None:
    two = (Reason("sample"), Reason("refused"))
    ids = [
        added(
            desk.store,
            answer_of(str(n)),
            reasons=two if n < 2 else two[:1],
            model=f"m{n % 2}",
            prompt_hash="ab" * 9,
        ).id
        for n in range(5)
    ]
    desk.approve(ids[0], by="ana")
    desk.approve(ids[2], by="ana")
    desk.reject(ids[1], by="bo", comment="no")
    assert decided(desk.items(), "reason") == [Decided("sample", 2, 2, 0, 1), Decided("refused", 0, 1, 0, 1)]
    assert decided(desk.items(), "model") == [Decided("m0", 1, 2, 0, 0), Decided("m1", 1, 0, 0, 1)]
    assert decided(desk.items(), "reviewer") == [
        Decided("", 2, 0, 0, 0), Decided("ana", 0, 2, 0, 0), Decided("bo", 0, 0, 0, 1),
    ]  # fmt: skip
    (prompt,) = decided(desk.items(), "prompt")
    assert prompt.group == "answer-v1#abababab"
    assert prompt.share("approved") == (2 / 3, *wilson(2, 3))
    assert prompt.to_dict()["shares"]["corrected"] == {"share": 0.0, "low": 0.0, "high": wilson(0, 3)[1]}
    assert Decided("x", 3, 0, 0, 0).share("approved") is None
    shown = table([prompt, Decided("", 1, 0, 0, 0)], "prompt")
    assert shown.rows == [
        ("answer-v1#abababab", "2", "3", "0.67 [0.21, 0.94]", "0.00 [0.00, 0.56]", "0.33 [0.06, 0.79]"),
        ("-", "1", "0", "-", "-", "-"),
    ]  # fmt: skip


def test_a_page_escapes_every_text(desk: ReviewDesk) -> None:
    evil = "<script>alert(1)</script>"
    hit = answer_of().context.hits[0]
    context = replace(answer_of().context, hits=(replace(hit, text=evil, source=evil),))
    answer = answer_of(evil, text=evil, context=context)
    item = added(desk.store, answer, search=evil + "s", tag=evil, user=evil, reasons=(Reason(evil, evil),))
    corrected = desk.correct(item.id, evil, by=evil, comment=evil)
    text = page(corrected, answer)
    assert "<script" not in text and text.count("&lt;script&gt;") >= 9
    assert "default-src 'none'" in text and "http" not in text.replace("http-equiv", "")
