"""The command that explains a loss can be copied into a shell."""

from __future__ import annotations

import shlex

import pytest

from rag.cli.questions import explain
from rag.evaluation.explaining import explain_command


@pytest.mark.parametrize("question", ["How long?", "it's $(rm -rf /) `x`", "-k is what?", "--json"])
def test_the_shell_and_the_command_read_what_was_meant(question: str) -> None:
    line = explain_command("my ix", question, "a b.md:0-9", "year == 2025", ["--budget", "8000"])
    rag, name, *words = shlex.split(line)
    assert (rag, name) == ("rag", "explain")
    read = explain.make_context("explain", words).params
    assert (read["index"], read["question"]) == ("my ix", question)
    assert (read["expect"], read["where"], read["budget"]) == ("a b.md:0-9", "year == 2025", 8000)
