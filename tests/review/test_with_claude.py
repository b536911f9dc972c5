"""Answers of Claude on the emulator: as data, by a router that asks a stronger model, behind a guardrail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import rag
from rag.emulator import Behaviour, Emulator
from rag.review.desk import ReviewDesk
from rag.review.golden import golden_rows
from tests.generation.routed import GOOD, HAIKU, QUESTION, REFUSED, SONNET, replies

WORDS = "Staff in Europe take 28 days of annual leave."


class Leave(BaseModel):
    """How much leave there is."""

    days: int
    region: str


@pytest.fixture
def ask(folder: Path, tmp_path: Path, bedrock_emulator: Emulator) -> Any:
    """Asks a question with a generator; returns the answer and the queue's desk."""

    def asked(generator: Any, review: dict[str, Any], **options: Any) -> tuple[rag.Answer, ReviewDesk]:
        pipe = rag.Pipeline(
            folder / "ix", generator=generator, ledger=tmp_path / "ledger.sqlite",
            review={"path": tmp_path / "reviews.sqlite", **review},
        )  # fmt: skip
        answer = pipe.ask(QUESTION, **options)
        assert bedrock_emulator.problems == [] and pipe.reviews is not None
        return answer, pipe.reviews.desk

    return asked


def test_an_answer_as_data(ask: Any, bedrock_emulator: Emulator) -> None:
    quotes = [{"field": "days", "document": 1, "quote": WORDS}]
    content = {"data": {"days": 28, "region": "Europe"}, "quotes": quotes, "missing": ""}
    bedrock_emulator.behaviour = Behaviour(
        reply=lambda request: json.dumps(content), tool_input=lambda request: content
    )
    answer, desk = ask(
        {"use": "claude", "model": HAIKU}, {"unsupported": True}, where="region == 'eu'", schema=Leave
    )
    item = desk.item(answer.review_id)
    assert answer.data == Leave(days=28, region="Europe")
    assert [str(each) for each in item.reasons] == ["unsupported (supported 1 of 2 fields)"]
    kept = desk.answer(item.id)
    assert kept.data == {"days": 28, "region": "Europe"} and kept.fields == answer.fields
    desk.approve(item.id, by="ana")
    ((row,), notes) = golden_rows(desk, desk.items())
    assert (row["answer"], notes) == (answer.text, [])
    assert [(span["source"], span["start"]) for span in row["evidence"]] == [("eu.md", 39)]


def test_an_answer_of_a_stronger_model(ask: Any, bedrock_emulator: Emulator) -> None:
    replies(bedrock_emulator, haiku=REFUSED, sonnet=GOOD)
    router = {
        "use": "router",
        "tiers": {"small": HAIKU, "default": SONNET},
        "otherwise": "small",
        "escalate": True,
    }
    answer, desk = ask(router, {"escalated": True}, where="region == 'eu'")
    item = desk.item(answer.review_id)
    assert (item.model, item.tier) == (SONNET, "default")
    assert [str(each) for each in item.reasons] == ["escalated (small to default: refused)"]
    assert (
        item.cost_usd == pytest.approx(sum(call.usage.cost_usd or 0 for call in answer.calls))
        and len(answer.calls) == 2
    )


def test_an_answer_behind_a_guardrail(ask: Any, bedrock_emulator: Emulator) -> None:
    bedrock_emulator.behaviour = Behaviour(guardrail="masked")
    answer, desk = ask({"use": "claude", "model": HAIKU, "guardrail": "gr1a2b3c:2"}, {"guardrail": True})
    assert [str(each) for each in desk.item(answer.review_id).reasons] == ["guardrail (masked)"]


def test_a_refusal(ask: Any, bedrock_emulator: Emulator) -> None:
    replies(bedrock_emulator, haiku=REFUSED)
    answer, desk = ask({"use": "claude", "model": HAIKU}, {"refused": True, "unsupported": True})
    assert [str(each) for each in desk.item(answer.review_id).reasons] == ["refused (end_turn)"]
    desk.approve(answer.review_id, by="ana")
    ((row,), _) = golden_rows(desk, desk.items())
    assert row["answerable"] is False and "evidence" not in row
