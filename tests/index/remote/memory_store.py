"""An object store in memory, that fails on demand, and loses replies."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rag.core.errors import RemoteError, StoreCorruptError
from rag.index.remote.objects import AbsentError, Blob, ChangedError, Tally


class MemoryStore:
    """Implements `rag.index.remote.objects.ObjectStore`.

    `before` is called with the name of a method and a key before it acts; what it raises goes to the caller.
    `lost` names calls, such as ``"write CURRENT.json"``, that succeed once, but whose reply is lost.
    """

    name = identity = "memory://bucket/handbook/"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str, float]] = {}
        self.before: Callable[[str, str], None] = lambda method, key: None
        self.lost: set[str] = set()
        self.calls: list[str] = []
        self._lock = threading.RLock()
        self._writes = 0

    def _begin(self, method: str, key: str) -> None:
        self.calls.append(f"{method} {key}")
        self.before(method, key)

    def _store(self, key: str, data: bytes) -> None:
        self._writes += 1
        self.objects[key] = (data, f'"{self._writes}"', time.time())

    def read(self, key: str, most: int) -> Blob | None:
        self._begin("read", key)
        with self._lock:
            found = self.objects.get(key)
        if found is None:
            return None
        if len(found[0]) > most:
            raise RemoteError(f"{key} is too long")
        return Blob(found[0], found[1], time.time() - found[2])

    def write(self, key: str, data: bytes, replaces: str | None) -> None:
        self._begin("write", key)
        with self._lock:
            found = self.objects.get(key)
            if (found[1] if found else None) != replaces:
                raise ChangedError(key)
            self._store(key, data)
        if f"write {key}" in self.lost:  # as after a retry of a call whose reply was lost
            self.lost.remove(f"write {key}")
            raise ChangedError(key)

    def check_conditions(self) -> None:
        self._begin("check_conditions", "")

    def put(self, key: str, data: bytes, sha256: str) -> None:
        self._begin("put", key)
        with self._lock:
            self._store(key, data)

    def upload(self, key: str, path: Path, size: int, sha256: str, tally: Tally) -> None:
        data = path.read_bytes()
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise StoreCorruptError(f"{path} was altered")
        self.put(key, data, sha256)
        tally.moved(size)

    def download(self, key: str, path: Path, size: int, tally: Tally) -> None:
        self._begin("download", key)
        found = self.objects.get(key)
        if found is None:
            raise AbsentError(key)
        path.write_bytes(found[0])
        tally.moved(len(found[0]))

    def holds(self, key: str, size: int, sha256: str) -> bool:
        found = self.objects.get(key)
        return found is not None and hashlib.sha256(found[0]).hexdigest() == sha256

    def sizes(self, prefix: str) -> dict[str, int]:
        self._begin("sizes", prefix)
        with self._lock:
            return {key: len(data) for key, (data, _, _) in self.objects.items() if key.startswith(prefix)}

    def delete(self, keys: Iterable[str]) -> bool:
        for key in keys:
            self._begin("delete", key)
            with self._lock:
                self.objects.pop(key, None)
        return True

    def abandon(self, prefix: str) -> None:
        self._begin("abandon", prefix)
