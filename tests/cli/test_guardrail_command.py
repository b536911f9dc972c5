"""``rag guardrail``: begun, planned, applied and tested from the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from rag.emulator import Emulator
from tests.command import run

TABLE = """
[[cases]]
text = "Which shares should I buy now?"
expect = "blocked"
by = "topics.Investment advice"

[[cases]]
text = "Write to ada@example.com."
source = "output"
expect = "masked"
masked = "Write to {EMAIL}."
"""

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    run("guardrail", "new", "support", cwd=tmp_path)
    (tmp_path / "table.toml").write_text(TABLE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def on_aws(here: Path, emulator: Emulator) -> Run:
    """Runs `rag guardrail` where AWS is the emulator."""
    hidden = {name for name in os.environ if name.startswith("AWS_")}
    variables = {name: value for name, value in os.environ.items() if name not in hidden}

    def made(*words: object, code: int | None = 0) -> CompletedProcess[str]:
        return run("guardrail", *words, code=code, cwd=here, env={**variables, **emulator.environment()})

    return made


def edit(here: Path, old: str, new: str) -> None:
    path = here / "guardrails" / "support.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_from_nothing_to_a_tested_version(here: Path, on_aws: Run, emulator: Emulator) -> None:
    planned = on_aws("plan").stdout
    assert planned.startswith("support: would be created\n") and '  + pii.email: "mask"' in planned
    asked = on_aws("apply", "support", code=2).stderr
    assert asked == "rag: nothing is changed without being asked: give --yes\n"
    assert emulator.guardrails.known == {}
    setting = re.search(r'\[generator\]\nguardrail = "(\w+):1"', on_aws("apply", "--yes").stdout)
    assert setting is not None
    assert on_aws("plan", "support").stdout == f"support: {setting[1]}, version 1: no change\n"
    tested = on_aws("test", "support", "--table", "table.toml")
    assert tested.stdout.splitlines()[-1] == "all as expected"
    # By hand: filters and topics 0.00015, PII 0.0001; twice.
    assert tested.stderr == f"2 texts through {setting[1]}:1: at most $0.0008\n"
    assert "$0.0008" in run("cost", "guardrails", cwd=here).stdout
    assert emulator.problems == []


def test_changes_are_shown_and_get_a_version(here: Path, on_aws: Run) -> None:
    on_aws("apply", "--yes")
    edit(here, 'email = "mask"', 'email = "block"')
    (plan,) = json.loads(on_aws("plan", "--json").stdout)["guardrails"]
    assert (plan["step"], plan["latest"], plan["version"]) == ("update", "1", None)
    assert plan["changes"] == [{"field": "pii.email", "before": "mask", "after": "block"}]
    missing = on_aws("test", "support", "--table", "table.toml", code=1).stderr
    assert (
        "the account has no version of support with the file's content: `rag guardrail apply support`"
        in missing
    )
    (row,) = json.loads(on_aws("apply", "--yes", "--json").stdout)["guardrails"]
    assert (row["version"], row["new"]) == ("2", True)
    differs = on_aws("test", "support", "--table", "table.toml", code=1).stdout
    assert "masked was expected" in differs and differs.splitlines()[-1] == "1 of 2 differ"
    old = json.loads(on_aws("test", "support", "--table", "table.toml", "--version", "1", "--json").stdout)
    assert (old["cases"], old["failed"]) == (2, 0)
    assert old["results"][1]["masked"] == "Write to {EMAIL}."


def test_the_accounts_guardrails_are_listed_and_shown(on_aws: Run) -> None:
    assert "0 guardrails of the account" in on_aws("list").stdout
    on_aws("apply", "--yes")
    (row,) = json.loads(on_aws("list", "--json").stdout)["guardrails"]
    assert (row["name"], row["status"], row["latest"], row["file"]) == (
        "support", "READY", "1", "guardrails/support.toml",
    )  # fmt: skip
    shown = on_aws("show", "support").stdout
    assert 'pii.email: "mask"' in shown and "versions: 1" in shown
    assert json.loads(on_aws("show", row["id"], "--json").stdout)["fields"]["pii.email"] == "mask"
    assert (
        "the account has no guardrail 'suport': did you mean 'support'"
        in on_aws("show", "suport", code=2).stderr
    )


def test_a_budget_is_kept(here: Path, on_aws: Run) -> None:
    on_aws("apply", "--yes")
    (here / "rag.toml").write_text('[ledger]\nstop_usd = 0.0001\nper = "call"\n', encoding="utf-8")
    refused = on_aws("test", "support", "--table", "table.toml", code=1)
    assert "above stop_usd ($0.0001) for one call" in refused.stderr and refused.stdout == ""


def test_offline_needs_no_aws(here: Path) -> None:
    words = ("guardrail", "test", "support", "--table", "table.toml", "--offline")
    bare: dict[str, Any] = {"PATH": os.environ["PATH"]}
    done = run(*words, cwd=here, env=bare)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("all as expected", "")
    edit(here, 'email = "mask"', 'name = "mask"')
    differs = run(*words, "--json", cwd=here, env=bare, code=1)
    report = json.loads(differs.stdout)
    assert [result["wrong"] for result in report["results"]] == ["", "masked was expected"]
    assert "NAME is not detected here" in differs.stderr
    mixed = run(*words, "--version", "1", cwd=here, env=bare, code=2).stderr
    assert "leave them out with --offline" in mixed


def test_mistakes_are_one_line(here: Path, on_aws: Run, emulator: Emulator) -> None:
    edit(here, 'email = "mask"', 'emial = "mask"')
    for words, message in (
        (("plan", "suport"), "there is no guardrail 'suport' in guardrails: did you mean 'support'?"),
        (("plan",), "guardrails/support.toml, [pii] has no 'emial': did you mean 'email'?"),
        (("new", "support"), "guardrails/support.toml exists: choose another name, or edit it"),
        (("test", "support", "--table", "none.toml"), "[pii] has no 'emial'"),
        (("plan", "--folder", "nowhere"), "there is no guardrail in nowhere: begin one with"),
    ):
        said = on_aws(*words, code=2).stderr
        assert message in said and said.count("\n") == 1
    edit(here, 'emial = "mask"', 'email = "mask"')
    emulator.fail_next("AccessDeniedException")
    assert "allow bedrock:ListGuardrails on the guardrail" in on_aws("plan", code=1).stderr
