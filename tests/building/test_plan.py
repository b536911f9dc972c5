"""A plan counts what the build then does, and prices it as the ledger would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from langchain_core.embeddings import DeterministicFakeEmbedding

import rag
from rag.building.texts import embedding_usd
from rag.cli.main import cli
from rag.embedding.static import StaticEmbeddings
from rag.usage.prices import PriceTable

TITAN = "amazon.titan-embed-text-v2:0"


def test_a_plan_counts_what_the_build_then_does_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    plan = rag.plan(folder, tmp_path / "ix", embedder="static")
    assert not (tmp_path / "ix").exists()
    assert (plan.added, plan.cost_usd, plan.notes) == (3, 0.0, ())
    report = rag.build(folder, tmp_path / "ix", embedder="static")
    assert (plan.chunks, plan.texts) == (report.chunks, report.embedded)
    assert plan.tokens > 40
    assert rag.plan(folder, tmp_path / "ix").chunks == 0


def test_a_plan_for_titan_has_the_built_in_price_without_aws(folder: Path, tmp_path: Path) -> None:
    plan = rag.plan(folder, tmp_path / "ix", embedder="titan")
    assert plan.cost_usd == pytest.approx(plan.tokens * 0.02 / 1e6)


def test_a_plan_uses_the_users_prices(folder: Path, tmp_path: Path) -> None:
    plan = rag.plan(folder, tmp_path / "ix", embedder="titan", prices={TITAN: {"input": 5.0}})
    assert plan.cost_usd == pytest.approx(plan.tokens * 5.0 / 1e6)


def test_an_unknown_price_is_none_and_says_how_to_enter_it(folder: Path, tmp_path: Path) -> None:
    embedder = DeterministicFakeEmbedding(size=8)
    plan = rag.plan(folder, tmp_path / "ix", embedder=embedder)
    assert plan.tokens > 0 and plan.cost_usd is None
    assert plan.notes == (
        "no price is known for DeterministicFakeEmbedding: enter it in rag.toml, "
        '[prices."DeterministicFakeEmbedding"] with input = … (US dollars per million tokens); input = 0 if it '
        "runs on this machine",
    )
    free = {"DeterministicFakeEmbedding": {"input": 0}}
    assert rag.plan(folder, tmp_path / "ix", embedder=embedder, prices=free).cost_usd == 0.0


def test_no_tokens_cost_nothing_even_without_a_price() -> None:
    embedder = DeterministicFakeEmbedding(size=8)
    assert embedding_usd(embedder, 0, PriceTable()) == 0.0
    assert embedding_usd(embedder, 1, PriceTable()) is None
    assert embedding_usd(StaticEmbeddings(), 1, PriceTable()) == 0.0


def test_the_command_reads_prices_of_rag_toml(folder: Path, tmp_path: Path) -> None:
    config, index = tmp_path / "rag.toml", tmp_path / "ix"
    config.write_text(f'[embedder]\nuse = "titan"\nmodel = "my.titan"\n[prices."{TITAN}"]\ninput = 5.0\n')
    command = ["plan", str(folder), str(index), "--config", str(config)]
    shown = CliRunner().invoke(cli, [*command, "--batch", "s3://bucket/prefix"], standalone_mode=False)
    assert "  cost: no known price; time:" in shown.stdout
    assert "  in batch jobs: no known price; AWS may take a day or more" in shown.stdout
    assert 'note: no price is known for my.titan: enter it in rag.toml, [prices."my.titan"]' in shown.stderr
    config.write_text(f'[embedder]\nuse = "titan"\n[prices."{TITAN}"]\ninput = 500000.0\n')
    plan = json.loads(CliRunner().invoke(cli, [*command, "--batch", "s3://b/p", "--json"]).stdout)
    assert plan["cost_usd"] == pytest.approx(plan["tokens"] * 0.5)
    assert plan["batch_cost_usd"] == pytest.approx(plan["tokens"] * 0.25)
