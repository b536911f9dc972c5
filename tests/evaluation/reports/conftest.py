"""Measured answers with hostile texts in every place, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from rag.core.answers import Answer
from rag.core.calls import Usage
from rag.core.citations import Citation, Sentence, Support
from rag.core.passages import Context, Hit
from rag.evaluation.answers import AnswersEvaluation, score, summary
from rag.evaluation.golden_set import read

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202etxt.exe \"'><b>"
PASSAGE = "Staff take 28 days,\r\nor 20 in their first."


def hostile(
    name: str = "ix", text: str = "It is 20 days. [1] And 3 more. [2?]", right: bool = False
) -> AnswersEvaluation:
    """A wrong answer, a right one, a refusal and a failure."""
    rows = read([
        {"id": HOSTILE, "question": f"How long? {HOSTILE}", "answer": f"28 days {HOSTILE}", "numbers": [28],
         "evidence": [{"source": "a.md", "start": 6, "end": 18}, {"source": HOSTILE, "start": 0, "end": 9}],
         "tags": [HOSTILE, "leave"]},
        {"id": "right", "question": "How long?", "answer": "20 days", "numbers": [20], "tags": ["leave"]},
        {"id": "silent", "question": "How long is it?", "answer": "20 days", "tags": ["short"]},
        {"id": "failed", "question": "And then?", "answer": "none"},
    ])  # fmt: skip
    hit = Hit("a.md", 0, len(PASSAGE), PASSAGE, 1.0, section=(HOSTILE,))
    quotes = (
        Citation(1, "a.md", 11, 18, "28 days", True), Citation(2, "", 0, 0, f"3 more {HOSTILE}", False)
    )  # fmt: skip
    doubt = Support(0.0, (Sentence(0, 14, (1,), False, f"lacks the number 20 {HOSTILE}"),))

    def said(text: str, answered: bool = True) -> Answer:
        return Answer(
            question="How long?", text=text, answered=answered, citations=quotes if answered else (), trace=(),
            usage=Usage(10, 5, cost_usd=0.0), context=Context((hit,), len(PASSAGE), 4000, "chars"),
            generator=HOSTILE, prompt="p", support=doubt if answered else None, notes=(HOSTILE,),
        )  # fmt: skip

    scored = [
        score(rows[0], "status == 'current'", said("It is 28 days." if right else text), 0.5),
        score(rows[1], None, said(text), 0.5), score(rows[2], None, said("I do not know.", False), 0.5),
        score(rows[3], None, None, 0.1, f"it is down {HOSTILE}"),
    ]  # fmt: skip
    return summary(name, scored, notes=[HOSTILE])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium. While it is open an event loop runs, in which no asynchronous test can."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
