"""Sentences and tables of documents, and the drafts that they give."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag
from rag.core.passages import Hit
from rag.evaluation.drafting.draft import Draft
from rag.evaluation.drafting.offline import Drafter
from rag.evaluation.drafting.units import Documents
from rag.evaluation.golden_set import Span, read
from tests.evaluation.conftest import docs

TEXT = """---
title: Leave policy
department: people
---
# Leave policy

## How long it is

1. Objects of **leavers** are kept for 90 days.
2. Second thoughts are welcome.

Q: Can I take leave in advance? Yes, up to five days of the next year, with the consent of People. Ask early.

## Table

| Kind of leave | Amount of days | Approved by | Notes |
|---|---|---|---|
| Parental leave | 26 weeks | Nobody | yes |
| Compassionate leave | up to ten days | Line manager | see above |

| | Basic | Validated |
|---|---|---|
| First response | 1 business day | 30 minutes |

| Property | Frost T2 |
|---|---|
| Battery life | 5 years |

| Topic | 2020 | 2024 |
|---|---|---|
| Camera recordings | No rule at all | 30 days |
"""


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> rag.Pipeline:
    return docs(tmp_path_factory.mktemp("offline"), leave=TEXT)


@pytest.fixture(scope="module")
def drafts(pipe: rag.Pipeline) -> list[Draft]:
    return list(Drafter(Documents(pipe.index.scan())).drafts())


def test_sentences_have_their_place_heading_and_what_follows(pipe: rag.Pipeline) -> None:
    documents = Documents(pipe.index.scan())
    found = {each.plain: each for each in documents.sentences("leave.md")}
    kept = found["Objects of leavers are kept for 90 days."]
    assert (
        TEXT[kept.span.start : kept.span.end] == kept.text == "Objects of **leavers** are kept for 90 days."
    )
    assert (kept.section, kept.title, kept.tags) == (
        ("Leave policy", "How long it is"), "Leave policy", ("people",),
    )  # fmt: skip
    assert kept.following == ""  # another item of the list
    question = found["Q: Can I take leave in advance?"]
    assert question.following.startswith("Yes, up to five days")
    assert TEXT[: question.following_end].endswith("the consent of People.")
    assert not any("|" in text or text.startswith("#") for text in found)


def test_rows_have_their_cells_under_the_head(pipe: rag.Pipeline) -> None:
    rows = list(Documents(pipe.index.scan()).rows("leave.md"))
    assert [row.cells[0] for row in rows] == [
        "Parental leave", "Compassionate leave", "First response", "Battery life", "Camera recordings",
    ]  # fmt: skip
    assert rows[0].head == ("Kind of leave", "Amount of days", "Approved by", "Notes")
    for row in rows:
        assert TEXT[row.span.start : row.span.end] == row.text


def test_the_drafts_of_a_document(drafts: list[Draft]) -> None:
    assert {(each.kind, each.question) for each in drafts} == {
        ("number", "For how many days are objects of leavers kept?"),
        ("faq", "Can I take leave in advance?"),
        ("heading", "What does “Leave policy” say about how long it is?"),
        ("table", "What are the amount of days for parental leave?"),
        ("table", "What are the amount of days for compassionate leave?"),
        ("table", "What is the first response of Basic?"),
        ("table", "What is the first response of Validated?"),
        ("table", "What is the battery life of Frost T2?"),
        ("table", "What are the camera recordings in 2020?"),
        ("table", "What are the camera recordings in 2024?"),
    }  # fmt: skip


def test_evidence_is_what_stands_there_and_answers_meet_what_is_expected(drafts: list[Draft]) -> None:
    from rag.evaluation.checks import said

    questions = read([each.row() for each in drafts], drafts=True)
    for draft, question in zip(drafts, questions, strict=True):
        assert draft.span is not None
        assert TEXT[draft.span.start : draft.span.end] == draft.quote
        assert question.expected.draft and question.evidence == (draft.span,)
        assert all(check.value == 1 for check in said(question.expected, question.expected.answer))
    assert read([each.row() for each in drafts] + [{"id": 1, "question": "x", "gold": ["a"]}])[0].id == "1"


def test_the_line_of_a_draft() -> None:
    draft = Draft(
        "How long?", "number", Span("a.md", 3, 9), "9 days", "It is 9 days.", ({"value": 9, "unit": "days"},),
        (("nine", "9"), ("days",)), tags=("people",), further=((Span("b.md", 0, 2), "ok"),), extra=(("count", 4),),
    )  # fmt: skip
    assert draft.row() == {
        "id": draft.id, "question": "How long?",
        "evidence": [
            {"source": "a.md", "start": 3, "end": 9, "quote": "9 days"},
            {"source": "b.md", "start": 0, "end": 2, "quote": "ok"},
        ],
        "answer": "It is 9 days.", "numbers": [{"value": 9, "unit": "days"}],
        "must_include": [["nine", "9"], "days"], "tags": ["people", "number"], "draft": True, "count": 4,
    }  # fmt: skip
    assert draft.id.startswith("draft-") and len(draft.id) == 16


def test_a_heading_that_a_pdf_runs_into_a_sentence_is_no_subject() -> None:
    text = "Words\nService means the reception of readings and of alarms."
    documents = Documents([Hit("a.pdf", 0, len(text), text, 0.0)])
    assert list(Drafter(documents).drafts()) == []


def test_documents_without_metadata_are_drafted_from_too(tmp_path: Path) -> None:
    text = "Objects in the store are kept for 90 days."
    (draft,) = Drafter(Documents([Hit("a.txt", 10, 10 + len(text), text, 0.0)])).drafts()
    assert (draft.span, draft.title, draft.tags) == (Span("a.txt", 10, 10 + len(text)), "", ())
