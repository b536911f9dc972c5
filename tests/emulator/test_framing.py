"""Event stream messages, compared with moto's encoder."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from moto.core.eventstream import EventStreamEncoder

from rag.emulator import framing


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["messageStart", "contentBlockDelta", "metadata"]),
    st.dictionaries(st.text(max_size=8), st.text(max_size=40), max_size=4),
)
def test_event_framing(kind: str, payload: dict[str, str]) -> None:
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    assert framing.event(kind, payload) == EventStreamEncoder().encode_message(headers, body)


def encoder_headers(code: str) -> dict[str, str]:
    return {":message-type": "exception", ":exception-type": code, ":content-type": "application/json"}


def test_exception_framing() -> None:
    frame = framing.exception("ThrottlingException", "no")
    assert frame == EventStreamEncoder().encode_message(
        encoder_headers("throttlingException"), b'{"message":"no"}'
    )
