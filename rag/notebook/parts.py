"""Parts of a card: facts, tables, bars, folds. All text is inert; HTML is passed as `body`.

A card holds its style sheet, no script, and asks for nothing: it looks the same in a notebook that was sent
to somebody else. Its root has the classes that keep MathJax out, which would read "$5 and $6" as a formula.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from rag.core.drawn import drawn
from rag.core.format import counted
from rag.notebook.lines import LINE_END, numeric

#: Most characters of a value, name or path; what is longer is cut, and says so.
LONGEST = 300
_MARKUP = re.compile("[&<>\"']")


@functools.cache
def _style() -> str:
    """Return the style sheet on as few characters as it needs: it is in every card."""
    sheet = files("rag.notebook").joinpath("style.css").read_text(encoding="utf-8")
    body = sheet.partition("*/")[2]
    return (
        " ".join(body.split()).replace(" { ", "{").replace("; }", "}").replace(" }", "}").replace("; ", ";")
    )


def inert(text: object, most: int = LONGEST) -> str:
    """Return a text of at most `most` characters such that nothing in it is markup, or obeyed.

    Examples
    --------
    >>> inert("<b>" + chr(27) + "[2J")
    '&lt;b&gt;�[2J'
    """
    whole = str(text)
    if len(whole) <= most and whole.isascii() and whole.isprintable() and not _MARKUP.search(whole):
        return whole  # most cells of tables: nothing in it could be markup, or obeyed
    return escape(drawn(LINE_END.sub("\n", whole[: most - 1] + "…" if len(whole) > most else whole)))


def card(kind: str, name: str, body: str) -> str:
    """Return HTML as a card, with what it shows above it."""
    shown = f" <bdi>{inert(name)}</bdi>" if name else ""
    return (
        f'<div class="rag tex2jax_ignore mathjax_ignore" role="group" aria-label="{inert(kind)}">'
        f"<style>{_style()}</style>"
        f'<div class="name"><strong>{inert(kind)}</strong>{shown}</div>{body}</div>'
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names with bodies beside them; those without a body are left out."""
    lines = "".join(
        f'<tr><th scope="row">{inert(name)}</th><td>{body}</td></tr>' for name, body in rows if body
    )
    return f'<table class="facts"><tbody>{lines}</tbody></table>' if lines else ""


def grid(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, bodies: Sequence[int] = ()
) -> str:
    """Return a table of texts, which scrolls by itself; numbers stand to the right.

    Parameters
    ----------
    caption : str
    head, rows
    bodies : sequence of int
        Columns whose cells are HTML already.
    """
    right = [
        at not in bodies and any(row[at] for row in rows) and all(numeric(row[at]) for row in rows)
        for at in range(len(head))
    ]
    side = [' class="n"' if each else "" for each in right]
    heads = "".join(
        f'<th scope="col"{side[at]}>{inert(name)}</th>' if name else "<td></td>"
        for at, name in enumerate(head)
    )
    lines = "".join(
        "<tr>" + "".join(
            f"<td{side[at]}>{cell if at in bodies else inert(cell)}</td>" for at, cell in enumerate(row)
        ) + "</tr>"
        for row in rows
    )  # fmt: skip
    titled = f"<caption>{inert(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{inert(caption or "table")}">'
        f"<table>{titled}<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def bar(share: float, *, kind: str = "", wide: bool = False) -> str:
    """Return a bar that is filled by a share in [0, 1]; its number stands beside it as text."""
    filled = 100 * min(max(share, 0.0), 1.0) if share == share else 0.0  # NaN fills nothing
    of = f' class="{kind}"' if kind else ""
    body = f'<span{of} style="width:{filled:.0f}%"></span>'
    return f'<span class="bar{" wide" if wide else ""}" aria-hidden="true">{body}</span>'


def fold(summary: str, body: str) -> str:
    """Return HTML that unfolds below its summary."""
    return f"<details><summary>{inert(summary)}</summary>{body}</details>"


def label(text: str) -> str:
    """Return the name of a part of a card."""
    return f'<div class="label">{inert(text)}</div>'


def notes(texts: Iterable[str], kind: str = "warn") -> str:
    """Return lines that warn."""
    return "".join(f'<p class="{kind}">{inert(text, 1000)}</p>' for text in texts)


def dim(text: str) -> str:
    """Return a line in small print; empty for an empty text."""
    return f'<p class="dim">{inert(text, 1000)}</p>' if text else ""


def more(count: int, noun: str, how: str) -> str:
    """Return how much is left out, and how to see it; empty if nothing is."""
    return dim(f"… {counted(count, 'more ' + noun)}: {how}") if count > 0 else ""


def code(text: str) -> str:
    """Return a text as code."""
    return f"<code>{inert(text)}</code>"
