"""``rag push``, ``rag pull``, and commands that read ``s3://…``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.bedrock.storage.s3_errors import explained
from rag.bedrock.storage.s3_objects import S3Objects
from rag.core.errors import RemoteError
from tests.command import run
from tests.index.remote.conftest import changed, keys
from tests.index.remote.faulty_proxy import FaultyProxy


def error_of(*arguments: object, code: int, cwd: Path) -> str:
    lines = run(*arguments, code=code, cwd=cwd).stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("rag: ")
    return lines[0]


@pytest.fixture
def url(quick_place: S3Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RAG_CACHE_DIR", str(tmp_path / "cache"))
    return quick_place.name.rstrip("/")


def test_push_and_pull(url: str, docs: Path, index: Path, tmp_path: Path) -> None:
    pushed = run("push", index, url, cwd=tmp_path)
    assert re.fullmatch(
        rf"{url}/: version 1: \d+ files, [\d.]+ kB moved; 0 files, 0 bytes there already \([\d.]+ m?s\)\n",
        pushed.stdout,
    )
    assert pushed.stderr == ""
    changed(docs, index)
    planned = json.loads(run("push", index, url, "--dry-run", "--json", cwd=tmp_path).stdout)
    done = json.loads(run("push", index, url, "--prune", "--json", cwd=tmp_path).stdout)
    assert (planned["files"], planned["bytes"]) == (done["files"], done["bytes"])
    assert (done["version"], done["current"], done["pruned"]) == (2, 2, [1])
    run("pull", url, "copy", cwd=tmp_path)
    assert "sound" in run("verify", "copy", cwd=tmp_path).stdout
    again = run("pull", url, "copy", cwd=tmp_path)
    assert "copy: version 2: 0 files, 0 bytes moved" in again.stdout


def test_mistakes_are_one_line(url: str, index: Path, tmp_path: Path) -> None:
    for words, code, said in (
        (("push", index, "here"), 2, "'here' is no place for an index: write s3://bucket/prefix"),
        (("push", "nothing", url), 2, "there is no index in nothing"),
        (("push", url, url), 2, "can be read, but not changed in place"),
        (("push", index, url, "--keep", "2"), 2, "--keep says what --prune leaves: give both"),
        (("push", index, "s3://no-such-bucket/x"), 1, "NoSuchBucket: .*create the bucket first"),
        (("pull", url, "copy"), 2, f"there is no index at {url}/: check the prefix, or push one"),
        (("prune", url), 2, "can be read, but not changed in place: pull it into a folder"),
        (("search", url, "x"), 2, "there is no index at"),
    ):  # fmt: skip
        assert re.search(said, error_of(*words, code=code, cwd=tmp_path)), words
    assert not (tmp_path / "copy").exists()


def test_denied_and_expired(moto_s3: Any, url: str, index: Path, tmp_path: Path) -> None:
    """Errors of S3 say what to do (`rag.bedrock.storage.s3_errors`)."""
    for reply, said in (
        ("AccessDenied", "allow s3:"), ("ExpiredToken", "renew the credentials"),
        ("RequestTimeTooSkewed", "the clock of this machine is wrong"),
        ("InvalidAccessKeyId", "the access key does not exist"),
    ):  # fmt: skip
        with _Refusing(reply) as refusing, pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_S3", refusing.url)
            for words in (("push", index, url), ("pull", url, "copy")):
                line = error_of(*words, code=1, cwd=tmp_path)
                assert said in line and "Amazon S3: " in line, line


def test_another_region() -> None:
    """boto3 asks for a bucket's region, and follows; where it may not, the error says what to do."""
    reply = {"Error": {"Code": "PermanentRedirect", "Message": "Use another endpoint."}}

    def call() -> None:
        raise ClientError(reply, "GetObject")

    with pytest.raises(RemoteError, match="another region: set AWS_REGION to it"):
        explained("read", "s3://bucket/x", "s3:GetObject", call)


class _Refusing(FaultyProxy):
    """Refuses every request with a code."""

    def __init__(self, code: str) -> None:
        super().__init__("http://127.0.0.1:9")
        handler = self._listener.RequestHandlerClass

        def answer(self: Any) -> None:
            self._body()
            text = f"<Error><Code>{code}</Code><Message>It is refused.</Message></Error>"
            self._send(403, [], text.encode())

        for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
            setattr(handler, f"do_{method}", answer)


