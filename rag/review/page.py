"""An item as a page of HTML that needs no other file; every text in it is escaped."""

from __future__ import annotations

from rag.core import html
from rag.core.answers import Answer
from rag.core.format import utc_text
from rag.review.records import Item

#: Nothing is loaded or run, whatever a text in the page holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"


def page(item: Item, answer: Answer) -> str:
    """Return the question, its answer with citations, the passages, the reasons and the decisions."""
    facts = [
        ("id", item.id), ("queued", utc_text(item.at)), ("state", item.state),
        ("reasons", "; ".join(map(str, item.reasons))), ("filter", item.where or ""),
        ("tenant", item.tenant), ("tag", item.tag), ("user", item.user), ("model", item.model),
        ("tier", item.tier), ("prompt", item.prompt), ("index", item.index),
        ("version", "" if item.version is None else str(item.version)),
    ]  # fmt: skip
    searched = html.note(f"searched as: {item.search}") if item.search != item.question else ""
    decisions = [html.escape(str(each)) + _correction(each.answer) for each in item.decisions]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(item.question)}</title>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head><body>'
        f"<h1>{html.escape(item.question)}</h1>{searched}"
        + answer._repr_html_()
        + "<h2>Passages</h2>"
        + html.numbered(
            html.small(hit.place) + html.BREAK + html.marked(hit.text) for hit in answer.context.hits
        )
        + "<h2>Review</h2>"
        + html.table("", ("", ""), [(name, value) for name, value in facts if value])
        + (html.numbered(decisions) if decisions else "")
        + "</body></html>\n"
    )


def _correction(text: str) -> str:
    return html.paragraph(html.marked(text)) if text else ""
