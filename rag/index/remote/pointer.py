"""``CURRENT.json``: the versions of an index on an object store, and which of them is current."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from rag.core.errors import RemoteError, StoreMissingError
from rag.index.remote.objects import Blob, ObjectStore

KEY = "CURRENT.json"
_MOST_BYTES = 1 << 20
#: So many entries stay far below `_MOST_BYTES`.
MOST_VERSIONS = 2000
#: A reply that was altered on its way is read again.
_TRIES = 3

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$")]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A version on an object store.

    Attributes
    ----------
    version : int
    manifest : str
        The SHA-256 of its manifest.
    bytes : int
        The manifest's size.
    pushed : str
        When it was pushed, ISO 8601.
    by : str
        The name of the machine that pushed it.
    """

    version: Annotated[int, Field(ge=1, lt=10**9)]
    manifest: Sha256
    bytes: Annotated[int, Field(ge=1, lt=1 << 40)]
    pushed: Time
    by: Host

    @property
    def key(self) -> str:
        """The manifest's object."""
        return f"manifests/{self.manifest}.json"

    def __str__(self) -> str:
        return f"version {self.version}, pushed {self.pushed} from {self.by}"


@dataclass(frozen=True, slots=True)
class Pointer:
    """The versions that are kept, oldest first.

    Attributes
    ----------
    current : int
        The number of the newest one, which readers open.
    versions : tuple of Pushed
    pruning : str
        Names the machine that deletes objects just now (`rag.index.remote.prune`); empty if none does.
    """

    current: int
    versions: Annotated[tuple[Pushed, ...], Field(min_length=1, max_length=MOST_VERSIONS)]
    pruning: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = ""
    format: Literal[1] = 1

    def find(self, version: int | None = None) -> Pushed | None:
        """Return a version, by default the current one."""
        number = self.current if version is None else version
        return next((each for each in self.versions if each.version == number), None)

    @property
    def newest(self) -> Pushed:
        """The current version."""
        found = self.find()
        assert found is not None  # `read_pointer` checks it
        return found

    def holds(self, manifest: str) -> bool:
        """Whether a version has the manifest with this SHA-256."""
        return any(each.manifest == manifest for each in self.versions)

    def adding(self, new: Pushed) -> Pointer:
        """Return the pointer with one more version, in place of one with its number."""
        others = [each for each in self.versions if each.version != new.version]
        return of_versions([*others, new])

    def to_json(self) -> bytes:
        """Return it as it is stored, with a checksum of its own: what is misread is never written back."""
        values = asdict(self)
        return json.dumps({**values, "sha256": _digest(values)}, indent=1, sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Read:
    """A pointer as it was read, with what a conditional write compares; no pointer where there is none."""

    pointer: Pointer | None
    blob: Blob | None

    @property
    def etag(self) -> str | None:
        """The ETag that the next write replaces."""
        return None if self.blob is None else self.blob.etag


def of_versions(versions: Iterable[Pushed], pruning: str = "") -> Pointer:
    """Return the pointer to some versions."""
    ordered = sorted(versions, key=lambda each: each.version)
    return Pointer(ordered[-1].version, tuple(ordered), pruning)


def read_pointer(store: ObjectStore) -> Read:
    """Read the pointer of a place, where there may be none.

    Raises
    ------
    RemoteError
        The place cannot be read, or holds something else under this name.
    """
    for attempt in range(1, _TRIES + 1):
        blob = store.read(KEY, _MOST_BYTES)
        if blob is None:
            return Read(None, None)
        try:
            return Read(_parsed(blob.data), blob)
        except ValidationError as error:
            first = error.errors()[0]
            said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            said = str(error)
        if attempt == _TRIES:
            raise RemoteError(
                f"{store.name}{KEY} is not that of an index of this rag ({said}): check the prefix, or "
                "upgrade rag"
            )
    raise AssertionError("unreachable")


def _parsed(text: bytes) -> Pointer:
    """Read a pointer's text, which is not trusted."""
    values = json.loads(text)
    if values.pop("sha256", None) != _digest(values):
        raise ValueError("its checksum is wrong")
    pointer = _POINTER.validate_json(json.dumps(values), strict=True)
    if json.loads(json.dumps(asdict(pointer))) != values:
        raise ValueError("it has fields that are not known")
    numbers = [each.version for each in pointer.versions]
    if sorted(set(numbers)) != numbers or pointer.current != numbers[-1]:
        raise ValueError("its versions are not in order, or the last one is not current")
    return pointer


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def current_pointer(store: ObjectStore) -> Pointer:
    """Read the pointer of an index.

    Raises
    ------
    StoreMissingError
        There is none.
    RemoteError
        The place cannot be read, or holds something else.
    """
    pointer = read_pointer(store).pointer
    if pointer is None:
        raise StoreMissingError(
            f"there is no index at {store.name}: check the prefix, or push one with "
            f"`rag push INDEX {store.name}`"
        )
    return pointer


def wanted(store: ObjectStore, pointer: Pointer, version: int | None) -> Pushed:
    """Return a version, by default the current one.

    Raises
    ------
    StoreMissingError
        The index does not keep it.
    """
    found = pointer.find(version)
    if found is None:
        there = ", ".join(str(each.version) for each in pointer.versions)
        raise StoreMissingError(f"{store.name} has no version {version}: there is {there}")
    return found


def now() -> str:
    """Return the time as a pointer has it, in UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def this_machine() -> str:
    """Return this machine's name as a pointer has it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "unknown"


def numbers_text(versions: Iterable[int]) -> str:
    """Return the numbers of versions for a message."""
    listed = sorted(versions)
    return f"version{'s' * (len(listed) > 1)} {', '.join(map(str, listed))}"


_POINTER = TypeAdapter(Pointer)
