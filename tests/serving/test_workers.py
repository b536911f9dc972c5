"""Several processes behind one address: they share the load, what is counted, and the end."""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import rag
from rag.core.errors import RagError
from rag.serving.workers import listening, share
from tests.command import run
from tests.serving.served import workers

QUESTION = {"question": "How many days of annual leave?"}


@pytest.fixture(scope="module")
def leave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text("# Leave\n\nStaff take 28 days of annual leave.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


@pytest.fixture(scope="module")
def command(leave: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`rag serve --workers 2`, and its address."""
    process = started(leave)
    try:
        yield process, address(process)
    finally:
        process.terminate()
        process.wait(30)


def started(index: Path, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "rag", "serve", str(index), "--port", "0", "--workers", "2", *more]
    return subprocess.Popen(
        words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"is served at (http://\S+) by 2 processes", line)
    assert found, (line, process.stderr)
    return found[1]


def test_both_answer_and_their_metrics_are_one_sum(command: tuple[subprocess.Popen[str], str]) -> None:
    process, url = command
    assert len(workers(process.pid)) == 2
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: httpx.post(f"{url}/v1/ask", json=QUESTION, timeout=30), range(24)))
    assert all("28 days" in reply.json()["text"] for reply in replies)
    counts = {
        re.search(r'rag_questions_total\{outcome="answered"\} (\S+)', httpx.get(f"{url}/metrics").text)[1]  # type: ignore[index]
        for _ in range(8)
    }
    assert counts == {"24.0"}


def test_a_worker_that_is_killed_is_replaced(command: tuple[subprocess.Popen[str], str]) -> None:
    process, url = command
    killed = workers(process.pid)[0]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(workers(process.pid)) < 2 or killed in workers(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for _ in range(4):
        assert "28 days" in httpx.post(f"{url}/v1/ask", json=QUESTION, timeout=30).json()["text"]


def test_the_workers_of_a_killed_parent_end_and_leave_the_address(leave: Path) -> None:
    process = started(leave)
    url = address(process)
    serving = workers(process.pid)
    assert len(serving) == 2
    process.kill()
    process.wait(30)
    deadline = time.monotonic() + 30
    while [pid for pid in serving if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with listening("127.0.0.1", int(url.rpartition(":")[2])):
        pass


def test_workers_are_forks_of_a_process_that_has_imported_what_they_need(
    command: tuple[subprocess.Popen[str], str],
) -> None:
    """A fork has no more threads than the one that asked for it: that one must have none of a library's pool."""
    process, _ = command
    parents = {
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] for pid in workers(process.pid)
    }
    (server,) = parents
    assert "rag.deployment.application" in Path(f"/proc/{server}/cmdline").read_text()
    # Of OpenBLAS, which numpy brings, and which ends its threads before a fork (pthread_atfork).
    assert len(list(Path(f"/proc/{server}/task").iterdir())) <= (os.cpu_count() or 1)
    libraries = Path(f"/proc/{server}/maps").read_text()
    assert all(name in libraries for name in ("faiss", "libarrow", "pydantic_core"))


def test_ctrl_c_ends_all_and_leaves_no_folder(
    leave: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = started(leave)
    address(process)
    serving = workers(process.pid)
    assert [path.name for path in tmp_path.glob("rag-metrics-*")]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert not [pid for pid in serving if Path(f"/proc/{pid}").exists()]
    assert not [*tmp_path.glob("rag-metrics-*")]


def test_what_is_wrong_is_one_line(leave: Path, tmp_path: Path) -> None:
    with listening("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        words = ["serve", str(leave), "--port", port]
        for more in ((), ("--workers", "2")):
            done = run(*words, *more, code=1)
            assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in done.stderr
    process = started(tmp_path / "none")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in errors
    assert errors.count("there is no index") == 1


def test_an_address_of_another_machine_cannot_be_listened_at() -> None:
    with pytest.raises(RagError, match=r"cannot listen at 192\.0\.2\.1, port 0: Cannot assign"):
        listening("192.0.2.1", 0)


def test_a_bound_is_divided() -> None:
    assert [share(1000, n) for n in (1, 2, 3, 64)] == [1000, 500, 334, 16]
    assert share(0, 4) == 0
    assert all(share(most, n) * n >= most for most in range(1, 50) for n in range(1, 9))
