"""What the explorer shows of results, as inert HTML from the parts of the displays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.core.format import counted
from rag.core.passages import Context, Hit
from rag.notebook import parts
from rag.notebook.answers import AnswerDisplay
from rag.notebook.contexts import ContextDisplay
from rag.notebook.explanations import ExplanationDisplay
from rag.notebook.hits import hit_html

#: Most hits that are shown; all are in the context's candidates.
SHOWN = 20


def hits_html(hits: Sequence[Hit], question: str) -> str:
    """Return hits as a list, each with its controls: a tick for evidence, and why it is where it is.

    Ranks are all that the controls name; what became of a hit, and what differs, is filled in later.
    """
    shown = hits[:SHOWN]
    most = (
        max((hit.score for hit in shown), default=0.0),
        max((hit.lexical or 0.0 for hit in shown), default=0.0),
    )
    items = "".join(
        f'<li class="item" data-rank="{rank}">'
        f'<div class="tools"><span class="fate chip" hidden></span><span class="other chip" hidden></span>'
        f'<label><input type="checkbox" data-evidence="{rank}"> evidence'
        f'<span class="away"> of the question: hit {rank}</span></label>'
        f'<button type="button" data-why="{rank}">Why?<span class="away"> hit {rank}</span></button></div>'
        f"{hit_html(hit, question, rank, most, how=f'explorer.hits[{rank - 1}].text')}</li>"
        for rank, hit in enumerate(shown, 1)
    )
    left = parts.more(len(hits) - SHOWN, "hit", f"explorer.hits[{SHOWN}:]")
    return f"<ol>{items}</ol>{left}" if items else parts.dim("no hit")


def fates(hits: Sequence[Hit], context: Context) -> list[str]:
    """Return for each hit that is shown what became of it in the trimmer; empty where that is not known."""
    known = {(each.source, each.start, each.end): each.why for each in context.candidates}
    return [known.get((hit.source, hit.start, hit.end), "") for hit in hits[:SHOWN]]


def context_html(context: Context) -> str:
    """Return a context: its budget as a bar, what was kept and cut and why, and the passages."""
    return ContextDisplay(context).html()


def answer_html(answer: Any) -> str:
    """Return an answer with citations that unfold, and below a fold what it rests on and took."""
    display = AnswerDisplay(answer)
    cited = counted(len(answer.citations), "citation")
    return display.said() + parts.fold(f"{cited}, model, cost and times", display.behind())


def explanation_html(explanation: Any) -> str:
    """Return what became of a passage, as a funnel."""
    return ExplanationDisplay(explanation).html()


def found_text(hits: Sequence[Hit], matches: int, of: int, seconds: float) -> str:
    """Return how many hits there are, of how many chunks that match, and how long it took."""
    match = f"{matches:,} of {counted(of, 'chunk')} match" if matches < of else counted(of, "chunk")
    return f"{counted(len(hits), 'hit')}; {match}; {1000 * seconds:,.0f} ms"