def test_commands_read_an_index_on_s3(url: str, docs: Path, index: Path, tmp_path: Path) -> None:
    run("push", index, url, cwd=tmp_path)
    hits = json.loads(run("search", url, "Topic4", "--json", cwd=tmp_path).stdout)["hits"]
    assert hits[0]["source"] == "4.md"
    assert json.loads(run("info", url, "--json", cwd=tmp_path).stdout)["path"] == url
    assert f"{url}: version 1" in run("info", url, cwd=tmp_path).stdout
    changed(docs, index)
    run("push", index, url, cwd=tmp_path)
    assert "version 2" in run("info", url, cwd=tmp_path).stdout
    assert "4.md" in run("context", url, "Topic4", cwd=tmp_path).stdout
    old = json.loads(run("search", url, "Topic0", "--version", 1, "--json", cwd=tmp_path).stdout)["hits"]
    assert old[0]["source"] == "0.md"
    (tmp_path / "rag.toml").write_text(f'[remote]\ncache = "{tmp_path / "other"}"\n')
    run("search", url, "Topic4", cwd=tmp_path)
    assert (tmp_path / "other" / "indexes").is_dir()


def test_without_a_home(url: str, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: the cache is in a temporary folder."""
    run("push", index, url, cwd=tmp_path)
    for name in ("RAG_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    assert "4.md" in run("search", url, "Topic4", cwd=tmp_path).stdout
    assert [path.name for path in (tmp_path / "tmp").glob("rag-*/indexes")] == ["indexes"]


def test_keys_of_a_service_need_a_place_of_their_own(url: str, index: Path, tmp_path: Path) -> None:
    run("push", index, url, cwd=tmp_path)
    assert "set path in [serving.auth]" in error_of("keys", "add", url, "ana", code=2, cwd=tmp_path)
    (tmp_path / "rag.toml").write_text(f'[serving.auth]\npath = "{tmp_path / "keys.sqlite"}"\n')
    assert run("keys", "add", url, "ana", "--where", "source == '1.md'", cwd=tmp_path).stdout.strip()
    line = error_of("keys", "add", url, "b", "--where", "colour == 1", code=2, cwd=tmp_path)
    assert "colour" in line


def test_serve_takes_a_new_version_over(
    url: str, docs: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("push", index, url, cwd=tmp_path)
    code = "import rag.deployment.application as s; s._REMOTE_POLL_S = 0.2; from rag.cli.main import main; main()"
    words = [sys.executable, "-c", code, "serve", url, "--port", "0"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as served:
        try:
            assert served.stdout is not None
            address = served.stdout.readline().split()[-1]
            assert address.startswith("http://")
            assert _post(address, "Topic0")[0] == "0.md"
            assert json.load(urllib.request.urlopen(f"{address}/v1/models"))["data"][0]["id"] == "handbook"
            changed(docs, index, 0, "Axolotls swim. ")
            run("push", index, url, "--prune", cwd=tmp_path)
            _until(lambda: _post(address, "Axolotls", "lexical") == ["0.md"])
        finally:
            served.send_signal(signal.SIGINT)
            assert served.wait(60) == 130


def _post(address: str, question: str, mode: str = "hybrid") -> list[str]:
    body = json.dumps({"question": question, "mode": mode, "k": 1}).encode()
    request = urllib.request.Request(f"{address}/v1/search", body, {"Content-Type": "application/json"})
    return [hit["source"] for hit in json.load(urllib.request.urlopen(request))["hits"]]


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(150):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it does not come to hold")


@pytest.mark.parametrize("action", ["push", "pull"])
def test_ctrl_c_ends_it_at_once_and_the_next_run_goes_on(
    moto: str,
    quick_place: S3Objects,
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
) -> None:
    words = {"push": ["push", str(index), quick_place.name], "pull": ["pull", quick_place.name, "copy"]}
    if action == "pull":
        run(*words["push"], cwd=tmp_path)
    with FaultyProxy(moto) as slow:
        slow.pause_s = 0.3
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", slow.url)
        process = subprocess.Popen(
            [sys.executable, "-m", "rag", *words[action]], stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        before = slow.requests
        _until(lambda: slow.requests >= before + 6)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, error = process.communicate(timeout=30)
        assert time.monotonic() - sent < 10
    assert process.returncode == 130
    assert error == f"rag: interrupted: run the same {action} again, it goes on where it stopped\n"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    if action == "push":
        assert "CURRENT.json" not in keys(quick_place)
    run(*words["push"], cwd=tmp_path)
    run(*words["pull"], cwd=tmp_path)
    assert "sound" in run("verify", "copy", cwd=tmp_path).stdout
