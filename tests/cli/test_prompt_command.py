"""``rag prompt``: prompts are listed, shown, checked and compared."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from rag.cli.main import cli
from tests.generation.test_prompt_files import SECTIONS, write

FRONT = "cite: true\ntags: [hr]\nvariables: {company: {type: str}, most: {type: int, default: 3}}"


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["prompt", *map(str, words)], standalone_mode=False)


def test_list_and_show(tmp_path: Path) -> None:
    write(tmp_path, FRONT, SECTIONS + "{{ company }} {{ most }}")
    rows = json.loads(run("list", "--folder", tmp_path, "--json").stdout)["prompts"]
    assert [row["name"] for row in rows] == ["answer-native-v1", "answer-v1", "help@1.2"]
    assert rows[-1]["tags"] == ["hr"] and rows[-1]["variables"] == {"company": "str", "most": "int = 3"}
    listed = run("list", "--folder", tmp_path).stdout
    assert f"help@1.2          {rows[-1]['hash'][:8]}" in listed
    shown = run("show", "help", "--folder", tmp_path).stdout
    assert "{{ company }} 3" in shown and "How to use the documents:" in shown
    assert (
        "Acme 7"
        in run("show", "help", "--folder", tmp_path, "--set", "company=Acme", "--set", "most=7").stdout
    )
    wrong = run("show", "help", "--folder", tmp_path, "--set", "most=many")
    assert "the variable 'most' is a whole number, not 'many'" in str(wrong.exception)


def test_check(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir(), bad.mkdir()
    write(good)
    assert run("check", "--folder", good).return_value == 0
    path = write(bad, "cite: true", SECTIONS + "{{ x }}")
    done = run("check", "--folder", bad, "--model", "anthropic.claude-haiku-4-5-20251001-v1:0")
    assert done.return_value == 1
    lines = done.stdout.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == ["warning", "error"]
    assert lines[1] == f"{path}:26: error: there is no variable 'x': there is none"
    assert lines[-1] == "1 prompt: 1 error, 1 warning"
    assert json.loads(run("check", path, "--json").stdout)["findings"][0]["line"] == 26
    assert "there is no prompt in" in str(run("check", "--folder", tmp_path).exception)
    assert "did you mean" in str(run("check", path, "--model", "anthropic.claude-haiku-4-5").exception)


def test_diff(tmp_path: Path) -> None:
    write(tmp_path, name="help@1")
    write(tmp_path, body=SECTIONS.replace("Rule of style", "No rule of style"), name="help@2")
    lines = run("diff", "help@1", "help@2", "--folder", tmp_path).stdout.splitlines()
    assert lines[:2] == ["--- help@1.md", "+++ help@2.md"]
    assert {"-Rule of style.", "+No rule of style.", "-version: 1", "+version: 2"} <= set(lines)
    assert (
        run("diff", "help@1", "help@1", "--folder", tmp_path).stdout
        == "help@1.md and help@1.md are the same\n"
    )
