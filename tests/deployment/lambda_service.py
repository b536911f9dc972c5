"""A stand-in for the Lambda service: its Runtime API over real HTTP, and the events of its invokers.

It reads a streamed reply chunk by chunk and keeps the time of each, so that a test sees what arrived when.
"""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rag.deployment.invocation import STREAMED


@dataclass
class Reply:
    """What the runtime sent for one invocation."""

    kind: str = ""  # "response" or "error"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type") == STREAMED

    @property
    def head(self) -> dict[str, Any]:
        return json.loads(self.body.partition(b"\0" * 8)[0])

    @property
    def content(self) -> bytes:
        """The body as the client gets it, streamed or whole."""
        if self.streamed:
            return self.body.partition(b"\0" * 8)[2]
        body = self.json.get("body", "")
        return base64.b64decode(body) if self.json.get("isBase64Encoded") else body.encode()

    @property
    def trailer_error(self) -> Any:
        return json.loads(base64.b64decode(self.trailers["lambda-runtime-function-error-body"]))

    @property
    def events(self) -> list[tuple[str, Any]]:
        """The server-sent events of the body."""
        parts = [part for part in self.content.decode().strip().split("\n\n") if part and part[0] != ":"]
        rows = [dict(line.split(": ", 1) for line in part.splitlines()) for part in parts]
        return [(row["event"], json.loads(row["data"])) for row in rows]


class LambdaService:
    """The Runtime API of one execution environment."""

    def __init__(self, *, leave_after: int = 0) -> None:
        self.replies: dict[str, Reply] = {}
        self.init_error: Any = None
        self.asked: list[float] = []
        self._events: queue.Queue[tuple[str, Any, float] | None] = queue.Queue()
        self._leave_after = leave_after  # chunks after which the connection of a reply is cut
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None: ...

            def do_GET(self) -> None:
                assert self.path == "/2018-06-01/runtime/invocation/next"
                service.asked.append(time.monotonic())
                item = service._events.get()
                if item is None:
                    self.close_connection = True
                    return
                id, event, deadline = item
                body = json.dumps(event).encode()
                self.send_response(200)
                for name, value in (
                    ("Content-Length", str(len(body))),
                    ("Lambda-Runtime-Aws-Request-Id", id),
                    ("Lambda-Runtime-Deadline-Ms", str(int(deadline * 1000))),
                    ("Lambda-Runtime-Trace-Id", f"Root=1-{id}"),
                    (
                        "Lambda-Runtime-Invoked-Function-Arn",
                        "arn:aws:lambda:eu-west-1:111122223333:function:rag",
                    ),
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                if self.path == "/2018-06-01/runtime/init/error":
                    service.init_error = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                    self._accepted()
                    return
                id, kind = self.path.removeprefix("/2018-06-01/runtime/invocation/").split("/")
                reply = service.replies[id]
                reply.kind = kind
                reply.headers = {name.lower(): value for name, value in self.headers.items()}
                if self.headers.get("Transfer-Encoding") == "chunked":
                    if not self._chunks(reply):
                        reply.done.set()
                        self.close_connection = True
                        self.connection.close()
                        return
                else:
                    size = int(self.headers["Content-Length"])
                    reply.pieces.append((time.monotonic(), self.rfile.read(size)))
                self._accepted()
                reply.done.set()

            def _chunks(self, reply: Reply) -> bool:
                while size := int(self.rfile.readline(), 16):
                    reply.pieces.append((time.monotonic(), self.rfile.read(size)))
                    assert self.rfile.readline() == b"\r\n"
                    if service._leave_after and len(reply.pieces) >= service._leave_after:
                        return False
                while line := self.rfile.readline().strip():
                    name, _, value = line.decode().partition(": ")
                    reply.trailers[name.lower()] = value
                return True

            def _accepted(self) -> None:
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LambdaService:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def send(self, event: Any, *, timeout_s: float = 30.0) -> Reply:
        """Invoke the function; the reply is filled as it comes."""
        id = f"id-{len(self.replies)}"
        reply = self.replies[id] = Reply()
        self._events.put((id, event, time.time() + timeout_s))
        return reply

    def invoke(self, event: Any, *, timeout_s: float = 30.0) -> Reply:
        """Invoke the function, and wait for the whole reply."""
        reply = self.send(event, timeout_s=timeout_s)
        assert reply.done.wait(60), "no reply"
        return reply


def url_event(
    method: str = "GET", path: str = "/", body: Any = None, *, query: str = "",
    headers: dict[str, str] | None = None, domain: str = "abc123.lambda-url.eu-west-1.on.aws",
    base64_body: bool = False, cookies: list[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """An event of a function URL, or with another domain of an HTTP API (payload 2.0)."""
    text = None if body is None else body if isinstance(body, str) else json.dumps(body)
    if base64_body and text is not None:
        text = base64.b64encode(text.encode()).decode()
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": {"host": domain, "content-type": "application/json", "x-forwarded-proto": "https",
                    "x-forwarded-port": "443", **(headers or {})},
        **({"cookies": cookies} if cookies else {}),
        "requestContext": {
            "accountId": "anonymous", "apiId": "abc123", "domainName": domain, "domainPrefix": "abc123",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9",
                     "userAgent": "test"},
            "requestId": "r", "routeKey": "$default", "stage": "$default", "timeEpoch": 1,
        },
        **({} if text is None else {"body": text}), "isBase64Encoded": base64_body,
    }  # fmt: skip


def rest_event(method: str = "GET", path: str = "/", body: Any = None) -> dict[str, Any]:
    """An event of a REST API (payload 1.0)."""
    return {
        "resource": "/{proxy+}", "path": path, "httpMethod": method,
        "headers": {"Host": "x.execute-api.eu-west-1.amazonaws.com", "Content-Type": "application/json"},
        "multiValueHeaders": {"Host": ["x.execute-api.eu-west-1.amazonaws.com"],
                              "Content-Type": ["application/json"], "X-Two": ["a", "b"]},
        "queryStringParameters": None, "multiValueQueryStringParameters": None,
        "requestContext": {"identity": {"sourceIp": "203.0.113.9"}, "stage": "prod", "resourcePath": "/{proxy+}"},
        "body": None if body is None else json.dumps(body), "isBase64Encoded": False,
    }  # fmt: skip


def alb_event(
    method: str = "GET", path: str = "/", body: Any = None, *, several: bool = False
) -> dict[str, Any]:
    """An event of a load balancer; `several` with multi-value headers."""
    headers = {
        "host": "lb.example", "content-type": "application/json", "x-forwarded-for": "6.6.6.6, 203.0.113.9",
        "x-forwarded-proto": "https", "x-forwarded-port": "443",
    }  # fmt: skip
    arn = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/rag/1"
    return {
        "requestContext": {"elb": {"targetGroupArn": arn}}, "httpMethod": method, "path": path,
        **({"multiValueHeaders": {name: [value] for name, value in headers.items()},
            "multiValueQueryStringParameters": {}}
           if several else {"headers": headers, "queryStringParameters": {}}),
        "body": "" if body is None else json.dumps(body), "isBase64Encoded": False,
    }  # fmt: skip
