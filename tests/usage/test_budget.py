"""Budgets: when they warn, when they refuse, and what they do without a price, a ledger or a hook."""

from __future__ import annotations

import datetime as dt
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rag.core.calls import Call, Usage
from rag.core.errors import BudgetError, ConfigError
from rag.usage.budget import Budget, BudgetEvent
from rag.usage.ledger import Ledger
from rag.usage.ledger_settings import settings
from rag.usage.meter import Meter
from rag.usage.prices import PriceTable

SONNET = "global.anthropic.claude-sonnet-5-5"
NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def call(usd: float | None = 0.01, model: str = SONNET, purpose: str = "generate") -> Call:
    return Call(model, purpose, Usage(100, 20, 3, 4, usd))


def meter(path: Path, *warn: float, stop: float | None = None, per="day", account="", hook=None) -> Meter:
    return Meter(
        Ledger(path / "ledger.sqlite"), Budget(warn, stop, per, account), "handbook",
        on_budget=hook, clock=lambda: NOON,
    )  # fmt: skip


def spend(path: Path) -> None:
    ledger = Ledger(path / "ledger.sqlite")
    for days, usd in ((0, 1.0), (1, 2.0), (40, 4.0)):
        ledger.record(call(usd), when=NOON - dt.timedelta(days), account="a" if days else "b")
    ledger.close()


@pytest.mark.parametrize(
    ("per", "spent", "what"),
    [
        ("day", 1.0, "today's spending"),
        ("month", 3.0, "this month's spending"),
        ("ever", 7.0, "all spending"),
    ],
)
def test_a_budget_refuses_what_could_pass_it_and_not_what_just_fits(tmp_path, per, spent, what) -> None:
    spend(tmp_path)
    fits = meter(tmp_path, stop=spent + 0.5, per=per).reserve(SONNET, usd=0.5)
    assert fits.notes == ()
    fits.release()
    with pytest.raises(BudgetError) as error:
        meter(tmp_path, stop=spent + 0.5, per=per).reserve(SONNET, usd=0.51)
    wait = {"day": "wait for tomorrow (UTC), ", "month": "wait for the next month (UTC), "}.get(per, "")
    assert str(error.value) == (
        f"this call could bring {what} to ${spent + 0.51:.4f} ($0.5100 for it), above stop_usd "
        f"(${spent + 0.5:.4f}) in {tmp_path / 'ledger.sqlite'}: {wait}raise stop_usd in [ledger], or lower "
        "max_tokens or the trimmer's budget"
    )


def test_a_budget_per_call_looks_at_the_call_alone_and_touches_no_file(tmp_path: Path) -> None:
    each = meter(tmp_path, 0.1, stop=0.5, per="call")
    for _ in range(3):
        held = each.reserve(SONNET, usd=0.5)
        assert held.notes == ("this call could cost $0.5000, above warn_usd ($0.1000)",)
    with pytest.raises(BudgetError, match=r"could cost \$0.5100, above stop_usd \(\$0.5000\) for one call"):
        each.reserve(SONNET, usd=0.51)
    assert list(tmp_path.iterdir()) == []


def test_sums_of_tenths_are_no_more_than_their_limit(tmp_path: Path) -> None:
    tenths = meter(tmp_path, stop=0.3)
    for _ in range(3):
        tenths.reserve(SONNET, usd=0.1).settle(call(0.1))
    with pytest.raises(BudgetError):
        tenths.reserve(SONNET, usd=1e-9)


def test_tokens_are_priced_at_their_most(tmp_path: Path) -> None:
    limited = meter(tmp_path, stop=0.0405)
    limited.reserve(SONNET, input_tokens=10_000, output_tokens=2_048).release()
    for most in (
        {"input_tokens": 10_000, "output_tokens": 2_100},
        {"input_tokens": 10_000, "output_tokens": 2_000, "cache_ttl": "1h"},
    ):
        with pytest.raises(BudgetError):
            limited.reserve(SONNET, **most)  # type: ignore[arg-type]
    with pytest.raises(BudgetError):
        limited.reserve("cohere.rerank-v3-5:0", documents=2_100, purpose="rerank")
    with pytest.raises(ValueError):
        limited.reserve(SONNET, usd=-1.0)
    with pytest.raises(ValueError):
        limited.reserve(SONNET, usd=math.nan)


