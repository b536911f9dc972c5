"""Reports show what went wrong, mark evidence and quotes, and nothing in them is obeyed."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import rag
from rag.core.answers import Answer
from rag.core.calls import Usage
from rag.core.citations import Citation, Sentence, Support
from rag.core.passages import Context, Hit
from rag.evaluation.answers import AnswersEvaluation, score, summary
from rag.evaluation.compare_answers import compared
from rag.evaluation.golden_set import read
from rag.evaluation.reports import answers, page
from tests.command import run
from tests.conftest import HANDBOOK
from tests.evaluation.conftest import write

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202etxt.exe \"'><b>"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def evaluation(
    name: str = "ix", text: str = "It is 20 days. [1]", answer: str = "28 days"
) -> AnswersEvaluation:
    """A wrong answer, a right one and a failure, with hostile texts in every place."""
    rows = read([
        {"id": HOSTILE, "question": f"How long? {HOSTILE}", "answer": f"{answer} {HOSTILE}", "numbers": [28],
         "evidence": [{"source": "a.md", "start": 6, "end": 10}], "tags": [HOSTILE, "leave"]},
        {"id": "right", "question": "How long?", "answer": "20 days", "numbers": [20], "tags": ["leave"]},
        {"id": "failed", "question": "And then?", "answer": "none"},
    ])  # fmt: skip
    hit = Hit("a.md", 0, 40, "Staff take 28 days, or 20 in their first.", 1.0)
    hit = Hit("a.md", 0, len(hit.text), hit.text, 1.0)
    quote = Citation(1, "a.md", 11, 18, "28 days", True)
    doubt = Support(0.0, (Sentence(0, 14, (1,), False, f"lacks the number 20 {HOSTILE}"),))
    said = Answer(
        question="How long?", text=text, answered=True, citations=(quote,), usage=Usage(10, 5, cost_usd=0.0), trace=(),
        context=Context((hit,), 40, 4000, "chars"), generator=HOSTILE, prompt="p", support=doubt, notes=(HOSTILE,),
    )  # fmt: skip
    scored = [
        score(rows[0], "status == 'current'", said, 0.5), score(rows[1], None, said, 0.5),
        score(rows[2], None, None, 0.1, f"it is down {HOSTILE}"),
    ]  # fmt: skip
    return summary(name, scored, notes=[HOSTILE])


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_what_is_wrong_stands_first_with_its_passages() -> None:
    html = answers.report(evaluation(), index="ix")
    assert "3 questions, 2 not correct" in html
    chips = re.findall(r'class="chip (\w+)">([^<]+)<', html)
    assert chips == [("bad", "not correct"), ("bad", "failed"), ("good", "unsupported")]
    assert "Staff <mark>take</mark> " in html  # the evidence, characters 6 to 10
    assert "numbers: it lacks 28" in html and "it is down" in html
    assert '<mark class="quoted">28 days</mark>' in html
    assert '<span class="doubt" title="lacks the number 20' in html


def test_nothing_of_a_document_is_a_tag_or_a_control_of_the_page() -> None:
    html = answers.report(evaluation())
    parsed = Tags()
    parsed.feed(html)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "img", "b", "iframe", "link", "a", "object"}
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert "\x1b" not in html and "\u202e" not in html
    (policy,) = [a["content"] for tag, a in parsed.tags if tag == "meta" and "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert html.count("</style>") == 1 and "http://" not in html and "https://" not in html


def test_filters_choose_by_verdict_and_tag_whatever_a_tag_is_called() -> None:
    html = answers.report(evaluation())
    assert "all (3)" in html and "not correct (2)" in html and "leave (2)" in html and "failed (1)" in html
    classes = re.findall(r'<details class="question ([^"]*)">', html)
    assert all(re.fullmatch(r"[\w -]*", each) for each in classes)
    assert sum("tag-6c65617665" in each for each in classes) == 2
    assert re.search(r"body:has\(#f\d+:checked\) \.question:not\(\.tag-6c65617665\)", html)


def test_most_questions_are_shown_and_the_rest_counted() -> None:
    html = answers.report(evaluation(), most=1)
    assert html.count('<details class="question') == 1 and "2 more questions are left out" in html


def test_spans_that_meet_are_marked_once() -> None:
    assert page.highlighted("a<b>cd", [(0, 3, ""), (2, 5, "quoted"), (9, 12, "")]) == (
        '<mark>a&lt;b</mark><mark class="quoted">&gt;c</mark>d'
    )


def test_configurations_that_differ_stand_side_by_side() -> None:
    one, other = evaluation("small"), evaluation("large", text="It is 28 days. [1]")
    html = answers.comparison(compared([one, other], "correct", 0.02))
    assert "<h3>small</h3>" in html and "<h3>large</h3>" in html and "1.00 apart" in html
    assert "<script" not in html


def test_the_commands_write_reports(tmp_path: Path) -> None:
    rag.build(HANDBOOK / "people", tmp_path / "ix", embedder="static")
    rows = [
        {"id": "a", "question": "How many days of annual leave?", "answer": "28 days", "numbers": [28],
         "evidence": [{"source": "leave-policy-eu.md", "start": 0, "end": 60}]},
        {"id": "b", "question": "Who won the cup?", "answerable": False},
    ]  # fmt: skip
    write(tmp_path / "g.jsonl", rows)
    for words in (
        ("eval", "ix", "g.jsonl"), ("eval", "ix", "g.jsonl", "--answers"),
        ("eval", "ix", "g.jsonl", "--models", "local", "--prompts", "answer-v1"),
    ):  # fmt: skip
        run(*words, "--report", "r.html", cwd=tmp_path)
        html = (tmp_path / "r.html").read_text()
        assert (
            html.startswith("<!doctype html>") and "How many days of annual leave?" in html
        ) or "--models" in words
        (tmp_path / "r.html").unlink()
    run("gate", "ix", "g.jsonl", "--min", "recall@1000=1.01", "--report", "r.html", cwd=tmp_path, code=4)
    assert "The gate is not passed." in (tmp_path / "r.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_shows_it_without_running_anything(tmp_path: Path) -> None:
    (tmp_path / "r.html").write_text(answers.report(evaluation()))
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--dump-dom", (tmp_path / "r.html").as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "not correct (2)" in done.stdout and "<script" not in done.stdout
