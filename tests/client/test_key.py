"""The key goes to the server that it is for, over a connection that nobody reads, and is shown nowhere."""

from __future__ import annotations

import datetime as dt
import logging
import pickle
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import rag
from rag.core.errors import AuthError, RagError, ServerError, UsageError
from rag.serving.app import create_app
from rag.serving.keys import KeyAuthenticator, KeyStore
from rag.serving.service import Service
from tests.client.raw import event, raw, reply, request, streamed
from tests.serving.served import running

KEY = "rag_thekey_0123456789secret"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAG_SERVER", raising=False)
    monkeypatch.delenv("RAG_KEY", raising=False)


def test_a_key_opens_what_it_may_see(leave: Path, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    _, key = store.add("us", where="region == 'us'")
    app = create_app(Service(leave, lambda: rag.Pipeline(leave)), KeyAuthenticator(store))
    with running(app) as url:
        hits = rag.Client(url, key=key).search("days of annual leave")
        assert {hit.source for hit in hits} == {"leave-us.md"}
        assert rag.Client(url, key=key).search("leave", where="region == 'eu'") == []
        for wrong in (None, KEY):
            with pytest.raises(AuthError, match="the API key is missing or not valid") as caught:
                rag.Client(url, key=wrong).ask("leave")
            assert caught.value.request_id
        store.revoke("us")
        with pytest.raises(AuthError):
            list(rag.Client(url, key=key).stream("leave"))


def bearer(requests: list[bytes]) -> list[bool]:
    return [
        f"authorization: bearer {KEY}".encode() in each.lower().replace(b"Bearer", b"bearer")
        for each in requests
    ]


def test_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reply({"hits": []})
    with raw([found]) as server, raw([found]) as other:
        with pytest.raises(UsageError, match=r"no server is named: .*RAG_SERVER"):
            rag.Client()
        monkeypatch.setenv("RAG_KEY", KEY)
        rag.Client(other.address).search("q")
        assert bearer(other.requests) == [True]
        monkeypatch.setenv("RAG_SERVER", f"{server.address}/rag/")
        rag.Client().search("q")
        rag.Client(server.address).search("q")
        assert bearer(server.requests) == [True, True]
        assert server.heads == ["POST /rag/v1/search HTTP/1.1", "POST /v1/search HTTP/1.1"]
        # The key of RAG_SERVER goes to no other server.
        rag.Client(other.address).search("q")
        rag.Client(other.address, key=KEY).search("q")
        assert bearer(other.requests) == [True, False, True]


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "ftp://host", "http://", "https://host?x=1", "https://host#a", "http://host:port", "http://[", 7],
)  # fmt: skip
def test_a_url_that_is_none(url: Any) -> None:
    with pytest.raises(UsageError, match=r"no address such as|no server is named"):
        rag.Client(url)


def test_what_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has a name or password") as caught:
        rag.Client(f"https://me:{KEY}@host")
    assert KEY not in str(caught.value)
    with pytest.raises(UsageError, match=r"would go to http://rag\.example\.com unencrypted"):
        rag.Client("http://rag.example.com", key=KEY)
    for url in ("http://rag.example.com", "http://10.0.0.7:8000"):
        assert repr(rag.Client(url, key=KEY, plain_http=True)) == f"Client({url!r}, key=…)"
        assert repr(rag.Client(url)) == f"Client({url!r})"
    for bad in (f"{KEY} x", f"{KEY}\n", "ключ", "", "\x00", 7):
        with pytest.raises((UsageError, TypeError)) as wrong:
            rag.Client("http://127.0.0.1:1", key=bad)  # type: ignore[arg-type]
        assert KEY not in str(wrong.value)
    for name, value in (("timeout_s", 0), ("retries", -1), ("most_bytes", 0), ("timeout_s", float("nan"))):
        with pytest.raises(UsageError, match=f"{name} is {value}: give a number from"):
            rag.Client("http://127.0.0.1:1", **{name: value})  # type: ignore[arg-type]
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    with pytest.raises(UsageError, match="does not check certificates and names"):
        rag.Client("https://host", ca=unchecked)
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in ("none.pem", "ca.pem"):
        with pytest.raises(UsageError, match="no certificates can be read from"):
            rag.Client("https://host", ca=tmp_path / path)


def everything(error: BaseException) -> str:
    """A traceback as tools record it: with the local variables of all frames but the test's, and of causes."""
    seen: list[BaseException] = [error]
    for each in seen:
        seen += [more for more in (each.__cause__, each.__context__) if more is not None and more not in seen]
    out = []
    for each in seen:
        found = traceback.TracebackException.from_exception(each, capture_locals=True)
        for frame in found.stack:
            if "/tests/" not in frame.filename:
                out += [str(frame), str(frame.locals)]
        out += [
            str(each),
            repr(each),
            str(vars(each)),
            "".join(each.__notes__ if hasattr(each, "__notes__") else ()),
        ]
    return "\n".join(out)


