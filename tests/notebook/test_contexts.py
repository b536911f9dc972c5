"""A context: the budget, what became of candidates, and the passages as sent."""

from __future__ import annotations

from rag.core.passages import Candidate, Context, Hit
from tests.notebook.objects import markup

HIT = Hit("leave.md", 0, 30, "# Leave\n\nStaff take 28 days.\n", 1.0, section=("Leave",))
CANDIDATES = tuple(Candidate("leave.md", n, n + 9, 1.5, kept, why) for n, (kept, why) in enumerate([(1.0, "kept"), (0.5, "kept in part"), (0.0, "no room"), (0.0, "no room")]))  # fmt: skip
CONTEXT = Context((HIT,), 1500, 2000, "chars", CANDIDATES)


def test_the_budget_is_a_bar_with_its_numbers() -> None:
    html = CONTEXT._repr_html_()
    assert 'style="width:75%"' in html and "1,500 of 2,000 characters (75%) in 1 passage" in html
    assert '<span class="chip">no room<span>2</span></span>' in html
    assert '<span class="head"># Leave\n</span>\nStaff take 28 days.\n' in html


def test_each_candidate_says_what_became_of_it() -> None:
    html = CONTEXT._repr_html_()
    assert "what became of 4 candidates" in html
    assert "<td>kept in part</td>" in html and '<td class="n">50%</td>' in html


def test_the_text_is_a_line_for_each_passage() -> None:
    assert str(CONTEXT).splitlines() == [
        "Context: 1,500 of 2,000 characters (75%) in 1 passage", "  of 4 candidates 2 no room, 1 kept, 1 kept in part",
        "  leave.md, Leave", "    # Leave Staff take 28 days.",
    ]  # fmt: skip
    assert repr(CONTEXT) == str(CONTEXT)


def test_a_context_of_many_passages_is_cut() -> None:
    html = Context((HIT,) * 400, 9, 9, "tokens")._repr_html_()
    assert html.count('<li class="item">') == 30 and "… 370 more passages: context.hits[30:]" in html
    assert "9 of 9 tokens (100%) in 400 passages" in markup(html).text


def test_an_empty_context_and_a_budget_of_nothing() -> None:
    assert str(Context((), 0, 0, "chars")) == "Context: 0 of 0 characters in 0 passages"
    assert "what became" not in Context((), 0, 0, "chars")._repr_html_()
