"""HTML for notebooks; every value that comes from a document or a model is escaped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from rag.records import Answer, Context, Hit

_CELL = "text-align:left;vertical-align:top;padding:.3em .8em .3em 0"


def hits_html(hits: Sequence[Hit], caption: str) -> str:
    """Return hits as a table: rank, score, both arms, place, text."""
    head = "".join(
        f'<th style="{_CELL}">{name}</th>' for name in ("", "score", "dense", "lexical", "place", "text")
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_CELL}">{cell}</td>'
            for cell in (
                str(rank), f"{hit.score:.3f}", _number(hit.dense), _number(hit.lexical),
                escape(hit.place), escape(_short(hit.text, 300)),
            )
        )
        + "</tr>"
        for rank, hit in enumerate(hits, 1)
    )  # fmt: skip
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left">'
        f"<i>{escape(caption)}</i></caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def context_html(context: Context) -> str:
    """Return a context's passages with their places, and what became of the candidates."""
    items = "".join(
        f"<li><small>{escape(hit.place)}</small><br>{escape(_short(hit.text, 1000))}</li>"
        for hit in context.hits
    )
    return (
        f"<ol>{items}</ol><p><small>{context.used} of {context.budget} {escape(context.unit)} in "
        f"{len(context.hits)} passages{escape(fates(context))}</small></p>"
    )


def fates(context: Context) -> str:
    """Return how many candidates were kept, and how many not for which reason; empty if not known."""
    counts = Counter(candidate.why for candidate in context.candidates)
    said = ", ".join(f"{count} {why}" for why, count in counts.most_common())
    return f"; of {len(context.candidates)} candidates {said}" if counts else ""


def answer_html(answer: Answer) -> str:
    """Return an answer with its citations, and the times of its stages."""
    text = escape(answer.text).replace("\n", "<br>")
    items = "".join(
        f"<li value={citation.number}><q>{escape(_short(citation.text, 400))}</q><br>"
        f"<small>{escape(citation.place) if citation.verified else '<b>not found in the context</b>'}"
        "</small></li>"
        for citation in answer.citations
    )
    times = " · ".join(f"{escape(step.name)} {1000 * step.seconds:.0f} ms" for step in answer.trace)
    context = answer.context
    cost = "" if answer.usage.cost_usd is None else f" · ${answer.usage.cost_usd:.4f}"
    return (
        f"<p>{text}</p><ol>{items}</ol><p><small>{escape(answer.generator)} · prompt "
        f"{escape(answer.prompt)} · context {context.used} of {context.budget} {context.unit} in "
        f"{len(context.hits)} passages · {times}{cost}</small></p>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
