"""The service of a container: it answers, is found healthy, and lets an answer end before it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from rag.emulator import Behaviour, Emulator
from tests.conftest import ROOT
from tests.deployment.conftest import LEAVE


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def started(folder: Path, toml: str, port: int | str, more: dict[str, str]) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(port), "RAG_TOML": toml}
    return subprocess.Popen(
        [sys.executable, "-m", "rag.deployment.web"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment, **more},
    )  # fmt: skip


def healthy(port: int) -> int:
    words = [sys.executable, "-m", "rag.deployment.healthy"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(port)}
    return subprocess.run(words, env=environment, timeout=20).returncode


def test_it_serves_is_healthy_and_drains(small_index: Path, tmp_path: Path) -> None:
    port = free_port()
    with Emulator(Behaviour(reply=" ".join(["word"] * 60), token_s=0.03)) as emulator:
        toml = f'generator = "claude"\n[deploy]\nindex = "{small_index}"\nopen = true\n'
        assert healthy(port) == 1
        with started(tmp_path, toml, port, emulator.environment()) as process:
            try:
                deadline = time.monotonic() + 30
                while healthy(port):
                    assert time.monotonic() < deadline and process.poll() is None
                ask = {"question": LEAVE, "stream": True}
                with httpx.stream("POST", f"http://127.0.0.1:{port}/v1/ask", json=ask, timeout=30) as reply:
                    lines = reply.iter_lines()
                    for line in lines:
                        if line == "event: text":
                            break
                    process.send_signal(signal.SIGTERM)
                    kinds = [line for line in lines if line.startswith("event:")]
                assert kinds[-1] == "event: answer", "the answer under way ended"
                assert process.wait(20) == 0
                assert process.stderr is not None and "Traceback" not in process.stderr.read()
            finally:
                process.kill()


@pytest.mark.parametrize(("toml", "port", "expected"), [
    ('[deploy]\nindex = "{ix}"\n', "8080", "without callers the service does not start"),
    ('[deploy]\nindex = "{ix}"\nopen = true\n', "http", "PORT is 'http'"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(
    small_index: Path, tmp_path: Path, toml: str, port: str, expected: str
) -> None:
    with started(tmp_path, toml.format(ix=small_index), port, {}) as process:
        assert process.wait(30) in (1, 2)
        assert process.stderr is not None
        (line,) = process.stderr.read().splitlines()
        assert line.startswith("rag: ") and expected in line
