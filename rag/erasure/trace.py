"""What is looked for in stores: documents by source and id, pieces of their texts, and answers by id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rag.core.answers import Answer
from rag.erasure.runs import Runs
from rag.index.storage.selection import Selection
from rag.review.records import Item


@dataclass
class Trace:
    """What the library keeps of documents.

    Attributes
    ----------
    selection : Selection
    runs : Runs
        Of the documents' texts.
    answers : set of str
        The ids of answers that hold something of them, found so far: their records say no more.
    gone, kept : list of str
        The texts and heading paths that were embedded: of the documents, and of all others.
    """

    selection: Selection
    runs: Runs
    answers: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def in_values(self, value: Any) -> bool:
        """Whether what JSON gives names one of the documents or answers, or holds a piece of a text."""
        return self._names(value) or self.runs.in_value(value)

    def in_item(self, item: Item, answer: Answer) -> bool:
        """Whether an item of a review queue does."""
        return self.in_values([item.to_dict(), answer.to_dict()])

    def _names(self, value: Any) -> bool:
        if isinstance(value, dict):
            names = (value.get("source"), value.get("doc_id"), value.get("id"))
            for name, known in zip(
                names, (self.selection.sources, self.selection.ids, self.answers), strict=True
            ):
                if isinstance(name, str) and name in known:
                    return True
            return not self.selection.sources.isdisjoint(value) or any(map(self._names, value.values()))
        return isinstance(value, list | tuple) and any(map(self._names, value))
