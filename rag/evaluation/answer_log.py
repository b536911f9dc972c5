"""A file of answers that an evaluation has paid for: what it holds is not asked for again.

Each line is an answer with the key of all that decides it (`rag.response_cache.key`): the version of the
index, the stages and their settings, the question and its options. So one file serves any number of
pipelines, and an answer of another prompt, model or index is never taken for this one's.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rag.core.answers import Answer
from rag.core.json_lines import append_json_line, kept_json_lines
from rag.evaluation.golden_set import Question
from rag.response_cache.key import parts_of


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and the seconds that it took."""

    answer: Answer
    seconds: float
    error: str = ""


@runtime_checkable
class _HasStages(Protocol):
    """A pipeline; another system does not say what decides its answers."""

    retriever: Any
    generator: Any


def key_of(pipe: Any, question: Question, options: dict[str, Any]) -> str:
    """Return the key of a pipeline's answer; empty where something in it cannot be told from another one."""
    if not isinstance(pipe, _HasStages):
        return ""
    turns = {"turns": list(question.expected.turns)} if question.expected.turns else {}
    parts = parts_of(pipe, question.question, {**options, **turns})
    return "" if parts.unknown or parts.index is None else parts.key


class AnswerLog:
    """The answers of a file, which grows line by line; threads may share it.

    Parameters
    ----------
    path : str or Path or None
        None keeps nothing.

    Raises
    ------
    SourceError
        The file cannot be read.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._unknown = False
        if self.path is not None and self.path.exists():
            self._read(self.path)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why answers are not kept."""
        if self.path is None or not self._unknown:
            return ()
        return (
            f"answers are not kept in {self.path}: a stage, or what it retrieves from, cannot be told from "
            "another one; give it a `fingerprint`, a string",
        )

    def get(self, key: str) -> Kept | None:
        """Return an answer; None if the file does not hold it."""
        return self._kept.get(key) if key else None

    def put(self, key: str, name: str, answer: Answer, seconds: float) -> None:
        """Add an answer; it is on the disk when this returns."""
        if self.path is None:
            return
        if not key:
            self._unknown = True
            return
        row = {"key": key, "id": name, "seconds": seconds, "answer": answer.to_dict()}
        with self._lock:
            append_json_line(self.path, row)
            self._kept[key] = Kept(answer, seconds)

    def _read(self, path: Path) -> None:
        for row in kept_json_lines(path):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._kept[row["key"]] = Kept(Answer.from_dict(row["answer"]), float(row["seconds"]))
