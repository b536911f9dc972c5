"""Add a question and its evidence to a golden set, as a draft that a person accepts later (`rag golden`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.core.errors import SourceError, UsageError
from rag.core.json_lines import append_json_line
from rag.core.passages import Hit
from rag.evaluation.drafting.draft import Draft
from rag.evaluation.golden_set import Span, lines, question_of
from rag.generation.quotes import find_quote

#: The tag of a question that was added here.
TAG = "explorer"


def evidence_of(hit: Hit, quote: str = "") -> tuple[Span, str]:
    """Return a hit as evidence, or the words of it that were marked.

    Raises
    ------
    UsageError
        The hit has no place in a document, or does not hold the words.
    """
    if not hit.placed:
        raise UsageError(f"it is not known where the passage of {hit.source} begins: choose another one")
    if not quote.strip():
        return Span(hit.source, hit.start, hit.end), hit.text
    found = find_quote(hit.text, quote)
    if found is None:
        raise UsageError("the marked words do not stand in one passage: mark words of one hit")
    start, end = found
    return Span(hit.source, hit.start + start, hit.start + end), hit.text[start:end]


def add(
    path: str | Path,
    question: str,
    evidence: Sequence[tuple[Span, str]],
    *,
    where: str = "",
    answer: str = "",
) -> str:
    """Append a draft to a golden set; return its id.

    Parameters
    ----------
    path : str or Path
        A JSON-lines file; it is made if it is not there.
    question : str
    evidence : sequence of (Span, str)
        Each with its text.
    where : str
        The question's filter.
    answer : str
        What was answered, without marks of citations.

    Raises
    ------
    UsageError
        There is no question or no evidence, or the set has the same question with the same evidence.
    SourceError
        The file cannot be read or written, or a line of it is invalid.
    """
    if not question.strip():
        raise UsageError("the question is empty: write one")
    if not evidence:
        raise UsageError("nothing shows what answers the question: tick the passages that do")
    (first, quote), *further = evidence
    draft = Draft(
        question.strip(), TAG, first, quote, answer, further=tuple(further),
        extra=(("where", where),) if where else (),
    )  # fmt: skip
    file = Path(path)
    if file.exists():
        if any(question_of(line).id == draft.id for line in lines(file)):
            raise UsageError(f"{file} has this question with this evidence already")
        if (text := file.read_bytes()) and not text.endswith(b"\n"):
            _end_line(file)
    try:
        append_json_line(file, draft.row())
    except OSError as error:
        raise SourceError(f"cannot write {file}: {error.strerror}") from None
    return draft.id


def _end_line(file: Path) -> None:
    try:
        with file.open("ab") as sink:
            sink.write(b"\n")
    except OSError as error:
        raise SourceError(f"cannot write {file}: {error.strerror}") from None
