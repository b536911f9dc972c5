"""The filter of a golden question, with that of all questions."""

from __future__ import annotations

from typing import Any

from rag.core.errors import RagError
from rag.evaluation.golden_set import Question


def combined(pipe: Any, where: Any, question: Question) -> Any:
    """Return a filter and the question's, combined by "and" and bound to the pipeline's index.

    Raises
    ------
    WhereError
        It does not fit the index; the message names the question.
    """
    try:
        return pipe.index.both(where, question.where)
    except RagError as error:
        raise type(error)(f"question {question.id!r}: {error}") from None
