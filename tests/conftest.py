"""What the tests share: real files, a real index of the sample handbook, and where `shared/` is."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import rag
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.writer import open_writer
from tests import scale

ROOT = Path(__file__).parents[1]
HANDBOOK = ROOT / "data" / "handbook"
SHARED = ROOT.parent / "shared"
#: What `make check` leaves out, below this folder: servers and processes, builds of the handbook, and
#: random examples by the hundred. A test with one of the fixtures is slow wherever it stands.
SLOW = (
    "agents", "answer_batches", "bedrock", "building", "cli", "deployment", "emulator", "erasure", "evaluation",
    "loading", "notebook", "response_cache", "generation/test_fallback.py", "serving/test_workers.py",
    "index/filters/test_exact_values.py", "index/filters/test_filters.py", "index/storage/test_full_disk.py",
    "index/storage/test_links.py", "index/test_equality.py", "index/storage/test_hostile.py",
    "index/search/test_hybrid_score.py", "index/test_isolation.py", "index/test_langchain.py",
    "index/search/test_lexical_balance.py", "index/test_maintenance.py", "index/storage/test_rabitq.py",
    "index/remote", "index/test_store_writes.py", "index/test_upgrade_build.py", "retrieval/test_explain.py",
    "review/test_command.py", "review/test_concurrent.py", "review/test_queue.py", "review/test_states.py",
    "review/test_with_claude.py", "test_import.py",
    "testing/test_embedder.py", "testing/test_retriever.py", "usage/test_cost_command.py", "usage/test_ledger.py",
    "usage/test_reservations.py", "usage/test_sqlite.py", "usage/test_tokens.py",
    "notebooks", "examples", "test_doctests.py",
)  # fmt: skip
#: What it runs of these folders all the same: each room has quick tests (`tests/test_quick.py`).
QUICK = (
    "agents/test_search_tool.py", "answer_batches/test_journal.py", "bedrock/test_retry.py",
    "building/test_plan.py", "cli/test_output.py", "deployment/test_invocation.py", "emulator/test_framing.py", "erasure/test_runs.py",
    "evaluation/test_golden_set.py",
    "evaluation/test_metrics.py", "loading/test_drawings.py", "loading/test_number_format.py",
    "loading/test_rtf.py", "notebook/explorer/test_compare.py", "notebook/explorer/test_filter_form.py",
    "notebook/explorer/test_latest.py", "notebook/explorer/test_messages.py", "notebook/map/test_map.py", "notebook/test_answers.py", "notebook/test_hits.py", "notebook/test_lines.py",
    "notebook/test_texts.py", "notebooks/test_differences.py", "response_cache/test_key.py",
)  # fmt: skip
SLOW_FIXTURES = {
    "bedrock_emulator",
    "bedrock_recording",
    "emulator",
    "handbook_index",
    "handbook_texts",
    "moto",
    "seaweed",
}


# A machine that is busy for a moment is no fault; what must be quick is measured in benchmarks.
hypothesis.settings.register_profile("rag", deadline=None)
hypothesis.settings.load_profile("rag")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests whole")
    parser.addoption("--update-golden", action="store_true", help="write tests/bedrock/golden_requests/ anew")


def pytest_configure(config: pytest.Config) -> None:
    scale.SOAK = config.getoption("--soak")
    gone = [name for name in (*SLOW, *QUICK) if not (ROOT / "tests" / name).exists()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py names what is not there: {', '.join(gone)}")


def is_slow(path: Path) -> bool:
    """Tell whether a test file, or all of a folder, is in `SLOW`."""
    below = path.relative_to(ROOT / "tests").as_posix() if path.is_relative_to(ROOT / "tests") else ""
    if any(quick == below or quick.startswith(f"{below}/") for quick in QUICK):
        return False
    return any(below == slow or below.startswith(f"{slow}/") for slow in SLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not so much as import the slow files for ``-m "not slow"``."""
    return True if config.getoption("markexpr") == "not slow" and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path) or not SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def fresh_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a machine's metadata service, nor has the credentials of one before it.

    boto3's default session keeps those of the test that asked for them first.
    """
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if "boto3" in sys.modules:
        monkeypatch.setattr(sys.modules["boto3"], "DEFAULT_SESSION", None)


@pytest.fixture
def shared() -> Path:
    """The read-only reference data beside the checkout; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("the reference data folder (../shared) is not here")
    return SHARED


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The URL of moto's S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # Its state belongs to the process, not to the server: buckets of another module would still be there.
    reset = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=30).close()
    yield url
    server.stop()


def index_of_rows(folder: Path, rows: list[dict[str, Any]]) -> rag.Index:
    """An index with one document, and one chunk, for each row of metadata."""
    entry = EmbedderEntry("static", StaticEmbeddings.fingerprint, 256)
    vectors = StaticEmbeddings().vectors([f"document number {n}" for n in range(len(rows))])
    with open_writer(folder, entry, rebuild=False) as writer:
        for n, row in enumerate(rows):
            number = writer.add_document(f"d{n}", f"{n}.md", row)
            writer.add_chunks([(number, Chunk(f"c{n}", 0, 6, f"text {n}"))], vectors[n : n + 1])
        writer.commit(removed=set(), sources=[], root=".", chunker="none")
    return rag.Index.open(folder)


@pytest.fixture(scope="session")
def golden() -> list[dict]:
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def handbook_texts() -> dict[str, str]:
    """The loaded text of every file of the handbook."""
    return {d.metadata["source"]: d.page_content for d in rag.Loader(HANDBOOK).load()}


@pytest.fixture(scope="session")
def handbook_index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    """The handbook under the default settings: local model, semantic chunks. Built once for all processes."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (folder / "handbook.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "handbook" / "index"
        if not (path / "CURRENT").exists():
            rag.build(HANDBOOK, path)
    return rag.Index.open(path)


@pytest.fixture
def static() -> StaticEmbeddings:
    return StaticEmbeddings()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small source folder: three formats, metadata, and two versions of a policy."""
    source = tmp_path / "docs"
    (source / "old").mkdir(parents=True)
    (source / "leave.md").write_text(
        "---\ntitle: Leave\nregion: eu\nyear: 2024\ntags: [hr, leave]\nvalid_from: 2024-03-01\n---\n"
        "# Leave\n\nStaff in Europe take 28 days of annual leave.\n\n## Sickness\n\n"
        "Tell your manager before ten o'clock when you are ill.\n",
        encoding="utf-8",
    )
    (source / "leave-us.md").write_text(
        "---\ntitle: Leave\nregion: us\nyear: 2023\ntags: [hr]\n---\n"
        "# Leave\n\nStaff in the United States take 22 days of annual leave.\n",
        encoding="utf-8",
    )
    (source / "old" / "backup.txt").write_text(
        "Backups run every night at two.\nRestores are tested each quarter.\n", encoding="utf-8"
    )
    return source
