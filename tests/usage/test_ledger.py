"""The ledger: nothing is lost, nothing unknown counts as free, and older files are read and upgraded."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.calls import Call, Usage
from rag.core.errors import ConfigError, RagError
from rag.usage.budget import Request
from rag.usage.ledger import MOST_WAITING, Ledger
from rag.usage.spending import Spending

SONNET = "global.anthropic.claude-sonnet-5-5"
TODAY = dt.date(2026, 11, 21)
NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def call(usd: float | None = 0.01, model: str = SONNET, purpose: str = "generate") -> Call:
    return Call(model, purpose, Usage(100, 20, 3, 4, usd))


# ---------------------------------------------------------------------- sums

NAMES = ("model", "prompt", "tag", "account", "index", "day", "purpose")
ENTRIES = st.lists(
    st.fixed_dictionaries({
        "model": st.sampled_from([SONNET, "amazon.titan-embed-text-v2:0", "a 'quoted' one"]),
        "purpose": st.sampled_from(["embed", "generate"]), "prompt": st.sampled_from(["", "answer-v1"]),
        "tag": st.sampled_from(["", "a", "b"]), "account": st.sampled_from(["", "a"]), "index": st.sampled_from(["", "handbook"]),
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
                prompt=entry["prompt"], tag=entry["tag"], account=entry["account"], when=entry["when"],
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
                Call(entry["model"], "generate", entry["usage"]), account=entry["account"], when=entry["when"]
            )
            for since, account in asked:
                expected = sum(
                    each["usage"].cost_usd or 0.0 for each in entries[: number + 1]
                    if account in (None, each["account"]) and (since is None or instant(each["when"]) >= instant(since))
                )  # fmt: skip
                assert ledger.spent(since, account=account) == pytest.approx(expected)
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
from rag.core.calls import Call, Usage
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
        "from rag.core.calls import Call, Usage\n"
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
        "from rag.core.calls import Call, Usage\n"
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
    assert "cannot write the ledger" in (ledger.record(call(3.0), account="a", when=NOON) or "")
    assert ledger.record(call(2.0), when=NOON) is None
    assert (ledger.spent(), ledger.spent(TODAY), ledger.spent(account="a")) == (5.0, 5.0, 3.0)
    assert ledger.spent(TODAY + dt.timedelta(1)) == 0.0


def test_what_could_not_be_written_is_written_as_soon_as_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite")
    for number in range(3):
        ledger.record(call(1.0, f"model-{number}"), when=NOON)
    assert ledger.spent() == 3.0
    (tmp_path / "file").unlink()
    assert ledger.record(call(1.0, "model-3"), when=NOON) is None
    assert [row.group[0] for row in Ledger(ledger.path).rows(("model",))] == [f"model-{n}" for n in range(4)]
    assert ledger.spent() == 4.0
    ledger.path.unlink()  # deleted while open: the next call makes a new one
    ledger.record(call(0.5), when=NOON)
    assert (ledger.spent(), Ledger(ledger.path).rows()[0].calls) == (0.5, 1)


def test_of_many_unwritten_rows_the_dollars_are_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite")
    for _ in range(MOST_WAITING + 50):
        ledger.record(call(1.0), account="a", when=NOON)
    assert ledger.spent(TODAY, account="a") == MOST_WAITING + 50
    assert ledger.spent(TODAY + dt.timedelta(1)) == ledger.spent(account="b") == 0
    (tmp_path / "file").unlink()
    ledger.record(call(1.0), account="a", when=NOON)
    assert Ledger(ledger.path).rows()[0].calls == MOST_WAITING + 1
    assert ledger.spent(account="a") == MOST_WAITING + 51


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
    with pytest.raises(RagError):
        ledger.reserve(Request(1.0, "", None, "ever"))
    assert path.read_bytes() == before


def test_reading_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "no" / "ledger.sqlite")
    assert (ledger.spent(), ledger.rows(("model",))) == (0.0, [])
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_ledger_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.record(call(1.0))
    ledger.close()
    tmp_path.chmod(0o500)
    try:
        assert Ledger(tmp_path / "ledger.sqlite").spent() == ledger.spent()
        assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]
    finally:
        tmp_path.chmod(0o700)


# ---------------------------------------------------------------------- files of version 1

V1 = """CREATE TABLE calls (
    at INTEGER NOT NULL, model TEXT NOT NULL, purpose TEXT NOT NULL, "index" TEXT NOT NULL,
    prompt TEXT NOT NULL, tag TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, usd REAL
)"""


def version_1(path: Path) -> Path:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute(V1)
        file.execute("PRAGMA user_version = 1")
        for tag, usd in (("", 1.0), ("a", 2.0), ("a", None)):
            file.execute(
                "INSERT INTO calls VALUES (1, 'm', 'embed', '', '', ?, 1, 0, 0, 0, 0, ?)", (tag, usd)
            )
    file.close()
    return path


def test_a_file_of_version_1_is_upgraded_and_its_tags_are_accounts(tmp_path: Path) -> None:
    ledger = Ledger(version_1(tmp_path / "ledger.sqlite"))
    assert (ledger.spent(), ledger.spent(account="a")) == (3.0, 2.0)
    assert ledger.record(call(0.5), account="a") is None
    assert {row.group: (row.calls, row.unpriced) for row in ledger.rows(("tag", "account"))} == {
        ("", ""): (1, 0), ("a", "a"): (2, 1), ("", "a"): (1, 0)
    }  # fmt: skip
    with sqlite3.connect(ledger.path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (3,)
    file.close()


def test_four_processes_upgrade_one_file_at_once(tmp_path: Path) -> None:
    path = version_1(tmp_path / "ledger.sqlite")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(n)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for n in range(4)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 4
    assert Ledger(path).rows()[0].calls == 3 + 4 * 250


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(version_1(tmp_path / "ledger.sqlite")) as file:
        file.execute("PRAGMA user_version = 4")
    file.close()
    with pytest.raises(RagError, match="is a ledger of a newer version of rag: name another file"):
        Ledger(tmp_path / "ledger.sqlite").rows()


# ---------------------------------------------------------------------- files of version 2

V2 = (
    """CREATE TABLE calls (
    at INTEGER NOT NULL, model TEXT NOT NULL, purpose TEXT NOT NULL, "index" TEXT NOT NULL, prompt TEXT NOT NULL,
    tag TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, usd REAL,
    account TEXT NOT NULL DEFAULT '', held REAL
)""",
    """CREATE TABLE reservations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, account TEXT NOT NULL, usd REAL NOT NULL,
    machine TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL
)""",
    """CREATE TABLE notices (
    period TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (period, account, kind, subject)
) WITHOUT ROWID""",
)


def version_2(path: Path) -> Path:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA journal_mode = WAL")
        for table in V2:
            file.execute(table)
        file.execute("PRAGMA user_version = 2")
        for usd, held in ((1.0, None), (None, 0.25)):
            file.execute(
                "INSERT INTO calls VALUES (1, 'm', 'generate', '', '', 't', 1, 2, 0, 0, 0, ?, 'a', ?)",
                (usd, held),
            )
        file.execute("INSERT INTO reservations VALUES (7, 1, 'a', 0.5, 'elsewhere', 1, 'x')")
        file.execute("INSERT INTO notices VALUES ('p', 'a', 'warn', '1.0', 1)")
    file.close()
    return path


def test_a_file_of_version_2_keeps_its_rows_and_takes_savings(tmp_path: Path) -> None:
    ledger = Ledger(version_2(tmp_path / "ledger.sqlite"))
    assert not ledger.is_first("p", "a", "warn", "1.0")
    assert ledger.record(Call("m", "cached", Usage(cost_usd=0.0), 0.75), account="a") is None
    assert ledger.record(Call("m", "cached", Usage(cost_usd=0.0)), account="a") is None
    assert ledger.spent() == 1.25
    (total,) = ledger.rows()
    assert (total.calls, total.unpriced, total.usd, total.cached, total.saved_usd) == (2, 1, 1.0, 2, 0.75)
    with sqlite3.connect(ledger.path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (3,)
        assert file.execute("SELECT id, usd FROM reservations").fetchall() == [(7, 0.5)]
    file.close()


@pytest.mark.parametrize("make", [version_1, version_2])
def test_an_older_file_that_can_only_be_read_is_read(tmp_path: Path, make: Any) -> None:
    from rag.usage.ledger_tables import LEDGER

    with sqlite3.connect(make(tmp_path / "ledger.sqlite")) as file:
        assert LEDGER.view is not None
        LEDGER.view(file, 1 if make is version_1 else 2)
        saved, held, account = file.execute(
            "SELECT SUM(saved), SUM(held), MAX(account) FROM calls"
        ).fetchone()
        assert (saved, account) == (None, "a") and held == (None if make is version_1 else 0.25)
        assert file.execute("SELECT TOTAL(usd) FROM reservations").fetchone() == (
            0.0 if make is version_1 else 0.5,
        )
    file.close()
