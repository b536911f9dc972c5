"""A knowledge base in the pipeline, the command line and the evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import rag
from rag.cli.main import cli
from rag.emulator import Emulator
from tests.bedrock.emulated_bases import (
    BUCKET,
    ID,
    QUESTION,
    retriever,
)
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def emulator(knowledge_base_emulator: Emulator) -> Emulator:
    return knowledge_base_emulator


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "kb.toml"
    path.write_text(f'[retriever]\nuse = "knowledge-base"\nknowledge_base_id = "{ID}"\nprefix = "{BUCKET}"\n')
    return path


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    answerable = [line for line in lines if json.loads(line).get("evidence")]
    path = tmp_path_factory.mktemp("few") / "golden.jsonl"
    path.write_text("\n".join(answerable[::16]) + "\n", encoding="utf-8")
    return path


def run(*words: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    assert result.exception is None, result.exception
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_eval(emulator: Emulator, handbook_index: rag.Index, toml: Path, few: Path) -> None:
    """rag eval compares a knowledge base with the index on the same questions."""
    report = run(
        "eval", handbook_index.path, few, "--budgets", "1000,4000", "--against-config", toml, "--json"
    )
    ours, change = report["metrics"]["recall"]["mean"], report["comparison"]["differences"]["recall"]
    assert ours > 0.6 and report["comparison"]["b"].endswith("kb.toml")
    # The same chunks under the same scores; only how many are retrieved differs.
    assert change["count"] == report["metrics"]["recall"]["count"] and abs(change["mean"]) < 0.1
    assert not any("not in the index verbatim" in note for note in report["comparison"]["notes"])
    alone = run("eval", handbook_index.path, few, "--budgets", "1000,4000", "--config", toml, "--json")
    assert alone["metrics"]["recall"]["mean"] == pytest.approx(ours - change["mean"])


def test_eval_without_offsets(emulator: Emulator, handbook_index: rag.Index, few: Path) -> None:
    """Passages without offsets never count as evidence."""
    from rag.evaluation import evaluate

    pipe = rag.Pipeline(handbook_index, retriever=retriever())
    report = evaluate(pipe, few, budgets=(4000,))
    assert report.metrics["recall"].mean == 0
    assert any("not in the index verbatim" in note for note in report.notes)


def test_commands(
    emulator: Emulator, handbook_index: rag.Index, handbook_texts: dict[str, str], toml: Path
) -> None:
    """context, ask and explain work with exact citations."""
    path = handbook_index.path
    words = ("--config", toml, "--where", "status == 'current'", "--json")
    context = run("context", path, QUESTION, *words, "--budget", "2000")
    assert context["used"] > 1500
    for hit in context["hits"]:
        assert handbook_texts[hit["source"]][hit["start"] : hit["end"]] == hit["text"]
    answer = run("ask", path, QUESTION, *words)
    assert answer["citations"]
    for cite in answer["citations"]:
        assert (
            cite["verified"] and handbook_texts[cite["source"]][cite["start"] : cite["end"]] == cite["text"]
        )
    kept = run("explain", path, QUESTION, "--expect", "Anyone at Kelvara may", *words)
    assert kept["stage"] == "kept"
    lost = run("explain", path, QUESTION, "--expect", "EUR 450 for a week as primary", "-k", "3", *words)
    assert lost["stage"] == "retriever" and "KnowledgeBaseRetriever" in lost["said"]


def test_sweep(emulator: Emulator, toml: Path, few: Path, tmp_path: Path) -> None:
    """A sweep compares a knowledge base with the index."""
    first = few.read_text(encoding="utf-8").splitlines()[0]
    one = tmp_path / "one.jsonl"
    one.write_text(first + "\n", encoding="utf-8")
    source = ROOT / "data" / "handbook" / json.loads(first)["evidence"][0]["source"].split("/")[0]
    docs = tmp_path / "docs"
    shutil.copytree(source, docs / source.name)
    report = run(
        "sweep", docs, one, tmp_path / "sweep", "--config", toml, "--budgets", "4000",
        "--set", "retriever.use=knowledge-base,hybrid", "--json",
    )  # fmt: skip
    assert {trial["settings"]["retriever.use"] for trial in report["trials"]} == {"knowledge-base", "hybrid"}
