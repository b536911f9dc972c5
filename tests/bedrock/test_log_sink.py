"""Records reach CloudWatch Logs, or a file from which they are sent later; no answer waits for either."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.bedrock.storage import log_sink
from rag.bedrock.storage.log_batches import MOST_BYTES, MOST_SPAN_MS, OVERHEAD_BYTES, LogEvent, batches
from rag.bedrock.storage.log_sink import CloudWatchSink
from rag.bedrock.storage.log_spool import Spool
from rag.core.errors import ConfigError, RagError
from rag.telemetry.settings import settings

GROUP = "/rag/handbook"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(log_sink, "SEND_EVERY_S", 0.05)
    monkeypatch.setattr(log_sink, "MOST_PAUSE_S", 0.1)


@pytest.fixture
def logs(moto: str) -> Any:
    client = boto3.client("logs", region_name="eu-west-1", endpoint_url=moto)
    client.create_log_group(logGroupName=GROUP)
    yield client
    client.delete_log_group(logGroupName=GROUP)


def stored(logs: Any) -> list[dict[str, Any]]:
    return [json.loads(each["message"]) for each in logs.filter_log_events(logGroupName=GROUP)["events"]]


def record(n: int, **more: Any) -> dict[str, Any]:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return {"schema": "rag.call/2", "time": f"{at}.{n % 1000:03}Z", "n": n, **more}


def until(true: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_records_arrive_in_order_of_time(logs: Any, moto: str, tmp_path: Path) -> None:
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=moto)
    for n in (2, 0, 1):
        sink.write(record(n))
    until(lambda: sink.sent == 3)
    assert [row["n"] for row in stored(logs)] == [0, 1, 2]
    sink.close()
    assert not (tmp_path / "s.jsonl").exists() and (sink.rejected, sink.dropped) == (0, 0)


def test_what_the_end_of_a_process_left_is_sent_by_the_next(logs: Any, moto: str, tmp_path: Path) -> None:
    away = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url="http://127.0.0.1:9", timeout_s=1)
    for n in range(3):
        away.write(record(n))
    away.close()
    assert (tmp_path / "s.jsonl").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 3
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=moto)
    sink.write(record(3))
    until(lambda: sink.sent == 4)
    until(lambda: not (tmp_path / "s.jsonl").read_text())
    assert sorted(row["n"] for row in stored(logs)) == [0, 1, 2, 3]
    sink.close()


def test_a_process_that_ends_sends_what_it_has(logs: Any, moto: str, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from rag.bedrock.storage.log_sink import CloudWatchSink
sink = CloudWatchSink({GROUP!r}, Path({str(tmp_path / "s.jsonl")!r}), endpoint_url={moto!r})
sink.write({record(7)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert [row["n"] for row in stored(logs)] == [7]


def test_forked_processes_send_their_own(logs: Any, moto: str, tmp_path: Path) -> None:
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=moto)
    sink.write(record(0))
    children = [
        multiprocessing.get_context("fork").Process(target=sink.write, args=(record(n),)) for n in (1, 2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    sink.close()
    assert sorted(row["n"] for row in stored(logs)) == [0, 1, 2]


# ---------------------------------------------------------------- a service that misbehaves


class Service(ThreadingHTTPServer):
    """Answers PutLogEvents as it is told: "ok", "throttle", "break", "stall", "reject"."""

    daemon_threads = True

    def __init__(self) -> None:
        self.mood, self.batches, self.calls = "ok", [], 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.headers["x-amz-target"].endswith("PutLogEvents"):
            return self.reply(200, {})
        self.server.calls += 1
        if self.server.mood == "throttle":
            return self.reply(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        if self.server.mood == "break":
            self.close_connection = True
            return None
        if self.server.mood == "stall":
            time.sleep(5)
        self.server.batches.append((body["logEvents"], self.headers["x-amzn-logs-format"]))
        told = (
            {"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 1}} if self.server.mood == "reject" else {}
        )
        return self.reply(200, told)

    def reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("mood", ["throttle", "break"])
def test_what_fails_waits_in_the_file_and_goes_later(service: Service, tmp_path: Path, mood: str) -> None:
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=service.url)
    service.mood = mood
    sink.write(record(1))
    until(lambda: (tmp_path / "s.jsonl").exists() and (tmp_path / "s.jsonl").read_text())
    assert service.calls <= 2  # botocore does not multiply the attempts
    service.mood = "ok"
    sink.write(record(2))
    until(lambda: sink.sent == 2)
    sink.close()
    assert sorted(json.loads(event["message"])["n"] for batch, _ in service.batches for event in batch) == [
        1,
        2,
    ]
    assert (sink.rejected, sink.dropped) == (0, 0)


def test_a_service_that_stalls_delays_neither_answers_nor_the_end(service: Service, tmp_path: Path) -> None:
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=service.url)
    service.mood = "stall"
    sink.write(record(0))
    until(lambda: service.calls == 1)
    begun = time.monotonic()
    for n in range(1, 500):
        sink.write(record(n))
    sink.close(0.2)
    assert time.monotonic() - begun < 4  # the service takes 5 s for each
    rows = [json.loads(line)["n"] for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert sorted(rows) == list(range(500))  # what is under way, too: it may not have arrived


def test_rejected_events_and_those_that_are_too_large_are_counted(service: Service, tmp_path: Path) -> None:
    service.mood = "reject"
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=service.url, emf=True)
    sink.write(record(0, answer="x" * MOST_BYTES))
    sink.write(record(1))
    sink.write(record(2))
    until(lambda: sink.sent + sink.rejected == 3)
    sink.close()
    assert (sink.sent, sink.rejected) in ((1, 2), (0, 3))  # in one batch, or in two
    assert service.batches[0][1] == "json/emf"


def test_memory_and_file_are_bounded(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sink, "MOST_QUEUED", 10)
    monkeypatch.setattr(log_sink, "SEND_EVERY_S", 60)
    sink = CloudWatchSink(GROUP, tmp_path / "s.jsonl", endpoint_url=service.url, spool_bytes=1_000)
    for n in range(100):
        sink.write(record(n))
    assert len(sink._queue) == 10
    rows = [json.loads(line)["n"] for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert (tmp_path / "s.jsonl").stat().st_size <= 1_000 and rows[-1] == 99
    assert sink.dropped == 90 - len(rows) and rows == sorted(rows)


# ------------------------------------------------------------------------ batches and file


@given(st.lists(st.tuples(st.integers(0, 3 * MOST_SPAN_MS), st.integers(0, 400_000)), max_size=40))
def test_batches_keep_the_limits_and_every_event(sizes: list[tuple[int, int]]) -> None:
    events = [LogEvent(at, b"x" * size) for at, size in sizes]
    made = list(batches(events))
    assert [event for batch in made for event in batch] == sorted(events, key=lambda each: each.at_ms)
    for batch in made:
        assert sum(len(event.line) + OVERHEAD_BYTES for event in batch) <= MOST_BYTES
        assert batch[-1].at_ms - batch[0].at_ms <= MOST_SPAN_MS


def test_a_batch_has_at_most_ten_thousand_events() -> None:
    assert [len(each) for each in batches(LogEvent(0, b"") for _ in range(10_001))] == [10_000, 1]


def test_lines_that_an_erasure_changed_meanwhile_stay(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s", 1_000)
    spool.add([b'{"answer":"Jane"}', b"{}"])
    taken = spool.head(1_000)
    (tmp_path / "new").write_bytes(b"{}\n{}\n")
    (tmp_path / "new").replace(tmp_path / "s")
    spool.remove(taken)
    assert spool.head(1_000) == [b"{}", b"{}"]
    spool.remove([b"{}"])
    assert spool.head(1_000) == [b"{}"]


# -------------------------------------------------------------------------------- settings


def test_a_pipeline_sends_its_records(
    logs: Any, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", moto)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    pipe = rag.Pipeline(tmp_path / "ix", telemetry={"cloudwatch": GROUP, "format": "emf"})
    answer = pipe.ask("How many days of leave?")
    pipe.around.telemetry.close()  # type: ignore[union-attr]
    (row,) = stored(logs)
    assert row["id"] == answer.id and row["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "rag"
    assert row["Questions"] == 1 and "question" not in row


def test_a_spool_is_erased_from_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "jane.md").write_text(
        "# Jane\n\nZaphira Quennel was paid 4,711 euros for the settlement of her claim in Brevik.\n"
    )
    (tmp_path / "docs" / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    kept = {"telemetry": {"cloudwatch": GROUP, "texts": True}}
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "http://127.0.0.1:9")
    pipe = rag.Pipeline(tmp_path / "ix", settings=kept)
    pipe.ask("What was Zaphira Quennel paid?", where="source == 'jane.md'")
    pipe.around.telemetry.close()  # type: ignore[union-attr]
    spool = tmp_path / "ix" / "cloudwatch-spool.jsonl"
    assert "Zaphira" in spool.read_text()
    monkeypatch.delenv("AWS_REGION")  # erasing needs no AWS
    report = rag.forget(tmp_path / "ix", "jane.md", settings=kept)
    assert report.remains == () and "Zaphira" not in spool.read_text()
    assert any(GROUP in line for line in report.not_reached)
    assert json.loads(spool.read_text())["schema"] == "rag.call/2"


@pytest.mark.parametrize(
    ("value", "match"),
    [({"cloudwatch": "a group"}, "log group"), ({"path": "x", "spool": "y"}, "without cloudwatch")],
)
def test_settings_of_the_sink_are_checked(value: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        settings(value)


def test_without_a_region_it_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(RagError, match="no AWS region"):
        CloudWatchSink(GROUP, tmp_path / "s.jsonl")
