"""Any order of pushes, prunes, openings, closings, evictions and damage: what a reader holds stays whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import rag
from rag.index.remote.lease import Lease
from rag.index.remote.mirror import Cache, Mirror
from rag.index.remote.pointer import current_pointer
from rag.index.remote.prune import prune
from rag.index.remote.pull import PULLING
from rag.index.remote.push import push
from rag.index.storage.manifest import altered, files_of, kept_versions, pointer, read_manifest
from tests.index.remote.conftest import changed, write
from tests.index.remote.memory_store import MemoryStore
from tests.scale import scale

VERSIONS = 5


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of five versions."""
    base = tmp_path_factory.mktemp("history")
    (base / "docs").mkdir()
    for number in range(3):
        write(base / "docs", number, f"Topic{number} is explained. " * 10)
    rag.build(base / "docs", base / "index", embedder="static")
    for version in range(2, VERSIONS + 1):
        assert changed(base / "docs", base / "index", version % 3, f"Version {version}. ") == version
    return base / "index"


def test_what_readers_hold_stays_whole(history: Path) -> None:
    sizes = [
        sum(file.bytes for file in files_of(read_manifest(history, version)))
        for version in range(1, VERSIONS + 1)
    ]

    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.base = Path(tempfile.mkdtemp(prefix="rag-cache-"))
            self.cache = Cache(self.base / "cache", 10**9)
            self.stores = [MemoryStore(), MemoryStore()]
            self.copies = []
            for number, store in enumerate(self.stores):
                store.name = store.identity = f"memory://bucket/{number}/"
                push(history, store, version=1)
                self.copies.append(Mirror(store, self.cache))
            self.held: list[Lease] = []

        def teardown(self) -> None:
            for lease in getattr(self, "held", ()):
                lease.close()
            shutil.rmtree(self.base, ignore_errors=True)

        @rule(which=st.integers(0, 1), keep=st.sampled_from([None, None, 1, 2]))
        def push_next(self, which: int, keep: int | None) -> None:
            version = current_pointer(self.stores[which]).current + 1
            if version <= VERSIONS:
                push(history, self.stores[which], version=version)
            if keep is not None:
                prune(self.stores[which], keep)

        @rule(which=st.integers(0, 1), back=st.integers(0, 2), limit=st.integers(1, 6))
        def open(self, which: int, back: int, limit: int) -> None:
            numbers = [each.version for each in current_pointer(self.stores[which]).versions]
            version = numbers[max(-len(numbers), -1 - back)]
            cache = Cache(self.cache.folder, limit * max(sizes) // 2)
            lease = Mirror(self.stores[which], cache).hold(version)
            assert lease.version == version
            self.held.append(lease)

        @precondition(lambda self: self.held)
        @rule(which=st.integers(0, 99))
        def close(self, which: int) -> None:
            self.held.pop(which % len(self.held)).close()

        @rule(share=st.floats(0, 1))
        def make_room(self, share: float) -> None:
            limit = int(share * self.cache.bytes())
            Cache(self.cache.folder, limit).make_room()
            if self.cache.bytes() > limit:  # then nothing is left that nobody holds
                there = {
                    (copy.folder, number) for copy in self.copies for number in kept_versions(copy.folder)
                }
                assert there <= {(lease.folder, lease.version) for lease in self.held}

        @rule(which=st.integers(0, 1))
        def leave_what_a_killed_fetch_leaves(self, which: int) -> None:
            folder = self.copies[which].folder
            if folder.exists():
                (folder / PULLING).mkdir(exist_ok=True)
                (folder / PULLING / ("0" * 64)).write_bytes(bytes(500))
                (folder / "LOCK").write_bytes(b"writing\n")

        @invariant()
        def what_is_held_is_whole(self) -> None:
            for lease in getattr(self, "held", ()):
                manifest = read_manifest(lease.folder, lease.version)
                assert not list(altered(lease.folder, files_of(manifest)))

        @invariant()
        def every_copy_is_sound_or_empty(self) -> None:
            for copy in getattr(self, "copies", ()):
                if pointer(copy.folder) is not None:
                    manifest = read_manifest(copy.folder)
                    assert not list(altered(copy.folder, files_of(manifest)))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=scale(15, 150), stateful_step_count=15, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
