"""The runtime's process against a stand-in for Lambda: replies whole and streamed, deadlines, errors, ends."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.emulator import Behaviour, Emulator
from rag.serving.keys import KeyStore
from tests.deployment.conftest import LEAVE, QUOTE
from tests.deployment.containers import container
from tests.deployment.lambda_service import LambdaService, alb_event, rest_event, url_event

ASK = {"question": LEAVE}
STREAM = {**ASK, "stream": True}
TEXT = " ".join(["word"] * 40)


def toml(index: Path, more: str = "", deploy: str = "open = true") -> str:
    return f'[deploy]\nindex = "{index}"\n{deploy}\n{more}'


@pytest.fixture(scope="module")
def served(small_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaService]:
    folder = tmp_path_factory.mktemp("served")
    with container(folder, toml(small_index)) as (service, _):
        yield service


@pytest.mark.parametrize("event", [
    url_event("POST", "/v1/ask", ASK), rest_event("POST", "/v1/ask", ASK), alb_event("POST", "/v1/ask", ASK),
    url_event("POST", "/v1/ask", ASK, domain="x.execute-api.eu-west-1.amazonaws.com", base64_body=True),
])  # fmt: skip
def test_each_invoker_gets_the_answer(served: LambdaService, event: dict) -> None:
    reply = served.invoke(event)
    assert reply.kind == "response"
    answer = json.loads(reply.content)
    assert answer["answered"] and QUOTE in answer["text"] and answer["citations"]
    head = reply.head if reply.streamed else reply.json
    assert head["statusCode"] == 200
    assert (head.get("headers") or {}).get("cache-control", "no-store") == "no-store"


def test_only_those_that_can_stream_are_streamed_to(served: LambdaService) -> None:
    assert served.invoke(url_event()).streamed and served.invoke(rest_event()).streamed
    assert not served.invoke(alb_event()).streamed
    binary = served.invoke(url_event(path="/favicon.svg"))
    assert binary.content.startswith(b"<svg") and binary.head["headers"]["content-type"].startswith(
        "image/svg"
    )
    assert served.invoke(url_event(path="/nothing")).head["statusCode"] == 404
    assert served.invoke(url_event("POST", "/v1/ask", "{broken")).head["statusCode"] in (400, 422)


def test_what_is_no_request_is_an_error_of_the_function(served: LambdaService) -> None:
    reply = served.invoke({"Records": []})
    assert reply.kind == "error" and reply.json["errorType"] == "UsageError"
    assert reply.headers["lambda-runtime-function-error-type"] == "Runtime.UsageError"
    assert served.invoke({"source": "aws.events", "detail-type": "Scheduled Event"}).json == {"version": 1}
    assert served.invoke(url_event(path="/healthz")).head["statusCode"] == 200, "it goes on"


def test_an_answer_is_streamed_as_it_comes(small_index: Path, tmp_path: Path) -> None:
    """Each piece leaves when the model has written it: 40 words, 30 ms apart."""
    with Emulator(Behaviour(reply=TEXT, token_s=0.03)) as emulator:
        settings = toml(small_index, '[generator]\nuse = "claude"\n')
        with container(tmp_path, settings, emulator.environment()) as (service, _):
            reply = service.invoke(url_event("POST", "/v1/ask", STREAM))
    kinds = [kind for kind, _ in reply.events]
    assert kinds[0] == "context" and kinds[-1] == "answer" and kinds.count("text") >= 20
    assert "".join(value for kind, value in reply.events if kind == "text").split() == TEXT.split()
    texts = [at for at, piece in reply.pieces if piece.startswith(b"event: text")]
    assert len(texts) >= 20 and texts[-1] - texts[0] > 0.5
    gaps = sorted(later - earlier for earlier, later in zip(texts, texts[1:], strict=False))
    assert 0.01 < gaps[len(gaps) // 2] < 0.2
    assert not reply.trailers


def test_the_deadline_ends_an_answer_with_an_error_that_says_so(small_index: Path, tmp_path: Path) -> None:
    with Emulator(Behaviour(reply=" ".join(["word"] * 2000), token_s=0.05)) as emulator:
        settings = toml(small_index, '[generator]\nuse = "claude"\n')
        with container(tmp_path, settings, emulator.environment()) as (service, _):
            service.invoke(url_event(path="/healthz"))
            began = time.monotonic()
            streamed = service.invoke(url_event("POST", "/v1/ask", STREAM), timeout_s=3)
            took = time.monotonic() - began
            whole = service.invoke(url_event("POST", "/v1/ask", ASK), timeout_s=3)
            completion = {"model": "ix", "messages": [{"role": "user", "content": LEAVE}], "stream": True}
            openai = service.invoke(url_event("POST", "/v1/chat/completions", completion), timeout_s=3)
            assert json.loads(service.invoke(url_event(path="/readyz")).content)["status"] == "ok"
    assert 1.5 < took < 3
    kind, error = streamed.events[-1]
    assert (kind, error["type"], error["status"]) == ("error", "timeout_error", 504)
    assert "ran out" in error["message"] and streamed.events[-2][0] == "text"
    assert whole.head["statusCode"] == 504 and b"ran out" in whole.content
    assert b'"timeout_error"' in openai.content and openai.content.endswith(b"data: [DONE]\n\n")


def test_a_client_that_is_gone_ends_the_models_reply(small_index: Path, tmp_path: Path) -> None:
    with Emulator(Behaviour(reply=" ".join(["word"] * 2000), token_s=0.02)) as emulator:
        settings = toml(small_index, '[generator]\nuse = "claude"\n')
        with container(tmp_path, settings, emulator.environment(), leave_after=6) as (service, _):
            service.invoke(url_event("POST", "/v1/ask", STREAM))
            asked, limit = len(service.asked), time.monotonic() + 15
            while len(service.asked) == asked:  # of 40 s of reply; then it asks for the next invocation
                assert time.monotonic() < limit
                time.sleep(0.05)


def test_nobody_is_answered_without_a_key(small_index: Path, tmp_path: Path) -> None:
    _, secret = KeyStore(tmp_path / "keys.sqlite").add("crm")
    auth = f'[serving.auth]\npath = "{tmp_path / "keys.sqlite"}"\n'
    with container(tmp_path, toml(small_index, auth, "")) as (service, _):
        ask = url_event("POST", "/v1/ask", ASK)
        refused = service.invoke(ask)
        assert refused.head["statusCode"] == 401 and QUOTE.encode() not in refused.content
        wrong = service.invoke(url_event("POST", "/v1/ask", ASK, headers={"x-api-key": f"{secret}x"}))
        assert wrong.head["statusCode"] == 401
        for name, value in (("x-api-key", secret), ("authorization", f"Bearer {secret}")):
            asked = service.invoke(url_event("POST", "/v1/ask", ASK, headers={name: value}))
            assert json.loads(asked.content)["answered"]
        assert service.invoke(url_event(path="/healthz")).head["statusCode"] == 200


def test_a_service_that_cannot_start_reports_why_and_ends(small_index: Path, tmp_path: Path) -> None:
    for text, expected, code in (
        (toml(small_index, "", ""), "without callers the service does not start", 1),
        (toml(tmp_path / "nothing"), "there is no index", 1),
        ('[deploy]\nindx = "x"', "no setting 'indx'", 2),
        ("[deploy]\nopen = true", "no index is named", 2),
        (toml(small_index, "[ledger]\nstop_usd = 5\n"), "each container would count for itself", 1),
    ):
        with container(tmp_path, text) as (service, process):
            assert process.wait(30) == code
            assert process.stderr is not None
            (line,) = process.stderr.read().splitlines()
            assert line.startswith("rag: ") and expected in line
            assert expected in service.init_error["errorMessage"]


def test_it_ends_when_it_is_told_to_and_lets_an_answer_end_first(small_index: Path, tmp_path: Path) -> None:
    with Emulator(Behaviour(reply=TEXT, token_s=0.03)) as emulator:
        settings = toml(small_index, '[generator]\nuse = "claude"\n')
        with container(tmp_path, settings, emulator.environment()) as (service, process):
            service.invoke(url_event(path="/healthz"))
            reply = service.send(url_event("POST", "/v1/ask", STREAM))
            while len(reply.pieces) < 5:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert reply.done.wait(20) and reply.events[-1][0] == "answer"
            assert process.wait(20) == 0
            assert process.stderr is not None and "Traceback" not in process.stderr.read()
        with container(tmp_path, settings, emulator.environment()) as (service, process):
            service.invoke(url_event(path="/healthz"))
            time.sleep(0.3)  # it waits for an invocation
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