def echo(connection: socket.socket) -> None:
    text = f"you sent {KEY}"
    connection.sendall(reply({"error": {"message": text, "type": text, "id": KEY}}, 400))


@pytest.mark.parametrize(
    "part",
    [
        reply({}, 500), reply({}, 401), reply({}), b"", b"HTTP/1.1 2", streamed(event("text", "a")), echo,
        reply(b"", 302, location="https://evil"), lambda connection: threading.Event().wait(1),
    ],
)  # fmt: skip
async def test_errors_tracebacks_and_logs_do_not_have_it(part: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    for name in ("httpx", "httpcore", "h11", "asyncio", "rag"):
        logging.getLogger(name).setLevel(1)
    with raw([part]) as server:
        client = rag.Client(server.address, key=KEY, timeout_s=0.3, retries=1)
        ways: list[Callable[[], Any]] = [
            lambda: client.ask("q"), lambda: list(client.stream("q")), lambda: client.search("q"),
            lambda: client.chat().ask("q"),
        ]  # fmt: skip
        for way in ways:
            with pytest.raises(RagError) as caught:
                way()
            assert KEY not in everything(caught.value)
        with pytest.raises(RagError) as caught:
            await client.aask("q")
        assert KEY not in everything(caught.value)
        with pytest.raises(RagError) as caught:
            [each async for each in client.astream("q")]
        assert KEY not in everything(caught.value)
        assert all(bearer(server.requests)) and server.requests
    assert KEY not in caplog.text and KEY not in "".join(str(vars(each)) for each in caplog.records)
    assert KEY not in repr(client) and KEY not in str(client.__dict__) and "key=…" in repr(client)


def test_a_server_that_sends_it_back_does_not_get_it_shown() -> None:
    said = {"message": f"you sent {KEY}", "type": KEY, "id": KEY}
    for part in (
        reply({"error": said}, 500), reply(b"", 302, location=f"https://evil/{KEY}"),
        streamed(event("error", said)), streamed(f"{KEY}\n".encode()), reply(f'"{KEY}'.encode()),
    ):  # fmt: skip
        with raw([part]) as server:
            client = rag.Client(server.address, key=KEY)
            with pytest.raises(RagError) as caught:
                list(client.stream("q"))
            assert KEY not in f"{caught.value}{caught.value!r}{caught.value.request_id}"
            with pytest.raises(RagError) as caught:
                client.ask("q")
            assert KEY not in f"{caught.value}{caught.value!r}{caught.value.request_id}"


def test_a_wrong_client_does_not_show_it_either() -> None:
    for url, key in (("nothing", KEY), ("http://far.example.com", KEY), ("http://127.0.0.1:1", f"{KEY} ")):
        with pytest.raises(UsageError) as caught:
            rag.Client(url, key=key)
        assert KEY not in everything(caught.value)


def test_a_client_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(rag.Client("http://127.0.0.1:1", key=KEY))


def test_a_proxy_does_not_get_the_key_of_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw([reply({"hits": []})]) as server, raw([reply({"hits": []})]) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        rag.Client(server.address, key=KEY).search("q")
        assert len(server.requests) == 1 and not proxy.requests


# ---------------------------------------------------------------------- TLS


def certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_certificates_are_checked(tmp_path: Path) -> None:
    trusted, other = certificate(tmp_path, "localhost"), certificate(tmp_path, "elsewhere")

    def behind(path: Path) -> tuple[str, list[bytes], socket.socket]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        listening, seen = socket.create_server(("127.0.0.1", 0)), list[bytes]()

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as connection:
                        seen.append(request(connection))
                        connection.sendall(reply({"hits": []}))
                except OSError:
                    plain.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"https://localhost:{listening.getsockname()[1]}", seen, listening

    url, seen, listening = behind(trusted)
    assert rag.Client(url, key=KEY, ca=trusted).search("q") == [] and bearer(seen) == [True]
    context = ssl.create_default_context(cafile=str(trusted))
    assert rag.Client(url, key=KEY, ca=context).search("q") == [] and len(seen) == 2
    for ca in (None, other):
        with pytest.raises(ServerError, match="has no certificate that can be trusted") as caught:
            rag.Client(url, key=KEY, ca=ca).search("q")
        assert KEY not in everything(caught.value)
    listening.close()
    elsewhere, unseen, second = behind(other)
    with pytest.raises(ServerError, match=r"no certificate that can be trusted: .*mismatch"):
        rag.Client(elsewhere, key=KEY, ca=other).search("q")
    second.close()
    assert len(seen) == 2 and unseen == []
