"""Events as requests, and replies in the form of each invoker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.core.errors import UsageError
from rag.deployment.invocation import InvocationContext, request_of, scheduled
from tests.deployment.lambda_service import alb_event, rest_event, url_event

CONTEXT = InvocationContext("id-1", 4e9)
ASK = {"question": "Grüße?"}


@pytest.mark.parametrize("event", [
    url_event("POST", "/v1/ask", ASK), rest_event("POST", "/v1/ask", ASK), alb_event("POST", "/v1/ask", ASK),
    alb_event("POST", "/v1/ask", ASK, several=True), url_event("POST", "/v1/ask", ASK, base64_body=True),
])  # fmt: skip
def test_each_event_is_the_same_request(event: dict[str, Any]) -> None:
    request = request_of(event, CONTEXT)
    assert (request.scope["method"], request.scope["path"]) == ("POST", "/v1/ask")
    assert json.loads(request.body) == ASK
    assert (b"content-type", b"application/json") in {(k, v) for k, v in request.scope["headers"]}
    assert request.scope["client"] == ("203.0.113.9", 0)
    assert not any(name.startswith("aws.") for name in request.scope)


def test_the_client_behind_a_load_balancer_is_the_one_that_it_saw() -> None:
    """What a client writes into X-Forwarded-For stands before the balancer's own entry."""
    event = alb_event()
    event["headers"]["x-forwarded-for"] = "1.1.1.1, 2.2.2.2 , 198.51.100.7"
    assert request_of(event, CONTEXT).scope["client"] == ("198.51.100.7", 0)
    del event["headers"]["x-forwarded-for"]
    assert request_of(event, CONTEXT).scope["client"] == ("", 0)


def test_queries_cookies_and_repeated_headers_arrive() -> None:
    url = url_event(query="source=a%20b.md&start=3", cookies=["a=1", "b=2"])
    scope = request_of(url, CONTEXT).scope
    assert scope["query_string"] == b"source=a%20b.md&start=3"
    assert dict(map(tuple, scope["headers"]))[b"cookie"] == b"a=1; b=2"
    rest = rest_event()
    rest["multiValueQueryStringParameters"] = {"tag": ["x", "y z"]}
    scope = request_of(rest, CONTEXT).scope
    assert scope["query_string"] == b"tag=x&tag=y+z"
    assert dict(map(tuple, scope["headers"]))[b"x-two"] == b"a, b"


def test_who_can_stream() -> None:
    assert request_of(url_event(), CONTEXT).streams and request_of(rest_event(), CONTEXT).streams
    api = url_event(domain="x1.execute-api.eu-west-1.amazonaws.com")
    assert not request_of(api, CONTEXT).streams and not request_of(alb_event(), CONTEXT).streams


HEADERS = [
    (b"content-type", b"image/svg+xml"), (b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2"),
    (b"vary", b"Origin"), (b"vary", b"Accept"), (b"content-length", b"3"),
]  # fmt: skip


def test_whole_replies_have_the_invokers_form() -> None:
    url = request_of(url_event(), CONTEXT).whole(200, HEADERS, b"\x00\xff\x01")
    assert (url["statusCode"], url["body"], url["isBase64Encoded"]) == (200, "AP8B", True)
    assert url["cookies"] == ["a=1; Path=/", "b=2"] and url["headers"]["vary"] == "Origin,Accept"
    rest = request_of(rest_event(), CONTEXT).whole(200, HEADERS, b"\x00\xff\x01")
    assert rest["multiValueHeaders"]["set-cookie"] == ["a=1; Path=/", "b=2"]
    alb = request_of(alb_event(several=True), CONTEXT).whole(404, HEADERS[1:3], b"")
    assert alb["multiValueHeaders"]["set-cookie"] == ["a=1; Path=/", "b=2"] and alb["statusCode"] == 404
    text = request_of(url_event(), CONTEXT).whole(200, [(b"content-type", b"application/json")], b"{}")
    assert (text["body"], text["isBase64Encoded"]) == ("{}", False)


def test_the_head_of_a_stream_ends_with_eight_nul_bytes() -> None:
    url = request_of(url_event(), CONTEXT).head(201, HEADERS)
    assert url.endswith(b"\0" * 8) and url.count(b"\0") == 8
    head = json.loads(url[:-8])
    assert head["statusCode"] == 201 and head["cookies"] == ["a=1; Path=/", "b=2"]
    assert head["headers"] == {"content-type": "image/svg+xml", "vary": "Origin, Accept"}
    rest = json.loads(request_of(rest_event(), CONTEXT).head(200, HEADERS)[:-8])
    assert rest["multiValueHeaders"] == {"set-cookie": ["a=1; Path=/", "b=2"]} and "cookies" not in rest


def test_a_reply_that_lambda_would_refuse_says_so_itself() -> None:
    body, headers = b"x" * (1 << 20), [(b"content-type", b"text/plain")]
    assert request_of(url_event(), CONTEXT).whole(200, headers, body)["statusCode"] == 200
    refused = request_of(alb_event(), CONTEXT).whole(200, headers, body)
    assert refused["statusCode"] == 502 and "more than the 1 MiB" in refused["body"]
    assert request_of(url_event(), CONTEXT).whole(200, headers, body * 7)["statusCode"] == 502


@pytest.mark.parametrize("event", [
    None, "x", [], {}, {"Records": [{"s3": {}}]}, {"requestContext": {}}, {"requestContext": None},
    {"version": "2.0", "requestContext": {}},
])  # fmt: skip
def test_what_is_no_request_is_refused(event: Any) -> None:
    with pytest.raises(UsageError, match="event"):
        request_of(event, CONTEXT)


def test_schedules_are_told_from_requests() -> None:
    assert scheduled({"source": "aws.events", "detail-type": "Scheduled Event"})
    forged = {**url_event(body={}), "source": "aws.events"}
    assert not scheduled(forged) and not scheduled(None) and not scheduled(url_event())
