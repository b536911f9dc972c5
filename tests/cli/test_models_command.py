"""``rag models``: what may be called, with prices, abilities and access."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.emulator import Behaviour, Emulator
from tests.command import run as run_command

SONNET = "anthropic.claude-sonnet-5-5"


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def emulator(shared: Emulator) -> Emulator:
    shared.behaviour = Behaviour()
    return shared


def run(*arguments: object, cwd: Path, code: int = 0, emulator: Emulator | None = None) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    there = emulator.environment() if emulator else {"AWS_EC2_METADATA_DISABLED": "true"}
    return run_command("models", *arguments, code=code, cwd=cwd, env={**clean, **there, "COLUMNS": "200"})


def rows(*arguments: object, **settings: Any) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in json.loads(run("--json", *arguments, **settings).stdout)}


def test_a_model_of_the_account(emulator: Emulator, tmp_path: Path) -> None:
    assert rows("sonnet", "5-5", cwd=tmp_path, emulator=emulator) == {SONNET: {
        "id": SONNET, "provider": "Anthropic", "modality": "text, image -> text",
        "profiles": [f"us.{SONNET}", f"global.{SONNET}"], "on_demand": False, "context_tokens": 1_000_000,
        "input": 2, "output": 10, "cache_read": 0.1, "cache_write": 2.5, "per_query": None,
        "abilities": ["streaming", "tools", "guardrails", "citations", "JSON", "prompt cache", "batch?"],
        "access": "granted", "legacy": False,
    }}  # fmt: skip


def test_embedders_and_rerankers(emulator: Emulator, tmp_path: Path) -> None:
    found = rows(cwd=tmp_path, emulator=emulator)
    titan = found["amazon.titan-embed-text-v2:0"]
    assert (titan["input"], titan["output"], titan["cache_read"], titan["abilities"]) == (
        0.02,
        None,
        None,
        ["batch"],
    )
    reranker = found["amazon.rerank-v1:0"]
    assert (reranker["per_query"], reranker["input"], reranker["abilities"]) == (0.001, None, [])
    assert found["anthropic.claude-3-haiku-20240307-v1:0"]["legacy"]


def test_people_read_prices_ways_and_access(emulator: Emulator, tmp_path: Path) -> None:
    emulator.behaviour.no_access = frozenset({SONNET})
    out = run("5-5", cwd=tmp_path, emulator=emulator).stdout
    assert (
        f"{SONNET}\n    Anthropic; text, image -> text; 1,000,000 tokens; $2 in, $10 out, cache $2.5 written, "
        "$0.1 read; streaming, tools, guardrails, citations, JSON, prompt cache, batch?\n"
        f"    called by us.{SONNET}, global.{SONNET}\n"
        "    no access: access to it was not requested in the Bedrock console"
    ) in out
    assert "3 models; prices per million tokens" in out


def test_another_region(emulator: Emulator, tmp_path: Path) -> None:
    [row] = rows("opus-5-5", "--region", "eu-west-1", cwd=tmp_path, emulator=emulator).values()
    assert row["profiles"] == ["eu.anthropic.claude-opus-5-5", "global.anthropic.claude-opus-5-5"]


def test_offline_needs_no_aws_and_heeds_the_users_prices(tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text(f'[prices."{SONNET}"]\ninput = 7\noutput = 8\n')
    found = rows("--offline", cwd=tmp_path)
    assert (found[SONNET]["input"], found[SONNET]["access"]) == (7, "not asked")
    assert found["anthropic.claude-opus-4-7"]["context_tokens"] == 1_000_000
    assert "no model has xyz in its id: leave words out" in run("--offline", "xyz", cwd=tmp_path).stdout


def test_access_that_is_not_known_says_why(emulator: Emulator, tmp_path: Path) -> None:
    emulator.behaviour.denied = frozenset({"bedrock:GetFoundationModelAvailability"})
    [row] = rows("opus-5-5", cwd=tmp_path, emulator=emulator).values()
    assert row["access"].startswith("bedrock:GetFoundationModelAvailability: AccessDeniedException")


def test_without_permission_or_region_is_one_line(emulator: Emulator, tmp_path: Path) -> None:
    emulator.behaviour.denied = frozenset({"bedrock:ListFoundationModels"})
    done = run(cwd=tmp_path, code=1, emulator=emulator)
    assert done.stderr.startswith("rag: bedrock:ListFoundationModels: AccessDeniedException")
    assert "no AWS region is set" in run(cwd=tmp_path, code=1).stderr
