"""Tokens: taken if the provider signed them for this service, and are in force."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

import rag
from rag.core.errors import AuthError, ConfigError
from rag.serving.tokens import TokenAuthenticator
from tests.serving.provider import AUDIENCE, EC, ISSUER, OTHER, RSA, claims, jwk, signed


@pytest.fixture(scope="module")
def jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jwks") / "keys.json"
    path.write_text(json.dumps({"keys": [jwk(RSA, "r"), jwk(EC, "e")]}))
    return path


def made(place: Path | str, **more: Any) -> TokenAuthenticator:
    options = {"jwks": str(place), "where": "department in {groups}", **more}
    return TokenAuthenticator(ISSUER, AUDIENCE, **options)


def test_claims_are_the_callers_filter_and_tenant(jwks: Path) -> None:
    caller = made(jwks, tenant="org").caller(signed(org="acme", groups=["legal", "hr"]))
    assert (caller.name, caller.tenant) == ("ana", "acme")
    assert str(caller.where) == str(rag.field("department").isin(["legal", "hr"]))
    assert made(jwks).caller(signed(EC, "e", "ES256")).name == "ana"
    access = signed(token_use="access", client_id=AUDIENCE, aud=...)
    assert made(jwks).caller(access).tenant == "ana"  # as Cognito's access tokens


def forged(kind: str, jwks: Path) -> dict[str, str]:
    public = json.loads(jwks.read_text())["keys"][0]["n"].encode()  # known to everyone
    now = int(time.time())

    def raw(header: dict[str, Any], signature: str = "") -> dict[str, str]:
        parts = [
            base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode()
            for each in (header, claims())
        ]
        return {"authorization": f"Bearer {'.'.join(parts)}.{signature}"}

    good = signed()["authorization"]
    return {
        "none": lambda: {},
        "alg none": lambda: raw({"alg": "none", "kid": "r"}),
        "signed with the public key": lambda: {
            "authorization": "Bearer " + jwt.encode(claims(), public, algorithm="HS256", headers={"kid": "r"})
        },
        "another's key": lambda: signed(OTHER),
        "unknown key": lambda: signed(OTHER, "x"),
        "a key of another kind": lambda: signed(EC, "r", "ES256"),
        "path as key id": lambda: signed(OTHER, "../../etc/passwd"),
        "expired": lambda: signed(exp=now - 100),
        "not yet valid": lambda: signed(nbf=now + 1000),
        "no expiry": lambda: signed(exp=...),
        "another issuer": lambda: signed(iss="https://evil.example"),
        "another audience": lambda: signed(aud="client-2"),
        "another client": lambda: signed(token_use="access", client_id="client-2"),
        "no audience": lambda: signed(aud=...),
        "no claim": lambda: signed(groups=...),
        "claim of another kind": lambda: signed(groups=[1, {"a": 2}]),
        "no group": lambda: signed(groups=[]),
        "no subject": lambda: signed(sub=...),
        "empty subject": lambda: signed(sub=""),
        "a refresh token": lambda: signed(token_use="refresh"),
        "without an end": lambda: signed(exp=float("inf")),
        "brings its key": lambda: {"authorization": "Bearer " + jwt.encode(
            claims(), OTHER, algorithm="RS256",
            headers={"kid": "o", "jwk": jwk(OTHER, "o"), "jku": "https://evil.example/jwks.json"},
        )},
        "a critical header": lambda: {"authorization": "Bearer " + jwt.encode(
            claims(), RSA, algorithm="RS256", headers={"kid": "r", "crit": []},
        )},
        "nested": lambda: {"authorization": "Bearer " + base64.urlsafe_b64encode(
            b'{"a":' + b"[" * 11_000
        ).rstrip(b"=").decode() + ".e30.x"},
        "huge": lambda: {"authorization": good + "a" * 20_000},
        "cut": lambda: {"authorization": good[:-20]},
        "no token": lambda: {"authorization": "Bearer a.b"},
    }[kind]()  # fmt: skip


KINDS = (
    "none", "alg none", "signed with the public key", "another's key", "unknown key", "a key of another kind",
    "path as key id", "expired", "not yet valid", "no expiry", "another issuer", "another audience", "another client",
    "no audience", "no claim", "claim of another kind", "no group", "no subject", "empty subject",
    "a refresh token", "without an end", "brings its key", "a critical header", "nested", "huge", "cut", "no token",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_says_the_same(kind: str, jwks: Path) -> None:
    with pytest.raises(AuthError, match=r"^the access token is missing or not valid$"):
        made(jwks).caller(forged(kind, jwks))


def test_settings_that_cannot_be_safe_are_refused(jwks: Path) -> None:
    with pytest.raises(ConfigError, match="tokens signed by HS256 are not taken"):
        made(jwks, algorithms=["HS256"])
    with pytest.raises(ConfigError, match="the filter 'department ==' of callers"):
        made(jwks, where="department ==")


def test_tokens_of_cognito_are_of_the_use_that_is_asked_for(jwks: Path) -> None:
    access = signed(token_use="access", client_id=AUDIENCE, aud=...)
    assert made(jwks, token_use="access").caller(access).name == "ana"
    assert made(jwks, token_use="id").caller(signed(token_use="id")).name == "ana"
    for wrong in (signed(token_use="id"), signed()):
        with pytest.raises(AuthError):
            made(jwks, token_use="access").caller(wrong)


def test_a_key_is_for_the_algorithm_that_its_set_names(jwks: Path) -> None:
    both = ["RS256", "PS256"]
    assert made(jwks, algorithms=both).caller(signed()).name == "ana"
    with pytest.raises(AuthError):
        made(jwks, algorithms=both).caller(signed(algorithm="PS256"))


def test_a_tenant_is_named_with_or_without_braces(jwks: Path) -> None:
    assert made(jwks, tenant="{org}").caller(signed(org="acme")).tenant == "acme"
