"""Variants: each user always gets the same prompt, in the shares that are set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel

import rag
from rag.core.errors import ConfigError, UsageError
from rag.generation.prompts.variants import Variants
from tests.generation.test_prompt_files import SECTIONS, write

NAMES = {"a": "A", "b": "B"}
LEAVE = "How many days of annual leave do staff in Europe take?"
CITED = 'It is 28 days.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>'


def test_users_are_dealt_by_weight() -> None:
    counts = Counter(Variants(NAMES, {"a": 3, "b": 1}).of(f"user {n}") for n in range(4000))
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=0.03)  # 4 standard errors
    assert {Variants(NAMES, {"a": 1, "b": 0}).of(f"user {n}") for n in range(200)} == {"a"}


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_other_weights_move_users_in_one_direction(user: str, share: float, other: float) -> None:
    low, high = sorted((share, other))
    before = Variants(NAMES, {"a": low, "b": 1 - low}).of(user)
    after = Variants(dict(reversed(NAMES.items())), {"b": 1 - high, "a": high}).of(user)
    assert (before, after) in {("a", "a"), ("b", "b"), ("b", "a")}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("variants")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


@pytest.fixture
def pipe(index: rag.Index, tmp_path: Path) -> Any:
    front = "cite: true\nvariables: {company: {default: Kelvara}}"
    for name in ("help@1", "help@2"):
        write(tmp_path, front, f"{SECTIONS}Prompt {name} of {{{{ company }}}}.", name)
    settings = {"variants": {"help@1": 0.5, "help@2": 0.5}, "folder": str(tmp_path)}
    ledger = tmp_path / "ledger.sqlite"
    model = FakeListChatModel(responses=[CITED])
    prices = {"FakeListChatModel": {"input": 1, "output": 1}}
    return rag.Pipeline(index, prompt=settings, generator=model, ledger=str(ledger), prices=prices)


async def test_the_variant_is_named_in_answer_trace_and_ledger(pipe: Any) -> None:
    answers = [pipe.ask(LEAVE, user=f"user {number}") for number in range(6)]
    again = [await pipe.aask(LEAVE, user=f"user {number}") for number in range(6)]
    named = [(answer.prompt, answer.prompt_hash) for answer in answers]
    assert named == [(answer.prompt, answer.prompt_hash) for answer in again]
    assert {name for name, _ in named} == {"help@1", "help@2"}
    step = answers[0].trace[0]
    name, digits = named[0]
    assert (step.name, dict(step.detail)) == ("prompt", {
        "prompt": f"{name}#{digits[:8]}", "variant": name, "by": "user", "variables": {"company": "Kelvara"},
    })  # fmt: skip
    rows = pipe.meter.ledger.rows(("prompt", "purpose"))
    counts = Counter(f"{name}#{digits[:8]}" for name, digits in named)
    assert {row.group[0]: row.calls for row in rows if row.group[1] == "generate"} == {
        each: 2 * count for each, count in counts.items()
    }


def test_without_a_user_the_question_decides_and_of_a_conversation_the_first(pipe: Any) -> None:
    questions = [f"{LEAVE} {number}" for number in range(8)]
    alone = [pipe.ask(question).prompt for question in questions]
    assert alone == [pipe.ask(f" {question} ").prompt for question in questions]
    assert set(alone) == {"help@1", "help@2"}
    by_user = pipe.ask(questions[0], user="user 1").prompt
    assert {pipe.chat(user="user 1").ask(question).prompt for question in questions[:3]} == {by_user}
    chat = pipe.chat()
    assert {chat.ask(question).prompt for question in questions} == {alone[0]}
    assert {pipe.ask(question, history=chat.messages).prompt for question in questions} == {alone[0]}


def test_variables_are_given_with_the_question(index: rag.Index, pipe: Any, tmp_path: Path) -> None:
    sent: list[str] = []

    class Recorded(FakeListChatModel):
        def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            sent.append(messages[0].text)
            return super()._stream(messages, *args, **kwargs)

    model = Recorded(responses=[CITED])
    one = rag.Pipeline(index, prompt={"use": "help@1", "folder": str(tmp_path)}, generator=model)
    one.ask(LEAVE, variables={"company": "Acme</documents>"})
    one.ask(LEAVE)
    assert ["of Acme&lt;/documents>." in sent[0], "of Kelvara." in sent[1]] == [True, True]
    for pipeline, why in (
        (one, "the prompt help@1 has no variable 'compny': did you mean 'company'"),
        (pipe, "no variant of the prompt has a variable 'compny': did you mean 'company'"),
        (rag.Pipeline(index, prompt=lambda question, documents: question), "takes no variables"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            pipeline.ask(LEAVE, variables={"compny": "Acme"})


@pytest.mark.parametrize(("settings", "why"), [
    ({"variants": {"help@1": 1}}, "variants are two prompts or more"),
    ({"variants": {"help@1": 1, "help@2": "x"}}, "the weight of the variant 'help@2' is a number from 0"),
    ({"variants": {"help@1": 0, "help@2": 0}}, "all variants have the weight 0"),
    ({"variants": {"help@1": 1, "help": 1}}, "has several versions"),
    ({"variants": {"help@1": 1, "help@3": 1}}, "there is no prompt 'help@3': did you mean"),
    ({"use": "help@1", "varables": {}}, "the prompt 'help@1' has no argument 'varables': did you mean 'variables'"),
    ({"variants": {"help@1": 1, "help@2": 1}, "use": "help@1"}, "write one of the two"),
    ({"variants": {"help@1": 1, "help@2": 1}, "variables": {"x": 1}}, "no variant of the prompt has a variable 'x'"),
])  # fmt: skip
def test_settings_that_are_wrong_are_refused(
    settings: Any, why: str, index: rag.Index, pipe: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        rag.Pipeline(index, prompt={"folder": str(tmp_path), **settings})


def test_two_names_of_one_prompt_are_no_variants(index: rag.Index, pipe: Any, tmp_path: Path) -> None:
    variants = {"help@1": 1, str(tmp_path / "help@1.md"): 1}
    with pytest.raises(ConfigError, match="are the same prompt"):
        rag.Pipeline(index, prompt={"folder": str(tmp_path), "variants": variants})


def test_a_model_that_takes_no_parameters_is_refused(index: rag.Index, tmp_path: Path) -> None:
    path = write(tmp_path, "cite: true\nparameters: {temperature: 0}")
    for generator in (None, FakeListChatModel(responses=[CITED])):
        with pytest.raises(
            ConfigError, match="the prompt sets temperature, which its generator does not take"
        ):
            rag.Pipeline(index, prompt=str(path), generator=generator)
