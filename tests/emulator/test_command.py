"""``rag bedrock-emulator`` as a process, and the pytest fixtures."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rag.emulator import Emulator
from rag.emulator.recording import Recording

RAG = [sys.executable, "-m", "rag", "bedrock-emulator"]
ROOT = Path(__file__).parents[2]
PLUGIN = "rag.emulator.pytest_plugin"
CLAUDE = "global.anthropic.claude-sonnet-5-5"


def clean() -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTEST_"))}
    return {**environment, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


class Running:
    """The command in a process; `variables` are those that it prints."""

    def __init__(self, *options: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*RAG, "--port", "0", *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**clean(), **environment},
        )  # fmt: skip
        assert self.process.stdout
        self.first = self.process.stdout.readline()
        self.lines: list[str] = []
        while (line := self.process.stdout.readline()) and "Ctrl-C" not in line:
            self.lines.append(line.strip())
        self.variables = dict(
            line.removeprefix("export ").split("=", 1) for line in self.lines if line.startswith("export ")
        )

    def client(self, service: str = "bedrock-runtime") -> Any:
        return boto3.client(
            service, region_name=self.variables["AWS_REGION"],
            endpoint_url=self.variables["AWS_ENDPOINT_URL_" + service.upper().replace("-", "_")],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def ask(self, text: str = "who?") -> str:
        reply = self.client().converse(
            modelId=CLAUDE, messages=[{"role": "user", "content": [{"text": text}]}]
        )
        return reply["output"]["message"]["content"][0]["text"]

    def end(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, errors
        assert "Traceback" not in errors
        return errors


@contextmanager
def running(*options: object, **environment: str) -> Iterator[Running]:
    command = Running(*options, **environment)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.kill()
            command.process.communicate()


def failing(*options: object) -> str:
    done = subprocess.run(
        [*RAG, *map(str, options)], capture_output=True, text=True, env=clean(), check=False
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("rag: ")]
    return f"{done.returncode} {line}"


def test_prints_url_variables_and_summary() -> None:
    with running("--reply", "Anyone may.", "--verbose") as emulator:
        url = re.fullmatch(r"# Bedrock emulator: (http://127\.0\.0\.1:\d+)\n", emulator.first)
        assert url
        endpoints = {v for k, v in emulator.variables.items() if k.startswith("AWS_ENDPOINT_URL_")}
        assert endpoints == {url[1]}
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} <= set(emulator.variables)
        assert emulator.ask() == "Anyone may."
        with pytest.raises(ClientError, match="ValidationException"):
            emulator.client().converse(
                modelId=CLAUDE, messages=[{"role": "user", "content": [{"text": " "}]}]
            )
        log = emulator.end()
    assert re.search(rf"^Converse {re.escape(CLAUDE)} 200 \d+ ms$", log, re.M)
    assert re.search(rf"^Converse {re.escape(CLAUDE)} 400 \d+ ms$", log, re.M)
    assert re.search(r"^requests: Converse 1; 0 throttled, 0 failed, 1 refused$", log, re.M)
    assert "blank" in log.splitlines()[-1]


def test_output_is_valid_shell() -> None:
    with running() as emulator:
        script = "\n".join([emulator.first, *emulator.lines, 'echo "$AWS_ENDPOINT_URL_BEDROCK_RUNTIME"'])
        done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == emulator.first.split(": ")[1].strip()
        assert emulator.end(signal.SIGTERM)


def test_failure_and_quota_options() -> None:
    with running("--fail", 1, "--fail-with", "ModelNotReadyException", "--seed", 3) as emulator:
        with pytest.raises(ClientError, match="ModelNotReadyException"):
            emulator.ask()
        assert "1 failed" in emulator.end()
    with running(
        "--rpm", 1, "--burst", "100ms", "--latency", "1ms:5ms", "--stop-reason", "max_tokens"
    ) as emulator:
        emulator.ask()
        with pytest.raises(ClientError, match="ThrottlingException"):
            emulator.ask()
        assert "1 throttled" in emulator.end()


def test_record_then_replay(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    path = tmp_path / "r.jsonl"
    with running("--reply", "As recorded.") as real:
        upstream = real.variables["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
        with running("--record", path, "--upstream", upstream, **keys) as proxy:
            assert proxy.ask() == "As recorded."
            proxy.end()
    assert json.loads(path.read_text())["request"]["operation"] == "Converse"
    with running("--replay", path) as replaying:
        assert replaying.ask() == "As recorded."
        with pytest.raises(ClientError, match="the nearest is line 1"):
            replaying.ask("what?")
        replaying.end()


def test_killed_recorder_keeps_every_delivered_reply(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    path = tmp_path / "r.jsonl"
    with Emulator() as real, running("--record", path, "--upstream", real.url, **keys) as proxy:
        for text in ("one", "two"):
            proxy.ask(text)
        proxy.process.kill()
    assert len(Recording.open(path).entries) == 2


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert failing("--port", port) == (
            f"1 rag: port {port} is in use: stop what uses it, or give another with --port (0 finds a free one)"
        )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--latency", "fast"), "2 rag: .*'fast' is not a time: write 80ms or 0.3s, or 0.2s:2s"),
        (("--token-time", "1s:2s"), "2 rag: .*'1s:2s' is not a time: write 80ms or 0.3s"),
        (("--fail", "0.1", "--fail-with", "Throttling"), "2 rag: no server fails with 'Throttling': did you mean"),
        (("--fail", "2"), "2 rag: .*2.0 is not in the range"),
        (("--record", "a", "--replay", "b"), "2 rag: give either --record or --replay"),
        (("--upstream", "http://x"), "2 rag: --region and --upstream go with --record"),
        (("--record", "a", "--host", "0.0.0.0"), "2 rag: --record signs any request with your credentials"),
        (("--timing",), "2 rag: --timing goes with --replay"),
        (("--replay", "no-such-file"), "2 rag: cannot read the recording no-such-file"),
        (("--knowledge-base", "KB"), "2 rag: --knowledge-base 'KB': write ID=INDEX"),
        (("--knowledge-base", "KB=none"), "2 rag: .*there is no index at none: build it first"),
        (("--knowledge-base", "KB=/"), "2 rag: .*there is no index at /: build it first"),
        (("--stop-reason", "max_token"), "2 rag: .*no stop reason 'max_token': did you mean 'max_tokens'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(options: tuple[str, ...], expected: str) -> None:
    assert re.match(expected, failing("--port", "0", *options))


# ---------------------------------------------------------------------- pytest

A_TEST = """
import boto3, os, pytest

