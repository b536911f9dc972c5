"""A real server on this machine, and an index whose documents belong to tenants."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

import rag


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an application by uvicorn; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def workers(pid: int) -> list[int]:
    """The processes that serve for ``rag serve --workers``: forks of a child of its process."""
    found = []
    for child in _children(pid):
        with contextlib.suppress(OSError):
            if "forkserver" in Path(f"/proc/{child}/cmdline").read_text():
                found += _children(child)
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def canary(tenant: int) -> str:
    """Words that stand in the documents of one tenant alone."""
    return f"zebra{tenant:02}quartz"


def tenants_index(folder: Path, count: int) -> Path:
    """An index with a secret of each tenant, and a document that all may see."""
    docs = folder / "docs"
    docs.mkdir()
    rows = []
    for n in range(count):
        name = f"t{n:02}.md"
        (docs / name).write_text(
            f"# Plan of tenant {n}\n\nThe launch code of the project is {canary(n)}.\n\n"
            f"The budget of the project is {1000 + n} euros, and the launch is on day {n}.\n"
        )
        rows.append(f'{{"source": "{name}", "tenant": "t{n:02}", "code": "{canary(n)}"}}')
    (docs / "all.md").write_text("# Canteen\n\nThe canteen opens at noon, for all projects.\n")
    rows.append('{"source": "all.md", "tenant": "all", "code": "none"}')
    (folder / "meta.jsonl").write_text("\n".join(rows) + "\n")
    rag.build(docs, folder / "ix", embedder="static", metadata=str(folder / "meta.jsonl"))
    return folder / "ix"
