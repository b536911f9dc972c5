"""A local HTTP server that speaks the little of bedrock-runtime's wire form that the tests need."""

from __future__ import annotations

import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import numpy as np

REPLY = 'Anyone may.<cite doc="1">28 days of annual leave</cite>'


def event(kind: str, body: dict) -> bytes:
    """Frame one event of an AWS event stream."""
    headers = b""
    for name, value in (
        (":message-type", "event"),
        (":event-type", kind),
        (":content-type", "application/json"),
    ):
        headers += (
            struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        )
    payload = json.dumps(body).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


class Bedrock(ThreadingHTTPServer):
    """Answers Titan, Converse and ConverseStream; keeps requests; fails as often as `failures` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict]] = []
        self.failures: list[tuple[int, str]] = []
        self.delay = 0.0
        self.busy = self.most_busy = 0
        self.counting = threading.Lock()
        self.stop_reason = "end_turn"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Bedrock
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = unquote(self.path)
        self.server.requests.append((path, body))
        with self.server.counting:
            self.server.busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.busy)
        time.sleep(self.server.delay)
        with self.server.counting:
            self.server.busy -= 1
        if self.server.failures:
            status, kind = self.server.failures.pop(0)
            return self._send(status, {"message": f"{kind} for the test"}, {"x-amzn-ErrorType": kind})
        if path.endswith("/invoke"):
            seed = sum(body["inputText"].encode())
            vector = np.random.default_rng(seed).normal(size=body["dimensions"])
            vector /= np.linalg.norm(vector)
            return self._send(
                200, {"embedding": vector.tolist(), "inputTextTokenCount": len(body["inputText"].split())}
            )
        usage = {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120}
        if path.endswith("/converse"):
            message = {"role": "assistant", "content": [{"text": REPLY}]}
            return self._send(200, {
                "output": {"message": message}, "stopReason": self.server.stop_reason, "usage": usage,
                "metrics": {"latencyMs": 1},
            })  # fmt: skip
        parts = [event("messageStart", {"role": "assistant"})]
        for at in range(0, len(REPLY), 7):
            parts.append(
                event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": REPLY[at : at + 7]}})
            )
        parts.append(event("contentBlockStop", {"contentBlockIndex": 0}))
        parts.append(event("messageStop", {"stopReason": self.server.stop_reason}))
        parts.append(event("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}))
        data = b"".join(parts)
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.amazon.eventstream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def _send(self, status: int, body: dict, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def bedrock() -> Iterator[Bedrock]:
    server = Bedrock()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
