"""The page around a report, and its parts. Every text is escaped; nothing is fetched, and no script runs.

Filters are radio buttons: a rule of the style sheet hides the questions that lack the class of the one that
is checked (``:has``, CSS Selectors level 4). A policy in the page forbids all but its own style.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from rag.core.drawn import drawn
from rag.core.table import Table

#: Nothing is fetched, and no script runs; the style is in the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = Path(__file__).with_name("style.css")


def shown(text: str) -> str:
    r"""Return a text for the page: escaped, and what is not to be seen made visible.

    Examples
    --------
    >>> shown("<b>a\x1b[31m\u202eb")
    '&lt;b&gt;a�[31m�b'
    """
    return escape(drawn(text))


def highlighted(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Return a text with spans marked, each with the class of its kind; where they meet, the first holds.

    Parameters
    ----------
    text : str
    spans : iterable of (int, int, str)
        Start, end, and the class: empty for evidence, ``quoted``, or ``doubt: WHY``.
    """
    out, at = "", 0
    for start, end, kind in sorted(spans):
        start, end = max(start, at), min(end, len(text))
        if start >= end:
            continue
        name, _, why = kind.partition(": ")
        title = f' title="{shown(why)}"' if why else ""
        open_, close = (f'<span class="doubt"{title}>', "</span>") if name == "doubt" else (
            f"<mark{f' class={chr(34)}{name}{chr(34)}' if name else ''}>", "</mark>"
        )  # fmt: skip
        out += f"{shown(text[at:start])}{open_}{shown(text[start:end])}{close}"
        at = end
    return out + shown(text[at:])


def paragraphs(lines: Iterable[str], kind: str = "") -> str:
    """Return a paragraph for each text."""
    attribute = f' class="{kind}"' if kind else ""
    return "".join(f"<p{attribute}>{shown(line)}</p>" for line in lines)


def table(made: Table) -> str:
    """Return a table that scrolls by itself where the page is narrow."""
    head = "".join(f'<th scope="col">{shown(name)}</th>' for name in made.head)
    rows = "".join("<tr>" + "".join(f"<td>{shown(cell)}</td>" for cell in row) + "</tr>" for row in made.rows)
    name = shown(made.caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table><caption>{name}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def filters(names: Mapping[str, str], counts: Mapping[str, int]) -> tuple[str, str]:
    """Return the radio buttons that choose questions, and the style that makes them work.

    Parameters
    ----------
    names : mapping of str to str
        What each is called, by its class; the empty class is for all.
    counts : mapping of str to int
        Questions, by class.
    """
    buttons = "".join(
        f'<label><input type="radio" name="shown" id="f{at}"{" checked" if not at else ""}> {shown(name)} '
        f"({counts.get(kind, 0)})</label>"
        for at, (kind, name) in enumerate(names.items())
    )
    rules = "".join(
        f"body:has(#f{at}:checked) .question:not(.{kind}) {{ display: none }}\n"
        for at, kind in enumerate(names) if kind
    )  # fmt: skip
    return f'<fieldset><legend class="dim">Show</legend>{buttons}</fieldset>', rules


def question(verdict: str, good: bool, name: str, text: str, body: str, kinds: Sequence[str]) -> str:
    """Return a question that unfolds.

    Parameters
    ----------
    verdict : str
        In a word or two.
    good : bool
    name, text : str
        The question's id and its words.
    body : str
        HTML.
    kinds : sequence of str
        The classes by which filters choose it.
    """
    chip = f'<span class="chip {"good" if good else "bad"}">{shown(verdict)}</span>'
    return (
        f'<details class="question {" ".join(kinds)}"><summary>{chip} {shown(text)} '
        f'<span class="id">{shown(name)}</span></summary><div>{body}</div></details>'
    )


def page(title: str, subtitle: str, body: str, rules: str = "") -> str:
    """Return a whole HTML page."""
    style = _STYLE.read_text(encoding="utf-8") + rules
    made = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown(title)}</title><style>\n{style}</style></head><body><header><h1>{shown(title)}</h1>"
        f'<p class="dim">{shown(subtitle)} · {made}</p></header><main>{body}</main></body></html>\n'
    )
