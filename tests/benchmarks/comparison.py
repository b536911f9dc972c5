"""Compare configurations, killed in the middle: ``python -m tests.benchmarks.comparison [--questions N]``.

``rag eval`` answers the questions of the sample handbook, by default 300, with three models and two prompts on
an emulator in a process of its own, whose first token takes 300 ms. The command is killed (SIGKILL) once half
of the answers are in its log, and run again. Counted are the emulator's requests: those beyond one for each
answer can only be the ones that were under way when the command was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rag
from tests.conftest import HANDBOOK, ROOT

MODELS, PROMPTS, PARALLEL = "haiku,sonnet,opus", ("brief", "full"), 4
LATENCY_S = 0.3
CONTRACT = (
    'After each statement write <cite doc="N">exact words</cite>; <no_answer/> where there is no answer.'
)


class Server:
    """An emulator in a process of its own."""

    def __init__(self) -> None:
        behaviour = json.dumps({"latency_s": LATENCY_S})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.bedrock_server", behaviour], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.environment: dict[str, str] = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def requests(self) -> int:
        """Return how many requests came so far."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self._line())
        assert told["problems"] == []
        return len(told["log"])

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def questions(folder: Path, count: int) -> Path:
    """Write as many questions as asked for: the golden set, then its questions in other words."""
    rows = [
        json.loads(line) for line in (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    again = [{**row, "id": f"{row['id']}-again", "question": f"Tell me: {row['question']}"} for row in rows]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *again][:count]), encoding="utf-8")
    return path


def answers(log: Path) -> int:
    """Return how many whole answers a log holds."""
    return log.read_bytes().count(b"\n") if log.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rag.build(HANDBOOK, folder / "ix")
        for prompt in PROMPTS:
            (folder / f"{prompt}.md").write_text(f"Answer in a {prompt} way. {CONTRACT}\n", encoding="utf-8")
        server, log = Server(), folder / "answers.jsonl"
        command = [
            sys.executable, "-m", "rag", "eval", "ix", str(questions(folder, arguments.questions)), "--models", MODELS,
            "--prompts", ",".join(f"{prompt}.md" for prompt in PROMPTS), "--log", str(log), "--parallel", str(PARALLEL),
            "--plot", "quality.png", "--worst", "0",
        ]  # fmt: skip
        environment = {**os.environ, **server.environment, "PYTHONPATH": str(ROOT)}
        environment.pop("AWS_PROFILE", None)
        total = arguments.questions * len(MODELS.split(",")) * len(PROMPTS)

        began = time.perf_counter()
        first = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        while answers(log) < total // 2:
            assert first.poll() is None, "it ended before half of the answers were there"
            time.sleep(0.2)
        first.kill()
        first.wait()
        killed_s = time.perf_counter() - began
        time.sleep(2 * LATENCY_S)  # what was under way reaches the emulator's log
        kept, sent = answers(log), server.requests()

        began = time.perf_counter()
        second = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        resumed_s = time.perf_counter() - began
        requests, held = server.requests(), answers(log)
        server.stop()
        print(second.stdout)
        lost = sent - kept
        print(
            f"{total:,} answers ({arguments.questions} questions, {MODELS}, {len(PROMPTS)} prompts, {PARALLEL} at a "
            f"time, {1000 * LATENCY_S:.0f} ms to the first token): killed after {killed_s:.0f} s with {kept:,} in the "
            f"log, resumed for {resumed_s:.0f} s; {requests:,} requests, of which {lost} were under way at the kill"
        )
        keys = {json.loads(line)["key"] for line in log.read_text(encoding="utf-8").splitlines() if line}
        assert (len(keys), requests) == (total, total + lost), (len(keys), held, requests)
        assert lost <= PARALLEL and killed_s + resumed_s < 600


if __name__ == "__main__":
    main()
