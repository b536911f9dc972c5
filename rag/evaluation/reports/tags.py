"""Tags of golden questions as a filter of a report."""

from __future__ import annotations

from collections.abc import Iterable

from rag.evaluation.golden_set import Question
from rag.evaluation.reports.page import Filter, kind


def tag_kinds(question: Question) -> list[str]:
    """Return a class for each of a question's tags."""
    return [kind("tag", tag) for tag in question.expected.tags]


def tag_filter(questions: Iterable[Question]) -> Filter:
    """Return the filter that chooses by tag."""
    return Filter("Tag", {kind("tag", tag): tag for each in questions for tag in each.expected.tags})
