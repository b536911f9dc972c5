"""Signatures: what botocore signs is accepted, anything else is refused."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from rag.bedrock.runtime.faults import code_of
from rag.emulator import Emulator, Refusal, Request, signing
from tests.emulator.conftest import CLAUDE, MESSAGE, client_of, send_raw


def test_wrong_secret_unknown_key_and_missing_signature_are_refused(emulator: Emulator) -> None:
    with pytest.raises(ClientError) as refused:
        client_of(emulator, aws_secret_access_key="wrong").converse(modelId=CLAUDE, messages=MESSAGE)
    assert code_of(refused.value) == "InvalidSignatureException"
    emulator.secrets = {"KEY": "secret"}
    with pytest.raises(ClientError) as refused:
        client_of(emulator).converse(modelId=CLAUDE, messages=MESSAGE)
    assert code_of(refused.value) == "UnrecognizedClientException"
    assert client_of(emulator, aws_access_key_id="KEY", aws_secret_access_key="secret").converse(
        modelId=CLAUDE, messages=MESSAGE
    )
    status, code, _ = send_raw(emulator, f"/model/{CLAUDE}/converse", b"{}", "POST", {})
    assert (status, code) == (403, "MissingAuthenticationTokenException")
    assert emulator.counts["refused"] == 3


def signed(emulator: Emulator, at: dt.datetime, service: str = "bedrock", query: str = "") -> AWSRequest:
    request = AWSRequest("POST", f"{emulator.url}/model/{CLAUDE}/converse{query}", {"X-Tag": "a  b"}, b"{}")
    signer = SigV4Auth(Credentials("test", "test", "token"), service, "eu-west-1")
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return request


def check(emulator: Emulator, request: AWSRequest, **changed: Any) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["host"] = emulator.url.removeprefix("http://")
    path = request.url.removeprefix(emulator.url)
    whole = Request(
        "",
        "",
        {},
        **{"method": "POST", "path": path, "headers": headers, "body": b"{}", "number": 1, **changed},
    )
    try:
        signing.check(whole, None, "test")
    except Refusal as refusal:
        return refusal.code
    return "right"


def test_any_change_breaks_the_signature(emulator: Emulator) -> None:
    now = dt.datetime.now(dt.UTC)
    request = signed(emulator, now)
    assert check(emulator, request) == "right"
    assert check(emulator, signed(emulator, now, query="?b=2&a=x%20y&a=1")) == "right"
    assert check(emulator, request, body=b"{ }") == "InvalidSignatureException"
    assert check(emulator, request, method="PUT") == "InvalidSignatureException"
    assert check(emulator, request, path="/model/other/converse") == "InvalidSignatureException"
    assert check(emulator, signed(emulator, now, service="s3")) == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(4, "right"), (-4, "right"), (6, "InvalidSignatureException"), (-6, "InvalidSignatureException")],
)
def test_clock_skew_above_five_minutes_is_refused(emulator: Emulator, minutes: int, expected: str) -> None:
    assert (
        check(emulator, signed(emulator, dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes))) == expected
    )


def test_bearer_tokens_and_disabled_checks(emulator: Emulator) -> None:
    path, body = f"/model/{CLAUDE}/converse", json.dumps({"messages": MESSAGE}).encode()
    assert send_raw(emulator, path, body, "POST", {"Authorization": "Bearer abc"})[0] == 200
    emulator.secrets = {"KEY": "secret"}
    assert send_raw(emulator, path, body, "POST", {"Authorization": "Bearer abc"})[0] == 403
    assert send_raw(emulator, path, body, "POST", {"Authorization": "Bearer secret"})[0] == 200
    with Emulator(check_signatures=False) as lax:
        assert send_raw(lax, path, body, "POST", {})[0] == 200
