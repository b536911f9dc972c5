"""Reports show what went wrong, mark evidence and quotes, and nothing in them is obeyed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import rag
from rag.core import html
from rag.evaluation import compare, evaluate
from rag.evaluation.compare_answers import against, compared
from rag.evaluation.evaluate import Evaluation
from rag.evaluation.gate import gate
from rag.evaluation.gate_values import measure
from rag.evaluation.golden_set import Span
from rag.evaluation.reports import answers, contexts, gates, page
from rag.evaluation.reports import compared as comparing
from rag.evaluation.reports.evidence import texts_of
from tests.command import run
from tests.evaluation.conftest import docs, write
from tests.evaluation.reports.conftest import HOSTILE, hostile


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def is_inert(text: str) -> None:
    """Assert that no text has become a tag, an attribute, a control or an address."""
    parsed = Tags()
    parsed.feed(text)
    assert not {tag for tag, _ in parsed.tags} & {"script", "img", "b", "iframe", "link", "object", "form"}
    for tag, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "a" or str(attributes["href"]).startswith("#")
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len({*ids})
    assert not {"\x1b", "\u202e", "\r"} & {*text}
    (policy,) = [a["content"] for tag, a in parsed.tags if tag == "meta" and "http-equiv" in a]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert text.count("</style>") == 1 and "http://" not in text and "https://" not in text


def chips(text: str) -> list[str]:
    return re.findall(r'<summary><span class="chip \w+">([^<]+)<', text)


def test_what_is_wrong_stands_first_with_its_doubts_checks_and_evidence() -> None:
    text = answers.report(hostile(), index="ix", texts={Span("a.md", 6, 18): "take 28 days"})
    assert "4 questions, 3 not correct" in text
    assert chips(text) == ["failed", "refused", "wrong", "unsupported"]
    assert "numbers: it lacks 28" in text and "it is down" in text
    assert "not supported: &quot;It is 20 days.&quot;: lacks the number 20" in text
    assert (
        '<span class="chip good">in the context</span> <code>a.md:6-18</code><blockquote>take 28 days<'
        in text
    )
    assert '<span class="chip bad">not in the context</span> <code>&lt;/style&gt;' in text
    assert "rag explain ix " in text and "--where" in text


def test_citations_in_an_answer_lead_to_their_quotes() -> None:
    text = answers.report(hostile())
    assert '<a class="cite" href="#q2-1">[1]</a>' in text and '<li value="1" id="q2-1">' in text
    assert '<a class="cite bad" href="#q2-2" title="not found in the context">[2?]</a>' in text
    assert '<span class="doubt" title="lacks the number 20' in text


def test_quotes_are_marked_inside_of_evidence() -> None:
    text = answers.report(hostile())
    assert 'Staff <mark class="evidence" title="evidence">take </mark>' in text
    assert '<mark class="evidence quoted" title="evidence; quoted">28 days</mark>,\nor 20' in text


def test_nothing_of_a_document_is_a_tag_or_a_control_of_the_page() -> None:
    one, other = hostile(), hostile(HOSTILE, right=True)
    is_inert(
        answers.report(one, other=other, comparison=against(one, other), index=HOSTILE, options=[HOSTILE])
    )
    is_inert(comparing.report(compared([one, other], "correct", 0.02)))


def test_filters_choose_by_verdict_check_and_tag_whatever_a_tag_is_called() -> None:
    text = answers.report(hostile())
    buttons = re.findall(
        r'<label><input type="radio" name="(f\d)" id="[^"]+"[^>]*> ([^<]+) <small>(\d)<', text
    )
    assert ("f0", "wrong", "1") in buttons and ("f2", "numbers", "1") in buttons
    assert ("f3", "leave", "2") in buttons and ("f3", page.shown(HOSTILE), "1") in buttons
    classes = re.findall(r'<details class="question ([^"]*)">', text)
    assert all(re.fullmatch(r"[\w -]*", each) for each in classes)
    assert re.search(r"body:has\(#f3-\d:checked\) \.question:not\(\.tag-6c65617665\)", text)


def test_most_questions_are_shown_and_the_rest_counted() -> None:
    text = answers.report(hostile(), most=1)
    assert text.count('<details class="question') == 1 and "3 more questions are left out" in text


def test_pieces_have_the_marks_of_all_spans_over_them() -> None:
    marks = [(2, 5, page.Mark("quoted")), (0, 3, page.Mark("evidence")), (9, 12, page.Mark("doubt"))]
    assert page.highlighted("a<b>cd", marks) == (
        '<mark class="evidence">a&lt;</mark><mark class="quoted evidence">b</mark><mark class="quoted">&gt;c</mark>d'
    )
    assert [*html.pieces("", [(0, 1, "x")])] == []
    assert [*html.pieces("ab", [(-5, 9, "x"), (2, 1, "y")])] == [("ab", ["x"])]


def test_another_system_stands_beside_and_what_is_better_can_be_chosen() -> None:
    one, other = hostile(right=True), hostile("base")
    text = answers.report(one, other=other, comparison=against(one, other))
    assert "Answer of base: wrong" in text and "> better <small>1<" in text
    assert "base: answers to 4 questions" in text


def test_configurations_that_differ_stand_side_by_side() -> None:
    one, other = hostile("small"), hostile("large", right=True)
    text = comparing.report(compared([one, other], "correct", 0.02))
    assert '<h3 class="system">small <span class="chip bad">0.00' in text
    assert '<h3 class="system">large <span class="chip good">1.00' in text
    assert chips(text) == ["1.00 apart"]
    same = comparing.report(compared([one, hostile("again")], "correct", 0.02))
    assert "All questions are answered equally well by correct." in same


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> rag.Pipeline:
    return docs(tmp_path_factory.mktemp("reports"), leave=f"# Leave\n\nStaff take 28 days. {HOSTILE[:40]}",
                cup="# Cup\n\nThe cup is won by the office of Delft.")  # fmt: skip


ROWS = [
    {"id": "a", "question": "How many days of leave?", "tags": ["leave"],
     "evidence": [{"source": "leave.md", "start": 9, "end": 27}], "answer": "28 days", "numbers": [28]},
    {"id": "b", "question": "Who wins it?", "evidence": [{"source": "gone.md", "start": 0, "end": 9}],
     "gold": ["cup.md"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def evaluation(pipe: rag.Pipeline) -> Evaluation:
    return evaluate(pipe, ROWS, budgets=(1000,), name="ix")


def test_contexts_show_what_is_lost_and_mark_what_is_not(pipe: rag.Pipeline, evaluation: Evaluation) -> None:
    asked = [each.question for each in evaluation.questions]
    text = contexts.report(
        evaluation, index="ix", options=["--budget", "1000"], texts=texts_of(pipe.index, asked)
    )
    is_inert(text)
    assert chips(text) == ["0.00", "1.00"]
    assert "rag explain ix &#x27;Who wins it?&#x27; --expect gone.md:0-9 --budget 1000" in text
    assert "<blockquote>Staff take 28 days" in text
    assert '<mark class="evidence" title="evidence">Staff take 28 days' in text
    assert "> some is lost <small>1<" in text and "source_recall@10" in text


def test_contexts_of_two_indexes_can_be_compared(evaluation: Evaluation) -> None:
    text = contexts.report(evaluation, other=evaluation, comparison=compare(evaluation, evaluation))
    assert "ix against ix" in text and "recall is 0.00 with the other" in text and "> better" not in text


def test_a_gate_shows_its_reasons_and_what_was_lost(pipe: rag.Pipeline) -> None:
    measured = measure(pipe, ROWS, ["recall"])
    text = gates.report(gate(measured, least={"recall": 0.9}), "ix")
    is_inert(text)
    assert "The gate is not passed." in text and "recall is 0.5, at least 0.9 is asked for" in text
    assert "--expect gone.md:0-9" in text and chips(text) == ["lost"]
    assert "The gate is passed." in gates.report(gate(measured, least={"recall": 0.5}), "ix")


def test_notebooks_show_the_worst_questions(pipe: rag.Pipeline, evaluation: Evaluation) -> None:
    assert "<summary>the worst questions</summary>" in evaluation._repr_html_()
    assert "gone.md:0-9" in evaluation._repr_html_()
    shown = hostile()._repr_html_()
    assert (
        "<summary>the worst answers</summary>" in shown and "it lacks 28" in shown and "<script" not in shown
    )
    lost = gate(measure(pipe, ROWS, ["recall"]), least={"recall": 0.9})._repr_html_()
    assert "Gate NOT passed" in lost and "1 question lost" in lost


def test_the_commands_write_reports_and_refuse_at_once_what_cannot_be_written(
    pipe: rag.Pipeline, tmp_path: Path
) -> None:
    write(tmp_path / "g.jsonl", ROWS)
    index = pipe.index.path
    for words in ((), ("--answers",), ("--models", "local", "--prompts", "answer-v1")):
        run("eval", index, "g.jsonl", *words, "--report", "r.html", cwd=tmp_path)
        text = (tmp_path / "r.html").read_text()
        assert text.startswith("<!doctype html>") and text.count("<h1>") == 1
        assert "How many days of leave?" in text or "--models" in words
    run("gate", index, "g.jsonl", "--min", "recall=0.9", "--report", "g.html", cwd=tmp_path, code=4)
    assert "The gate is not passed." in (tmp_path / "g.html").read_text()
    for words in (("eval",), ("eval", "--answers"), ("gate", "--min", "recall=0.9")):
        command, *more = words
        done = run(command, index, "g.jsonl", *more, "--report", "no/r.html", cwd=tmp_path, code=2)
        assert "cannot write no/r.html: there is no folder no: make it first" in done.stderr
    done = run("eval", index, "g.jsonl", "--answers", "--plan", "--report", "r.html", cwd=tmp_path, code=2)
    assert "leave out one of them" in done.stderr