def test_without_limits_and_for_what_is_free_no_file_is_touched(tmp_path: Path) -> None:
    for free in (meter(tmp_path).reserve("a-model"), meter(tmp_path, stop=0.0).reserve(None)):
        assert (free.usd, free.notes, free.settle(call(0.0, "local"))) == (0.0, (), None)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- without a price, without a ledger


@pytest.mark.parametrize(
    ("model", "purpose", "advice"),
    [("gpt-9", "generate", '[prices."gpt-9"] with input = … and output = … (US dollars per million tokens)'),
     ("my-embedder", "embed", '[prices."my-embedder"] with input = … (US dollars per million tokens)'),
     ("my-reranker", "rerank", '[prices."my-reranker"] with per_query = …'),
     ("arn:aws:bedrock:us-east-1:1:provisioned-model/x", "generate", "paid by the hour")],
)  # fmt: skip
def test_a_model_without_a_price_is_refused_with_how_to_give_one(tmp_path, model, purpose, advice) -> None:
    with pytest.raises(BudgetError) as error:
        meter(tmp_path, stop=100.0).reserve(model, input_tokens=1, purpose=purpose)
    assert str(error.value).startswith("a budget with stop_usd refuses a model without a price: ")
    assert advice in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(BudgetError):
        meter(tmp_path, stop=100.0, per="call").reserve(model, purpose=purpose)


def test_a_price_that_is_entered_lets_the_model_through(tmp_path: Path) -> None:
    table = PriceTable.from_settings({"gpt-9": {"input": 1, "output": 2}})
    priced = replace(meter(tmp_path, stop=4.0), prices=table)
    held = priced.reserve("gpt-9", input_tokens=2_000_000, output_tokens=1_000_000)
    assert held.usd == 4.0
    held.settle(Call("gpt-9", "generate", Usage(1_000_000, 500_000)))
    assert priced.ledger.spent() == 2.0


def test_a_model_without_a_price_is_noted_once_where_a_budget_only_warns(tmp_path: Path) -> None:
    note = "warn_usd does not count gpt-9: no price is known for gpt-9"
    held = meter(tmp_path, 1.0).reserve("gpt-9", input_tokens=5)
    assert len(held.notes) == 1 and held.notes[0].startswith(note)
    assert meter(tmp_path, 1.0).reserve("gpt-9").notes == ()
    assert len(meter(tmp_path, 1.0).reserve("gpt-10").notes) == 1


def test_a_call_whose_price_turns_out_unknown_counts_with_what_was_set_aside(tmp_path: Path) -> None:
    limited = meter(tmp_path, stop=1.0)
    limited.reserve(SONNET, usd=0.8).settle(call(None, "a-stand-in"))
    assert limited.ledger.rows()[0].unpriced == 1
    with pytest.raises(BudgetError):
        limited.reserve(SONNET, usd=0.3)


@pytest.mark.parametrize("content", [b"this is no database at all, but text of some length", b"folder"])
def test_a_ledger_that_cannot_be_used_refuses_under_stop_usd_and_never_else(tmp_path, content) -> None:
    path = tmp_path / "ledger.sqlite"
    path.mkdir() if content == b"folder" else path.write_bytes(content)
    with pytest.raises(BudgetError, match=r"the budget cannot be checked, so the call is refused: .*ledger"):
        meter(tmp_path, stop=5.0).reserve(SONNET, usd=1.0)
    held = meter(tmp_path, 0.5).reserve(SONNET, usd=1.0)
    assert held.notes[0].startswith("warn_usd was not checked: ")
    assert "cannot write the ledger" in (held.settle(call(1.0)) or "")


# ---------------------------------------------------------------------- accounts and tags


