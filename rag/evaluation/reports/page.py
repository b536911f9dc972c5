"""The page around a report, and its parts. Every text is escaped; nothing is fetched, and no script runs.

Filters are groups of radio buttons: a rule of the style sheet hides the questions that lack the class of a
button that is checked (``:has``, CSS Selectors level 4), so the groups narrow each other. How many questions
are shown is a counter of the style sheet. A policy in the page forbids all but its own style.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rag.core import html
from rag.core.drawn import drawn
from rag.core.format import utc_text
from rag.core.table import Table

#: Nothing is fetched, and no script runs; the style is in the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: Most questions that a report has; the worst come first.
MOST = 500
_STYLE = Path(__file__).with_name("style.css")


class Mark(NamedTuple):
    """How a piece of a text is marked.

    Attributes
    ----------
    name : str
        A class of the style sheet: ``evidence``, ``quoted``, ``doubt``, ``cite``, ``cite bad``.
    title : str
        What is shown when it is pointed at.
    link : str
        The id of what it leads to on the page.
    """

    name: str
    title: str = ""
    link: str = ""


class Filter(NamedTuple):
    """A group of radio buttons.

    Attributes
    ----------
    legend : str
    names : mapping of str to str
        What each button is called, by the class of the questions that it shows.
    """

    legend: str
    names: Mapping[str, str]


def shown(text: str) -> str:
    r"""Return a text for the page: escaped, and what is not to be seen made visible; line ends are ``\n``.

    Examples
    --------
    >>> shown("<b>a\x1b[31m\u202eb\r\n")
    '&lt;b&gt;a�[31m�b\n'
    """
    return html.escape(drawn(text.replace("\r\n", "\n").replace("\r", "\n")))


def kind(group: str, name: str = "") -> str:
    """Return a class for a name, whatever its characters.

    Examples
    --------
    >>> kind("tag", "a b"), kind("wrong")
    ('tag-612062', 'wrong')
    """
    return f"{group}-{name.encode(errors='replace').hex()}" if name else group


def highlighted(text: str, spans: Iterable[tuple[int, int, Mark]]) -> str:
    """Return a text with spans marked; where they overlap, a piece has the marks of all."""
    return "".join(_piece(piece, marks) for piece, marks in html.pieces(text, spans))


def _piece(text: str, marks: Sequence[Mark]) -> str:
    if not marks:
        return shown(text)
    names = " ".join(dict.fromkeys(mark.name for mark in marks))
    title = "; ".join(dict.fromkeys(mark.title for mark in marks if mark.title))
    link = next((mark.link for mark in marks if mark.link), "")
    tag = "a" if link else "mark" if {"evidence", "quoted"} & {mark.name for mark in marks} else "span"
    attributes = (f' href="#{link}"' if link else "") + (f' title="{shown(title)}"' if title else "")
    return f'<{tag} class="{names}"{attributes}>{shown(text)}</{tag}>'


def paragraphs(lines: Iterable[str], kind: str = "") -> str:
    """Return a paragraph for each text."""
    attribute = f' class="{kind}"' if kind else ""
    return "".join(f"<p{attribute}>{shown(line)}</p>" for line in lines)


def listed(title: str, lines: Sequence[str]) -> str:
    """Return texts as a list below a title; nothing if there are none."""
    items = "".join(f"<li>{shown(line)}</li>" for line in lines)
    return f"<h3>{shown(title)}</h3><ul>{items}</ul>" if lines else ""


def commands(title: str, lines: Sequence[str]) -> str:
    """Return commands to copy below a title; nothing if there are none."""
    items = "".join(f'<pre tabindex="0"><code>{shown(line)}</code></pre>' for line in lines)
    return f"<h3>{shown(title)}</h3>{items}" if lines else ""


def table(made: Table) -> str:
    """Return a table that scrolls by itself where the page is narrow."""
    rows = [[drawn(cell) for cell in row] for row in made.rows]
    body = html.table(drawn(made.caption), [drawn(name) for name in made.head], rows, styled=False)
    name = shown(made.caption or made.head[0])
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{body}</div>'


def chip(text: str, look: str) -> str:
    """Return a short text on a coloured ground: ``good``, ``warn`` or ``bad``."""
    return f'<span class="chip {look}">{shown(text)}</span>'


class Question(NamedTuple):
    """A question that unfolds.

    Attributes
    ----------
    verdict : str
        In a word or two.
    look : {"good", "warn", "bad"}
    id, text : str
        Its name in the golden set, and its words.
    body : str
        HTML.
    kinds : collection of str
        The classes by which filters choose it.
    """

    verdict: str
    look: str
    id: str
    text: str
    body: str
    kinds: Collection[str] = ()

    def to_html(self) -> str:
        """Return it as HTML."""
        return (
            f'<details class="{" ".join(["question", *self.kinds])}"><summary>{chip(self.verdict, self.look)}'
            f'<span class="ask">{shown(self.text)} <span class="id">{shown(self.id)}</span></span></summary>'
            f"<div>{self.body}</div></details>"
        )


def questions(
    title: str, rows: Sequence[Question], filters: Sequence[Filter] = (), left_out: int = 0
) -> tuple[str, str]:
    """Return questions below a title and the filters that choose among them, and the style of these.

    Parameters
    ----------
    title : str
    rows : sequence of Question
    filters : sequence of Filter
        A button that would show none, or all, is left out.
    left_out : int
        Further questions that are not on the page.
    """
    if not rows:
        return "", ""
    counts = Counter(name for row in rows for name in {*row.kinds})
    groups, rules = "", ""
    for number, group in enumerate(filters):
        names = {name: label for name, label in group.names.items() if 0 < counts[name] < len(rows)}
        if names:
            groups += _buttons(group.legend, number, {"": "all", **names}, {**counts, "": len(rows)})
            rules += "".join(
                f"body:has(#f{number}-{at}:checked) .question:not(.{name}) {{ display: none }}\n"
                for at, name in enumerate(names, 1)
            )
    tally = f'<p class="tally dim" data-total="{len(rows)}"></p>' if groups else ""
    more = paragraphs([f"{left_out} more questions are left out"] if left_out else [], "warn")
    listed = "".join(row.to_html() for row in rows)
    return (
        f'<section aria-label="{shown(title)}"><h2>{shown(title)}</h2>{groups}'
        f'<div class="questions">{listed}{tally}</div>{more}</section>'
    ), rules


def _buttons(legend: str, number: int, names: Mapping[str, str], counts: Mapping[str, int]) -> str:
    buttons = "".join(
        f'<label><input type="radio" name="f{number}" id="f{number}-{at}"{"" if at else " checked"}>'
        f" {shown(label)} <small>{counts[name]}</small></label>"
        for at, (name, label) in enumerate(names.items())
    )
    return f"<fieldset><legend>{shown(legend)}</legend>{buttons}</fieldset>"


def page(title: str, subtitle: str, body: str, rules: str = "") -> str:
    """Return a whole HTML page."""
    style = _STYLE.read_text(encoding="utf-8") + rules
    made = utc_text(dt.datetime.now(dt.UTC).timestamp())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown(title)}</title><style>\n{style}</style></head><body><header><h1>{shown(title)}</h1>"
        f'<p class="dim">{shown(subtitle)} · {made}</p></header><main>{body}</main></body></html>\n'
    )
