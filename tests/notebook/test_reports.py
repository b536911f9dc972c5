"""Reports show their fields or tables in a few lines, as a card, and as plain values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rag.core.answers import Answer
from rag.notebook.registry import DISPLAYS
from tests.notebook.objects import markup, records
from tests.notebook.reports import reports

REPORTS = {type(each).__name__: each for each in reports("leave.md")}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_a_report_has_a_text_a_line_a_card_and_plain_values(report: Any) -> None:
    assert 1 <= len(str(report).splitlines()) <= 40
    assert "leave.md" in str(report) or type(report).__name__ in ("Version", "Verification")
    assert "leave.md" in markup(report._repr_html_()).text
    json.dumps(report.to_dict(), default=str)
    assert "cannot be displayed" not in str(report) + repr(report) + report._repr_html_()


def test_what_says_nothing_is_left_out_and_amounts_are_read_by_people() -> None:
    assert str(REPORTS["UpgradeReport"]).splitlines() == [
        "Upgrade report: leave.md", "  version   4", "  before    1", "  format    3", "  chunks    12,345",
        "  embedded  9", "  seconds   1.5 s", "  note: leave.md",
    ]  # fmt: skip
    assert repr(REPORTS["Version"]).startswith('<Version of an index: "number 3') or repr(
        REPORTS["Version"]
    ).startswith('<Version: "number 3')


def test_a_gate_says_first_whether_it_is_passed_and_why_not() -> None:
    failed, passed = [each for each in reports("recall") if type(each).__name__ == "Gate"]
    assert str(failed).splitlines()[:2] == [
        "Gate NOT passed: recall, version 3", "  recall is 0.71, at least 0.8 is asked for",
    ]  # fmt: skip
    assert str(passed).splitlines()[0] == "Gate passed: recall, version 3"
    card = markup(failed._repr_html_()).text
    assert "Gate NOT passed" in card and "2 questions lost" in card


@pytest.mark.parametrize("record", [
    each for each in records("leave.md") if type(each).__name__ not in ("Cuts", "Prompt", "Comparator", "Test", "Not")
], ids=lambda each: type(each).__name__)  # fmt: skip
def test_a_record_has_plain_values(record: Any) -> None:
    if isinstance(record, Answer) and record.data is not None:
        record = replace(record, text="{}")  # the text of data is its JSON
    assert json.loads(json.dumps(record.to_dict(), default=str))


def test_every_display_has_an_object_among_the_tests() -> None:
    made = {f"{type(each).__module__}.{type(each).__qualname__}" for each in [*records("x"), *reports("x")]}
    elsewhere = {  # their own tests make them, of an index, of a golden set or of a server
        "rag.client.client.Client", "rag.conversation.chat.Chat", "rag.evaluation.answer_sweep.AnswerSweep",
        "rag.evaluation.answers_compared.AnswersCompared", "rag.evaluation.learn_routes.Learned",
        "rag.index.filters.where.Where", "rag.index.index.Index", "rag.index.maintenance.Store",
        "rag.pipeline.Pipeline", "rag.usage.ledger.Ledger",
    }  # fmt: skip
    assert {*DISPLAYS} - made == elsewhere
