"""A provider of tokens: its keys, what it signs, and a real server of its key set."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER, AUDIENCE = "https://issuer.example/pool", "client-1"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str) -> dict[str, Any]:
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    algorithm: Any = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
    name = "RS256" if is_rsa else "ES256"
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": name}


def claims(**more: Any) -> dict[str, Any]:
    """A token's claims; those that are given as `...` are left out."""
    now = int(time.time())
    values = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "iat": now, "exp": now + 60, "groups": ["legal"]}
    return {name: value for name, value in {**values, **more}.items() if value is not ...}


def signed(key: Any = RSA, kid: str = "r", algorithm: str = "RS256", **more: Any) -> dict[str, str]:
    token = jwt.encode(claims(**more), key, algorithm=algorithm, headers={"kid": kid})
    return {"authorization": f"Bearer {token}"}


@dataclass
class Served:
    """What the server of a key set gives, and how often it was asked."""

    body: bytes
    status: int = 200
    #: Seconds between two bytes.
    pause_s: float = 0.0
    count: int = 0
    url: str = field(default="")

    def hold(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


@contextlib.contextmanager
def serving(*keys: dict[str, Any]) -> Iterator[Served]:
    """A real HTTP server of a key set."""
    state = Served(b"")
    state.hold(*keys)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.count += 1
            self.send_response(state.status)
            if state.status == 302:
                self.send_header("location", f"{state.url}?moved")
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has given up
                for part in [state.body] if not state.pause_s else [bytes([each]) for each in state.body]:
                    self.wfile.write(part)
                    self.wfile.flush()
                    time.sleep(state.pause_s)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        yield state
        server.shutdown()
