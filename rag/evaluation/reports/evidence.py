"""A question's evidence, and the passages that were sent, with evidence and quotes marked in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rag.core.citations import Citation
from rag.core.format import shortened
from rag.core.passages import Context, Hit
from rag.evaluation.checks import should_cite
from rag.evaluation.golden_evidence import Corpus
from rag.evaluation.golden_set import Question, Span
from rag.evaluation.metrics import merged, overlap
from rag.evaluation.reports import page

#: Most characters of a piece of evidence that are shown.
_MOST_CHARS = 600


def spans_of(question: Question) -> list[Span]:
    """Return a question's evidence and the spans that its answer should cite; what overlaps is joined."""
    cited = [
        Span(each.source, each.start, each.end) for each in should_cite(question)
        if each.start is not None and each.end is not None
    ]  # fmt: skip
    return merged([*question.evidence, *cited])


def texts_of(index: Any, questions: Iterable[Question]) -> dict[Span, str]:
    """Return the words of the questions' evidence, as far as an index holds them.

    Parameters
    ----------
    index : Index
    questions : iterable of Question
    """
    spans = {span for question in questions for span in spans_of(question)}
    corpus = Corpus(index, [span.source for span in spans])
    found = {span: corpus.text(span) for span in spans}
    return {span: text for span, text in found.items() if text is not None}


def lost(question: Question, hits: Sequence[Hit]) -> list[Span]:
    """Return the evidence of which no character is in the passages."""
    return [span for span in merged(question.evidence) if not _share(span, hits)]


def _share(span: Span, hits: Sequence[Hit]) -> float:
    held = [Span(hit.source, hit.start, hit.end) for hit in hits if hit.placed]
    return overlap([span], held).recall


def evidence(question: Question, hits: Sequence[Hit], texts: Mapping[Span, str]) -> str:
    """Return what should be in the context, and how much of it is, as HTML; nothing if that is not known.

    Parameters
    ----------
    question : Question
    hits : sequence of Hit
        What was sent.
    texts : mapping of Span to str
        The words of evidence, from `texts_of`; where there are none, its place stands alone.
    """
    spans, sources = spans_of(question), {hit.source for hit in hits}
    items = [_item(_state(_share(span, hits)), str(span), texts.get(span, "")) for span in spans]
    named = {span.source for span in spans}
    items += [
        _item(("good", "in the context") if source in sources else ("bad", "not in the context"), source, "")
        for source in question.gold if source not in named
    ]  # fmt: skip
    return f'<h3>Evidence</h3><ul class="evidence-list">{"".join(items)}</ul>' if items else ""


def _state(share: float) -> tuple[str, str]:
    if share == 1:
        return "good", "in the context"
    return ("bad", "not in the context") if share == 0 else ("warn", f"{share:.0%} in the context")


def _item(state: tuple[str, str], place: str, text: str) -> str:
    quote = f"<blockquote>{page.shown(shortened(text, _MOST_CHARS))}</blockquote>" if text else ""
    return f"<li>{page.chip(state[1], state[0])} <code>{page.shown(place)}</code>{quote}</li>"


def passages(sent: Context, question: Question, citations: Collection[Citation] = ()) -> str:
    """Return the passages of a context, folded.

    Parameters
    ----------
    sent : Context
    question : Question
        Its evidence is marked.
    citations : collection of Citation
        Quotes that are marked, if they are verified.
    """
    if not sent.hits:
        return "<h3>Context</h3><p>No passage was sent.</p>"
    spans = spans_of(question)
    items = "".join(
        f'<section class="passage" aria-label="passage {number}"><p class="dim">{number}. '
        f'{page.shown(hit.place)}</p><div class="text">'
        f"{page.highlighted(hit.text, _marks(hit, spans, citations))}</div></section>"
        for number, hit in enumerate(sent.hits, 1)
    )
    marked = ['<mark class="evidence">evidence</mark>'] if spans else []
    marked += ['<mark class="quoted">quotes</mark>'] if citations else []
    legend = f", {' and '.join(marked)} marked" if marked else ""
    return f"<details><summary>Context: {page.shown(sent.size)}{legend}</summary>{items}</details>"


def _marks(
    hit: Hit, spans: Sequence[Span], citations: Collection[Citation]
) -> list[tuple[int, int, page.Mark]]:
    """Return evidence and quotes in a passage, by their places in its text."""
    if not hit.placed:
        return []
    gold, quoted = page.Mark("evidence", "evidence"), page.Mark("quoted", "quoted")
    places = [(span.start, span.end, gold) for span in spans if span.source == hit.source]
    places += [
        (each.start, each.end, quoted) for each in citations if each.verified and each.source == hit.source
    ]
    return [(start - hit.start, end - hit.start, mark) for start, end, mark in places]
