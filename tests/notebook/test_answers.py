"""An answer: citations that unfold in their surroundings, doubts, and what it took."""

from __future__ import annotations

import dataclasses

from rag.core.answers import Answer, Step
from rag.core.calls import Call, Usage
from rag.core.citations import Citation, Sentence, Support
from rag.core.passages import Context, Hit
from tests.notebook.objects import markup

PASSAGE = "Leave differs by region. Staff in Europe take 28 days. Ask your manager."
QUOTE = "Staff in Europe take 28 days."
HIT = Hit("leave.md", 100, 100 + len(PASSAGE), PASSAGE, 1.0, section=("Leave",))
CITED = Citation(1, "leave.md", 125, 125 + len(QUOTE), QUOTE, True, section=("Leave",))
LOST = Citation(2, "leave.md", 0, 0, "They take 30.", False)
USAGE = Usage(1200, 80, cost_usd=0.0016)
TEXT = "Staff take 28 days. [1] They carry over 30. [2?]"
ANSWER = Answer(
    "How much leave?", TEXT, True, (CITED, LOST), Context((HIT,), 72, 4000, "chars"), USAGE,
    (Step("retrieve", 0.012, {"documents": 64}), Step("generate", 1.5)), "claude", "answer-v1",
    support=Support(0.5, (Sentence(0, 19, (1,), True, ""), Sentence(24, 43, (2,), False, "30 is not in what it cites"))),
    notes=("haiku stood in",), calls=(Call("claude", "generate", USAGE),), id="a1",
)  # fmt: skip


def test_a_citation_unfolds_to_the_quote_in_its_surroundings() -> None:
    html = ANSWER._repr_html_()
    assert '<details class="cite"><summary aria-label="[1] citation 1: leave.md, Leave">[1]</summary>' in html
    assert f'Leave differs by region. <mark class="quote">{QUOTE}</mark> Ask your manager.' in html


def test_a_citation_with_a_fault_says_so() -> None:
    html = ANSWER._repr_html_()
    assert (
        '<details class="cite bad"><summary aria-label="[2?] citation 2: not found in the context">' in html
    )
    assert "<td>not found in the context</td>" in html


def test_an_unsupported_sentence_is_marked_and_named() -> None:
    html = ANSWER._repr_html_()
    assert '<span class="doubt" title="30 is not in what it cites">They carry over 30.</span>' in html
    assert "not supported: &quot;They carry over 30.&quot;: 30 is not in what it cites" in html
    assert '<th scope="row">supported</th><td>1 of 2 sentences</td>' in html


def test_cost_calls_and_times_are_there() -> None:
    text = markup(ANSWER._repr_html_()).text
    for part in (
        "1,200 tokens in, 80 out, $0.0016",
        "1.5 s: retrieve 12 ms, generate 1.5 s",
        "1 call",
        "documents 64",
    ):
        assert part in text
    assert "72 of 4,000 characters (2%) in 1 passage" in text and "haiku stood in" in text


def test_the_text_is_a_few_lines() -> None:
    assert str(ANSWER).splitlines() == [
        TEXT, "  [1] leave.md, Leave", f'      "{QUOTE}"', "  [2?] not found in the context",
        '      "They take 30."', "  supported 1 of 2 sentences",
        '  not supported: "They carry over 30.": 30 is not in what it cites', "  haiku stood in",
        "  claude; prompt answer-v1; 1,200 tokens in, 80 out, $0.0016",
        "  context 72 of 4,000 characters (2%) in 1 passage", "  1.5 s: retrieve 12 ms, generate 1.5 s",
    ]  # fmt: skip
    assert repr(ANSWER) == str(ANSWER)


def test_a_refusal_is_named_as_one() -> None:
    refused = dataclasses.replace(ANSWER, text="I cannot answer.", answered=False, citations=(), support=None)
    assert "<strong>No answer</strong>" in refused._repr_html_()


def test_a_huge_answer_is_bounded() -> None:
    huge = dataclasses.replace(
        ANSWER, text="Staff take days [1]. " * 50_000, support=None, citations=(CITED,) * 500
    )
    html = huge._repr_html_()
    assert len(html) < 200_000 and html.count('<details class="cite">') == 60
    assert "more characters: answer.text" in html and "… 450 more citations: answer.citations" in html


def test_a_citation_alone() -> None:
    assert repr(CITED) == f'<Citation [1] leave.md, Leave: "{QUOTE}">'
    assert str(LOST).splitlines() == ["[2?] not found in the context", '    "They take 30."']
    assert f'<mark class="quote">{QUOTE}</mark>' in CITED._repr_html_()
