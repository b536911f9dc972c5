"""Tokens: taken if the provider signed them for this service, and their claims can only be literals."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

import rag
from rag.core.errors import AuthError, ConfigError
from rag.serving import tokens
from rag.serving.tokens import TokenAuthenticator

ISSUER, AUDIENCE = "https://issuer.example/pool", "client-1"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    name = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": name}


@pytest.fixture(scope="module")
def jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jwks") / "keys.json"
    path.write_text(json.dumps({"keys": [jwk(RSA, "r"), jwk(EC, "e")]}))
    return path


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ana",
        "iat": now,
        "exp": now + 60,
        "groups": ["legal"],
        **more,
    }


def signed(key: Any = RSA, kid: str = "r", algorithm: str = "RS256", **more: Any) -> dict[str, str]:
    values = {name: value for name, value in claims(**more).items() if value is not ...}
    token = jwt.encode(values, key, algorithm=algorithm, headers={"kid": kid})
    return {"authorization": f"Bearer {token}"}


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
        "no subject": lambda: signed(sub=...),
        "huge": lambda: {"authorization": good + "a" * 20_000},
        "cut": lambda: {"authorization": good[:-20]},
        "no token": lambda: {"authorization": "Bearer a.b"},
    }[kind]()  # fmt: skip


KINDS = (
    "none", "alg none", "signed with the public key", "another's key", "unknown key", "a key of another kind",
    "path as key id", "expired", "not yet valid", "no expiry", "another issuer", "another audience", "another client",
    "no audience", "no claim", "claim of another kind", "no subject", "huge", "cut", "no token",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_says_the_same(kind: str, jwks: Path) -> None:
    with pytest.raises(AuthError, match=r"^the access token is missing or not valid$"):
        made(jwks).caller(forged(kind, jwks))


@given(st.one_of(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=4)))
def test_a_claim_is_never_more_than_a_literal(value: Any) -> None:
    """Whatever quotes, brackets and operators it has."""
    template = "department in {groups}" if isinstance(value, list) else "department == {groups}"
    where = tokens.parse(template.replace("{groups}", tokens._literal(value)))
    field = rag.field("department")
    assert str(where) == str(field.isin(value) if isinstance(value, list) else field == value)


def test_settings_that_cannot_be_safe_are_refused(jwks: Path) -> None:
    with pytest.raises(ConfigError, match="tokens signed by HS256 are not taken"):
        made(jwks, algorithms=["HS256"])
    with pytest.raises(ConfigError, match="the filter 'department ==' of callers"):
        made(jwks, where="department ==")
    with pytest.raises(ConfigError, match="is not fetched without encryption"):
        made("http://issuer.example/jwks.json")


@pytest.fixture
def provider() -> Iterator[tuple[str, dict[str, Any]]]:
    """A real server of a key set, whose keys can change."""
    state: dict[str, Any] = {"keys": [jwk(RSA, "r")], "count": 0, "status": 200}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state["count"] += 1
            self.send_response(state["status"])
            self.end_headers()
            self.wfile.write(json.dumps({"keys": state["keys"]}).encode())

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json", state
        server.shutdown()


def test_keys_are_fetched_once_and_anew_for_one_that_is_unknown(
    provider: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, state = provider
    checks = made(url)
    for _ in range(5):
        assert checks.caller(signed()).name == "ana"
    assert state["count"] == 1
    state["keys"].append(jwk(OTHER, "new"))
    for _ in range(5):  # an attacker's unknown keys do not make it fetch again and again
        with pytest.raises(AuthError):
            checks.caller(signed(OTHER, "new"))
    assert state["count"] == 1
    monkeypatch.setattr(tokens, "_BETWEEN_S", 0.0)
    assert checks.caller(signed(OTHER, "new")).name == "ana" and state["count"] == 2
    state["status"] = 500
    monkeypatch.setattr(tokens, "_KEEP_S", 0.0)
    assert checks.caller(signed()).name == "ana"  # the provider is down: its keys still hold
