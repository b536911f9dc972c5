"""``rag doctor`` without AWS: the machine, rag.toml, the files and an index, a line each."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.cli.diagnosis import machine
from rag.core.findings import Finding
from rag.embedding import model_files
from tests.command import run as run_command


def run(*arguments: object, code: int = 0, cwd: Path) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return run_command("doctor", *arguments, code=code, cwd=cwd, env=environment)


def found(*arguments: object, code: int = 0, cwd: Path) -> dict[str, dict[str, str]]:
    """The findings of ``--json``, by name."""
    told = json.loads(run("--json", *arguments, code=code, cwd=cwd).stdout)
    assert told["ok"] == (code == 0)
    return {each["name"]: each for each in told["findings"]}


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "indexes" / "ix"
    rag.build(folder, path, embedder="static")
    return path


def test_a_sound_machine_is_a_screen_of_lines(tmp_path: Path) -> None:
    lines = run(cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "This machine"
    assert re.fullmatch(r"  ok    Python +3\.\d+\.\d+ \(rag needs >=3\.11\)", lines[1])
    assert [line for line in lines if not line.startswith("  ")] == [
        "This machine",
        "Settings",
        "Files",
        lines[-1],
    ]
    assert re.fullmatch(r"(\d+ warn, )?\d+ ok", lines[-1])
    assert "none here: every stage has its default" in "\n".join(lines)


def test_what_each_line_says(tmp_path: Path) -> None:
    told = found(cwd=tmp_path)
    assert told["SQLite"]["found"] == sqlite3.sqlite_version
    assert told["local models"] == {
        "name": "local models", "state": "ok", "found": "5 files, as shipped", "advice": "",
    }  # fmt: skip
    assert "parsers run" in told["sandbox"]["found"]
    assert told["ledger"]["state"] == "skip"
    assert told["CPUs"]["found"].startswith(str(os.cpu_count()))
    assert told["prices"]["found"].startswith("of 20")
    assert "it is made by the first build" in told["index folder"]["found"]


def test_an_index_is_checked_in_short(index: Path, tmp_path: Path) -> None:
    told = found(index, cwd=tmp_path)
    assert re.match(r"version 1, format 3, 4 chunks of 3 files, all-MiniLM", told["index"]["found"])
    assert "sound" in told["index files"]["found"]
    assert told["locks"]["found"] == "no process is writing to an index here"
    vectors = next(index.glob("segments/*/vectors*"))
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"x")
    damaged = found(index, code=1, cwd=tmp_path)["index files"]
    assert (
        damaged["state"] == "fail" and "was altered" in damaged["found"] and "--rebuild" in damaged["advice"]
    )


def test_a_lock_names_its_process(index: Path, tmp_path: Path) -> None:
    with (index / "LOCK").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = found(cwd=tmp_path)["lock"]
    assert told["state"] == "warn"
    assert told["found"] == f"process {os.getpid()} is writing to indexes/ix"


@pytest.mark.parametrize(
    ("toml", "name", "expected"),
    [
        ("[trimmer]\nbudgt = 3\n", "rag.toml", "rag.toml, [trimmer]: the trimmer 'budget' has no argument 'budgt'"),
        ("[trimmer]\nbudget = -3\n", "[trimmer]", "greater than or equal to 1, not -3"),
        ("[embedder]\nuse = 'titan'\ndimensions = 3\n", "[embedder]", "Titan has 256, 512 or 1024 dimensions, not 3"),
        ("[ledger]\nstop_usd = 'x'\n", "rag.toml", "stop_usd is a number of dollars"),
        ("[prices.m]\noutput = 1\n", "rag.toml", "give input (dollars per million tokens)"),
        ("[generator\n", "rag.toml", "is not TOML"),
        ("[generator]\nuse = 'claude'\n", "[generator]", "no AWS region is set"),
    ],
    ids=["name", "value", "embedder", "ledger", "prices", "toml", "region"],
)  # fmt: skip
def test_a_wrong_setting_fails(tmp_path: Path, toml: str, name: str, expected: str) -> None:
    (tmp_path / "rag.toml").write_text(toml)
    told = found(code=1, cwd=tmp_path)[name]
    assert told["state"] == "fail" and expected in told["found"]


def test_right_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[trimmer]\nbudget = 300\n[cache]\npath = 'caches/c.sqlite'\n")
    told = found(cwd=tmp_path)
    assert told["rag.toml"]["found"] == "rag.toml: [trimmer], [cache]"
    assert told["[trimmer]"]["state"] == "ok"
    assert told["cache folder"]["state"] == "ok"


def test_parsers_with_the_users_rights_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[loader]\nlimits = {confined = false}\n")
    assert found(cwd=tmp_path)["[loader]"]["state"] == "warn"


def test_a_ledger_that_is_no_ledger_fails(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[ledger]\npath = 'l.sqlite'\n")
    (tmp_path / "l.sqlite").write_text("not SQLite")
    told = found(code=1, cwd=tmp_path)["ledger"]
    assert told["state"] == "fail" and "l.sqlite" in told["found"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "indexes").mkdir(mode=0o500)
    assert found(cwd=tmp_path)["index folder"]["state"] == "warn"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("none",), "there is no index in none: build it"),
        (("--whole",), "--whole goes with --bedrock"),
        (("--output", "x"), "--output goes with --bedrock --whole"),
        (("--bedrock", "--whole", "--s3", "s3://b/p"), "--s3 and --batch-role go together"),
        (("--profile", "x"), "--profile and --full go with --bedrock"),
    ],
    ids=["index", "whole", "output", "s3", "profile"],
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = run(*arguments, code=2, cwd=tmp_path)
    assert done.stderr.startswith("rag: ") and expected in done.stderr
    assert done.stdout == ""


def test_the_policy_needs_no_aws(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text("[generator]\nuse = 'claude'\nguardrail = 'gr1a2b3c:2'\n")
    statements = json.loads(run("--policy", "--region", "eu-west-1", cwd=tmp_path).stdout)["Statement"]
    actions = {action for each in statements for action in each["Action"]}
    assert actions == {
        "bedrock:InvokeModel",
        "bedrock:InvokeModelWithResponseStream",
        "bedrock:ApplyGuardrail",
    }
    assert "arn:aws:bedrock:eu-west-1:ACCOUNT:guardrail/gr1a2b3c" in str(statements)
    (tmp_path / "rag.toml").write_text("[generator]\nuse = 'clade'\n")
    assert "no generator 'clade'" in run("--policy", code=2, cwd=tmp_path).stderr


# ---------------------------------------------------------------------- what is not so here


def named(name: str) -> list[Finding]:
    return [finding for finding in machine.findings("0.6.0") if finding.name == name]


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str | None]], None]:
    """Make packages have other versions, or (None) be missing."""
    real = metadata.version

    def pretend(changed: dict[str, str | None]) -> None:
        def version(name: str) -> str:
            found = changed.get(name, "")
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return found or real(name)

        monkeypatch.setattr(metadata, "version", version)

    return pretend


def test_missing_and_old_packages(versions: Callable[[dict[str, str | None]], None]) -> None:
    versions({"boto3": "1.30.0", "redis": None, "matplotlib": "3.0"})
    assert named("package") == [
        Finding("package", "fail", "boto3 1.30.0 is not >=1.44", "pip install --upgrade bedrock-rag")
    ]
    assert named("extra redis") == [
        Finding("extra redis", "skip", "not installed: redis", "pip install 'bedrock-rag[redis]'")
    ]
    assert named("extra plots")[0].state == "warn"


def test_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.10.4")
    assert named("Python")[0].state == "fail"


def test_an_old_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 20, 0))
    assert named("SQLite")[0].state == "fail"


def test_fewer_cpus_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(machine, "_quota", lambda: 0.5)
    [cpus] = named("CPUs")
    assert cpus.state == "warn"
    assert cpus.found == "64, of which this process may use 8; the container's share is 0.5"


def test_altered_and_missing_models(tmp_path: Path) -> None:
    for name in model_files.FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((model_files.MODELS / name).read_bytes())
    assert list(model_files.altered(tmp_path)) == []
    (tmp_path / "static" / "scales.npy").write_bytes(b"other")
    (tmp_path / "minilm" / "tokenizer.json").unlink()
    assert sorted(line.partition(":")[0] for line in model_files.altered(tmp_path)) == [
        "minilm/tokenizer.json", "static/scales.npy was altered",
    ]  # fmt: skip
