"""Split text into sentences and words; the only place that does, for every stage.

Sentences are spans into their text; nothing is rewritten.
"""

from __future__ import annotations

import re
from functools import lru_cache

import Stemmer

Span = tuple[int, int]

# A line that begins a new block, whatever the line above it: a list item, heading, table row, quote,
# fence or rule.
_OPENS = r"[ \t]*(?:[-*+•◦▪–][ \t]|\(?\d{1,3}[.)][ \t]|\(?[a-zA-Z][.)][ \t]|#{1,6}[ \t]|\||>|```|~~~|---)"
# Hard breaks: blank lines, and line ends before such a line or after a row, heading or fence.
_HARD = re.compile(
    r"(?:\r?\n[ \t]*){2,}"
    rf"|\r?\n(?={_OPENS}|[ ]{{4}}|\t)"
    r"|(?<=[|:])[ \t]*\r?\n"
    r"|\f"
)
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t].*$", re.MULTILINE)
# A sentence's end: closing punctuation (with quotes and brackets after it) and white space before a
# character that can begin a sentence; ideographic full stops need no white space. The quantifiers are
# possessive, so that a page of dots takes no longer than one of words.
_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’)\]*_]*+(?=\s++[\"'“‘(\[*_`]*+[^\Wa-z_])|[。！？｡؟۔।]++[”’」』）]*+"
)
# English words that end in a full stop without ending a sentence.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'])(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|No|Nos|Fig|Figs|Eq|Sec|Art|Ch|Vol|pp?|"
    r"vs|etc|al|e\.g|i\.e|cf|approx|ca|Inc|Ltd|Co|Corp|Dept|Gov|Gen|Sen|Rep|Jan|Feb|Mar|Apr|Jun|"
    r"Jul|Aug|Sept?|Oct|Nov|Dec|U\.S|U\.K|U\.N|a\.m|p\.m)\.$"
)


def sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    r"""Find the sentences, list items, headings and table rows of a text.

    Parameters
    ----------
    text : str
        Any text; only ``text[start:end]`` is read.
    start, end : int
        Offsets in characters, end exclusive.

    Returns
    -------
    list of (int, int)
        Spans in order, disjoint, without white space at either end; together they hold every
        character of ``text[start:end]`` that is not white space. A line end breaks a sentence only
        before a line that begins a block, or before a blank line.

    Examples
    --------
    >>> text = "Dr. Okonkwo decides. See v2.1.\n- page the on-call\n- then wait"
    >>> [text[a:b] for a, b in sentences(text)]
    ['Dr. Okonkwo decides.', 'See v2.1.', '- page the on-call', '- then wait']
    """
    stop = len(text) if end is None else end
    spans: list[Span] = []
    for block_start, block_end in _blocks(text, start, stop):
        at = block_start
        for match in _END.finditer(text, block_start, block_end):
            cut = match.end()
            if match.group().startswith(".") and _ABBREVIATION.search(text, max(at, cut - 12), cut):
                continue
            _append(spans, text, at, cut)
            at = cut
        _append(spans, text, at, block_end)
    return spans


def _blocks(text: str, start: int, stop: int) -> list[Span]:
    blocks: list[Span] = []
    at = start
    for match in _HARD.finditer(text, start, stop):
        blocks.append((at, match.start()))
        at = match.end()
    blocks.append((at, stop))
    out: list[Span] = []
    for begin, end in blocks:  # a heading ends with its line
        at = begin
        for match in _HEADING.finditer(text, begin, end):
            out += [(at, match.start()), (match.start(), match.end())]
            at = match.end()
        out.append((at, end))
    return out


def stripped(text: str, start: int, end: int) -> Span:
    """Return a span without the white space at either end; empty if it is all white space."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _append(spans: list[Span], text: str, start: int, end: int) -> None:
    span = stripped(text, start, end)
    if span[0] < span[1]:
        spans.append(span)


_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
# Han, kana and Thai are written without spaces between words: matched as overlapping pairs.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")

STOP_WORDS = frozenset(
    """
    a about above after again all am an and any are as at be because been before being below
    between both but by can could did do does doing down during each few for from further get
    got had has have having he her here hers him his how i if in into is it its itself just me
    might more most must my myself nor of off on once only or other our ours out over own
    please same shall she should so some such than that the their theirs them then there these
    they this those through to too under until up very was we were what when where which while
    who whom why will with would you your yours
    """.split()
)


@lru_cache(maxsize=1)
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("english")


@lru_cache(maxsize=1 << 18)
def term(word: str) -> str:
    """Return the index term of a lower-case word; empty for a stop word.

    Examples
    --------
    >>> term("declares"), term("the")
    ('declar', '')
    """
    word = word.replace("’", "'").removesuffix("'s")
    return "" if word in STOP_WORDS else str(_stemmer().stemWord(word))


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, including stop words.

    Scripts without spaces between words (Han, kana, Thai) give overlapping pairs of characters.
    """
    matches: list[str] = _WORD.findall(text.lower())
    if text.isascii():
        return matches
    out: list[str] = []
    for word in matches:
        if word.isascii() or not _UNSPACED.search(word):
            out.append(word)
            continue
        at = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > at:
                out.append(word[at : run.start()])
            pairs = run.group()
            out += [pairs[i : i + 2] for i in range(max(1, len(pairs) - 1))]
            at = run.end()
        if at < len(word):
            out.append(word[at:])
    return out


def terms(text: str) -> list[str]:
    """Return the index terms of a text: lower case, stemmed (Snowball English), no stop words.

    Examples
    --------
    >>> terms("Who declares a SEV-1?")
    ['declar', 'sev', '1']
    """
    return [stem for word in words(text) if (stem := term(word))]


def fold(text: str) -> tuple[str, list[int]]:
    """Fold white space, case and typographic quotes, and map each character to its origin.

    Returns
    -------
    folded : str
        Runs of white space are one space; quotes and dashes are ASCII; lower case.
    origin : list of int
        For each character of `folded` its offset in `text`; one more at the end: ``len(text)``.

    Examples
    --------
    >>> fold("Ask  “Ann”")[0]
    'ask "ann"'
    """
    out: list[str] = []
    origin: list[int] = []
    space = True
    for at, character in enumerate(text):
        if character.isspace():
            if space:
                continue
            out.append(" ")
            space = True
        else:
            plain = _PLAIN.get(character, character).lower()
            out.append(plain if len(plain) == 1 else character)
            space = False
        origin.append(at)
    origin.append(len(text))
    return "".join(out), origin


_PLAIN = {"“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "–": "-", "—": "-", "‑": "-"}
