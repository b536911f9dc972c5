"""Emulators of several scopes; for the tests of Claude a small index, and pipelines over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.emulator.caching import PromptCache
from rag.emulator.guardrails.store import Guardrails
from rag.emulator.pytest_plugin import point_at
from tests.bedrock.claude_calls import HOSTILE, claude
from tests.bedrock.embedders import running
from tests.bedrock.emulated_bases import ID, ROWS, ROWS_ID
from tests.conftest import index_of_rows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``docs`` and an index of them whose questions need no AWS."""
    folder = tmp_path_factory.mktemp("claude")
    (folder / "docs").mkdir()
    for name, text in {
        "leave.md": "---\ntitle: Leave\n---\n# Leave\n\nStaff in Europe take 28 days of annual leave.\n",
        "backup.txt": "Backups run every night at two. Restores are tested each quarter.\n",
        "hostile.txt": HOSTILE,
    }.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder


@pytest.fixture
def index(built: Path, tmp_path: Path) -> rag.Index:
    """The index, with a ledger of the test's own."""
    return rag.Index.open(built / "ix")


@pytest.fixture
def pipe(index: rag.Index, tmp_path: Path) -> Callable[..., rag.Pipeline]:
    """Makes a pipeline whose ledger is ``ledger.sqlite`` in the test's folder."""

    def made(generator: Any = None, **stages: Any) -> rag.Pipeline:
        generator = claude() if generator is None else generator
        ledger = {"path": str(tmp_path / "ledger.sqlite"), **stages.pop("ledger", {})}
        return rag.Pipeline(index, generator=generator, ledger=ledger, **stages)

    return made


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[Emulator]:
    """One for all, and with it one session of boto3, whose making takes most of a short test's time."""
    with Emulator() as running, pytest.MonkeyPatch.context() as patch:
        point_at(patch, running.environment())
        yield running


@pytest.fixture
def emulator(shared_emulator: Emulator) -> Emulator:
    """The emulator as if it were new."""
    shared_emulator.behaviour, shared_emulator.prompt_cache = Behaviour(), PromptCache()
    shared_emulator.guardrails = Guardrails()
    for kept in (shared_emulator.requests, shared_emulator.problems, shared_emulator.counts):
        kept.clear()
    return shared_emulator


@pytest.fixture
def fresh_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator of the test's own, which must receive valid requests only."""
    with running(monkeypatch) as server:
        yield server
        assert server.problems == []


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    """An index with one document, and one chunk, for each of `ROWS`."""
    return index_of_rows(tmp_path_factory.mktemp("rows") / "ix", ROWS)


@pytest.fixture(scope="module")
def knowledge_base_emulator(handbook_index: rag.Index, rows: rag.Index) -> Iterator[Emulator]:
    """An emulator of both knowledge bases."""
    with (
        pytest.MonkeyPatch.context() as patch,
        Emulator(knowledge_bases={ID: handbook_index.path, ROWS_ID: rows.path}) as server,
    ):
        for name, value in server.environment().items():
            patch.setenv(name, value)
        yield server
