"""``rag eval --models … --prompts …`` on the emulator: nothing asked twice, and a rule that `rag ask` takes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.core.format import shortened
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.emulator.wire import Request
from tests.command import run
from tests.evaluation.conftest import docs, write
from tests.generation.routed import HAIKU, SONNET, replies

LEAVE = "Staff in Europe take 28 days of annual leave."
#: The word "please" makes a question longer than 12 words; the small model then errs.
SHORT, LONG = 6, 16


def question(number: int, words: int) -> str:
    return " ".join([f"Annual leave, case {number}, in days?", *["please"] * (words - 6)])


GOLDEN = [
    {"id": f"q{n}", "question": question(n, (SHORT, LONG)[n % 2]), "gold": ["eu.md"], "numbers": [28]}
    for n in range(60)
]  # fmt: skip


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as server, pytest.MonkeyPatch.context() as patch:
        point_at(patch, server.environment())

        def small(request: Request) -> str:
            return (
                "It is 20 days."
                if "please" in str(request.params["messages"][-1])
                else f"It is 28 days.{CITE}"
            )

        replies(server, haiku=small, sonnet=f"It is 28 days.{CITE}")
        yield server


CITE = f'<cite doc="1">{LEAVE}</cite>'


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with an index, questions and a rag.toml."""
    docs(tmp_path, eu=f"# Leave\n\n{LEAVE}\n", us="# Pay\n\nPaid on the 25th of each month.\n")
    write(tmp_path / "golden.jsonl", GOLDEN)
    (tmp_path / "base.toml").write_text(
        '[trimmer]\nbudget = 1200\n[ledger]\npath = "spent.sqlite"\ntag = "desk"\nstop_usd = 5\n'
        '[generator]\nuse = "claude"\nmax_tokens = 300\n'
    )
    return tmp_path


def asked(emulator: Emulator) -> int:
    return sum(count for name, count in emulator.counts.items() if "Converse" in str(name))


def test_models_are_compared_and_the_rule_that_follows_is_taken_by_ask(
    here: Path, emulator: Emulator
) -> None:
    words: tuple[Any, ...] = (
        "eval", "ix", "golden.jsonl", "--models", "haiku,sonnet", "--config", "base.toml", "--log", "log.jsonl",
        "--margin", "0.1",
    )  # fmt: skip
    before = asked(emulator)
    plan = json.loads(run(*words, "--plan", "--json", cwd=here).stdout)
    assert asked(emulator) == before
    assert [each["calls"] for each in plan["configurations"]] == [60, 60] and 0 < plan["usd"] < plan[
        "most_usd"
    ]
    done = run(*words, "--rule", "rule.toml", "--plot", "p.png", "--output", "each.jsonl", cwd=here)
    assert asked(emulator) == before + 120
    lines = done.stdout.splitlines()
    assert lines[0] == "60 questions answered with each of 2 configurations"
    assert [line.split()[:2] for line in lines[2:4]] == [["haiku", "0.500"], ["sonnet", "1.000"]]
    assert "best by correct: sonnet, 1.000 [1.000, 1.000]" in lines
    assert f"  q1: {shortened(question(1, LONG), 70)}" in lines
    assert "    0.00 haiku, 1.00 sonnet" in lines
    assert any(line.startswith("routing rule from 60 questions: ") for line in lines)
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in (here / "each.jsonl").read_text().splitlines()]
    assert rows[1]["answers"]["haiku"]["values"]["correct"] == 0.0 and len(rows) == 60
    read = tomllib.loads((here / "rule.toml").read_text())
    assert read["ledger"] == {"path": "spent.sqlite", "tag": "desk", "stop_usd": 5}
    assert read["trimmer"] == {"budget": 1200}
    assert read["generator"]["tiers"]["haiku"] == {"use": "claude", "model": HAIKU, "max_tokens": 300}

    again = run(*words, "--json", cwd=here)
    assert asked(emulator) == before + 120
    assert [each["again"] for each in json.loads(again.stdout)["configurations"]] == [60, 60]

    for length, model, tier in ((SHORT, HAIKU, "haiku"), (LONG, SONNET, "sonnet")):
        answer = json.loads(
            run("ask", "ix", question(99, length), "--config", "rule.toml", "--json", cwd=here).stdout
        )
        assert [call["model"] for call in answer["calls"]] == [model]
        step = next(step for step in answer["trace"] if step["name"] == "route")
        assert step["detail"]["tier"] == tier


