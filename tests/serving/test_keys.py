"""Keys: shown once, stored as hashes, refused at once when they are revoked, and never more than their filter."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.core.errors import AuthError, RagError, UsageError, WhereError
from rag.serving.callers import Limits
from rag.serving.keys import KeyAuthenticator, KeyStore, credential, id_of, new_key
from tests.command import run


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.sqlite")


def test_a_key_is_its_caller(store: KeyStore) -> None:
    key, text = store.add("crm", where="department == 'sales'", tenant="acme", limits=Limits(60))
    caller = KeyAuthenticator(store).caller({"authorization": f"Bearer {text}"})
    assert (caller.name, caller.tenant, caller.limits) == (key.id, "acme", Limits(60))
    both = (rag.field("department") == "sales") & (rag.field("year") >= 2024)
    narrowed = caller.narrowed("year >= 2024")
    assert narrowed is not None and narrowed.to_string() == both.to_string()
    assert KeyAuthenticator(store).caller({"x-api-key": text}).name == key.id


def test_nothing_in_the_file_is_a_key_and_only_its_owner_reads_it(store: KeyStore) -> None:
    _, text = store.add("crm")
    secret = text.rpartition("_")[2]
    assert store.path.stat().st_mode & 0o777 == 0o600
    for path in store.path.parent.iterdir():
        assert secret.encode() not in path.read_bytes()
    assert text not in repr(store.all()) and "digest" not in store.all()[0].to_dict()


@pytest.mark.parametrize("change", ["missing", "mistyped", "unknown", "expired", "revoked", "huge"])
def test_every_refusal_says_the_same(store: KeyStore, change: str) -> None:
    key, text = store.add("crm", expires=time.time() + (0.0 if change == "expired" else 60))
    if change == "mistyped":
        text = text[:-1] + ("0" if text[-1] != "0" else "1")
    elif change == "unknown":
        text = new_key()[1]
    elif change == "revoked":
        store.revoke(key.id)
    elif change == "huge":
        text *= 100
    headers = {} if change == "missing" else {"authorization": f"Bearer {text}"}
    with pytest.raises(AuthError, match=r"^the API key is missing or not valid$"):
        KeyAuthenticator(store).caller(headers)


@given(st.text(max_size=80))
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert id_of(text) is None
    id, key = new_key()
    assert id_of(key) == id and id_of(key + text) == (id if not text else None)


def test_credentials_are_a_bearer_token_or_a_header() -> None:
    assert credential({"authorization": "bearer  a "}) == "a"
    assert credential({"authorization": "Basic a", "x-api-key": "b"}) == "b"
    assert credential({"authorization": "Bearer "}) is None


def test_a_revoked_key_is_refused_at_once_in_another_process(store: KeyStore) -> None:
    key, text = store.add("crm")
    code = (
        "import sys; from rag.serving.keys import KeyStore; store = KeyStore(sys.argv[1])\n"
        "for line in sys.stdin: print(store.find(line.strip()) is not None, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        for expected in ("True\n", "False\n"):
            other.stdin.write(f"{text}\n")
            other.stdin.flush()
            assert other.stdout.readline() == expected
            store.revoke(key.id)
        other.stdin.close()


def test_rotation_changes_the_secret_alone(store: KeyStore) -> None:
    old, before = store.add("crm", where="a == 1", limits=Limits(usd_per_day=2.0))
    new, text = store.rotate("crm")
    assert store.find(before) is None and store.find(text) == new
    # The same id: what it has spent today still counts.
    assert (new.id, new.where, new.limits, new.caller.tenant) == (old.id, "a == 1", old.limits, old.id)
    store.revoke("crm")
    with pytest.raises(UsageError, match=f"the key {old.id} is revoked: add a new one"):
        store.rotate(old.id)
    ended, _ = store.add("old", expires=time.time() - 1)
    with pytest.raises(UsageError, match="is expired: add a new one"):
        store.rotate(ended.id)


def test_a_file_that_another_process_writes_to_still_says_who_calls(store: KeyStore) -> None:
    _, text = store.add("crm")
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.find(text) is not None
    assert store.find(text) is not None and store.all()[0].used is not None


LIMITS = [(0, None, None), (None, 0, None), (None, None, float("nan")), (None, None, -1.0)]


@pytest.mark.parametrize("limits", LIMITS)
def test_a_limit_that_would_let_everything_pass_is_refused(limits: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match=r"^a limit of "):
        Limits(*limits)


def test_names_and_filters_are_checked(store: KeyStore) -> None:
    store.add("crm")
    with pytest.raises(UsageError, match="there is a valid key 'crm'"):
        store.add("crm")
    with pytest.raises(WhereError):
        store.add("other", where="department ==")
    for name, tenant in (("a\nb", ""), ("a", "\x1b[2J"), ("a" * 101, "")):
        with pytest.raises(UsageError, match="is one line of at most 100 characters"):
            store.add(name, tenant=tenant)
    with pytest.raises(UsageError, match="'nobody' is no key"):
        store.revoke("nobody")
    assert [each.name for each in store.all()] == ["crm"]


def test_the_command_prints_the_key_alone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Sales\n\nTargets are yearly.\n")
    (tmp_path / "docs" / "b.md").write_text("# Legal\n\nContracts are kept.\n")
    rows = '{"source": "a.md", "department": "sales"}\n{"source": "b.md", "department": "legal"}\n'
    (tmp_path / "meta.jsonl").write_text(rows)
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static", metadata=str(tmp_path / "meta.jsonl"))
    done = run("keys", "add", "ix", "crm", "--where", "department == 'sales'", "--rpm", "60", cwd=tmp_path)
    text = done.stdout.strip()
    assert id_of(text) and "it is shown once" not in done.stdout and "shown this once" in done.stderr
    assert text not in done.stderr
    wrong = run("keys", "add", "ix", "x", "--where", "departmnet == 'sales'", cwd=tmp_path, code=2)
    assert "did you mean 'department'" in wrong.stderr
    assert "60 requests/min" in run("keys", "list", "ix", cwd=tmp_path).stdout
    shown = run("keys", "show", "ix", "crm", cwd=tmp_path).stdout
    assert "sees what matches department == 'sales': 1 of 2 documents, 1 of 2 chunks" in shown
    assert "is revoked" in run("keys", "revoke", "ix", "crm", cwd=tmp_path).stdout
    assert KeyStore(tmp_path / "ix" / "keys.sqlite").find(text) is None
    assert "there is no index at nowhere" in run("keys", "list", "nowhere", cwd=tmp_path, code=2).stderr


def test_what_is_no_file_of_keys_is_named_in_one_line(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "keys.sqlite") as file:
        file.execute("CREATE TABLE mine (a)")
    with pytest.raises(RagError, match=r"keys\.sqlite is no keys"):
        KeyStore(tmp_path / "keys.sqlite").add("crm")
    (tmp_path / "other.sqlite").write_text("no database" * 1000)
    with pytest.raises(
        RagError, match=r"cannot use the keys in .*other\.sqlite \(file is not a database\): put"
    ):
        KeyStore(tmp_path / "other.sqlite").all()
