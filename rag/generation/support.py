"""Judge which sentences of an answer its citations support.

A sentence is supported if it carries a verified citation, in it or directly behind it, if its quotes (or
the question) contain all its numbers, and if they contain enough of its words. The judgement compares
words: it cannot see that a sentence denies its quote or swaps who does what, and a paraphrase that shares
no word with its quote, or one in another language, counts as not supported.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from rag.core.citations import Citation, Sentence, Support
from rag.core.quantities import figures, missing
from rag.core.text import Span, sentences, stripped, terms

#: The least share of a sentence's content, in [0, 1], that its quotes, their headings and the question
#: must have together, and its quotes alone. Chosen on the examples of ``tests/generation/test_support.py``.
#: Error rates on the hand-written answers of ``data/golden.jsonl``, sentences whose numbers are in their
#: evidence: 2.4 % count as unsupported by their own evidence, 3.3 % as supported by another question's.
LEAST_SHARED, LEAST_QUOTED = 0.3, 0.2

_MARK = re.compile(r" ?\[(\d{1,4})\??\]")
_LEAD = re.compile(r"\s*(?:(?:[-*+•◦▪–>]|\(?[\w]{1,3}[.)])\s+)*")
_HEADING = re.compile(r"#{1,6}\s.*|(\*\*|__)(?:(?!\1).)+(?<![.!。])\1", re.DOTALL)
_STOPS = (".", "!", "?", "…", "。", "！", "？")
_RULE = re.compile(r"[|:\-\s]+")


def support(text: str, citations: Sequence[Citation], question: str = "") -> Support:
    """Judge each sentence of an answer by its citations.

    Headings, lead-ins that end in a colon, questions and lines without words state nothing, and are left
    out unless they are cited.

    Parameters
    ----------
    text : str
        The answer, with ``[n]`` for each citation.
    citations : sequence of Citation
    question : str
        An answer may repeat the question's numbers and words without a source.

    Examples
    --------
    >>> quote = Citation(1, "a.md", 0, 28, "Leave is 28 days in Europe.", verified=True)
    >>> judged = support("In Europe leave is 28 days. [1] In Asia it is 30. [1]", [quote])
    >>> judged.share, judged.sentences[1].why
    (0.5, '30 is not in what it cites')
    """
    known = {citation.number: citation for citation in citations}
    plain, origin, marks = _unmarked(text, known)
    spans = cited_sentences(plain, [at for at, _ in marks])
    carried: list[list[int]] = [[] for _ in spans]
    for at, number in marks:
        before = max((n for n, (start, _) in enumerate(spans) if start <= at), default=0)
        # A mark before all sentences belongs to the first one, if both stand in the same paragraph.
        if spans and "\n\n" not in plain[at : spans[before][0]] and number not in carried[before]:
            carried[before].append(number)
    judged = []
    for n, (start, end) in enumerate(spans):
        behind = plain[slice(*spans[n + 1])] if n + 1 < len(spans) else ""
        if _claims(plain[start:end], behind, cited=bool(carried[n])):
            why = judge(plain[start:end], [known[number] for number in carried[n]], question)
            judged.append(Sentence(origin[start], origin[end - 1] + 1, tuple(carried[n]), not why, why))
    share = sum(sentence.supported for sentence in judged) / len(judged) if judged else None
    return Support(share, tuple(judged))


def cited_sentences(text: str, marks: Sequence[int]) -> list[Span]:
    """Return the sentences of a text in which spaces stand for marks; see `rag.core.text.sentences`.

    A mark behind a full stop ends a sentence, whatever follows ("It is 5. [1] iPads are 6. [2]").
    """
    spans: list[Span] = []
    for start, end in sentences(text):
        for at in marks:
            if start < at < end and text[start:at].rstrip().endswith(_STOPS):
                before, (start, _) = stripped(text, start, at), stripped(text, at, end)
                spans += [before] if before[0] < before[1] else []
        spans.append((start, end))
    return spans


def judge(claim: str, citations: Sequence[Citation], question: str = "") -> str:
    """Return why a claim is not supported by its citations; empty if it is."""
    if not citations:
        return "it cites nothing"
    quotes = [citation for citation in citations if citation.verified]
    if not quotes:
        return "what it cites is not in the context"
    texts = [citation.text for citation in quotes]
    absent = dict.fromkeys(claim[figure.start : figure.end] for figure in missing(claim, [*texts, question]))
    if absent:
        return f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not in what it cites"
    around = " ".join([question, *(heading for citation in quotes for heading in citation.headings)])
    if shared(claim, texts, around) < LEAST_SHARED or shared(claim, texts) < LEAST_QUOTED:
        return "what it cites speaks of something else"
    return ""


def shared(claim: str, quotes: Sequence[str], question: str = "") -> float:
    """Return the share, in [0, 1], of a claim's content that the quotes or the question contain.

    Content is the stems of words that are no stop words, and the numbers that the quotes contain: only
    the presence of a number speaks for a quote.

    Examples
    --------
    >>> shared("Managers approve travel above $500.", ["Above $500, the manager approves."])
    0.75
    """
    numbers = [figure for figure in figures(claim) if figure.needs]
    quoted = len(numbers) - len(missing(claim, quotes))
    words = claim
    for figure in numbers:
        words = f"{words[: figure.start]}{' ' * (figure.end - figure.start)}{words[figure.end :]}"
    wanted = content(words)
    there = set[str]().union(*map(content, [*quotes, question]))
    size = len(wanted) + quoted
    return (len(wanted & there) + quoted) / size if size else 1.0


def content(text: str) -> set[str]:
    """Return the stems of a text's words, without stop words and numbers."""
    return {term for term in terms(text) if not term.isdecimal()}


def _claims(sentence: str, behind: str, *, cited: bool) -> bool:
    """Tell whether a sentence states something that needs a citation; `behind` is the next sentence."""
    body = sentence[_LEAD.match(sentence).end() :]  # type: ignore[union-attr]  # it matches everything
    if not any(map(str.isalnum, _MARK.sub("", body))):
        return False
    head_of_table = body.startswith("|") and behind.startswith("|") and _RULE.fullmatch(behind)
    form = _HEADING.fullmatch(body) or body.startswith("```") or head_of_table
    return cited or not (form or body.rstrip("*_ \t)\"'”’").endswith((":", "?")))


def _unmarked(text: str, known: Collection[int]) -> tuple[str, list[int], list[tuple[int, int]]]:
    """Return a text with a space for each mark, the origin of its characters, and the marks' offsets."""
    plain, origin, marks, at = "", list[int](), list[tuple[int, int]](), 0
    for match in _MARK.finditer(text):
        if int(match[1]) not in known:
            continue
        plain += text[at : match.start()]
        origin += range(at, match.start())
        marks.append((len(plain), int(match[1])))
        plain += " "
        origin.append(match.start())
        at = match.end()
    return plain + text[at:], [*origin, *range(at, len(text))], marks
