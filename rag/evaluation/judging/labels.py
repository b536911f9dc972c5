"""Answers that people have judged: what a judge is calibrated on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.errors import SourceError, near_miss
from rag.core.json_lines import read_json_lines
from rag.evaluation.judging.judge import Case
from rag.evaluation.judging.rubric import SCORES

_LINE = '{"rubric": "faithfulness", "question": "…", "answer": "…", "context": ["…"], "label": 4}'
_KEYS = ("id", "rubric", "question", "answer", "context", "reference", "criteria", "label", "model")
_REQUIRED = ("rubric", "question", "answer", "label")


@dataclass(frozen=True, slots=True)
class Label:
    """A person's judgement of an answer.

    Attributes
    ----------
    label : int or bool
        A score from 1 to 5, or whether the answer passes.
    model : str
        The model that wrote the answer, if that is known: a judge may prefer its own.
    """

    id: str
    rubric: str
    case: Case
    label: int | bool
    model: str = ""


def read_labels(labels: str | Path | Iterable[Mapping[str, Any]]) -> list[Label]:
    """Read labels from a JSON-lines file, or from its rows.

    Raises
    ------
    SourceError
        The file cannot be read, a line is invalid, or a rubric has both scores and passes.

    Examples
    --------
    >>> rows = [{"rubric": "relevance", "question": "How long?", "answer": "28 days.", "label": True}]
    >>> read_labels(rows)[0].label
    True
    """
    if isinstance(labels, str | Path):
        rows: Iterable[tuple[str, Any]] = read_json_lines(Path(labels), _LINE, "the labels")
    else:
        rows = ((f"label {number}", row) for number, row in enumerate(labels, 1))
    found = [_label(place, row) for place, row in rows]
    if not found:
        raise SourceError(f"there are no labels: write lines such as {_LINE}")
    kinds: dict[str, tuple[type, str]] = {}
    for each in found:
        kind, first = kinds.setdefault(each.rubric, (type(each.label), each.id))
        if type(each.label) is not kind:
            raise SourceError(
                f"of the labels of {each.rubric}, {first} and {each.id} are of two kinds: give scores from 1 "
                "to 5, or true and false"
            )
    return found


def _label(place: str, row: Any) -> Label:
    if not isinstance(row, Mapping):
        raise SourceError(f"{place} is no object: write {_LINE}")
    if unknown := row.keys() - {*_KEYS}:
        raise SourceError(f"{place}: {min(unknown)!r} is no key: {near_miss(min(unknown), _KEYS)}")
    for key in _REQUIRED:
        if key not in row:
            raise SourceError(f"{place} has no {key!r}: write {_LINE}")
    texts = {
        key: row.get(key, "") for key in ("rubric", "question", "answer", "reference", "criteria", "model")
    }
    for key, value in texts.items():
        if not isinstance(value, str):
            raise SourceError(f"{place}: {key} is a text, not {value!r}")
    context, label = row.get("context", []), row["label"]
    passages = [context] if isinstance(context, str) else context
    if not isinstance(passages, list) or not all(isinstance(each, str) for each in passages):
        raise SourceError(f"{place}: context is a text, or a list of texts: the passages")
    if not isinstance(label, bool) and label not in SCORES:
        raise SourceError(f"{place}: label is {label!r}: write a score from 1 to 5, true or false")
    case = Case(texts["question"], texts["answer"], tuple(passages), texts["reference"], texts["criteria"])
    return Label(str(row.get("id", place)), texts["rubric"], case, label, texts["model"])
