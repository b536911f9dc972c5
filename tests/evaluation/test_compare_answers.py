"""Prompts compared on a golden set: values by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableLambda

import rag
from rag.cli.main import cli
from rag.core.errors import UsageError
from rag.evaluation import compare_prompts
from tests.evaluation.conftest import write

TEXT = "# Leave\n\nStaff in Europe take 28 days of annual leave.\n"
AT = TEXT.index("Staff")
GOLDEN = [
    {"id": "1", "question": "How many days of annual leave?", "evidence": [{"source": "eu.md", "start": AT, "end": AT + 45}]},
    {"id": "2", "question": "Annual leave of staff in Europe?", "gold": ["eu.md"]},
    {"id": "3", "question": "Annual leave on Mars?"},
    {"id": "4", "question": "Which leave is broken?", "gold": ["eu.md"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("variants")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text(TEXT)
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


def reply(messages: list[BaseMessage]) -> AIMessage:
    """With the careful prompt every answer is right; with the other one none cites, and none refuses."""
    question = messages[-1].text
    if "broken" in question:
        raise ValueError("the model is down")
    if "careless" in messages[0].text:
        return AIMessage("It is 28 days.")
    if "Mars" in question:
        return AIMessage("<no_answer/>Nothing is said of Mars.")
    return AIMessage('It is 28 days.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>')


def test_success_and_support_are_compared_question_by_question(index: rag.Index) -> None:
    pipes = [
        rag.Pipeline(index, generator=RunnableLambda(reply), prompt=rag.Prompt(name, system=f"Be {name}."))
        for name in ("careful", "careless")
    ]
    compared = compare_prompts(pipes, GOLDEN)
    careful, careless = compared.scores
    assert careful.prompt == f"careful (custom)#{pipes[0].prompt.version}"
    assert [careful.values[name]["success"] for name in "1234"] == [1.0, 1.0, 1.0, 0.0]
    assert [careless.values[name]["success"] for name in "1234"] == [0.0, 0.0, 0.0, 0.0]
    assert (careful.metrics["success"].mean, careful.metrics["supported"].mean) == (0.75, 1.0)
    assert (careful.failed, careless.failed, careless.metrics["supported"].mean) == (1, 1, 0.0)
    difference = compared.comparisons[0].differences["success"]
    assert (difference.mean, difference.count, difference.p) == (0.75, 4, 0.25)  # 2 of 8 sign changes
    assert "minus careless" in compared.tables()[1].caption
    with pytest.raises(UsageError, match="two are the same"):
        compare_prompts([pipes[0], pipes[0]], GOLDEN)


def test_the_command_compares_prompts(index: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text(f'{name}: <cite doc="N">words</cite>, <no_answer/>')
    questions = write(tmp_path / "golden.jsonl", GOLDEN[:1])
    names = ",".join(str(tmp_path / f"{name}.md") for name in ("one", "two"))
    done = CliRunner().invoke(cli, ["eval", str(index.path), str(questions), "--prompts", names])
    assert "1 questions answered with each prompt" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0][:7] for line in lines[2:4]] == ["one.md#", "two.md#"]
    assert ["success", "+0.000", "[+0.000,", "+0.000]", "1.000", "1"] in lines
