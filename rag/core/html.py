"""HTML primitives for notebooks; each escapes its texts, and none knows a record.

An argument named `body` is HTML already; every other text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = [
    "BREAK",
    "bold",
    "escape",
    "footer",
    "marked",
    "note",
    "numbered",
    "paragraph",
    "quote",
    "small",
    "table",
]

BREAK = "<br>"
_CELL = "text-align:left;vertical-align:top;padding:.3em .8em .3em 0"
_DOUBT = "text-decoration:underline dotted #b58900"
_NOTE = "color:#946c00;margin:.3em 0"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts below its caption."""
    heads = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in row) + "</tr>" for row in rows
    )
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left">'
        f"<i>{escape(caption)}</i></caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def numbered(bodies: Iterable[str], numbers: Sequence[int] | None = None) -> str:
    """Return a numbered list of HTML; counted from 1 unless the numbers are given."""
    items = [
        f"<li>{body}</li>" if numbers is None else f"<li value={numbers[at]}>{body}</li>"
        for at, body in enumerate(bodies)
    ]
    return f"<ol>{''.join(items)}</ol>"


def marked(text: str, spans: Iterable[tuple[int, int, str]] = ()) -> str:
    """Return a text with spans underlined.

    Parameters
    ----------
    text : str
    spans : iterable of (int, int, str)
        Start and end in the text, and what is shown when the span is pointed at; in order and disjoint.
    """
    out, at = "", 0
    for start, end, why in spans:
        out += escape(text[at:start])
        out += f'<span style="{_DOUBT}" title="{escape(why)}">{escape(text[start:end])}</span>'
        at = end
    return (out + escape(text[at:])).replace("\n", BREAK)


def note(text: str) -> str:
    """Return a line that warns."""
    return f'<p style="{_NOTE}">{escape(text)}</p>'


def paragraph(body: str) -> str:
    """Return HTML as a paragraph."""
    return f"<p>{body}</p>"


def quote(text: str) -> str:
    """Return a text in quotation marks."""
    return f"<q>{escape(text)}</q>"


def bold(text: str) -> str:
    """Return a text in bold."""
    return f"<b>{escape(text)}</b>"


def small(text: str = "", *, body: str = "") -> str:
    """Return a text, or HTML, in small print."""
    return f"<small>{escape(text)}{body}</small>"


def footer(text: str) -> str:
    """Return a paragraph in small print."""
    return paragraph(small(text))
