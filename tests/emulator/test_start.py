"""An emulator for the rest of a process, which ends with it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os
from rag.emulator import Behaviour, start
import rag
emulator = start(Behaviour(reply="Anyone may."))
print(rag.ClaudeBedrock().invoke("Who declares a SEV-1?").text, emulator.counts["Converse"])
print("AWS_PROFILE" in os.environ, emulator.problems)
"""


def test_the_process_asks_the_emulator_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=True,
        env={"PATH": "/usr/bin:/bin", "AWS_PROFILE": "mine", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["Anyone may. 1", "False []"]
    assert done.stderr == ""
