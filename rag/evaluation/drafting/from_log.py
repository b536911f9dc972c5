"""Draft golden questions from a log: one for each group of questions that ask the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.answers import Answer
from rag.core.errors import SourceError
from rag.core.json_lines import read_json_lines
from rag.core.personal_data import masked
from rag.core.progress import Progress, tracked
from rag.evaluation.drafting.clusters import clusters
from rag.evaluation.drafting.draft import Draft
from rag.evaluation.drafting.suggest import KEPT, Suggestions, known_questions
from rag.evaluation.golden_set import Questions, Span
from rag.evaluation.likeness import Texts, plain, unit_vectors
from rag.usage.collector import Collector

#: Different questions that are compared with each other; of more, those that were asked most.
_MOST = 5_000
_LINE = '{"question": "…"}'
_MARK = re.compile(r"\s?\[\d+\??\]")


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions of a log that ask the same.

    Attributes
    ----------
    question : str
        The one that is most like the others, personal data masked.
    count : int
        How often it was asked, in any words.
    others : tuple of str
        Up to three other wordings, masked.
    """

    question: str
    count: int
    others: tuple[str, ...] = ()


def read_log(path: str | Path) -> list[str]:
    """Return the questions of a JSON-lines file, personal data masked.

    Raises
    ------
    SourceError
        The file cannot be read, or a line has no ``"question"``.
    """
    out = []
    for place, row in read_json_lines(Path(path), _LINE):
        text = row.get("question") if isinstance(row, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise SourceError(f"{place} has no question: write {_LINE}")
        out.append(masked(" ".join(text.split())))
    if not out:
        raise SourceError(f"{path} is empty: write a line {_LINE} for each question")
    return out


def grouped(questions: Sequence[str], embedder: Any = None) -> list[Asked]:
    """Return questions that ask the same as one, those first that were asked most.

    Examples
    --------
    >>> log = ["How long is parental leave?", "how long is parental leave", "Who may declare a SEV-1?"]
    >>> found = grouped(log)
    >>> [(each.question, each.count) for each in found]
    [('How long is parental leave?', 2), ('Who may declare a SEV-1?', 1)]
    """
    spellings: dict[str, Counter[str]] = {}
    for question in questions:
        spellings.setdefault(plain(question), Counter())[question] += 1
    equal = sorted(spellings.values(), key=lambda each: -each.total())[:_MOST]
    texts = [each.most_common(1)[0][0] for each in equal]
    counts = [each.total() for each in equal]
    vectors = unit_vectors(texts, embedder)
    out = []
    for group in clusters(vectors, counts):
        weights = np.asarray([counts[number] for number in group], np.float32)
        central = vectors[group] @ (weights @ vectors[group])
        order = [group[at] for at in np.argsort(-central, kind="stable").tolist()]
        others = tuple(texts[number] for number in order[1:4])
        out.append(Asked(texts[order[0]], int(weights.sum()), others))
    return sorted(out, key=lambda each: (-each.count, each.question))


def suggest_from_log(
    pipe: Any,
    log: str | Path,
    count: int = 20,
    *,
    against: Questions | None = None,
    tag: str = "golden",
    progress: Progress | None = None,
) -> Suggestions:
    """Draft one question for each group of a log's questions, the most frequent first.

    `pipe` answers each; the verified citations of its answer are the draft's evidence. A question that it
    does not answer becomes a draft without evidence, with the tag ``"unanswered"``: a person must find the
    evidence, or set ``answerable`` to false.

    Parameters
    ----------
    pipe : Pipeline
        Its calls are paid for, and within its budget.
    log : str or Path
        JSON lines with ``"question"``. Personal data is masked (`rag.core.personal_data`).
    count : int
        The most drafts.
    against, tag, progress : optional
        As in `suggest`.

    Raises
    ------
    SourceError
        The log, or `against`, cannot be read.
    BudgetError
        The first call must not be made; a later one ends the drafts with a note.

    Examples
    --------
    >>> found = suggest_from_log(rag.Pipeline("indexes/handbook"), "questions.jsonl")     # doctest: +SKIP
    >>> rows = [draft.row() for draft in found]                                           # doctest: +SKIP
    """
    dropped: Counter[str] = Counter()
    groups, known = grouped(read_log(log)), known_questions(against)

    def drafts() -> Iterator[Draft]:
        texts = Texts([each.question for each in groups])
        taken = {pair.first for pair in texts.pairs(Texts(known))} if known else set[int]()
        for number, each in enumerate(tracked(progress, "drafts", groups, "group", kept=KEPT)):
            if number in taken:
                dropped["asked already"] += 1
                continue
            yield _draft(each, pipe.ask(each.question, tag=tag))

    return Suggestions(count, dropped, drafts(), Collector())


def _draft(asked: Asked, answer: Answer) -> Draft:
    """Return the draft of a question that a pipeline has answered, or not."""
    cited = [each for each in answer.citations if each.verified and each.start < each.end]
    extra: list[tuple[str, Any]] = [("count", asked.count)]
    if asked.others:
        extra.append(("also_asked", list(asked.others)))
    if not answer.answered or not cited:
        return Draft(asked.question, "log", None, "", "", tags=("unanswered",), extra=tuple(extra))
    spans = {Span(each.source, each.start, each.end): each.text for each in cited}
    first, *rest = spans
    text = " ".join(_MARK.sub("", answer.text).split())
    return Draft(
        asked.question, "log", first, spans[first], text, further=tuple((span, spans[span]) for span in rest),
        extra=tuple(extra),
    )  # fmt: skip
