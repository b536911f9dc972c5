"""Every kind of prompt keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

import rag
from rag.generation.prompt import neutral
from rag.testing import PromptSuite
from tests.testing.suites import failures


def handwritten(question: str, documents: list[Document]) -> list[tuple[str, str]]:
    texts = "\n\n".join(neutral(document.page_content) for document in documents)
    return [("system", f"Answer from this:\n{texts}"), ("user", question)]


TEMPLATE = ChatPromptTemplate([("system", "Answer from this:\n{context}"), ("user", "{question}")])
PROMPTS: dict[str, Any] = {
    "text": rag.Prompt(),
    "search results": rag.Prompt("answer-native-v1"),
    "guarded": rag.Prompt(form="guarded"),
    "custom": rag.Prompt("mine", system="Answer in German."),
    "template": TEMPLATE,
    "function": handwritten,
    "runnable": RunnableLambda(lambda values: f"{values['context']}\n{values['question']}", name="runnable"),
}


class TestPrompts(PromptSuite):
    @pytest.fixture(params=PROMPTS)
    def prompt(self, request: pytest.FixtureRequest) -> Any:
        return PROMPTS[request.param]


def test_a_prompt_that_sends_passages_as_they_are_lets_them_forge_tags() -> None:
    def raw(question: str, documents: list[Document]) -> str:
        return "\n".join(document.page_content for document in documents) + question

    assert failures(PromptSuite, prompt=raw) == {"no_passage_can_forge_a_tag"}


def test_a_prompt_that_loses_a_passage_the_question_or_braces_is_caught() -> None:
    def first(question: str, documents: list[Document]) -> Any:
        return handwritten(question, documents[:1])

    def mute(question: str, documents: list[Document]) -> Any:
        return handwritten("Answer.", documents)

    def formatted(question: str, documents: list[Document]) -> str:
        return (
            ("\n".join(neutral(document.page_content) for document in documents) + "\n{q}")
            .replace("{question}", question)
            .replace("{q}", question)
        )

    assert failures(PromptSuite, prompt=first) == {"every_passage_is_sent_once_in_its_order"}
    assert "messages_hold_the_question" in failures(PromptSuite, prompt=mute)
    assert failures(PromptSuite, prompt=formatted) == {"braces_in_a_passage_stay_braces"}


def test_a_prompt_that_keeps_the_question_in_itself_is_caught() -> None:
    class Slow:
        name = "slow"

        def messages(self, question: str, hits: Any) -> Any:
            self.question = question
            time.sleep(0.01)
            return rag.Prompt().messages(self.question, hits)

    assert failures(PromptSuite, prompt=Slow()) == {"many_threads_have_their_own_messages"}