def ask(text="who?", **more):
    client = boto3.client("bedrock-runtime")
    reply = client.converse(
        modelId="global.anthropic.claude-sonnet-5-5", messages=[{"role": "user", "content": [{"text": text}]}],
    )
    return reply["output"]["message"]["content"][0]["text"]
"""


def run_pytest(folder: Path, *options: str, code: int = 0, **environment: str) -> str:
    """Run pytest on a folder with this plugin only."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-q", "-p", "no:cacheprovider", *options, "."],
        cwd=folder, capture_output=True, text=True, env={**clean(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_entry_point_is_the_plugin_and_imports_nothing_heavy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"rag_bedrock": PLUGIN}
    code = (
        f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"boto3", "botocore", "numpy", "faiss", "langchain_core", "onnxruntime"} & set(
        done.stdout.split()
    )


def test_emulator_fixture_isolates_and_restores_the_environment(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(A_TEST + """
def test_one(bedrock_emulator):
    bedrock_emulator.behaviour.reply = "Anyone may."
    assert ask() == "Anyone may."
    assert bedrock_emulator.counts["Converse"] == 1
    assert bedrock_emulator.problems == []
    assert "AWS_PROFILE" not in os.environ

def test_two_has_another_emulator(bedrock_emulator):
    ask()
    assert len(bedrock_emulator.requests) == 1

def test_environment_is_restored():
    assert os.environ["AWS_PROFILE"] == "mine"
    assert "AWS_ENDPOINT_URL_BEDROCK_RUNTIME" not in os.environ
""")  # fmt: skip
    assert "3 passed" in run_pytest(tmp_path, AWS_PROFILE="mine")


def test_recording_fixture_records_then_replays(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(A_TEST + """
@pytest.mark.parametrize("text", ["a/b", "c"])
def test_asks(bedrock_recording, text):
    assert ask(text) == "As recorded."
""")  # fmt: skip
    assert "pytest --record-bedrock" in run_pytest(tmp_path, code=1)
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    with running("--reply", "As recorded.") as real:
        upstream = real.variables["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
        for _ in range(2):  # recording again starts over
            out = run_pytest(tmp_path, "--record-bedrock", "--bedrock-upstream", upstream, **keys)
            assert "2 passed" in out
        real.end()
    recordings = tmp_path / "recordings"
    assert sorted(path.name for path in recordings.iterdir()) == [
        "test_asks_a_b_.jsonl",
        "test_asks_c_.jsonl",
    ]
    assert len((recordings / "test_asks_c_.jsonl").read_text().splitlines()) == 1
    assert "2 passed" in run_pytest(tmp_path)


def test_path_of_a_recording() -> None:
    plugin = importlib.import_module(PLUGIN)
    where = plugin.recording_of(Path("tests/test_a.py"), "tests/test_a.py::TestB::test_c[x/y]")
    assert where.as_posix() == "tests/recordings/TestB.test_c_x_y_.jsonl"
