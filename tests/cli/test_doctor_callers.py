"""``rag doctor``: keys and tokens of an index's service."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from rag.cli.diagnosis import callers
from rag.core.findings import Finding
from rag.serving.keys import KeyStore
from tests.conftest import index_of_rows
from tests.serving.provider import RSA, jwk


@pytest.fixture
def index(tmp_path: Path) -> Path:
    index_of_rows(tmp_path / "ix", [{"department": each} for each in ("legal", "legal", "hr")])
    return tmp_path / "ix"


def found(index: Path | None, auth: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    findings = callers.findings(index, {} if auth is None else {"serving": {"auth": auth}})
    return [(each.state, f"{each.name}: {each.found}") for each in findings]


def test_nothing_is_said_where_there_are_no_callers(index: Path) -> None:
    assert found(index) == found(None) == []


def test_each_key_is_shown_with_what_it_sees(index: Path) -> None:
    store = KeyStore(index / "keys.sqlite")
    ids = {
        name: store.add(name, where=where, expires=expires)[0].id
        for name, where, expires in (
            ("all", "", None), ("legal", "department == 'legal'", None), ("none", "department == 'it'", None),
            ("wrong", "year > 3", None), ("soon", "", time.time() + 3 * 86_400), ("old", "wrong == 1", time.time() - 1),
        )
    }  # fmt: skip
    assert found(index) == [
        ("ok", f"keys: {store.path}: 5 valid, 1 expired"),
        ("ok", f"key: legal ({ids['legal']}) sees 2 of 3 documents, 2 of 3 chunks"),
        ("warn", f"key: none ({ids['none']}) sees nothing of this index: department == 'it'"),
        (
            "fail",
            f"key: wrong ({ids['wrong']}): no document has a field 'year': there is: chunk_id, department, "
            "doc_id, end, page_end, page_start, section, source, start",
        ),
        ("warn", f"key: soon ({ids['soon']}) expires in 3 days"),
    ]


def test_keys_that_others_can_read_and_a_damaged_file_fail(index: Path) -> None:
    store = KeyStore(index / "keys.sqlite")
    store.add("a")
    store.path.chmod(0o644)
    assert found(index)[0] == ("fail", f"keys: {store.path} can be read by others (mode 644)")
    for path in index.glob("keys.sqlite*"):
        path.unlink()
    store.path.write_text("no database" * 1000)
    store.path.chmod(0o600)
    ((state, text),) = found(index)
    assert state == "fail" and "file is not a database" in text


def test_tokens_need_keys_and_fields_that_are_there(index: Path, tmp_path: Path) -> None:
    jwks = tmp_path / "jwks.json"
    auth = {"use": "tokens", "issuer": "https://issuer.example", "audience": "a", "jwks": str(jwks)}
    assert found(index, auth)[0][0] == "fail" and "cannot read the key set" in found(index, auth)[0][1]
    jwks.write_text(json.dumps({"keys": [jwk(RSA, "r")]}))
    good = {**auth, "where": "department in {groups}"}
    assert found(index, good) == [
        ("ok", f"key set: {jwks}: 1 keys"),
        ("ok", "[serving.auth]: callers see what matches department in {groups}"),
    ]
    assert found(index, auth)[1] == ("warn", "[serving.auth]: every caller sees every document")
    wrong = found(index, {**auth, "where": "departmnt in {groups}"})[1]
    assert wrong[0] == "fail" and "'departmnt', which the index lacks: did you mean 'department'" in wrong[1]
    quoted = found(index, {**auth, "where": 'department == "{groups}"'})
    assert quoted[0][0] == "fail" and "without quotes" in quoted[0][1]
    # Nothing is sent to a provider.
    ((state, text), *_) = found(index, {**good, "jwks": "https://issuer.invalid/jwks.json"})
    assert (state, text.endswith("is fetched with the first token")) == ("skip", True)
    assert isinstance(next(callers.findings(index, {"serving": {"auth": {"use": "x"}}})), Finding)
