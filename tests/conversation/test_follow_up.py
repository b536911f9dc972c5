"""A follow-up becomes a question that stands on its own."""

from __future__ import annotations

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableLambda

from rag.conversation.follow_up import Condensed, carry_over
from rag.core.errors import GenerationError

LEAVE = ("How many days of annual leave do staff in France get?", "25 days.")


@pytest.mark.parametrize(
    ("earlier", "question", "whole"),
    [
        ([], "and in Germany?", "in Germany?"),
        ([LEAVE], "and in Germany?", "How many days of annual leave do staff in Germany get?"),
        ([LEAVE], "Who declares a SEV-1 incident?", "Who declares a SEV-1 incident?"),
        ([LEAVE, ("and in Spain?", "22.")], "What about contractors?",
         "contractors? How many days of annual leave do staff in Spain get?"),
        ([LEAVE, ("Who declares a SEV-1 incident?", "Anyone.")], "since when?",
         "since when? Who declares a SEV-1 incident?"),
        ([LEAVE], "Who approves it?", "Who approves it? How many days of annual leave do staff in France get?"),
        ([LEAVE], "and how about in the United Kingdom?",
         "How many days of annual leave do staff in the United Kingdom get?"),
    ],
)  # fmt: skip
def test_what_is_missing_is_carried_over(earlier: list[tuple[str, str]], question: str, whole: str) -> None:
    assert carry_over(question, earlier) == whole


def test_a_model_sees_the_last_turns_and_the_question() -> None:
    seen = []

    def reply(messages):
        seen.extend(messages)
        return "How long is leave in Spain?\n"

    turns = [(f"question {n}", f"answer {n}") for n in range(6)]
    condensed = Condensed(RunnableLambda(reply), turns=2)
    assert condensed("and in Spain?", turns) == "How long is leave in Spain?"
    assert isinstance(seen[0], SystemMessage)
    assert [message.text for message in seen[1:]] == [
        "question 4", "answer 4", "question 5", "answer 5", "and in Spain?",
    ]  # fmt: skip


def test_a_first_question_and_an_empty_reply_leave_the_question_as_it_is() -> None:
    assert Condensed(FakeListChatModel(responses=["never asked"]))("Who?", []) == "Who?"
    assert Condensed(FakeListChatModel(responses=["  "]))("and then?", [LEAVE]) == "and then?"


def test_a_model_that_fails_is_named() -> None:
    def fails(messages):
        raise OSError("no\nroute")

    with pytest.raises(GenerationError, match=r"RunnableLambda, asked for a question: no route"):
        Condensed(RunnableLambda(fails))("and then?", [LEAVE])
