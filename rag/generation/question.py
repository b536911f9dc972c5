"""The question under way, for generators that decide by more than their messages (`rag.generation.router`).

A chat model is sent messages. What else is known of the question that they belong to, such as its filter
and the scores of its passages, is kept in a context variable, which the pipeline sets.
"""

from __future__ import annotations

import contextvars
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag.core.answers import Step
from rag.core.passages import Hit
from rag.core.text import words
from rag.generation.quoting import conversation_text, read_prompt
from rag.generation.reply import texts
from rag.index.filters.parse import parse
from rag.usage.collector import purpose

_QUESTION: contextvars.ContextVar[Question | None] = contextvars.ContextVar("question", default=None)
#: Purposes of calls whose reply answers the question, or is to become its answer.
_ANSWERS = ("generate", "repair")


@dataclass(slots=True)
class Question:
    """A question whose reply is awaited.

    Attributes
    ----------
    text : str
        In a conversation as it stands on its own.
    passages : sequence of Hit
        Those that were retrieved for it.
    hits : sequence of Hit
        All passages that the reply may cite, as the messages number them from 1.
    where : Where, str or dict, optional
        Its filter, in any notation.
    tag : str
        The tag of `Pipeline.ask`, or else the ledger's.
    steps : list of Step
        Its trace, to which steps may be added.
    reached : dict
        The tier that each router has reached for it; further calls for the same question begin there.
    under_way : bool
        Whether a pipeline asks it; false if it was read from messages alone.
    """

    text: str
    passages: Sequence[Hit] = ()
    hits: Sequence[Hit] = ()
    where: Any = None
    tag: str = ""
    steps: list[Step] = field(default_factory=list)
    reached: dict[object, int] = field(default_factory=dict)
    under_way: bool = True

    @property
    def fields(self) -> Collection[str]:
        """The fields that its filter names; empty without a filter."""
        return () if self.where is None else parse(self.where).fields()

    @property
    def word_count(self) -> int:
        """How many words its text has."""
        return len(words(self.text))

    @property
    def best_score(self) -> float | None:
        """The highest cosine of its passages with it; None without passages.

        It is `Hit.score` where a retriever tells no cosines. The score of a hybrid search would not do: it
        is relative to the question's other candidates.
        """
        cosines = [hit.dense for hit in self.passages if hit.dense is not None]
        return max(cosines or [hit.score for hit in self.passages], default=None)

    def begin(self, tag: str = "") -> None:
        """Make this the question under way, for calls in this context."""
        self.tag = tag
        _QUESTION.set(self)


def question_of(messages: Sequence[Any]) -> Question:
    """Return the question that messages belong to.

    Where no pipeline asks it, or the call is for another purpose, such as rephrasing, it is read from the
    messages: the last one, and the passages that it shows (see `rag.generation.prompt`).

    Examples
    --------
    >>> from langchain_core.messages import HumanMessage
    >>> question_of([HumanMessage("Who declares a SEV-1?")]).text
    'Who declares a SEV-1?'
    """
    question = _QUESTION.get()
    if question is not None and purpose() in _ANSWERS:
        return question
    text, passages = read_prompt(conversation_text([" ".join(texts([message])) for message in messages]))
    hits = [Hit(each.source, 0, len(each.text), each.text, 0.0) for each in passages]
    return Question(text, (), hits, under_way=False)
