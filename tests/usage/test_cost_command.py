"""`rag cost`: what calls have cost, by the labels that they have, and what is missing to price the rest."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

import rag
from rag.core.calls import Call, Usage
from rag.usage.ledger import Ledger
from tests.cli.test_main import error_of, run

SONNET = "global.anthropic.claude-sonnet-5-5"
NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def call(usd: float | None = 0.01, model: str = SONNET, purpose: str = "generate") -> Call:
    return Call(model, purpose, Usage(100, 20, 3, 4, usd))


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "indexes" / "handbook"
    rag.build(folder, path, embedder="static")
    return path


def fill(path: Path, index: str = "handbook") -> None:
    ledger = Ledger(path)
    ledger.record(call(0.5), index=index, prompt="answer-v1", tag="a", when=NOON)
    ledger.record(call(0.25), index=index, when=NOON - dt.timedelta(3))
    ledger.record(call(1e-9, "amazon.titan-embed-text-v2:0", "embed"), index=index, when=NOON)
    ledger.close()


def test_cost_shows_what_each_model_cost_and_the_total(index: Path) -> None:
    fill(index / "ledger.sqlite")
    lines = [line.split() for line in run("cost", index).stdout.splitlines()]
    assert [
        "model",
        "purpose",
        "tag",
        "calls",
        "input",
        "output",
        "cache",
        "read",
        "cache",
        "write",
        "dollars",
    ] in lines
    assert [SONNET, "generate", "a", "1", "100", "20", "3", "4", "$0.5000"] in lines
    assert [SONNET, "generate", "-", "1", "100", "20", "3", "4", "$0.2500"] in lines
    assert [
        "amazon.titan-embed-text-v2:0",
        "embed",
        "-",
        "1",
        "100",
        "20",
        "3",
        "4",
        "under",
        "$0.0001",
    ] in lines
    assert ["total", "3", "300", "60", "9", "12", "$0.7500"] in lines


def test_cost_groups_and_begins_as_asked(index: Path) -> None:
    fill(index / "ledger.sqlite")
    found = json.loads(run("cost", index, "--by", "day,purpose", "--json").stdout)
    groups = [(row["day"], row["purpose"], row["calls"]) for row in found["rows"]]
    assert groups == [
        ("2026-11-18", "generate", 1),
        ("2026-11-21", "embed", 1),
        ("2026-11-21", "generate", 1),
    ]
    assert found["total"]["usd"] == pytest.approx(0.75)
    found = json.loads(run("cost", index, "--since", "2026-11-20", "--json").stdout)
    assert (found["total"]["calls"], found["total"]["usd"]) == (2, pytest.approx(0.5))
    assert run("cost", index, "--since", "2099-01-01").stdout == "nothing was spent since 2099-01-01\n"


def test_the_last_days_are_whole_days_with_today_among_them(index: Path) -> None:
    ledger, now = Ledger(index / "ledger.sqlite"), dt.datetime.now(dt.UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for moment in (now, midnight - dt.timedelta(days=6), midnight - dt.timedelta(days=6, microseconds=1)):
        ledger.record(call(1.0), when=moment)
    assert json.loads(run("cost", index, "--since", "7d", "--json").stdout)["total"]["calls"] == 2
    assert json.loads(run("cost", index, "--since", "1d", "--json").stdout)["total"]["calls"] == 1


def test_cost_names_the_models_without_a_price_and_how_to_enter_one(index: Path, tmp_path: Path) -> None:
    ledger = Ledger(index / "ledger.sqlite")
    for model, purpose in (("a-model", "generate"), ("a-model", "generate"), ("my-reranker", "rerank")):
        ledger.record(call(None, model, purpose))
    done = run("cost", index, cwd=tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["a-model", "generate", "2", "200", "40", "6", "8", "2", "no", "known", "price"] in lines
    assert "$0" not in done.stdout
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: 2 calls of a-model (generate) not in the dollars: no price is known for a-model: enter it in "
        'rag.toml, [prices."a-model"] with input = … and output = … (US dollars per million tokens)',
        "note: 1 call of my-reranker (rerank) not in the dollars: no price is known for my-reranker: enter it in "
        'rag.toml, [prices."my-reranker"] with per_query = …',
    ]
    (tmp_path / "rag.toml").write_text('[prices."a-model"]\ninput = 1\noutput = 2\n')
    result = json.loads(run("cost", index, "--json", cwd=tmp_path).stdout)
    assert (result["rows"][0]["usd"], result["total"]["usd"], len(result["notes"])) == (None, None, 2)
    assert result["notes"][0].endswith("not in the dollars: its price became known later")


def test_accounts_are_shown_where_they_are_not_the_tags(index: Path) -> None:
    ledger = Ledger(index / "ledger.sqlite")
    ledger.record(call(0.5), tag="desk", account="desk")
    assert json.loads(run("cost", index, "--json").stdout)["by"] == ["model", "purpose", "tag"]
    ledger.record(call(0.25), tag="alice", account="desk")
    result = json.loads(run("cost", index, "--json").stdout)
    assert result["by"] == ["model", "purpose", "tag", "account"]
    assert {(row["tag"], row["account"], row["usd"]) for row in result["rows"]} == {
        ("desk", "desk", 0.5), ("alice", "desk", 0.25)
    }  # fmt: skip


def test_an_index_without_a_ledger_has_spent_nothing_and_another_path_is_an_error(
    index: Path, tmp_path: Path
) -> None:
    assert run("cost", index).stdout == "nothing was spent\n"
    assert not (index / "ledger.sqlite").exists()
    assert "there is no index at" in error_of("cost", tmp_path, code=2)
    assert "there is no index at" in error_of("cost", tmp_path / "none", code=2)
    assert "did you mean 'model'" in error_of("cost", index, "--by", "modell", code=2)
    for wrong in ("7", "0d", "yesterday", "2026-13-01", "99999999d"):
        assert "--since is a date such as" in error_of("cost", index, "--since", wrong, code=2)


def test_cost_without_an_index_adds_up_all_below_the_working_directory(index: Path, tmp_path: Path) -> None:
    nowhere = "no index in indexes/ here has a ledger: name an index"
    assert run("cost", cwd=tmp_path).stdout == f"nothing was spent: {nowhere}\n"
    assert json.loads(run("cost", "--json", cwd=tmp_path).stdout)["notes"] == [nowhere]
    fill(index / "ledger.sqlite")
    fill(tmp_path / "indexes" / "half-built" / "ledger.sqlite", "half-built")
    found = json.loads(run("cost", "--by", "index", "--json", cwd=tmp_path).stdout)
    assert {row["index"]: row["calls"] for row in found["rows"]} == {"handbook": 3, "half-built": 3}
    assert found["total"]["usd"] == pytest.approx(1.5)
    twice = json.loads(run("cost", index, index / "ledger.sqlite", "--json").stdout)
    assert twice["total"]["calls"] == 3


def test_a_shared_ledger_of_rag_toml_is_shown_whole_or_for_an_index(index: Path, tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text('[ledger]\npath = "shared.sqlite"\n')
    fill(tmp_path / "shared.sqlite")
    fill(tmp_path / "shared.sqlite", "another")
    assert json.loads(run("cost", "--json", cwd=tmp_path).stdout)["total"]["calls"] == 6
    assert json.loads(run("cost", index, "--json", cwd=tmp_path).stdout)["total"]["calls"] == 3
    (tmp_path / "rag.toml").write_text(f'[ledger]\npath = "{index / "ledger.sqlite"}"\n')
    fill(index / "ledger.sqlite")
    assert json.loads(run("cost", index, "--json", cwd=tmp_path).stdout)["total"]["calls"] == 3


def test_a_ledger_is_no_stray_file_of_its_index(index: Path, folder: Path) -> None:
    fill(index / "ledger.sqlite")
    assert rag.Store(index).verify().orphans == ()
    rag.build(folder, index, embedder="static", rebuild=True)
    assert Ledger(index / "ledger.sqlite").rows()[0].calls == 3
