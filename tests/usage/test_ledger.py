"""The ledger, budgets over it, and `rag cost`: nothing is lost, nothing unknown counts as free."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.bedrock.models import estimate_usd
from rag.core.answers import Call, Usage
from rag.core.errors import BudgetError, ConfigError, RagError
from rag.core.format import dollars
from rag.usage.budget import Budget, Meter
from rag.usage.budget import settings as ledger_settings
from rag.usage.ledger import Ledger, Spending
from tests.cli.test_main import error_of, run

SONNET = "global.anthropic.claude-sonnet-5-5"
TODAY = dt.date(2026, 11, 21)
NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def call(usd: float | None = 0.01, model: str = SONNET, purpose: str = "generate") -> Call:
    return Call(model, purpose, Usage(100, 20, 3, 4, usd))


# ---------------------------------------------------------------------- sums

NAMES = ("model", "prompt", "tag", "index", "day", "purpose")
ENTRIES = st.lists(
    st.fixed_dictionaries({
        "model": st.sampled_from([SONNET, "amazon.titan-embed-text-v2:0", "a 'quoted' one"]),
        "purpose": st.sampled_from(["embed", "generate"]), "prompt": st.sampled_from(["", "answer-v1"]),
        "tag": st.sampled_from(["", "a", "b"]), "index": st.sampled_from(["", "handbook"]),
        "when": st.datetimes(dt.datetime(2026, 10, 30), dt.datetime(2026, 11, 2)),
        "usage": st.builds(
            Usage, *[st.integers(0, 10**6)] * 4, st.none() | st.floats(0, 100), st.integers(0, 10**6)
        ),
    }),
    max_size=25,
)  # fmt: skip
SINCE = st.none() | st.dates(dt.date(2026, 10, 29), dt.date(2026, 11, 3)) | st.datetimes(
    dt.datetime(2026, 10, 30), dt.datetime(2026, 11, 2), timezones=st.just(dt.timezone(dt.timedelta(hours=5)))
)  # fmt: skip


def instant(moment: dt.date | dt.datetime) -> dt.datetime:
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.lists(st.sampled_from(NAMES), unique=True), SINCE, st.sampled_from([None, "", "handbook"]))
def test_sums_are_those_of_a_plain_list_for_any_grouping(entries, by, since, index) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        expected: dict[tuple[str, ...], list[Usage]] = defaultdict(list)
        for entry in entries:
            said = ledger.record(
                Call(entry["model"], entry["purpose"], entry["usage"]), index=entry["index"],
                prompt=entry["prompt"], tag=entry["tag"], when=entry["when"],
            )  # fmt: skip
            assert said is None
            counts = since is None or instant(entry["when"]) >= instant(since)
            if counts and index in (None, entry["index"]):
                group = {**entry, "day": entry["when"].date().isoformat()}
                expected[tuple(group[name] for name in by)].append(entry["usage"])
        found = ledger.rows(by, since, index=index)
        ledger.close()
    assert {row.group for row in found} == set(expected)
    for row in found:
        usages = expected[row.group]
        known = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
        assert (row.calls, row.unpriced) == (len(usages), len(usages) - len(known))
        assert row.input_tokens == sum(usage.input_tokens for usage in usages)
        assert row.output_tokens == sum(usage.output_tokens for usage in usages)
        assert row.cache_read_tokens == sum(usage.cache_read_input_tokens for usage in usages)
        assert row.cache_write_tokens == sum(usage.cache_write_input_tokens for usage in usages)
        assert row.usd == (pytest.approx(sum(known)) if known else None)


@settings(max_examples=40, deadline=None)
@given(ENTRIES, st.lists(st.tuples(SINCE, st.sampled_from([None, "", "a"])), max_size=6))
def test_what_is_spent_is_the_same_whenever_and_however_often_it_is_asked(entries, asked) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        for number, entry in enumerate(entries):
            ledger.record(
                Call(entry["model"], "generate", entry["usage"]), tag=entry["tag"], when=entry["when"]
            )
            for since, tag in asked:
                expected = sum(
                    each["usage"].cost_usd or 0.0 for each in entries[: number + 1]
                    if tag in (None, each["tag"]) and (since is None or instant(each["when"]) >= instant(since))
                )  # fmt: skip
                assert ledger.spent(since, tag=tag) == pytest.approx(expected)
        ledger.close()


def test_groups_come_dearest_first_and_days_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for days, usd, model in ((0, 1.0, "a"), (1, 3.0, "b"), (2, 2.0, "c"), (0, None, "d")):
        ledger.record(call(usd, model), when=NOON - dt.timedelta(days))
    assert [row.group[0] for row in ledger.rows(("model",))] == ["b", "c", "a", "d"]
    days = [row.group for row in ledger.rows(("model", "day"))]
    assert days == [("c", "2026-11-19"), ("b", "2026-11-20"), ("a", "2026-11-21"), ("d", "2026-11-21")]


def test_days_are_utc_wherever_the_call_was_made(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    tokyo = dt.timezone(dt.timedelta(hours=9))
    ledger.record(call(), when=dt.datetime(2026, 11, 21, 8, tzinfo=tokyo))
    assert [row.group for row in ledger.rows(("day",))] == [("2026-11-20",)]
    assert ledger.spent(TODAY) == 0.0


def test_a_call_without_a_price_is_counted_but_not_as_no_dollars(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.record(call(None, "a-model"))
    assert ledger.rows() == [Spending((), 1, 1, 100, 20, 3, 4, None)]
    ledger.record(call(0.5))
    assert ledger.rows() == [Spending((), 2, 1, 200, 40, 6, 8, 0.5)]


def test_an_unknown_column_names_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'prompt'"):
        Ledger(tmp_path / "ledger.sqlite").rows(("promt",))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- many writers, bad disks

WRITER = """
import sys
from pathlib import Path
from rag.usage.ledger import Ledger
from rag.core.passages import Call, Usage
ledger = Ledger(Path(sys.argv[1]))
sys.stdin.readline()
for _ in range(250):
    said = ledger.record(Call("m", "generate", Usage(1, 2, 0, 0, 0.001)), tag=sys.argv[2])
    assert said is None, said
    ledger.spent()
