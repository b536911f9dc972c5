"""Every question has a record: what it did, took and cost, and nothing of its texts unless that is asked for."""

from __future__ import annotations

import asyncio
import gzip
import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import rag
from rag.core.errors import ConfigError, GenerationError
from rag.telemetry import emf
from rag.telemetry.dashboard import summarize
from rag.telemetry.recorder import Recorder
from rag.telemetry.rotation import rotated
from rag.telemetry.settings import TelemetrySettings, settings
from rag.telemetry.sinks import FileSink, PrometheusSink
from tests.command import run
from tests.response_cache.models import PRICES, Echo

SCHEMA = json.loads((Path(rag.__file__).parent / "telemetry" / "record.schema.json").read_text())
LEAVE = "How many days of annual leave do staff in Europe take?"


def lines(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        jsonschema.validate(row, SCHEMA)
    return rows


def test_a_question_is_one_line_by_the_published_schema(ix: Path, tmp_path: Path) -> None:
    pipe = rag.Pipeline(ix, telemetry={"path": str(tmp_path / "calls.jsonl")})
    answer = pipe.ask(LEAVE, tag="desk", tenant="acme")
    (row,) = lines(tmp_path / "calls.jsonl")
    assert (row["schema"], row["id"], row["tag"], row["tenant"]) == ("rag.call/2", answer.id, "desk", "acme")
    assert (row["outcome"], row["task"], row["index"], row["version"]) == ("answered", "ask", "ix", 1)
    assert row["citations"] == len(answer.citations) and row["supported"] == 1.0
    seconds = row["seconds"]
    assert 0 < seconds["retrieve"] < seconds["first_token"] <= seconds["whole"]
    assert LEAVE not in json.dumps(row) and "28 days" not in json.dumps(row)
    assert (tmp_path / "calls.jsonl").stat().st_mode & 0o777 == 0o600


def test_filters_are_hashes_that_nobody_can_try_out(ix: Path, tmp_path: Path) -> None:
    pipe = rag.Pipeline(ix, telemetry=str(tmp_path / "c.jsonl"))
    for where in ("source == 'eu.md'", "source == 'eu.md'", "source == 'us.md'", None):
        pipe.ask(LEAVE, where=where)
    one, same, other, none = (row["filter"] for row in lines(tmp_path / "c.jsonl"))
    assert one == same != other and none is None and "eu" not in one


def test_texts_are_masked_and_cut_and_only_where_they_are_asked_for(ix: Path, tmp_path: Path) -> None:
    pipe = rag.Pipeline(ix, telemetry={"path": str(tmp_path / "c.jsonl"), "texts": True, "most_chars": 60})
    pipe.ask(f"I am ann@example.com. {LEAVE}")
    (row,) = lines(tmp_path / "c.jsonl")
    assert row["question"].startswith("I am [e-mail]. How many") and len(row["question"]) == 60
    assert "28 days" in row["answer"]


def test_what_fails_or_is_left_has_a_record_too(ix: Path, tmp_path: Path) -> None:
    pipe = rag.Pipeline(
        ix, generator=Echo(log=str(tmp_path / "log"), fails=True), telemetry=str(tmp_path / "c.jsonl")
    )
    with pytest.raises(GenerationError):
        pipe.ask(LEAVE)
    left = rag.Pipeline(ix, telemetry=str(tmp_path / "c.jsonl"))
    stream = left.stream(LEAVE)
    next(stream)
    stream.close()

    async def cancelled() -> None:
        async for _ in left.astream(LEAVE):
            break

    asyncio.run(cancelled())
    failed, *rest = lines(tmp_path / "c.jsonl")
    assert (failed["outcome"], failed["error"]) == ("failed", "GenerationError")
    assert [row["outcome"] for row in rest] == ["left", "left"]


def test_records_cost_what_the_ledger_says(ix: Path, tmp_path: Path) -> None:
    """Threads, tasks and the response cache: to the token."""
    pipe = rag.Pipeline(
        ix, generator=Echo(log=str(tmp_path / "log")), telemetry=str(tmp_path / "c.jsonl"), responses=str(tmp_path / "r.sqlite"),
        ledger=str(tmp_path / "l.sqlite"), prices=PRICES,
    )  # fmt: skip
    threads = [threading.Thread(target=pipe.ask, args=(f"{LEAVE} {n % 9}",)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def more() -> None:
        await asyncio.gather(*(pipe.aask(f"{LEAVE} {n}") for n in range(12)))

    asyncio.run(more())
    rows = lines(tmp_path / "c.jsonl")
    (spent,) = pipe.meter.ledger.rows()
    assert len(rows) == 36 and sum(row["cache"] is not None for row in rows) >= 20
    assert sum(row["tokens"]["input"] for row in rows) == spent.input_tokens
    assert sum(row["tokens"]["output"] for row in rows) == spent.output_tokens
    assert sum(row["usd"] or 0 for row in rows) == pytest.approx(spent.usd or 0.0)


def test_a_sink_that_fails_costs_no_answer(ix: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def write(self, record: Any) -> None:
            raise OSError("the disk is full")

    recorder = Recorder(TelemetrySettings(), [Broken()])
    pipe = rag.Pipeline(ix, telemetry=recorder)
    assert [pipe.ask(LEAVE).answered for _ in range(3)] == [True] * 3
    told = [each for each in caplog.records if each.name == "rag.telemetry"]
    assert len(told) == 1 and "the disk is full" in told[0].getMessage()


def write_many(path: str, number: int) -> None:
    sink = FileSink(Path(path), 20_000, 400)
    for n in range(300):
        sink.write({"writer": number, "n": n, "pad": "x" * 100})


def test_processes_share_a_file_that_rotates_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(str(path), number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    files = [path, *tmp_path.glob("c.jsonl.*")]
    rows = [json.loads(line) for each in files for line in each.read_text().splitlines()]
    assert len(files) > 4 and {(row["writer"], row["n"]) for row in rows} == {
        (writer, n) for writer in range(3) for n in range(300)
    }
    assert len(rows) == 900


def test_only_so_many_old_files_are_kept(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "c.jsonl", 500, 2)
    for n in range(50):
        sink.write({"n": n, "pad": "x" * 80})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.jsonl", "c.jsonl.1", "c.jsonl.2"]
    assert json.loads((tmp_path / "c.jsonl").read_text().splitlines()[-1])["n"] == 49


def test_the_embedded_metrics_keep_cloudwatchs_rules(ix: Path, tmp_path: Path) -> None:
    pipe = rag.Pipeline(
        ix, telemetry={"path": str(tmp_path / "c.jsonl"), "format": "emf", "namespace": "acme/rag"}
    )
    pipe.ask(LEAVE)
    (row,) = lines(tmp_path / "c.jsonl")
    (directive,) = row["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "acme/rag" and len(directive["Metrics"]) <= 100
    for metric in directive["Metrics"]:
        assert isinstance(row[metric["Name"]], int | float) and metric["Unit"] == emf.METRICS[metric["Name"]]
    for dimensions in directive["Dimensions"]:
        assert len(dimensions) <= 30 and all(isinstance(row[name], str) and row[name] for name in dimensions)
    assert abs(row["_aws"]["Timestamp"] / 1000 - time.time()) < 60


def test_prometheus_counts_questions_and_tokens(ix: Path, tmp_path: Path) -> None:
    sink = PrometheusSink()
    pipe = rag.Pipeline(
        ix, generator=Echo(log=str(tmp_path / "log")), telemetry=Recorder(TelemetrySettings(), [sink])
    )
    for _ in range(3):
        pipe.ask(LEAVE)
    text = sink.text().decode()
    assert 'rag_questions_total{outcome="answered"} 3.0' in text or 'outcome="refused"} 3.0' in text
    assert (
        "rag_question_seconds_count 3.0" in text and 'rag_stage_seconds_count{stage="retrieve"} 3.0' in text
    )


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({}, "nowhere to go"), ({"paht": "x"}, "did you mean 'path'"), ({"path": "x", "keep": -1}, "keep"),
        (7, "is a table, a path, or true"),
    ],
)  # fmt: skip
def test_settings_are_checked(value: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        settings(value)


def test_the_dashboard_reads_rotated_and_packed_files(
    ix: Path, tmp_path: Path, make_rows: Callable[..., list[str]]
) -> None:
    rows = make_rows(100)
    (tmp_path / "c.jsonl").write_text("\n".join(rows[:40]) + "\nnot json\n")
    (tmp_path / "c.jsonl.1").write_text("\n".join(rows[40:70]) + "\n")
    with gzip.open(tmp_path / "c.jsonl.2.gz", "wt") as file:
        file.write("\n".join(rows[70:]) + "\n")
    found = summarize(rotated(tmp_path / "c.jsonl"), by=("model", "tenant"))
    assert found.questions == 100 and found.outcomes["failed"] == 10
    quantiles = found.quantiles()["whole"]
    assert quantiles["p50"] == pytest.approx(0.505, abs=0.02) and quantiles["p99"] > quantiles["p95"]
    assert found.groups["tenant"]["acme"].questions == 50
    assert found.total.usd == pytest.approx(sum(0.01 for _ in range(100)))
    done = run("dashboard", "c.jsonl", "--by", "model,tenant", cwd=tmp_path)
    assert "100 questions" in done.stdout and "by tenant" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert json.loads(run("dashboard", "c.jsonl", "--json", cwd=tmp_path).stdout)["questions"] == 100
    wrong = run("dashboard", "c.jsonl", "--by", "tennant", cwd=tmp_path, code=2)
    assert "did you mean 'tenant'" in wrong.stderr
    assert "there is no file x.jsonl" in run("dashboard", "x.jsonl", cwd=tmp_path, code=2).stderr


@pytest.fixture
def make_rows() -> Callable[..., list[str]]:
    def make(count: int) -> list[str]:
        return [
            json.dumps({
                "schema": "rag.call/1", "time": f"2026-11-26T10:{n % 60:02}:00.000Z", "id": str(n), "task": "ask",
                "outcome": "failed" if n % 10 == 0 else "answered", "error": "GenerationError" if n % 10 == 0 else None,
                "seconds": {"whole": (n + 1) / 100, "first_token": 0.1}, "calls": [], "usd": 0.01,
                "tokens": {"input": 10, "output": 5, "cache_read": 0, "cache_write": 0},
                "model": "haiku", "tenant": "acme" if n % 2 else "zeta",
            })
            for n in range(count)
        ]  # fmt: skip

    return make
