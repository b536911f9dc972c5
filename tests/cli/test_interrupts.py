"""Ctrl-C: exit code 130, and one line that says what is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import rag
from rag.cli.interrupts import KEPT, message
from rag.cli.main import cli


def test_what_is_kept_is_said_of_commands_that_exist() -> None:
    assert {*KEPT} <= {*cli.commands}


def test_every_command_that_changes_something_says_what_is_kept() -> None:
    reading = {
        "plan", "search", "context", "explain", "cost", "dashboard", "info", "quarantine", "verify", "versions",
        "diff", "doctor", "models", "prompt", "bedrock-emulator",
    }  # fmt: skip
    assert {*cli.commands} - {*KEPT} == reading


@pytest.mark.parametrize(("words", "said"), [
    (["search", "ix", "build"], "nothing is changed"),
    (["compact", "ix"], "the index is whole, before or after the change: run the same command again"),
    (["--version"], "nothing is changed"), ([], "nothing is changed"),
])  # fmt: skip
def test_the_command_decides(words: list[str], said: str) -> None:
    assert message(words) == f"interrupted: {said}"


def stopped(words: list[str], when: str, cwd: Path) -> tuple[int, str]:
    """Interrupt a command once its standard output or error shows something; return its code and errors."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", *words], text=True, cwd=cwd, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout is not None
    shown = ""
    while when not in shown:
        shown += (character := process.stdout.read(1))  # a prompt does not end its line
        assert character, process.communicate()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_a_service_that_is_stopped(handbook_index: rag.Index, tmp_path: Path) -> None:
    code, errors = stopped(["serve", str(handbook_index.path), "--port", "0"], "is served at", tmp_path)
    assert code == 130 and errors.endswith("rag: interrupted: requests under way were given 30 s to end\n")
    assert "Traceback" not in errors
