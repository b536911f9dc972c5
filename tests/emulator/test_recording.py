"""Recording and replay: replies are reproduced, requests match by content, no secret is recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.core.errors import ConfigError, SourceError
from rag.emulator import Behaviour, Emulator
from rag.emulator.forwarding import Proxy
from rag.emulator.recording import Recording
from rag.emulator.redacting import Redactor

CLAUDE = "global.anthropic.claude-sonnet-5-5"
TITAN = "amazon.titan-embed-text-v2:0"
ACCOUNT = "123456789012"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2Vj" + "Qx/9+zA4" * 12 + "=="
CLIENT_TOKEN = "a-token/that+looks=like-nothing"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials that the proxy signs with."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN,
        "AWS_DEFAULT_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)


@pytest.fixture
def upstream() -> Iterator[Emulator]:
    """The real service; it verifies the proxy's signatures."""
    with Emulator(secrets={KEY: SECRET}) as emulator:
        yield emulator


def client(
    emulator: Emulator,
    service: str = "bedrock-runtime",
    key: str = KEY,
    secret: str = "other",
    token: str | None = None,
) -> Any:
    """A client with a wrong secret: only requests that the proxy signs again are accepted."""
    return boto3.client(
        service, region_name="eu-west-1", endpoint_url=emulator.url, aws_access_key_id=key,
        aws_secret_access_key=secret, aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


class recording:  # noqa: N801
    """A client of a proxy that records; the file is closed at the end."""

    def __init__(self, path: Path, upstream: Emulator) -> None:
        self.proxy = Proxy(path, upstream=upstream.url)
        self.emulator = Emulator(recorder=self.proxy, check_signatures=False)

    def __enter__(self) -> Any:
        self.emulator.__enter__()
        return client(self.emulator)

    def __exit__(self, *exception: object) -> None:
        self.emulator.__exit__()
        self.proxy.close()


def embed(runtime: Any, text: str, **more: Any) -> dict[str, Any]:
    body = json.dumps({"inputText": text, "dimensions": 256, **more})
    return json.loads(runtime.invoke_model(modelId=TITAN, body=body)["body"].read())


def say(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def events(runtime: Any, text: str, model: str = CLAUDE) -> list[dict[str, Any]]:
    return list(runtime.converse_stream(modelId=model, messages=say(text))["stream"])


def test_replay_needs_no_service(upstream: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    upstream.behaviour.reply = "Anyone may declare it, at any hour."
    with recording(path, upstream) as runtime:
        vector = embed(runtime, "a text")
        reply = runtime.converse(modelId=CLAUDE, messages=say("who?"))
        stream = events(runtime, "who?")
    direct = client(upstream, secret=SECRET)
    assert vector == embed(direct, "a text")
    assert reply["output"] == direct.converse(modelId=CLAUDE, messages=say("who?"))["output"]
    assert stream == events(direct, "who?")
    count = len(upstream.requests)
    with Emulator(recorder=Recording.open(path)) as emulator:
        runtime = client(emulator, secret="test")
        assert embed(runtime, "a text") == vector
        again = runtime.converse(modelId=CLAUDE, messages=say("who?"))
        assert (again["output"], again["usage"]) == (reply["output"], reply["usage"])
        assert events(runtime, "who?") == stream
    assert len(upstream.requests) == count


def test_streams_pass_through_event_by_event(upstream: Emulator, tmp_path: Path) -> None:
    upstream.behaviour = Behaviour(reply="word " * 40, token_s=0.01)
    with recording(tmp_path / "r.jsonl", upstream) as runtime:
        stream = iter(runtime.converse_stream(modelId=CLAUDE, messages=say("who?"))["stream"])
        first = [next(stream) for _ in range(2)]
        assert "messageStart" in first[0]
        assert not (tmp_path / "r.jsonl").read_text()  # the stream is recorded at its end
        rest = list(stream)
    (entry,) = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    kept = entry["reply"]["events"]
    assert [{item["event"]: item["payload"]} for item in kept] == first + rest
    times = [item["s"] for item in kept]
    assert times == sorted(times)


def test_errors_are_replayed_also_in_streams(upstream: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    upstream.behaviour.reply = "one two three four five six seven eight nine ten " * 3
    upstream.fail_next("ThrottlingException")
    with recording(path, upstream) as runtime:
        with pytest.raises(ClientError, match="ThrottlingException"):
            runtime.converse(modelId=CLAUDE, messages=say("a"))
        upstream.fail_next("ThrottlingException", moment="stream")
        with pytest.raises(EventStreamError, match="throttlingException"):
            events(runtime, "b")
        upstream.fail_next("StreamCut", moment="stream")
        with pytest.raises(Exception):  # noqa: B017 -- urllib3's or botocore's
            events(runtime, "c")
    with Emulator(recorder=Recording.open(path)) as emulator:
        runtime = client(emulator, secret="test")
        with pytest.raises(ClientError) as error:
            runtime.converse(modelId=CLAUDE, messages=say("a"))
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        with pytest.raises(EventStreamError, match="throttlingException"):
            events(runtime, "b")
        with pytest.raises(Exception) as cut:
            events(runtime, "c")
        assert not isinstance(cut.value, ClientError)


def test_equal_requests_replay_in_order_and_the_last_repeats(upstream: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with recording(path, upstream) as runtime:
        for reply in ("first", "second"):
            upstream.behaviour.reply = reply
            runtime.converse(modelId=CLAUDE, messages=say("who?"))
    with Emulator(recorder=Recording.open(path)) as emulator:
        runtime = client(emulator, secret="test")
        texts = [
            runtime.converse(modelId=CLAUDE, messages=say("who?"))["output"]["message"]["content"][0]["text"]
            for _ in range(3)
        ]
    assert texts == ["first", "second", "second"]


def test_account_key_order_and_headers_do_not_matter(upstream: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    profile = "arn:aws:bedrock:eu-west-1:{}:inference-profile/global.anthropic.claude-sonnet-5-5"
    with recording(path, upstream) as runtime:
        embed(runtime, "x", normalize=True)
        events(runtime, "who?", profile.format(ACCOUNT))
    with Emulator(recorder=Recording.open(path)) as emulator:
        runtime = client(emulator, secret="test")
        runtime.invoke_model(modelId=TITAN, body='{"normalize":true, "dimensions":256.0, "inputText":"x"}')
        assert events(runtime, "who?", profile.format("999999999999"))


def test_unknown_request_names_the_nearest(upstream: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with recording(path, upstream) as runtime:
        runtime.converse(modelId=CLAUDE, messages=say("something else entirely"))
        runtime.converse(modelId=CLAUDE, messages=say("Who may declare a SEV-1?"))
        embed(runtime, "x")
    with Emulator(recorder=Recording.open(path)) as emulator:
        runtime = client(emulator, secret="test")
        with pytest.raises(ClientError) as error:
            runtime.converse(modelId=CLAUDE, messages=say("Who may declare a SEV-2?"))
        message = str(error.value)
        assert "ValidationException" in message
        assert "line 2, which differs in 1 field, first in messages[0].content[0].text" in message
        assert "SEV-1" in message
        assert "SEV-2" in message
        with pytest.raises(
            ClientError, match=r"first in inferenceConfig.maxTokens \(recorded: absent; sent: 5\)"
        ):
            runtime.converse(
                modelId=CLAUDE, messages=say("Who may declare a SEV-1?"), inferenceConfig={"maxTokens": 5}
            )
        with pytest.raises(ClientError, match=r"no such CountTokens; it holds Converse, InvokeModel"):
            runtime.count_tokens(modelId=CLAUDE, input={"converse": {"messages": say("x")}})
        assert emulator.counts["refused"] == 3


def test_timing_is_reproduced_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = [0.0]
    clock = type("Clock", (), {
        "sleep": staticmethod(lambda s: (slept.append(round(s, 3)), now.__setitem__(0, now[0] + s))),
        "monotonic": staticmethod(lambda: now[0]),
    })  # fmt: skip
    monkeypatch.setattr("rag.emulator.recording.time", clock)
    stream = [
        {"s": s, "event": "messageStop", "payload": {"stopReason": "end_turn"}} for s in (0.2, 0.3, 0.3)
    ]
    reply = {"s": 0.3, "status": 200, "headers": {}, "events": stream}
    for timing in (False, True):
        recorded = Recording(tmp_path, [], timing=timing)
        assert len(list(recorded._reply(reply).events or ())) == 3
    assert slept == [0.2, 0.1, 0.0]


def test_incomplete_last_line_is_ignored_and_overwritten(upstream: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with recording(path, upstream) as runtime:
        embed(runtime, "x")
    with path.open("a") as file:
        file.write('{"request": {"serv')
    assert len(Recording.open(path).entries) == 1
    with recording(path, upstream) as runtime:
        embed(runtime, "y")
    assert [entry.request["params"]["body"]["inputText"] for entry in Recording.open(path).entries] == [
        "x",
        "y",
    ]


def test_invalid_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read the recording .*--record"):
        Recording.open(tmp_path / "none.jsonl")
    (tmp_path / "r.jsonl").write_text('{"request": 1}\n')
    with pytest.raises(SourceError, match=r"r\.jsonl, line 1: not an entry"):
        Recording.open(tmp_path / "r.jsonl")
    with pytest.raises(SourceError, match="cannot write the recording"):
        Proxy(tmp_path, upstream="http://127.0.0.1:9")


def test_missing_credentials_or_region_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ConfigError, match="no AWS region is set: give --region"):
        Proxy(tmp_path / "r.jsonl")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="no AWS credentials: set AWS_PROFILE"):
        Proxy(tmp_path / "r.jsonl", region="eu-west-1")


def test_configured_endpoints_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:8765")
    with closing(Proxy(tmp_path / "r.jsonl", region="eu-central-1")) as proxy:
        assert [
            proxy._endpoint(name) for name in ("bedrock-runtime", "bedrock-agent-runtime", "bedrock")
        ] == [
            "https://bedrock-runtime.eu-central-1.amazonaws.com",
            "https://bedrock-agent-runtime.eu-central-1.amazonaws.com",
            "https://bedrock.eu-central-1.amazonaws.com",
        ]


def test_bearer_token_is_used_and_not_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a-bearer-token-of-some-length")
    with Emulator() as upstream:
        proxied = recording(tmp_path / "r.jsonl", upstream)
        monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK")  # clients send theirs over HTTPS alone
        with proxied as runtime:
            embed(runtime, "my token is a-bearer-token-of-some-length")
    assert upstream.requests[0].headers["authorization"] == "Bearer a-bearer-token-of-some-length"
    assert "a-bearer-token" not in (tmp_path / "r.jsonl").read_text()


def test_unreachable_service_is_not_recorded(tmp_path: Path) -> None:
    with (
        closing(Proxy(tmp_path / "r.jsonl", upstream="http://127.0.0.1:9")) as proxy,
        Emulator(recorder=proxy, check_signatures=False) as emulator,
        pytest.raises(ClientError, match=r"ServiceUnavailableException.*not forwarded"),
    ):
        embed(client(emulator), "x")
    assert (tmp_path / "r.jsonl").read_text() == ""


ACCOUNTS = st.from_regex(r"[1-9][0-9]{10}[1-9]", fullmatch=True)
KEYS = st.from_regex(r"A(KIA|SIA)[A-Z2-7]{16}", fullmatch=True)
AROUND = st.text(
    st.characters(codec="utf-8", exclude_characters="0123456789", exclude_categories=["Nd", "Cs"]), max_size=8
)


@settings(max_examples=200, deadline=None)
@given(ACCOUNTS, KEYS, st.lists(AROUND, min_size=4, max_size=4), st.data())
def test_redaction_of_texts_names_and_stream_pieces(
    account: str, key: str, around: list[str], data: st.DataObject
) -> None:
    a, b, c, d = around
    text = f"{a}{account}{b}arn%3Aaws%3A%20{account}%2F{c} {key}{d}/{SECRET} {quote(TOKEN, safe='')}"
    secrets = (account, key, SECRET, quote(SECRET, safe=""), TOKEN, quote(TOKEN, safe=""))
    redactor = Redactor([SECRET, TOKEN])
    clean = redactor.text(text)
    assert len(clean) == len(text)
    assert redactor.text(clean) == clean
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    deltas = [{"contentBlockIndex": 0, "delta": {"text": piece}} for piece in pieces]
    kept = redactor.payloads(deltas)
    joined = "".join(item["delta"]["text"] for item in kept)
    value = json.dumps(redactor.value({text: [text, {"n": int(account)}]}), ensure_ascii=False)
    for secret in secrets:
        assert secret not in clean
        assert secret not in joined
        assert secret not in value


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACCOUNTS, KEYS, st.integers(0, 2**32))
def test_no_secret_reaches_the_file(
    proxied: tuple[Emulator, Emulator, Path], account: str, key: str, number: int
) -> None:
    recorder, upstream, path = proxied
    runtime = client(recorder, key=key, token=CLIENT_TOKEN)
    secret_text = (
        f"account {account}, {key}, {SECRET}, arn:aws:iam::{account}:role/x {TOKEN} {CLIENT_TOKEN} "
        f"Credential={key}/20261121/eu-west-1/bedrock/aws4_request <{number}>"
    )
    model = f"arn:aws:bedrock:eu-west-1:{account}:inference-profile/{CLAUDE}"
    upstream.behaviour.reply = secret_text  # the stream returns it in pieces
    embed(runtime, secret_text)
    runtime.converse(
        modelId=model, messages=say(secret_text), requestMetadata={"account": account},
        additionalModelRequestFields={account: {"n": int(account), "key": key}},
    )  # fmt: skip
    events(runtime, secret_text, model)
    with pytest.raises(ClientError):  # the error repeats the key
        runtime.converse(
            modelId=model, messages=[{"role": "user", "content": [{"text": " "}]}], system=[{"text": key}]
        )
    kept = path.read_text(encoding="utf-8")
    sent = upstream.requests[-1].headers["authorization"].rpartition("Signature=")[2]
    for secret in (account, key, KEY, SECRET, TOKEN, quote(TOKEN, safe=""), CLIENT_TOKEN, sent):
        assert secret not in kept
    ids = {f"00000000-0000-4000-8000-{n:012d}" for n in range(1, 2000)}
    assert not ids & set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", kept))
    assert "Authorization" not in kept
    assert "aws4_request" not in kept
    assert f"<{number}>" in kept  # the rest stays


@pytest.fixture
def proxied(upstream: Emulator, tmp_path: Path) -> Iterator[tuple[Emulator, Emulator, Path]]:
    proxied = recording(tmp_path / "r.jsonl", upstream)
    with proxied:
        yield proxied.emulator, upstream, tmp_path / "r.jsonl"
