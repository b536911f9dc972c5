"""A provider's keys: fetched once, anew for unknown ones but not for each, and bounded in size and time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from rag.core.errors import ConfigError, RagError
from rag.serving import key_set
from rag.serving.key_set import KeySet
from tests.serving.provider import EC, OTHER, RSA, Served, jwk, serving


@pytest.fixture
def provider() -> Iterator[Served]:
    with serving(jwk(RSA, "r")) as state:
        yield state


def test_keys_are_fetched_once_and_anew_for_one_that_is_unknown(
    provider: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeySet(provider.url)
    assert all(keys.key("r") for _ in range(5)) and provider.count == 1
    provider.hold(jwk(RSA, "r"), jwk(OTHER, "new"))
    # Unknown keys, which anyone can name, do not make it fetch again and again.
    assert [keys.key("new") for _ in range(5)] == [None] * 5 and provider.count == 1
    monkeypatch.setattr(key_set, "_BETWEEN_S", 0.0)
    assert keys.key("new") and provider.count == 2


def test_keys_hold_for_a_while_when_the_provider_is_down(
    provider: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeySet(provider.url)
    assert keys.key("r")
    provider.status = 500
    for name in ("_KEEP_S", "_BETWEEN_S"):
        monkeypatch.setattr(key_set, name, 0.0)
    assert keys.key("r")
    assert keys.key("unknown") is None and "HTTP Error 500" in caplog.text
    monkeypatch.setattr(key_set, "_MOST_AGE_S", 0.0)
    assert keys.key("r") is None  # for ever would be too long: it may have been withdrawn


def test_a_slow_provider_delays_no_caller_whose_key_is_known(
    provider: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeySet(provider.url)
    assert keys.key("r")
    monkeypatch.setattr(key_set, "_KEEP_S", 0.0)
    monkeypatch.setattr(key_set, "_BETWEEN_S", 0.0)
    monkeypatch.setattr(key_set, "_WAIT_S", 0.2)
    monkeypatch.setattr(key_set, "_FETCH_S", 1.0)
    provider.pause_s = 0.02
    began = time.monotonic()
    assert all(keys.key("r") for _ in range(5))
    assert time.monotonic() - began < 0.15
    assert keys.key("other") is None and time.monotonic() - began < 1.5
    fetching = keys._fetching
    assert fetching is not None
    fetching.join(5)


def test_a_set_that_drips_is_given_up(provider: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_set, "_FETCH_S", 0.2)
    provider.pause_s = 0.02  # each byte comes in time, all of them do not
    with pytest.raises(RagError, match=r"it takes over 0\.2 s"):
        KeySet(provider.url).read()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"no json", "cannot read the key set"),
        (b"[]", "cannot read the key set"),
        (b"[" * 100_000, "cannot read the key set"),
        (b'{"keys": []}', "has no key to check signatures with"),
        (b'{"keys": [{"kty": "oct", "kid": "r", "k": "AAAA"}]}', "has no key to check signatures with"),
        (b" " * (1 << 20) + b"{}", "it is larger than 1 MB"),
    ],
    ids=["text", "list", "nested", "empty", "symmetric", "large"],
)
def test_what_is_no_key_set_is_refused(provider: Served, body: bytes, cause: str) -> None:
    provider.body = body
    with pytest.raises(RagError, match=cause):
        KeySet(provider.url).read()


def test_a_set_is_not_looked_for_elsewhere(provider: Served) -> None:
    provider.status = 302
    with pytest.raises(RagError, match="HTTP Error 302"):
        KeySet(provider.url).read()
    assert provider.count == 1
    for place in ("http://issuer.example/jwks.json", "ftp://127.0.0.1/a", "file:///etc/jwks.json"):
        with pytest.raises(ConfigError, match="is not fetched without encryption"):
            KeySet(place)


def test_short_keys_and_those_for_encryption_are_left_out(tmp_path: Path) -> None:
    short = jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), "short")
    rows = [short, {**jwk(OTHER, "enc"), "use": "enc"}, jwk(EC, "e"), {"kty": "EC", "kid": "broken"}, 7]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": rows}))
    assert [(name, key.algorithm) for name, key in KeySet(str(path)).read().items()] == [("e", "ES256")]
    assert jwt.PyJWK(jwk(EC, "e")).key_type == "EC"
    with pytest.raises(RagError, match="No such file"):
        KeySet(str(tmp_path / "nothing.json")).read()
