"""Sweeps whose answers are measured: prompt, model, rules and budget vary, and nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.cli.sweeps import _grid
from rag.core.errors import BudgetError, ConfigError
from rag.evaluation.answer_sweep import sweep_answers
from rag.evaluation.grid import settings
from rag.evaluation.sweep import sweep
from tests.command import run
from tests.evaluation.conftest import write

GOLDEN = [
    {"id": "1", "question": "How many days of annual leave?", "gold": ["eu.md"], "numbers": [28]},
    {"id": "2", "question": "When are salaries paid?", "gold": ["pay.md"], "numbers": [25]},
    {"id": "3", "question": "Who may travel first class?"},
]  # fmt: skip
ECHO = "tests.response_cache.models:Echo"
PRICES = {"echo-1": {"input": 1.0, "output": 10.0}, "echo-2": {"input": 0.1, "output": 1.0}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    (folder / "pay.md").write_text("# Pay\n\nSalaries are paid on the 25th of each month.\n")
    return folder


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def base(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {
        "embedder": "static", "prices": PRICES, "generator": {"use": ECHO, "log": str(tmp_path / "calls")}, **more
    }  # fmt: skip


def test_answers_are_measured_and_nothing_is_asked_twice(source: Path, tmp_path: Path) -> None:
    grid = {"generator.model_id": ["echo-1", "echo-2"], "trimmer.budget": [400, 2000]}
    result = sweep_answers(source, GOLDEN, tmp_path / "sw", grid, settings=base(tmp_path))
    names = [
        f"generator.model_id={model} trimmer.budget={size}"
        for model in ("echo-1", "echo-2")
        for size in (400, 2000)
    ]
    assert list(result.compared.names) == names and len(calls(tmp_path)) == 12
    assert result.settings[names[1]] == {"generator.model_id": "echo-1", "trimmer.budget": 2000}
    assert len({*result.indexes.values()}) == 1
    first, last = result.compared.evaluations[0], result.compared.evaluations[3]
    # 1,000 tokens in and 100 out, by the price of each.
    assert first.metrics["usd"].mean == pytest.approx(0.002) and last.metrics["usd"].mean == pytest.approx(
        0.0002
    )
    assert result.compared.cheapest is not None
    folder = tmp_path / "sw"
    assert (folder / "answers.jsonl").exists() and (folder / "ledger.sqlite").exists()
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    row = json.loads((folder / "sweep.json").read_text())
    assert [each["name"] for each in row["configurations"]] == names
    assert len(row["configurations"][0]["questions"]) == 3
    assert "| configuration |" in (folder / "sweep.md").read_text()
    again = sweep_answers(source, GOLDEN, tmp_path / "sw", grid, settings=base(tmp_path))
    assert len(calls(tmp_path)) == 12 and [each.again for each in again.compared.evaluations] == [3] * 4


def test_rules_of_a_router_are_a_setting(source: Path, tmp_path: Path) -> None:
    tiers = {
        name: {"use": ECHO, "log": str(tmp_path / "calls"), "model_id": model}
        for name, model in (("small", "echo-2"), ("large", "echo-1"))
    }
    rules = [{"when": {"question_words_below": 5}, "tier": "small"}]
    router = {"use": "router", "tiers": tiers, "otherwise": "large"}
    result = sweep_answers(
        source, GOLDEN, tmp_path / "sw", {"generator.rules": [[], rules]},
        settings={**base(tmp_path), "generator": router},
    )  # fmt: skip
    plain, ruled = result.compared.evaluations
    assert plain.metrics["usd"].mean == pytest.approx(0.002)
    assert ruled.metrics["usd"].mean == pytest.approx(
        (0.002 + 0.0002 + 0.002) / 3
    )  # one question has four words


def test_prompts_are_a_setting(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.md").write_text(f'{name}: <cite doc="N">words</cite>, <no_answer/>')
    result = sweep_answers(
        source, GOLDEN, tmp_path / "sw", {"prompt.use": [str(tmp_path / f"{name}.md") for name in ("one", "two")]},
        settings=base(tmp_path),
    )  # fmt: skip
    prompts = [each.questions[0].answer.prompt for each in result.compared.evaluations]
    assert prompts == ["one.md", "two.md"]


def test_one_budget_holds_for_all_indexes(source: Path, tmp_path: Path) -> None:
    """A call may cost 0.0415 dollars and costs 0.002: the fifth of six is refused.

    With a ledger for each index none would be.
    """
    grid = {"chunker.max_tokens": [64, 24]}
    poor = base(
        tmp_path, ledger={"stop_usd": 0.0485}, prices={**PRICES, "Echo": {"input": 1.0, "output": 10.0}}
    )
    with pytest.raises(BudgetError, match="above stop_usd"):
        sweep_answers(source, GOLDEN, tmp_path / "sw", grid, settings=poor, parallel=1)
    assert len(calls(tmp_path)) < 6
    kept = (tmp_path / "sw" / "answers.jsonl").read_text().splitlines()
    assert len(kept) == len(calls(tmp_path)) > 0
    sweep_answers(source, GOLDEN, tmp_path / "sw", grid, settings=base(tmp_path))
    assert len(calls(tmp_path)) == 6


def test_contexts_are_swept_with_a_ledger_in_the_settings(source: Path, tmp_path: Path) -> None:
    rows = [row for row in GOLDEN if "gold" in row]
    result = sweep(
        source,
        rows,
        tmp_path / "sw",
        {"retriever.k": [1, 4]},
        settings=base(tmp_path, ledger={"stop_usd": 5}),
    )
    assert len(result.trials) == 2 and calls(tmp_path) == []


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ({"generator.model": ["hiku"]}, "there is no model 'hiku': did you mean 'haiku'?"),
        ({"generator.treshold": [1]}, "has no argument 'treshold': did you mean 'threshold'?"),
        ({"generator.threshold": [7]}, "threshold"),
        ({"prompt.use": ["nothing@1"]}, "there is no prompt 'nothing@1'"),
        ({"generatr.model": ["haiku"]}, "there is no stage 'generatr': did you mean 'generator'?"),
        ({"trimmer.budget": [0]}, "the trimmer's budget"),
    ],
    ids=["model", "argument", "value", "prompt", "stage", "budget"],
)
def test_invalid_settings_are_refused_before_any_build(
    source: Path, tmp_path: Path, grid: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as error:
        sweep_answers(source, GOLDEN, tmp_path / "sw", grid, settings={"embedder": "static"})
    assert expected in str(error.value)
    assert not (tmp_path / "sw").exists()


def test_models_by_short_names_and_a_prompts_variables_stay() -> None:
    fixed = {"generator": {"use": "claude", "guardrail": "g:1"}, "prompt": {"use": "a@1", "folder": "p"}}
    made = settings({"generator.model": ["haiku", "local"], "prompt.use": ["b@1"]}, fixed, answers=True)
    assert made[0].stages["generator"] == {
        "use": "claude", "model": "global.anthropic.claude-haiku-5-5", "guardrail": "g:1",
    }  # fmt: skip
    assert made[1].stages["generator"] == {"use": "local"}
    assert made[0].stages["prompt"] == {"use": "b@1", "folder": "p"}
    assert "generator" not in settings({"retriever.k": [4]}, fixed)[0].stages


def test_values_in_brackets_keep_their_commas() -> None:
    text = 'generator.rules=[],[{"when":{"matches":"a,\\"b]"},"tier":"x"}],none'
    rule = {"when": {"matches": 'a,"b]'}, "tier": "x"}
    assert _grid([text, "retriever.k=1,2"]) == {
        "generator.rules": [[], [rule], "none"],
        "retriever.k": [1, 2],
    }


def test_the_command_measures_answers(source: Path, tmp_path: Path) -> None:
    write(tmp_path / "golden.jsonl", GOLDEN)
    words = ("sweep", source, "golden.jsonl", "sw", "--set", "embedder.use=static", "--set", "generator.use=local",
             "--set", "generator.threshold=0.1,0.9")  # fmt: skip
    refused = run(*words, cwd=tmp_path, code=2).stderr
    assert (
        "a sweep does not measure the generator: measure answers, with --answers, or leave it out" in refused
    )
    done = run(*words, "--answers", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "3 questions answered with each of 2 configurations"
    assert [line.split()[0] for line in lines[2:4]] == ["generator.threshold=0.1", "generator.threshold=0.9"]
    assert any(line.startswith("the cheapest configuration") for line in lines)
    (source / "broken.pdf").write_bytes(b"%PDF-1.4 nothing more")
    again = json.loads(run(*words, "--answers", "--json", cwd=tmp_path, code=3).stdout)
    assert again["settings"]["generator.threshold=0.9"]["generator.threshold"] == 0.9
    assert rag.Index.open(tmp_path / again["indexes"]["generator.threshold=0.1"]).sources