def test_prompts_and_models_make_a_grid(here: Path, emulator: Emulator) -> None:
    for name in ("one", "two"):
        (here / f"{name}.md").write_text(f'{name}: <cite doc="N">words</cite>, <no_answer/>')
    write(here / "few.jsonl", GOLDEN[:4])
    before = asked(emulator)
    done = run(
        "eval", "ix", "few.jsonl", "--models", "small=haiku,local", "--prompts", "one.md,two.md",
        "--config", "base.toml", cwd=here,
    )  # fmt: skip
    assert asked(emulator) == before + 8
    names = [line.split("  ")[1] for line in done.stdout.splitlines()[2:6]]
    assert names == ["small one.md", "small two.md", "local one.md", "local two.md"]
    assert "the cheapest configuration that is not worse than the best by more than 2.0 points" in done.stdout
    assert "note: the best of several configurations looks better than it is" in done.stderr


def test_a_rule_that_loses_too_much_is_not_written(here: Path, emulator: Emulator) -> None:
    """In one half of the questions the short ones are easy, in the other one the long ones."""
    from rag.evaluation.learn_routes import _parts

    first = set(_parts([row["id"] for row in GOLDEN])[0])
    turned = [
        row if n in first else {**row, "question": question(n, (LONG, SHORT)[n % 2])}
        for n, row in enumerate(GOLDEN)
    ]
    hard = {row["question"] for n, row in enumerate(turned) if n % 2}
    write(here / "turned.jsonl", turned)

    def small(request: Request) -> str:
        shown = str(request.params["messages"][-1])
        return "It is 20 days." if any(each + "<" in shown for each in hard) else f"It is 28 days.{CITE}"

    replies(emulator, haiku=small)
    done = run(
        "eval", "ix", "turned.jsonl", "--models", "haiku,sonnet", "--config", "base.toml", "--rule", "rule.toml",
        "--margin", "0.1", cwd=here, code=1,
    )  # fmt: skip
    assert "rag: rule.toml was not written: the rule loses too much on held-out questions" in done.stderr
    assert "they are not to be used" in done.stdout and not (here / "rule.toml").exists()


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--models", "hiku,sonnet"], 2, "there is no model 'hiku': did you mean 'haiku'?"),
        (["--models", "haiku", "--rule", "r.toml"], 2, "--rule chooses among models: give two or more"),
        (["--models", "haiku,sonnet", "--rule", "no/r.toml"], 2, "cannot write no/r.toml: there is no folder no"),
        (["--models", "haiku,sonnet", "--metric", "corect"], 2, "answers are not compared by 'corect'"),
        (["--models", "haiku,sonnet", "--margin", "2"], 2, "the margin is 2.0: write a share"),
        (["--prompts", "nothing@1"], 2, "there is no prompt 'nothing@1'"),
        (["--plan"], 2, "--plan, --plot and --rule are about answers: add --answers"),
        (["--models", "haiku", "--against", "ix"], 2, "--against compares contexts"),
        (["--models", "anthropic.claude-unheard-of,haiku"], 1,
         "anthropic.claude-unheard-of: a budget with stop_usd refuses a model without a price: no price is known"),
    ],
    ids=["model", "one", "folder", "metric", "margin", "prompt", "plan", "against", "price"],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_asked(
    here: Path, emulator: Emulator, words: list[str], code: int, expected: str
) -> None:
    before = asked(emulator)
    done = run("eval", "ix", "golden.jsonl", "--config", "base.toml", *words, cwd=here, code=code)
    assert expected in done.stderr and done.stderr.count("\n") == 1
    assert asked(emulator) == before


def test_a_rule_needs_prices(here: Path, emulator: Emulator) -> None:
    (here / "base.toml").write_text("[trimmer]\nbudget = 1200\n")
    words = (
        "eval",
        "ix",
        "golden.jsonl",
        "--models",
        "haiku,anthropic.claude-unheard-of",
        "--config",
        "base.toml",
    )
    done = run(*words, "--rule", "r.toml", cwd=here, code=2)
    assert "--rule needs prices, and anthropic.claude-unheard-of has none" in done.stderr
    plan = run(*words, "--plan", cwd=here)
    assert "no known price" in plan.stdout and "enter it in rag.toml" in plan.stderr
