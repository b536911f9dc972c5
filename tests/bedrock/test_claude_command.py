"""The one-line errors and notes of ``rag ask`` with Claude."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.usage.ledger import Ledger

SONNET = "global.anthropic.claude-sonnet-5-5"
HAIKU = "global.anthropic.claude-haiku-5-5"
QUESTION = "How many days of annual leave in Europe?"
#: Three tries that do not wait.
QUICK = '[generator]\nuse = "claude"\nretry = {attempts = 3, base_s = 0.0}\n'
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    (folder / "docs").mkdir()
    (folder / "docs" / "leave.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


@pytest.fixture
def start(index: Path, tmp_path: Path, bedrock_emulator: Emulator) -> Start:
    """Starts ``rag ask`` in the test's folder, with these settings and this in its environment."""

    def started(settings: str = QUICK, ledger: str = "", **environment: str | None) -> subprocess.Popen[str]:
        kept = f'\n[ledger]\npath = "ledger.sqlite"\n{ledger}\n'
        (tmp_path / "rag.toml").write_text(settings + kept)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        clean |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        variables = {**clean, **bedrock_emulator.environment(), **environment, "PYTHONPATH": str(Path.cwd())}
        return subprocess.Popen(
            [sys.executable, "-m", "rag", "ask", str(index), QUESTION],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={name: value for name, value in variables.items() if value is not None},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # may be ignored by the parent
        )  # fmt: skip

    return started


def fails(running: subprocess.Popen[str], code: int = 1) -> str:
    """The one line of a command that fails and prints nothing else."""
    out, err = running.communicate(timeout=60)
    err = err.removeprefix("\n")  # which ends the terminal's line with ^C
    assert (running.returncode, out, err.count("\n")) == (code, "", 1), err
    assert err.startswith("rag: ")
    return err


@pytest.mark.parametrize(("environment", "message"), [
    ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
     "there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ({"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, "no AWS region is set: set AWS_DEFAULT_REGION, or region"),
    ({"AWS_PROFILE": "nosuch"}, "The config profile (nosuch) could not be found"),
    ({"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9"},
     'Could not connect to the endpoint URL: "http://127.0.0.1:9/model/'),
], ids=["credentials", "region", "profile", "endpoint"])  # fmt: skip
def test_machine_without_setup(environment: dict[str, Any], message: str, start: Start) -> None:
    line = fails(start(QUICK, **environment))
    assert line.startswith(f"rag: {SONNET}: ")
    assert message in line


@pytest.mark.parametrize(("code", "advice", "calls"), [
    ("AccessDeniedException", "allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream", 1),
    ("ResourceNotFoundException", "check the model id, and that the region offers it", 1),
    ("ExpiredTokenException", "renew the credentials", 1),
    ("ThrottlingException", "the account's quota is exhausted: retry later, or request a higher quota from AWS (after 3", 3),
])  # fmt: skip
def test_refused_call(code: str, advice: str, calls: int, start: Start, bedrock_emulator: Emulator) -> None:
    bedrock_emulator.fail_next(code, times=calls)
    line = fails(start())
    assert line.startswith(f"rag: {SONNET}: {code}: ")
    assert advice in line
    assert bedrock_emulator.counts["ConverseStream"] == calls


def test_cut_stream(start: Start, bedrock_emulator: Emulator) -> None:
    """A cut stream prints no partial answer."""
    bedrock_emulator.fail_next("StreamCut", moment="stream", events=4)
    line = fails(start())
    assert line.startswith(f"rag: {SONNET}: StreamCut: ")
    assert line.endswith("the answer is cut here and not started again automatically: ask again\n")
    assert bedrock_emulator.counts["ConverseStream"] == 1


def test_a_malformed_reply(start: Start, bedrock_emulator: Emulator) -> None:
    bedrock_emulator.behaviour = Behaviour(stop_reason="malformed_model_output")
    assert "malformed_model_output: the model's output is malformed: ask again" in fails(start())


def test_interrupt(start: Start, bedrock_emulator: Emulator) -> None:
    bedrock_emulator.behaviour = Behaviour(reply="word " * 1_000, token_s=0.05)
    running = start()
    while not bedrock_emulator.counts["ConverseStream"] and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert fails(running, 130) == (
        "rag: interrupted: what a model's reply cost until then is in the ledger\n"
    )


def test_notes(start: Start, bedrock_emulator: Emulator, tmp_path: Path) -> None:
    """An answer's notes are printed with it."""
    bedrock_emulator.behaviour = Behaviour(stop_reason="max_tokens")
    bedrock_emulator.fail_next("ThrottlingException")
    fallback = f'retry = {{attempts = 1}}\nfallback = ["{HAIKU}", "local"]\n[trimmer]\nbudget = 900\n'
    running = start(f'[generator]\nuse = "claude"\n{fallback}')
    out, err = running.communicate(timeout=60)
    assert (running.returncode, "28 days of annual leave. [1]" in out, HAIKU in out) == (0, True, True)
    stood_in, cut = err.splitlines()
    assert f"{HAIKU} answered, as {SONNET} failed: ThrottlingException" in stood_in
    assert "the answer is cut: it reached the limit of tokens" in cut
    (row,) = Ledger(tmp_path / "ledger.sqlite").rows(("model",))
    assert (row.group, row.calls) == ((HAIKU,), 1)
    assert bedrock_emulator.problems == []


def test_spent_budget(start: Start, bedrock_emulator: Emulator) -> None:
    """An exhausted budget stops before the call."""
    line = fails(start(ledger="stop_usd = 0.001"))
    assert "above stop_usd ($0.0010) in ledger.sqlite: wait for tomorrow (UTC), raise stop_usd" in line
    assert bedrock_emulator.counts == {}
