"""API keys: random, shown once, and stored as hashes.

A key is ``rag_ID_SECRETCHECK``. The id finds it and may be seen by anyone; the secret has 160 random bits;
the check (CRC-32) tells a mistyped key from an unknown one without looking it up, and lets scanners of leaked
secrets find keys. What is stored is the SHA-256 of the whole key: nobody can guess 160 bits, so a slow hash,
as passwords need, would add nothing but time to every request (OWASP, Cryptographic Storage Cheat Sheet).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rag.core.errors import AuthError, RagError, UsageError
from rag.core.sqlite import Database, Format
from rag.index.filters.parse import parse
from rag.serving.callers import NO_LIMITS, Caller, Limits

#: The file's name in an index's folder.
NAME = "keys.sqlite"
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case
_KEY = re.compile(r"rag_([0-9a-z]{10})_([0-9a-z]{32})([0-9a-z]{7})")
#: Most characters of a name.
_MOST_NAME = 100
#: When a key was used is written at most so often, in seconds.
_USED_EVERY_S = 60.0
#: What every refusal says: which keys exist, expired or were revoked is nobody's business.
REFUSED = "the API key is missing or not valid"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key, without the key.

    Attributes
    ----------
    where : str
        The filter of its caller, as it was written; empty for none.
    created, expires, revoked, used : float or None
        Seconds since 1970; None for never.
    """

    id: str
    name: str
    tenant: str = ""
    where: str = ""
    limits: Limits = NO_LIMITS
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None
    digest: bytes = field(default=b"", repr=False)

    def state(self, now: float | None = None) -> str:
        """Return ``"valid"``, ``"expired"`` or ``"revoked"``."""
        if self.revoked is not None:
            return "revoked"
        over = self.expires is not None and self.expires <= (time.time() if now is None else now)
        return "expired" if over else "valid"

    @property
    def caller(self) -> Caller:
        """Who calls with it."""
        where = parse(self.where) if self.where else None
        return Caller(self.id, self.tenant or self.id, where, self.limits)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the digest."""
        values = {name: value for name, value in asdict(self).items() if name != "digest"}
        return {**values, "state": self.state()}


def _base32(data: bytes, length: int) -> str:
    number = int.from_bytes(data, "big")
    return "".join(_LETTERS[(number >> (5 * at)) & 31] for at in reversed(range(length)))


def new_key(id: str | None = None) -> tuple[str, str]:
    """Return a key's id, by default a new one, and a new key.

    Examples
    --------
    >>> id, key = new_key()
    >>> key.startswith(f"rag_{id}_"), len(key), id_of(key) == id
    (True, 54, True)
    """
    id = id or _base32(secrets.token_bytes(7), 10)
    body = f"rag_{id}_{_base32(secrets.token_bytes(20), 32)}"
    return id, body + _base32(zlib.crc32(body.encode()).to_bytes(4, "big"), 7)


def id_of(key: str) -> str | None:
    """Return the id of a key; None for what cannot be one, e.g. because it is mistyped.

    Examples
    --------
    >>> id_of("rag_0123456789_mistyped") is None
    True
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    check = _base32(zlib.crc32(key[: -len(match[3])].encode()).to_bytes(4, "big"), 7)
    return match[1] if hmac.compare_digest(check, match[3]) else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _create(file: sqlite3.Connection) -> None:
    file.execute(
        "CREATE TABLE keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL, "
        "filter TEXT NOT NULL, limits TEXT NOT NULL, created REAL NOT NULL, expires REAL, revoked REAL, "
        "used REAL, digest BLOB NOT NULL)"
    )


def _upgrade(file: sqlite3.Connection, version: int) -> None:
    """There is no earlier version."""


FORMAT = Format("keys", "keys", 1, _create, _upgrade, private=True)