"""


def test_four_processes_that_start_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(n)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for n in range(4)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate()
        assert (writer.returncode, errors) == (0, b"")
    ledger = Ledger(path)
    assert [(row.group, row.calls) for row in sorted(ledger.rows(("tag",)), key=lambda row: row.group)] == [
        ((str(n),), 250) for n in range(4)
    ]  # fmt: skip
    assert ledger.spent() == pytest.approx(1.0)


def test_threads_and_forked_children_share_a_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    threads = [threading.Thread(target=lambda: [ledger.record(call()) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom rag.usage.ledger import Ledger\n"
        "from rag.core.passages import Call, Usage\n"
        "ledger, one = Ledger(Path(sys.argv[1])), Call('m', 'embed', Usage(1, 0, 0, 0, 0.01))\n"
        "ledger.record(one)\nchild = os.fork()\n"
        "for _ in range(100): assert ledger.record(one) is None\n"
        "if child: assert os.waitpid(child, 0)[1] == 0; ledger.record(one)\n"
    )
    subprocess.run([sys.executable, "-c", code, ledger.path], check=True)
    assert ledger.rows()[0].calls == 200 + 202
    assert ledger.spent() == pytest.approx(4.02)


def test_a_full_disk_breaks_nothing_and_is_told_once(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom rag.usage.ledger import Ledger\n"
        "from rag.usage.budget import Budget\nfrom rag.core.passages import Call, Usage\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "ledger, one = Ledger(Path(sys.argv[1])), Call('m', 'generate', Usage(1, 0, 0, 0, 0.01))\n"
        "ledger.record(one)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "notes = [ledger.record(one) for _ in range(500)]\n"
        "print(sum(note is not None for note in notes), next(filter(None, notes)))\n"
        "print(round(ledger.spent(), 6))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "ledger.sqlite"], capture_output=True, text=True, check=True
    )
    told, spent = done.stdout.splitlines()
    assert told.startswith("1 cannot write the ledger ")
    assert told.endswith("make room, or set path in [ledger] to a file that can be written")
    assert float(spent) == pytest.approx(5.01)  # what was not written counts for this process's budgets
    assert 1 <= Ledger(tmp_path / "ledger.sqlite").rows()[0].calls < 501  # what was written is whole


def test_a_place_that_cannot_be_written_stops_no_call_but_a_budget_still_counts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite")
    assert "cannot write the ledger" in (ledger.record(call(3.0), tag="a", when=NOON) or "")
    assert ledger.record(call(2.0), when=NOON) is None
    assert (ledger.spent(), ledger.spent(TODAY), ledger.spent(tag="a")) == (5.0, 5.0, 3.0)
    assert ledger.spent(TODAY + dt.timedelta(1)) == 0.0
    with pytest.raises(BudgetError):
        Budget(stop_usd=5.5).check(ledger, 1.0, TODAY)


@pytest.mark.parametrize("content", [b"this is no database at all, but text of some length", None])
def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.sqlite"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE theirs (x)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    ledger = Ledger(path)
    assert "cannot write the ledger" in (ledger.record(call()) or "")
    with pytest.raises(RagError):
        ledger.rows()
    note = Budget(stop_usd=5).check(ledger, 1.0)
    assert note is not None and note.startswith("the budget knows only of this call")
    with pytest.raises(BudgetError):
        Budget(stop_usd=5).check(ledger, 6.0)
    assert path.read_bytes() == before


def test_reading_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "no" / "ledger.sqlite")
    assert (ledger.spent(), ledger.rows(("model",))) == (0.0, [])
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_ledger_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    ledger = spent_ledger(tmp_path)
    ledger.close()
    tmp_path.chmod(0o500)
    try:
        assert Ledger(tmp_path / "ledger.sqlite").spent() == ledger.spent()
        assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]
    finally:
        tmp_path.chmod(0o700)


# ---------------------------------------------------------------------- budgets


def spent_ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for days, usd in ((0, 1.0), (1, 2.0), (40, 4.0)):
        ledger.record(call(usd), when=NOON - dt.timedelta(days), tag="a" if days else "b")
    return ledger


@pytest.mark.parametrize(("per", "spent"), [("call", 0.0), ("day", 1.0), ("month", 3.0), ("ever", 7.0)])
def test_a_budget_stops_what_could_pass_it_and_not_what_just_fits(tmp_path: Path, per, spent: float) -> None:
    ledger = spent_ledger(tmp_path)
    assert Budget(stop_usd=spent + 0.5, per=per).check(ledger, 0.5, TODAY) is None
    with pytest.raises(BudgetError) as error:
        Budget(stop_usd=spent + 0.5, per=per).check(ledger, 0.51, TODAY)
    said = str(error.value)
    assert said.startswith(f"{dollars(spent)} spent and $0.5100 that this call may cost would pass the ")
    assert "raise stop_usd in [ledger], or ask for less" in said
    assert ("wait for" in said) == (per in ("day", "month"))
    assert "\n" not in said


def test_a_budget_warns_before_it_stops(tmp_path: Path) -> None:
    budget = Budget(warn_usd=1.2, stop_usd=2.0)
    ledger = spent_ledger(tmp_path)
    assert budget.check(ledger, 0.1, TODAY) is None
    note = budget.check(ledger, 0.3, TODAY)
    assert note == "$1.0000 spent and $0.3000 that this call may cost pass the $1.2000 today of warn_usd"
    with pytest.raises(BudgetError):
        budget.check(ledger, 1.1, TODAY)


def test_a_tags_budget_counts_its_own_calls_alone(tmp_path: Path) -> None:
    ledger = spent_ledger(tmp_path)
    assert Budget(stop_usd=2.5, per="ever", tag="b").check(ledger, 1.0) is None
    with pytest.raises(BudgetError, match="in all for 'a'"):
        Budget(stop_usd=2.5, per="ever", tag="a").check(ledger, 1.0)


def test_what_another_process_spends_counts_at_once(tmp_path: Path) -> None:
    mine, theirs = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    budget = Budget(stop_usd=1.0)
    assert budget.check(mine, 0.6) is None
    theirs.record(call(0.5))
    with pytest.raises(BudgetError):
        budget.check(mine, 0.6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 3), max_size=20), st.floats(0, 10))
def test_calls_that_a_budget_lets_through_never_pass_it(costs: list[float], stop: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger, through = Ledger(Path(folder) / "ledger.sqlite"), 0.0
        for usd in costs:
            try:
                Budget(stop_usd=stop).check(ledger, usd)
            except BudgetError:
                continue
            ledger.record(call(usd))
            through += usd
        ledger.close()
    assert through <= stop + 1e-9


def meter(tmp_path: Path, **budget: float) -> Meter:
    return Meter(Ledger(tmp_path / "ledger.sqlite"), Budget(**budget), "handbook", "a", estimate_usd)


def test_a_meter_prices_a_call_by_its_tokens_before_it_is_made(tmp_path: Path) -> None:
    metered = meter(tmp_path, stop_usd=0.0405)
    assert metered.before(SONNET, 10_000, 2_048) is None
    with pytest.raises(BudgetError, match=r"\$0.0410 that this call may cost would pass the \$0.0405 today"):
        metered.before(SONNET, 10_000, 2_100)
    with pytest.raises(BudgetError):
        metered.before("cohere.rerank-v3-5:0", usd=0.05)


def test_a_model_without_a_price_is_told_not_taken_for_free(tmp_path: Path) -> None:
    said = meter(tmp_path, stop_usd=1).before("a-model", 10, 10)
    assert said == "a-model has no known price: the budget cannot count it"
    assert meter(tmp_path).before("a-model", 10, 10) is None
    assert meter(tmp_path, stop_usd=1).before(None, 10, 10) is None


def test_a_meter_writes_down_what_costs_something_and_leaves_out_what_is_free(tmp_path: Path) -> None:
    metered = meter(tmp_path)
    assert metered.after([call(0.0, "local"), call(0.5), call(None, "a-model")], prompt="answer-v1") is None
    rows = metered.ledger.rows(("model", "index", "tag", "prompt"))
    assert [row.group for row in rows] == [
        (SONNET, "handbook", "a", "answer-v1"), ("a-model", "handbook", "a", "answer-v1")
    ]  # fmt: skip
    assert meter(tmp_path / "free").after([call(0.0, "local")]) is None
    assert not (tmp_path / "free").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [({"warn": 5}, "no setting 'warn': did you mean 'warn_usd'"), ({"path": 3}, "path is a string"),
     ({"tag": 3}, "tag is a string"), ({"per": "days"}, "did you mean 'day'"),
     ({"stop_usd": "5"}, "stop_usd is a number of dollars"), ({"warn_usd": True}, "warn_usd is a number"),
     ({"stop_usd": -1}, "stop_usd is a number"), ({"stop_usd": float("nan")}, "stop_usd is a number")],
)  # fmt: skip
def test_a_wrong_setting_says_which_and_what_was_meant(value: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ledger_settings(value)


def test_settings_make_the_meter_of_an_index(tmp_path: Path) -> None:
    own = ledger_settings(None).meter(tmp_path / "handbook")
    assert (own.ledger.path, own.index) == (tmp_path / "handbook" / "ledger.sqlite", "handbook")
    given = ledger_settings({"path": "x.sqlite", "tag": "t", "warn_usd": 1, "stop_usd": 2.5, "per": "month"})
    shared = given.meter(tmp_path / "handbook", estimate_usd)
    assert (shared.ledger.path, shared.tag, shared.price) == (Path("x.sqlite"), "t", estimate_usd)
    assert shared.budget == Budget(1, 2.5, "month", "t")
    assert ledger_settings("x.sqlite").path == Path("x.sqlite")


# ---------------------------------------------------------------------- rag cost


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
    assert ["model", "calls", "input", "output", "cache", "read", "cache", "write", "dollars"] in lines
    assert [SONNET, "2", "200", "40", "6", "8", "$0.7500"] in lines
    assert ["amazon.titan-embed-text-v2:0", "1", "100", "20", "3", "4", "under", "$0.0001"] in lines
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


def test_cost_tells_of_calls_without_a_price(index: Path) -> None:
    Ledger(index / "ledger.sqlite").record(call(None, "a-model"))
    done = run("cost", index)
    assert ["a-model", "1", "100", "20", "3", "4", "1", "no", "known", "price"] in [
        line.split() for line in done.stdout.splitlines()
    ]
    assert "$0" not in done.stdout
    assert "note: 1 call of models without a known price: not in the dollars" in done.stderr
    found = json.loads(run("cost", index, "--json").stdout)
    assert (found["rows"][0]["usd"], found["total"]["usd"], len(found["notes"])) == (None, None, 1)


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
