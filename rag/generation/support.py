"""Which sentences of an answer its citations support, and which they do not.

A sentence is supported if a verified citation stands in it or directly behind it, if all its numbers
stand in the quotes (or in the question), and if enough of its words do. This compares words: it cannot
see that a sentence denies what its quote says, or that it swaps who does what, and it counts a
paraphrase that shares no word with its quote, or one in another language, as not supported.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rag.core.answers import Citation
from rag.core.quantities import figures, missing
from rag.core.text import Span, sentences, stripped, terms

#: The least share of a sentence's content, in [0, 1], that its quotes, their headings and the question
#: must have together, and its quotes alone. Chosen on the examples of ``tests/test_support.py``. On the
#: answers and evidence of ``data/golden.jsonl``, that a person wrote: of the sentences whose numbers are
#: in their evidence 2.4 % are taken for unsupported, and 3.3 % are taken for supported by the evidence of
#: another question.
LEAST_SHARED, LEAST_QUOTED = 0.3, 0.2

_MARK = re.compile(r" ?\[(\d{1,4})\??\]")
_LEAD = re.compile(r"\s*(?:(?:[-*+•◦▪–>]|\(?[\w]{1,3}[.)])\s+)*")
_HEADING = re.compile(r"#{1,6}\s.*|(\*\*|__)(?:(?!\1).)+(?<![.!。])\1", re.DOTALL)
_STOPS = (".", "!", "?", "…", "。", "！", "？")
_RULE = re.compile(r"[|:\-\s]+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or list item of an answer that claims something.

    Attributes
    ----------
    start, end : int
        Where it stands in the answer's text, in characters, end exclusive; marks behind it left out.
    citations : tuple of int
        The numbers of the citations that it carries.
    why : str
        Why it is not supported; empty where it is.
    """

    start: int
    end: int
    citations: tuple[int, ...]
    supported: bool
    why: str


@dataclass(frozen=True, slots=True)
class Support:
    """How much of an answer its citations support.

    Attributes
    ----------
    share : float or None
        The share of its sentences, in [0, 1], that are supported; None where there are none.
    """

    share: float | None
    sentences: tuple[Sentence, ...]

    def __str__(self) -> str:
        """Return ``supported 3 of 4 sentences``."""
        count, known = len(self.sentences), sum(sentence.supported for sentence in self.sentences)
        return f"supported {known} of {count} sentence{'s' * (count != 1)}"


def support(text: str, citations: Sequence[Citation], question: str = "") -> Support:
    """Judge each sentence of an answer by its citations.

    Headings, lead-ins that end in a colon, questions and what has no words are no claims, unless
    they are cited.

    Parameters
    ----------
    text : str
        The answer, with ``[n]`` for each citation.
    citations : sequence of Citation
    question : str
        What the question says, an answer may repeat.

    Examples
    --------
    >>> quote = Citation(1, "a.md", 0, 28, "Leave is 28 days in Europe.", verified=True)
    >>> found = support("In Europe leave is 28 days. [1] In Asia it is 30. [1]", [quote])
    >>> found.share, found.sentences[1].why
    (0.5, '30 is not in what it cites')
    """
    known = {citation.number: citation for citation in citations}
    plain, origin, marks = _unmarked(text, known)
    spans = cited_sentences(plain, [at for at, _ in marks])
    carried: list[list[int]] = [[] for _ in spans]
    for at, number in marks:
        before = max((n for n, (start, _) in enumerate(spans) if start <= at), default=0)
        # A mark before all sentences belongs to the first, if that stands in the same paragraph.
        if spans and "\n\n" not in plain[at : spans[before][0]] and number not in carried[before]:
            carried[before].append(number)
    found = []
    for n, (start, end) in enumerate(spans):
        behind = plain[slice(*spans[n + 1])] if n + 1 < len(spans) else ""
        if _claims(plain[start:end], behind, cited=bool(carried[n])):
            why = judge(plain[start:end], [known[number] for number in carried[n]], question)
            found.append(Sentence(origin[start], origin[end - 1] + 1, tuple(carried[n]), not why, why))
    share = sum(sentence.supported for sentence in found) / len(found) if found else None
    return Support(share, tuple(found))


def cited_sentences(text: str, marks: Sequence[int]) -> list[Span]:
    """Return the sentences of a text in which spaces stand for marks; see `rag.core.text.sentences`.

    A mark behind a full stop ends a sentence, whatever comes then ("It is 5. [1] iPads are 6. [2]").
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
    """Return why a claim is not supported by its citations; empty where it is."""
    if not citations:
        return "it cites nothing"
    quotes = [citation for citation in citations if citation.verified]
    if not quotes:
        return "what it cites is not in the context"
    texts = [citation.text for citation in quotes]
    absent = dict.fromkeys(claim[figure.start : figure.end] for figure in missing(claim, [*texts, question]))
    if absent:
        return f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not in what it cites"
    around = " ".join([question, *(heading for citation in quotes for heading in citation.section)])
    if shared(claim, texts, around) < LEAST_SHARED or shared(claim, texts) < LEAST_QUOTED:
        return "what it cites speaks of something else"
    return ""


def shared(claim: str, quotes: Sequence[str], question: str = "") -> float:
    """Return the share, in [0, 1], of a claim's content that stands in the quotes or the question.

    Content is words without stop words, by their stems, and numbers; those count only if the quotes
    have them, as it is their presence that speaks for a quote.

    Examples
    --------
    >>> shared("Managers approve travel above $500.", ["Above $500, the manager approves."])
    0.75
    """
    numbers = [figure for figure in figures(claim) if figure.needs]
    told = len(numbers) - len(missing(claim, quotes))
    words = claim
    for figure in numbers:
        words = f"{words[: figure.start]}{' ' * (figure.end - figure.start)}{words[figure.end :]}"
    wanted = content(words)
    there = set[str]().union(*map(content, [*quotes, question]))
    size = len(wanted) + told
    return (len(wanted & there) + told) / size if size else 1.0


def content(text: str) -> set[str]:
    """Return the stems of a text's words, without stop words and numbers."""
    return {term for term in terms(text) if not term.isdecimal()}


def _claims(sentence: str, behind: str, *, cited: bool) -> bool:
    """Tell whether a sentence says something that needs a citation; `behind` is the next one."""
    body = sentence[_LEAD.match(sentence).end() :]  # type: ignore[union-attr]  # it matches everything
    if not any(map(str.isalnum, _MARK.sub("", body))):
        return False
    head_of_table = body.startswith("|") and behind.startswith("|") and _RULE.fullmatch(behind)
    form = _HEADING.fullmatch(body) or body.startswith("```") or head_of_table
    return cited or not (form or body.rstrip("*_ \t)\"'”’").endswith((":", "?")))


def _unmarked(text: str, known: Collection[int]) -> tuple[str, list[int], list[tuple[int, int]]]:
    """Return a text with a space for each mark, where its characters come from, and the marks' places."""
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