class KeyStore:
    """Keys in a SQLite file that only its owner can read; threads and processes share it.

    Every request reads its key from the file: one that is revoked is refused at once, in every process.

    Parameters
    ----------
    path : str or Path

    Examples
    --------
    >>> key, secret = KeyStore("indexes/handbook/keys.sqlite").add("crm", where="department == 'sales'")
    ... # doctest: +SKIP
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.database = Database(self.path, FORMAT, synchronous="FULL")
        self._used = Database(self.path, FORMAT, timeout_s=0.05)

    def add(
        self,
        name: str,
        *,
        tenant: str = "",
        where: str = "",
        limits: Limits = NO_LIMITS,
        expires: float | None = None,
    ) -> tuple[Key, str]:
        """Add a key; return it, and the text that the caller sends, which is kept nowhere.

        Raises
        ------
        WhereError
            The filter cannot be read.
        UsageError
            The name is empty, no line, or taken by a key that is valid.
        RagError
            The file cannot be read or written.
        """
        if not name.strip():
            raise UsageError("the key's name is empty: say who it is for")
        for what, text in (("name", name), ("tenant", tenant)):
            if len(text) > _MOST_NAME or not text.isprintable():
                raise UsageError(f"the key's {what} is one line of at most {_MOST_NAME} characters")
        if where:
            parse(where)
        id, text = new_key()
        key = Key(id, name, tenant, where, limits, time.time(), expires, digest=_digest(text))
        with self._writing() as file:
            if any(each.state() == "valid" for each in self._rows("name = ?", name)):
                raise UsageError(f"there is a valid key {name!r}: revoke it, or give this one another name")
            file.execute(
                "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?)",
                (id, name, tenant, where, json.dumps(asdict(limits)), key.created, expires, key.digest),
            )
        return key, text

    def all(self) -> list[Key]:
        """Return all keys, the oldest first."""
        return self._rows("1 ORDER BY created, id")

    def get(self, id: str) -> Key:
        """Return a key by its id or name.

        Raises
        ------
        UsageError
            There is none, or several have the name.
        """
        found = self._rows("id = ?", id) or [
            each for each in self._rows("name = ?", id) if each.state() == "valid"
        ]
        if len(found) != 1:
            what = "is no key" if not found else "is the name of several keys"
            raise UsageError(f"{id!r} {what}: `rag keys list` has their ids")
        return found[0]

    def revoke(self, id: str) -> Key:
        """Revoke a key, by its id or name: it is refused from now on.

        Raises
        ------
        UsageError
            There is no such key.
        """
        key = self.get(id)
        now = time.time() if key.revoked is None else key.revoked
        with self._writing() as file:
            file.execute("UPDATE keys SET revoked = ? WHERE id = ?", (now, key.id))
        return replace(key, revoked=now)

    def rotate(self, id: str) -> tuple[Key, str]:
        """Give a key a new secret; the old one is refused from now on.

        Its id stays, so what it has spent today still counts.

        Raises
        ------
        UsageError
            There is no such key, or it is not valid.
        """
        key = self.get(id)
        if key.state() != "valid":
            raise UsageError(f"the key {key.id} is {key.state()}: add a new one")
        _, text = new_key(key.id)
        with self._writing() as file:
            changed = file.execute(
                "UPDATE keys SET digest = ? WHERE id = ? AND revoked IS NULL", (_digest(text), key.id)
            ).rowcount
        if not changed:
            raise UsageError(f"the key {key.id} is revoked: add a new one")
        return replace(key, digest=_digest(text)), text

    def find(self, text: str) -> Key | None:
        """Return the valid key that a text is; None for anything else."""
        id = id_of(text)
        if id is None or not self.path.exists():
            return None
        rows = self._rows("id = ?", id)
        # Compared in constant time, also where there is no such id.
        known = rows[0].digest if rows else b"\0" * 32
        if not hmac.compare_digest(known, _digest(text)) or not rows or rows[0].state() != "valid":
            return None
        self._touch(rows[0])
        return rows[0]

    def _touch(self, key: Key) -> None:
        now = time.time()
        if key.used is None or now - key.used > _USED_EVERY_S:
            # A file that another process holds, or that can only be read, still says who calls.
            with contextlib.suppress(sqlite3.Error, OSError), self._used.writing() as file:
                file.execute("UPDATE keys SET used = ? WHERE id = ?", (now, key.id))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._reporting(), self.database.reading() as file:
            yield file

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reporting(), self.database.writing() as file:
            yield file

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            cause = " ".join(str(error).split())
            raise RagError(
                f"cannot use the keys in {self.path} ({cause}): put back a copy, or move it away and add keys"
            ) from None

    def _rows(self, condition: str, *values: Any) -> list[Key]:
        if not self.path.exists():
            return []
        with self._reading() as file:
            rows = file.execute(f"SELECT * FROM keys WHERE {condition}", values).fetchall()
        return [
            Key(id, name, tenant, where, Limits(**json.loads(limits)), *rest)
            for id, name, tenant, where, limits, *rest in rows
        ]


def credential(headers: Mapping[str, str]) -> str | None:
    """Return what a request is authenticated by: a bearer token, or the ``x-api-key`` header.

    Examples
    --------
    >>> credential({"authorization": "Bearer abc"}), credential({"x-api-key": "abc"}), credential({})
    ('abc', 'abc', None)
    """
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("x-api-key") or None


class KeyAuthenticator:
    """Callers by their API keys.

    Parameters
    ----------
    store : KeyStore
    """

    def __init__(self, store: KeyStore) -> None:
        self.store = store

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return whose key the headers have.

        Raises
        ------
        AuthError
            There is none, or it is not valid; the text is always the same.
        """
        text = credential(headers)
        key = None if text is None or len(text) > 200 else self.store.find(text)
        if key is None:
            raise AuthError(REFUSED)
        return key.caller


class OpenAuthenticator:
    """Everyone may call, and sees everything: for one's own machine."""

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the same caller for all."""
        return Caller("local", "local")
