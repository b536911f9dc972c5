"""``rag demo``: what it prints, and that it fits a terminal of 24 lines and 80 columns."""

import contextlib
import io

import pytest

import rag
from rag.cli.demo import run

#: Lines of the build's progress bar and of the shell's prompt, which stand on the screen, too.
OTHER_LINES = 2


@pytest.fixture(scope="module")
def lines(handbook_index: rag.Index) -> list[str]:
    with contextlib.chdir(handbook_index.path.parent), contextlib.redirect_stdout(io.StringIO()) as out:
        run("index")
    return out.getvalue().splitlines()


def test_it_fits_a_screen(lines: list[str]) -> None:
    assert len(lines) + OTHER_LINES <= 24
    assert max(map(len, lines)) < 80


def test_each_question_has_its_answer_and_place(lines: list[str]) -> None:
    text = "\n".join(lines)
    for question, answer, place in (
        ("1. How much is the learning budget", "EUR 1,500", "learning-budget-and-referral-bonus.md"),
        ("2. How many weeks of parental leave", "18 weeks", "[1] people/leave-policy-us.html"),
        ("3. How do I descale the espresso machine?", "do not hold an answer", ""),
    ):
        begin = text.index(question)
        end = text.find("\n\n", begin)
        assert answer in text[begin:end]
        assert place in text[begin:end]


def test_three_passages_of_the_first_context_are_named(lines: list[str]) -> None:
    at = next(number for number, line in enumerate(lines) if line.startswith("   3 of "))
    assert [line[16:22] for line in lines[at : at + 3]] == ["people"] * 3
    assert lines[at + 3] == ""


def test_it_ends_with_three_commands(lines: list[str]) -> None:
    assert [line.split()[:2] for line in lines[-3:]] == [["rag", "ask"], ["rag", "build"], ["rag", "build"]]