def test_a_budget_counts_its_account_alone(tmp_path: Path) -> None:
    spend(tmp_path)
    meter(tmp_path, stop=2.5, per="ever", account="b").reserve(SONNET, usd=1.0).release()
    with pytest.raises(BudgetError, match="could bring all spending of 'a' to"):
        meter(tmp_path, stop=2.5, per="ever", account="a").reserve(SONNET, usd=1.0)


@pytest.mark.parametrize("account", ["", "desk"])
def test_a_questions_tag_is_a_label_that_escapes_no_budget(tmp_path: Path, account: str) -> None:
    limited = meter(tmp_path, stop=1.0, account=account)
    limited.tagged("alice").reserve(SONNET, usd=0.6).settle(call(0.6))
    with pytest.raises(BudgetError):
        limited.tagged("bob").reserve(SONNET, usd=0.6)
    with pytest.raises(BudgetError):
        limited.reserve(SONNET, usd=0.6, tag="carol")
    limited.record(call(0.1), tag="dan")
    limited.record(call(0.1))
    rows = {row.group for row in limited.ledger.rows(("tag", "account"))}
    assert rows == {("alice", account), ("dan", account), (account, account)}


# ---------------------------------------------------------------------- thresholds and the hook


def test_each_threshold_is_reported_once_for_a_period_an_account_and_a_ledger(tmp_path: Path) -> None:
    events: list[BudgetEvent] = []
    said = []
    for usd in (0.5, 0.7, 0.1, 4.0, 1.0):  # each time by a new meter, as of another process
        held = meter(tmp_path, 1.0, 2.0, 5.0, account="a", hook=events.append).reserve(SONNET, usd=usd)
        held.settle(call(usd))
        said += held.notes
    assert said == [
        "this call could bring today's spending of 'a' to $1.2000 ($0.7000 for it), above warn_usd ($1.0000)",
        "this call could bring today's spending of 'a' to $5.3000 ($4.0000 for it), above warn_usd "
        "($2.0000, $5.0000)",
    ]
    assert [(e.kind, e.threshold_usd, round(e.spent_usd, 6), e.estimate_usd, e.account) for e in events] == [
        ("warn", 1.0, 0.5, 0.7, "a"), ("warn", 2.0, 1.3, 4.0, "a"), ("warn", 5.0, 1.3, 4.0, "a"),
    ]  # fmt: skip
    tomorrow = replace(meter(tmp_path, 1.0, account="a"), clock=lambda: NOON + dt.timedelta(1))
    assert tomorrow.reserve(SONNET, usd=1.5).notes != ()
    assert meter(tmp_path, 1.0, account="b").reserve(SONNET, usd=1.5).notes != ()


def test_the_hook_is_called_once_for_refusals_and_its_failure_is_only_a_note(tmp_path: Path) -> None:
    events: list[BudgetEvent] = []
    limited = meter(tmp_path, stop=1.0, hook=events.append).tagged("alice")
    for _ in range(3):
        with pytest.raises(BudgetError):
            limited.reserve(SONNET, usd=2.0)
    (event,) = events
    assert event == BudgetEvent("stop", 1.0, 0.0, 2.0, "day", "", "alice", tmp_path / "ledger.sqlite")

    def broken(event: BudgetEvent) -> None:
        raise OSError("no route\nto host")

    held = meter(tmp_path, 0.1, account="b", hook=broken).reserve(SONNET, usd=0.5)
    assert held.notes[1] == "on_budget failed: OSError: no route to host"
    with pytest.raises(BudgetError, match=r"trimmer's budget; on_budget failed: OSError: no route to host$"):
        meter(tmp_path, stop=0.1, account="c", hook=broken).reserve(SONNET, usd=0.5)


# ---------------------------------------------------------------------- rows


