"""Make a follow-up question one that stands on its own, so that it can be searched for.

`carry_over` does so without a model; `Condensed` asks one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from rag.core.errors import GenerationError, RagError
from rag.core.text import terms, words
from rag.usage.collector import calls_for

#: How a question begins that continues the one before it.
_CONTINUES = re.compile(
    r"^\s*(?:and|but|or|so|then|also|what about|how about|what if|is that|are they|is it|does that|do they|"
    r"since when|until when|why|why not|how so|for how long|in which case|same)\b",
    re.IGNORECASE,
)
_ADDS = re.compile(r"\b(?:as well|too|instead|otherwise|in that case)\s*\?*\s*$", re.IGNORECASE)
#: Words that stand for something named before.
_REFERS = frozenset(
    "it its they them their theirs this that these those he him his she her hers there then one ones same "
    "both either former latter such".split()
)  # fmt: skip
#: What a follow-up may replace of the question before: "and in Germany?" replaces "in Europe".
_PLACE = re.compile(
    r"\b(in|for|at|from|under|with|by|after|before|during|of)\s+"
    r"((?:the\s+)?[A-Z0-9][\w&./'-]*(?:\s+[A-Z0-9][\w&./'-]*)*)"
)
_OPENING = re.compile(
    r"^\s*(?:(?:and|but|or|so|then|also|what about|how about|what if)\b[\s,]*)+", re.IGNORECASE
)
_FEW = 2  # words, or content terms: a question with no more, or fewer, says too little to be searched alone


class FollowUp(Protocol):
    """Makes a follow-up stand on its own."""

    def __call__(self, question: str, earlier: Sequence[tuple[str, str]]) -> str:
        """Return the question as it would be asked first.

        Parameters
        ----------
        question : str
        earlier : sequence of (str, str)
            The questions before it, as they were asked, with their answers; oldest first.
        """


def carry_over(question: str, earlier: Sequence[tuple[str, str]]) -> str:
    """Complete a follow-up with what the last question that stood on its own names, without a model.

    A question that names enough itself is returned as it is. Of one that continues or refers back, a part
    like "in Germany" replaces its like in that question; anything else is set before it.

    Examples
    --------
    >>> before = [("How many days of annual leave do staff in France get?", "25"), ("and in Spain?", "23")]
    >>> carry_over("and in Germany?", before)
    'How many days of annual leave do staff in Germany get?'
    >>> carry_over("What about contractors?", before)
    'contractors? How many days of annual leave do staff in Spain get?'
    """
    if not _is_follow_up(question):
        return question
    asked = [before for before, _ in earlier]
    first = next((n for n in reversed(range(len(asked))) if not _is_follow_up(asked[n])), 0)
    topic, recent = asked[first] if asked else "", ""
    for each in asked[first + 1 :]:
        topic, recent = _replaced(topic, each)
    changed, rest = _replaced(topic, question)
    # The last follow-up counts, too, where it names something of its own.
    kept = recent if rest and len(set(terms(recent)) - set(terms(changed))) >= _FEW else ""
    return " ".join(filter(None, (rest, kept, changed)))


def _replaced(topic: str, follow_up: str) -> tuple[str, str]:
    """Return a question with the places that a follow-up names, and what else the follow-up holds."""
    rest = _OPENING.sub("", follow_up).strip() or follow_up.strip()
    changed = topic
    for match in _PLACE.finditer(rest):
        same = [each for each in _PLACE.finditer(changed) if each[1].lower() == match[1].lower()]
        if same:
            changed = changed[: same[-1].start(2)] + match[2] + changed[same[-1].end(2) :]
    return changed, rest if set(terms(rest)) - set(terms(changed)) or changed == topic else ""


def _is_follow_up(question: str) -> bool:
    named = [word.lower() for word in words(question)]
    few = len(named) <= _FEW or len(set(terms(question))) < _FEW
    return few or not _REFERS.isdisjoint(named) or bool(_CONTINUES.match(question) or _ADDS.search(question))


class Condensed:
    """Asks a model, by preference a small one, for the question as it would be asked first.

    Parameters
    ----------
    model : BaseChatModel or Runnable
        Anything that maps messages to a message.
    turns : int
        How many of the turns before are shown to it.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> Condensed(FakeListChatModel(responses=["How long is leave in Spain?"]))("and in Spain?", [("a", "b")])
    'How long is leave in Spain?'
    """

    instruction = (
        "Rewrite the user's last question so that it can be understood without the conversation: replace "
        "what refers back by what it refers to, keep names, numbers and versions. If it stands on its own, "
        "repeat it. Reply with the question alone, in its language. Do not answer it."
    )

    def __init__(self, model: Any, turns: int = 4) -> None:
        self.model, self.turns = model, turns

    def __call__(self, question: str, earlier: Sequence[tuple[str, str]]) -> str:
        """Return the model's question; one of its own that is empty counts as the question itself.

        Raises
        ------
        GenerationError
            The model failed.
        """
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        from rag.usage import model_calls  # noqa: F401  # chat models report their calls once it is imported

        if not earlier:
            return question
        messages: list[Any] = [SystemMessage(self.instruction)]
        for before, answer in earlier[-self.turns :]:
            messages += [HumanMessage(before), AIMessage(answer or "-")]
        try:
            with calls_for("follow-up"):
                reply = self.model.invoke([*messages, HumanMessage(question)])
        except RagError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise GenerationError(f"{type(self.model).__name__}, asked for a question: {reason}") from error
        return " ".join(str(getattr(reply, "text", reply)).split()) or question
