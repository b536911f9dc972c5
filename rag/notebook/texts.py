"""Texts of documents in a card: line breaks, headings and tables kept, spans of them marked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from rag.core.drawn import drawn
from rag.core.format import counted
from rag.core.html import pieces
from rag.core.text import term, words
from rag.notebook import parts
from rag.notebook.lines import LINE_END

#: Start and end in the text, and the class of the mark: ``"word"``, or ``"quote"``.
Mark = tuple[int, int, str]
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_LINE = re.compile(r"[^\n\r\f]*(?:\r\n|[\n\r\f]|$)")
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]")
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
#: Most rows and columns of a table that are shown.
_ROWS, _COLUMNS = 30, 20


def word_marks(text: str, question: str) -> list[Mark]:
    """Return where words of a question stand in a text, in any of their forms, stop words aside.

    Examples
    --------
    >>> word_marks("She declared it.", "Who declares it?")
    [(4, 12, 'word')]
    """
    wanted = {stem for word in words(question[:2000]) if (stem := term(word))}
    out: list[Mark] = []
    for match in _WORD.finditer(text) if wanted else ():
        word = match[0].lower()
        known = [part for part in words(word) if term(part) in wanted]
        if known and (known == [word] or len(word) != len(match[0])):
            out.append((*match.span(), "word"))
        else:  # a script without spaces: pairs of characters
            out += [
                (match.start() + at.start(), match.start() + at.end(), "word")
                for part in known for at in re.finditer(re.escape(part), word)
            ]  # fmt: skip
    return out


def marked(text: str, marks: Iterable[Mark] = ()) -> str:
    """Return a text on its lines, with spans marked."""
    out = []
    for piece, kinds in pieces(text, marks):
        body = escape(drawn(LINE_END.sub("\n", piece)))
        if "quote" in kinds:
            body = f'<mark class="quote">{body}</mark>'
        elif kinds and body.strip():
            body = f"<mark>{body}</mark>"
        out.append(body)
    return "".join(out)


def passage(
    text: str, marks: Sequence[Mark] = (), *, head: str | None = None, most: int = 2000, how: str = ".text"
) -> str:
    """Return a passage, with its tables as tables.

    Parameters
    ----------
    text : str
    marks : sequence of Mark
    head : str, optional
        The head of the table whose rows the text begins with.
    most : int
        Most characters; behind them stands how many are left out.
    how : str
        Where the rest is to be found.
    """
    cut = text[:most]
    inside = [(start, min(end, most), kind) for start, end, kind in marks if start < most]
    body = "".join(_blocks(cut, inside, head))
    left = len(text) - len(cut)
    return f'<div class="text" dir="auto">{body}</div>{parts.more(left, "character", how)}'


def _blocks(text: str, marks: Sequence[Mark], head: str | None) -> Iterator[str]:
    table: list[tuple[int, int]] = []
    plain = 0
    for start, end in _lines(text):
        if "|" in text[start:end] and text[start:end].strip().startswith("|"):
            if not table:
                # A table stands apart by itself: the line breaks before it would be blank lines.
                yield "".join(_plain(text, plain, start, marks)).rstrip("\n")
            table.append((start, end))
            plain = end
        elif table:
            yield _table(text, table, marks, head if table[0][0] == 0 else None)
            table = []
    if table:
        yield _table(text, table, marks, head if table[0][0] == 0 else None)
    yield from _plain(text, plain, len(text), marks)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    for match in _LINE.finditer(text):
        if match.end() > match.start():
            yield match.span()


def _plain(text: str, start: int, end: int, marks: Sequence[Mark]) -> Iterator[str]:
    """Yield text that is no table, with its headings in bold."""
    begun = start
    for first, last in _lines(text[start:end]):
        first, last = first + start, last + start
        if _HEADING.match(text, first, last):
            yield _slice(text, begun, first, marks)
            yield f'<span class="head">{_slice(text, first, last, marks)}</span>'
            begun = last
    yield _slice(text, begun, end, marks)


def _slice(text: str, start: int, end: int, marks: Sequence[Mark]) -> str:
    inside = [(a - start, b - start, kind) for a, b, kind in marks if a < end and start < b]
    return marked(text[start:end], inside)


def _table(text: str, lines: Sequence[tuple[int, int]], marks: Sequence[Mark], head: str | None) -> str:
    """Return lines of a Markdown table as a table."""
    if len(lines) == 1 and head is None and not text[slice(*lines[0])].rstrip().endswith("|"):
        return _slice(text, *lines[0], marks)
    rows = [_cells(text, *span, marks) for span in lines if not _RULE.match(text[slice(*span)].rstrip())]
    named = len(lines) > 1 and bool(_RULE.match(text[slice(*lines[1])].rstrip()))
    heads: list[str] = []
    if named and rows:
        heads, rows = rows[0], rows[1:]
    elif head is not None:
        first = next(iter(LINE_END.split(head.strip())), "")
        heads = _cells(first, 0, len(first), ())
    wide = max(map(len, [heads, *rows]), default=0)
    top = "".join(f'<th scope="col">{cell}</th>' for cell in heads[:_COLUMNS])
    body = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row[:_COLUMNS])}</tr>" for row in rows[:_ROWS]
    )
    left = [counted(len(rows) - _ROWS, "more row")] if len(rows) > _ROWS else []
    left += [counted(wide - _COLUMNS, "more column")] if wide > _COLUMNS else []
    heading = f"<thead><tr>{top}</tr></thead>" if top else ""
    table = f"<table>{heading}<tbody>{body}</tbody></table>"
    scrolls = f'<div class="scroll" tabindex="0" role="group" aria-label="table">{table}</div>'
    return scrolls + (f"<small>… {', '.join(left)}</small>" if left else "")


def _cells(text: str, start: int, end: int, marks: Sequence[Mark]) -> list[str]:
    """Return a row's cells as HTML."""
    whole = text[start:end].rstrip()
    first = start + len(whole) - len(whole.lstrip())
    last = start + len(whole)
    at, cells = first, list[str]()
    for match in re.finditer(r"(?<!\\)\|", text[first:last]):
        cells.append(_slice(text, at, first + match.start(), marks).strip())
        at = first + match.end()
    if at < last:
        cells.append(_slice(text, at, last, marks).strip())
    return cells[1:] if cells and not cells[0] else cells