def test_a_meter_writes_what_costs_something_and_leaves_out_what_is_free(tmp_path: Path) -> None:
    plain = replace(meter(tmp_path, account="a"))
    for spent in (call(0.0, "local"), call(0.5), call(None, "a-model")):
        assert plain.record(spent, prompt="answer-v1") is None
    rows = plain.ledger.rows(("model", "index", "tag", "prompt"))
    assert [row.group for row in rows] == [
        (SONNET, "handbook", "a", "answer-v1"), ("a-model", "handbook", "a", "answer-v1")
    ]  # fmt: skip
    assert meter(tmp_path / "free").record(call(0.0, "local")) is None
    assert not (tmp_path / "free").exists()


def test_a_call_is_priced_only_where_it_has_no_cost_and_tells_its_tokens(tmp_path: Path) -> None:
    plain = meter(tmp_path)
    assert plain.price(Call(SONNET, "generate", Usage(1_000_000))).usage.cost_usd == 2.0
    assert plain.price(call(0.5)).usage.cost_usd == 0.5
    assert plain.price(Call(SONNET, "generate", Usage())).usage.cost_usd is None
    profile = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"
    silent = Call(profile, "generate", Usage(1_000_000))
    assert plain.price(silent).usage.cost_usd is None
    assert plain.price(silent, SONNET).usage.cost_usd == 2.0
    meter(tmp_path, stop=9.0).reserve(profile, input_tokens=1_000_000, base=SONNET).settle(silent)
    assert plain.ledger.rows()[0].usd == 2.0


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("value", "message"),
    [({"warn": 5}, "the ledger has no setting 'warn': did you mean 'warn_usd'?"),
     ({"path": 3}, "the ledger's path is a string, not 3"),
     ({"tag": 3}, "the ledger's tag is a string, not 3"),
     ({"per": "days"}, "the ledger's per: it is 'days': did you mean 'day'?"),
     ({"stop_usd": "5"}, "the ledger's stop_usd is a number of dollars from 0, not '5'"),
     ({"warn_usd": True}, "the ledger's warn_usd is a number of dollars from 0, or a list of them, not True"),
     ({"warn_usd": [1, "2"]}, "or a list of them, not '2'"),
     ({"stop_usd": -1}, "stop_usd is a number of dollars from 0, not -1"),
     ({"stop_usd": float("nan")}, "not nan"), ({"stop_usd": float("inf")}, "not inf"),
     ({"on_budget": "alerts"}, "the ledger's on_budget: write \"module:name\", not 'alerts'"),
     ({"on_budget": "no_such_module:send"}, "cannot import 'no_such_module': ModuleNotFoundError"),
     ({"on_budget": "math:sqtr"}, "'math' has no 'sqtr': did you mean 'sqrt'?"),
     ({"on_budget": "math:pi"}, "'math:pi' is neither a function nor a class"),
     (3, "the ledger is a table of settings, or the path of a file, not 3")],
)  # fmt: skip
def test_a_wrong_setting_says_which_and_what_was_meant(value: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(value)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_settings_make_the_meter_of_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Meter.of(settings(None), tmp_path / "handbook")
    assert (plain.ledger.path, plain.index) == (tmp_path / "handbook" / "ledger.sqlite", "handbook")
    (tmp_path / "my_alerts.py").write_text("sent = []\ndef send(event): sent.append(event)\n")
    monkeypatch.syspath_prepend(tmp_path)
    value = {"path": str(tmp_path / "x.sqlite"), "tag": "t", "warn_usd": [5, 1], "stop_usd": 2.5,
             "per": "month", "on_budget": "my_alerts:send"}  # fmt: skip
    shared = Meter.of(settings(value), tmp_path / "handbook", {"m": {"input": 1}})
    assert (shared.ledger.path, shared.prices.find("m") is not None) == (tmp_path / "x.sqlite", True)
    assert shared.budget == Budget((1.0, 5.0), 2.5, "month", "t")
    shared.reserve(SONNET, usd=1.5)
    assert [event.threshold_usd for event in sys.modules["my_alerts"].sent] == [1.0]
    assert settings("x.sqlite").path == Path("x.sqlite")
    assert settings({"warn_usd": 5}).budget == Budget((5.0,))
