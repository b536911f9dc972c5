"""A real ``rag serve`` under the load of many clients, whose every answer is checked, while it is done harm.

Each document says the code word of one gate, in one version: ``word03v7``. So an answer that mixes versions, is
cut, or is another question's, shows.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rag
from rag.core.errors import RagError
from tests.serving.served import workers

GATES, CLIENTS = 12, 16
_WORD = re.compile(r"word(\d\d)v(\d+)")
#: How a reply that is no answer is counted: the beginning of its text, without addresses and ids.
_NAMES = re.compile(r"http://\S+|\(request \w+\)|\[Errno \d+\]")


def write(folder: Path, version: int) -> None:
    """Write the documents of a version."""
    folder.mkdir(exist_ok=True)
    for gate in range(GATES):
        (folder / f"gate-{gate:02}.md").write_text(
            f"# Gate {gate:02}\n\nThe code word of gate {gate:02} is word{gate:02}v{version}.\n"
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Server:
    """``rag serve`` in a process of its own, at one address from start to start."""

    def __init__(self, index: Path, *more: str, env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._words = [sys.executable, "-m", "rag", "serve", str(index), "--port", str(self.port), *more]
        self._env = {**os.environ, **(env or {})}
        self.log = index.parent / "serve.log"
        self.process: subprocess.Popen[str] | None = None

    def start(self, wait: bool = True) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._words,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._env,
                start_new_session=True,
            )
        if wait:
            assert self.process.stdout is not None
            assert "is served at" in self.process.stdout.readline(), self.log.read_text()

    def kill(self) -> None:
        """End it at once, and nothing else (SIGKILL)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def workers(self) -> list[int]:
        """The processes below it that serve."""
        assert self.process is not None
        return workers(self.process.pid)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Load:
    """Clients that ask until they are stopped, and check each answer.

    Attributes
    ----------
    right : list of (float, int)
        When each right answer came, and of which version it is.
    errors : Counter
        How often each error came, by its kind and text.
    wrong : list of str
        What must never come: an answer of two versions, of another question or cut, or an error of another
        kind than the library's own, or without a text.
    """

    def __init__(self, url: str, clients: int = CLIENTS, *, mixed: bool = True, whole: bool = True) -> None:
        self.right: list[tuple[float, int]] = []
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._mixed, self._whole = mixed, whole
        self._client = rag.Client(url, timeout_s=60, retries=0)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)]

    def _run(self, number: int) -> None:
        rng = random.Random(number)
        while not self._stop.is_set():
            try:
                self._ask(rng.choice(["ask", "stream", "search", "context"]) if self._mixed else "ask", rng)
            except RagError as error:
                text = " ".join(_NAMES.sub("", str(error)).split())
                self.errors[f"{type(error).__name__}: {text[:100]}"] += 1
                if not text or "\n" in str(error) or "Traceback" in text:
                    self.wrong.append(f"no clear error: {error!r}")
                time.sleep(0.05)
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _ask(self, how: str, rng: random.Random) -> None:
        gate = rng.randrange(GATES)
        question = f"What is the code word of gate {gate:02}?"
        if rng.random() < 0.5:  # one that no cache has
            question += f" Case {rng.getrandbits(32)}."
        if how == "search":
            found: Any = [hit.to_dict() for hit in self._client.search(question, k=5)]
        elif how == "context":
            found = self._client.context(question).to_dict()
        elif how == "stream":
            events = list(self._client.stream(question))
            answer = events[-1].value
            if "".join(event.value for event in events if event.kind == "text") != answer.text:
                self.wrong.append(f"the stream's texts are not the answer's: {answer.text}")
            found = answer.to_dict()
        else:
            found = self._client.ask(question).to_dict()
        words = set(_WORD.findall(json.dumps(found)))
        versions = {int(version) for _, version in words}
        shown = json.dumps(found["text"] if how in ("ask", "stream") and self._whole else found)
        if len(versions) != 1:
            self.wrong.append(f"{how} of versions {versions}: {shown[:300]}")
        elif not re.search(rf"word{gate:02}v\d+", shown):
            self.wrong.append(f"{how} of gate {gate:02}: {shown[:300]}")
        else:
            self.right.append((time.monotonic(), versions.pop()))

    def wait_for(self, more: int, since: float | None = None, version: int | None = None) -> float:
        """Wait for so many more right answers, those before a moment left out; return when the first came."""
        since = time.monotonic() if since is None else since
        deadline = time.monotonic() + 180
        while True:
            came = [at for at, seen in list(self.right) if at > since and version in (None, seen)]
            if len(came) >= more:
                return came[0]
            assert time.monotonic() < deadline, (len(self.right), self.errors, self.wrong[:3])
            assert not self.wrong, self.wrong[:3]
            time.sleep(0.01)

    def gaps(self, since: float) -> float:
        """The longest time without a right answer."""
        times = [since, *(at for at, _ in list(self.right) if at > since)]
        return max(b - a for a, b in zip(times, times[1:], strict=False))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        self._client.close()

    def summary(self) -> str:
        seen = Counter(version for _, version in self.right)
        errors = "; ".join(f"{count} x {text}" for text, count in self.errors.most_common(6))
        return f"{len(self.right):,} right answers of versions {dict(seen)}; errors: {errors or 'none'}"


def sound(*folders: Path) -> None:
    """Check every SQLite file below some folders."""
    for folder in folders:
        for path in folder.rglob("*.sqlite"):
            with sqlite3.connect(path) as file:
                assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
            file.close()
