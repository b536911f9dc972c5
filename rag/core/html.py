"""HTML primitives for notebooks and pages; each escapes its texts, and none knows a record.

An argument named `body` is HTML already; every other text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import TypeVar

__all__ = [
    "BREAK",
    "bold",
    "escape",
    "folded",
    "marked",
    "note",
    "numbered",
    "paragraph",
    "pieces",
    "small",
    "table",
]

BREAK = "<br>"
_CELL = "text-align:left;vertical-align:top;padding:.3em .8em .3em 0"
_TABLE = ' style="border-collapse:collapse"'
_CAPTION = ' style="text-align:left"'
_DOUBT = "text-decoration:underline dotted #b58900"
_NOTE = "color:#946c00;margin:.3em 0"


_T = TypeVar("_T")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, styled: bool = True) -> str:
    """Return a table of texts below its caption; unless `styled`, a page's style sheet says how it looks."""
    of_cell = f' style="{_CELL}"' if styled else ""
    of_table, of_caption = (_TABLE, _CAPTION) if styled else ("", "")
    heads = "".join(f'<th scope="col"{of_cell}>{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td{of_cell}>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f"<table{of_table}><caption{of_caption}><i>{escape(caption)}</i></caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def numbered(bodies: Iterable[str], numbers: Sequence[int] | None = None) -> str:
    """Return a numbered list of HTML; counted from 1 unless the numbers are given."""
    items = [
        f"<li>{body}</li>" if numbers is None else f"<li value={numbers[at]}>{body}</li>"
        for at, body in enumerate(bodies)
    ]
    return f"<ol>{''.join(items)}</ol>"


def pieces(text: str, spans: Iterable[tuple[int, int, _T]]) -> Iterator[tuple[str, list[_T]]]:
    """Cut a text where spans begin and end, and yield each piece with the values of the spans over it.

    Parameters
    ----------
    text : str
    spans : iterable of (int, int, T)
        Start and end in the text, and a value; in any order. They may overlap, and run beyond the text.

    Examples
    --------
    >>> [*pieces("abcde", [(1, 3, "x"), (2, 9, "y")])]
    [('a', []), ('b', ['x']), ('c', ['x', 'y']), ('de', ['y'])]
    """
    kept = [(max(start, 0), min(end, len(text)), value) for start, end, value in spans]
    cuts = sorted({0, len(text), *(at for start, end, _ in kept if start < end for at in (start, end))})
    for start, end in pairwise(cuts):
        yield text[start:end], [value for a, b, value in kept if a <= start and end <= b]


def marked(text: str, spans: Iterable[tuple[int, int, str]] = ()) -> str:
    """Return a text with spans underlined.

    Parameters
    ----------
    text : str
    spans : iterable of (int, int, str)
        Start and end in the text, and what is shown when the span is pointed at.
    """
    out = "".join(
        f'<span style="{_DOUBT}" title="{escape("; ".join(whys))}">{escape(piece)}</span>' if whys
        else escape(piece)
        for piece, whys in pieces(text, spans)
    )  # fmt: skip
    return out.replace("\n", BREAK)


def folded(summary: str, body: str) -> str:
    """Return HTML that unfolds below its summary."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def note(text: str) -> str:
    """Return a line that warns."""
    return f'<p style="{_NOTE}">{escape(text)}</p>'


def paragraph(body: str) -> str:
    """Return HTML as a paragraph."""
    return f"<p>{body}</p>"


def bold(text: str) -> str:
    """Return a text in bold."""
    return f"<b>{escape(text)}</b>"


def small(text: str = "", *, body: str = "") -> str:
    """Return a text, or HTML, in small print."""
    return f"<small>{escape(text)}{body}</small>"
