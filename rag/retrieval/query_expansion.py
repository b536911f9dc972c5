"""Query expansion by a model: a question in other words, or split into its parts.

Both are callables for `HybridRetriever(questions=...)`; any callable from a question to a list of
questions will do. What they return is searched beside the question itself.
"""

from __future__ import annotations

import re
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage

from rag.core.errors import GenerationError, RagError
from rag.usage import model_calls  # noqa: F401  # chat models report their calls once it is imported
from rag.usage.collector import calls_for

_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s+")


class _QuestionModel:
    """Asks a model for questions, one a line.

    Parameters
    ----------
    model : BaseChatModel or Runnable
        Anything that maps messages to a message.
    most : int
        No more questions than this are searched.
    """

    instruction: str
    purpose: str

    def __init__(self, model: Any, most: int = 3) -> None:
        self.model, self.most = model, most

    def __call__(self, question: str) -> list[str]:
        """Return the model's questions, without the one asked."""
        messages = [SystemMessage(self.instruction.format(most=self.most)), HumanMessage(question)]
        try:
            with calls_for(self.purpose):
                reply = self.model.invoke(messages)
        except RagError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise GenerationError(f"{type(self.model).__name__}, asked for questions: {reason}") from error
        text = str(getattr(reply, "text", reply))
        return lines(text, question)[: self.most]


class Rephrased(_QuestionModel):
    """The question in other words: for texts that do not speak as their readers do.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> Rephrased(FakeListChatModel(responses=["1. How many days of leave?"]))("How much holiday?")
    ['How many days of leave?']
    """

    purpose = "rephrase"
    instruction = (
        "Write {most} other wordings of the user's search question: other terms for the same things, as "
        "they may stand in the documents searched. Keep names, numbers and versions. One question a "
        "line, nothing else. Do not answer it."
    )


class Decomposed(_QuestionModel):
    """The question's parts: for one that needs several passages."""

    purpose = "decompose"
    instruction = (
        "If the user's question asks for several things, or compares some, write the simple questions "
        "that together answer it, at most {most}, each understandable alone. If it asks for one thing, "
        "repeat it. One question a line, nothing else. Do not answer it."
    )


def lines(text: str, question: str) -> list[str]:
    """Return the questions of a reply, without marks of a list, repeats, and the question itself."""
    seen = {" ".join(question.lower().split())}
    out = []
    for line in (_MARK.sub("", line).strip() for line in text.splitlines()):
        key = " ".join(line.lower().split())
        if key and key not in seen:
            seen.add(key)
            out.append(line)
    return out
