"""Failures on demand, quotas and latency."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EventStreamError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from rag.bedrock.runtime.faults import FAULTS, code_of
from rag.core.errors import ConfigError
from rag.emulator import Behaviour, Emulator
from rag.emulator import behaviour as behaviours
from rag.emulator.behaviour import STOP_REASONS
from tests.emulator.conftest import CLAUDE, MESSAGE, TITAN, client_of, invoke, streamed, text_of

SENT = [code for code, fault in FAULTS.items() if fault.status]


@pytest.mark.parametrize("code", SENT)
def test_fault_reaches_botocore_by_name(emulator: Emulator, client: Any, code: str) -> None:
    emulator.fail_next(code)
    with pytest.raises(ClientError) as failed:
        client.converse(modelId=CLAUDE, messages=MESSAGE)
    assert code_of(failed.value) == code
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == FAULTS[code].status
    assert text_of(client.converse(modelId=CLAUDE, messages=MESSAGE))


@pytest.mark.parametrize(
    "code", [code for code in behaviours.IN_STREAM if code != "StreamCut"] + ["ValidationException"]
)
@pytest.mark.parametrize(("moment", "pieces"), [("stream", 2), ("after", 10)])
def test_fault_in_a_stream_is_an_event_stream_error(
    emulator: Emulator, client: Any, code: str, moment: Any, pieces: int
) -> None:
    emulator.behaviour.reply = "one two three four five six seven eight nine ten"
    emulator.fail_next(code, moment=moment, events=2)
    assert client.converse(modelId=CLAUDE, messages=MESSAGE)["stopReason"] == "end_turn"  # waits for a stream
    seen = []
    with pytest.raises(EventStreamError) as failed:
        for event in client.converse_stream(modelId=CLAUDE, messages=MESSAGE)["stream"]:
            seen += list(event)
    assert code_of(failed.value) == code
    assert (seen.count("contentBlockDelta"), "messageStop" in seen) == (pieces, False)
    assert len(streamed(client)) == 14


@pytest.mark.parametrize("moment", ["stream", "after"])
def test_cut_stream_has_no_message_stop(emulator: Emulator, client: Any, moment: Any) -> None:
    emulator.fail_next("StreamCut", moment=moment)
    seen = []
    with pytest.raises(ProtocolError) as failed:
        for event in client.converse_stream(modelId=CLAUDE, messages=MESSAGE)["stream"]:
            seen += list(event)
    assert code_of(failed.value) == "StreamCut"
    assert seen[0] == "messageStart" and "messageStop" not in seen


def test_connection_is_cut_or_hangs(emulator: Emulator) -> None:
    emulator.fail_next("ConnectionClosedError")
    with pytest.raises(ConnectionClosedError):
        client_of(emulator).converse(modelId=CLAUDE, messages=MESSAGE)
    emulator.fail_next("ReadTimeoutError")
    with pytest.raises(ReadTimeoutError):
        client_of(emulator, config={"read_timeout": 0.1}).converse(modelId=CLAUDE, messages=MESSAGE)
    assert emulator.counts["failed"] == 2


def test_stop_reasons_equal_the_service_model() -> None:
    assert set(STOP_REASONS) == set(
        boto3.client("bedrock-runtime", region_name="eu-west-1")
        .meta.service_model.shape_for("StopReason")
        .enum
    )


def test_failures_of_the_client_cannot_be_scheduled(emulator: Emulator) -> None:
    for code in ("NoCredentialsError", "ThrottlingExeption"):
        with pytest.raises(ConfigError, match="no server fails with"):
            emulator.fail_next(code)


def test_botocore_retries_a_fault(emulator: Emulator) -> None:
    emulator.fail_next("ThrottlingException")
    patient = client_of(emulator, config={"retries": {"mode": "standard", "total_max_attempts": 3}})
    assert patient.converse(modelId=CLAUDE, messages=MESSAGE)["ResponseMetadata"]["RetryAttempts"] == 1
    assert (emulator.counts["Converse"], emulator.counts["throttled"]) == (2, 1)


def test_bucket_passes_burst_then_rate() -> None:
    bucket = behaviours.TokenBucket(3000, 1.0, now=0.0)
    assert sum(bucket.take(1, now=0.0) for _ in range(200)) == 50
    assert sum(bucket.take(1, now=0.001 * ms) for ms in range(1, 2001)) == 100
    tokens = behaviours.TokenBucket(600, 2.0, now=0.0)
    assert tokens.take(100, now=0.0)  # more than it ever holds: let through when full, and owed
    assert not tokens.take(1, now=7.9)
    assert tokens.take(1, now=8.2)


@settings(max_examples=100, deadline=None)
@given(st.floats(6, 6000), st.floats(0.1, 10), st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_bucket_never_exceeds_burst_and_rate(rate: float, burst_s: float, waits: list[float]) -> None:
    bucket, now, taken = behaviours.TokenBucket(rate, burst_s, 0.0), 0.0, 0
    for wait in waits:
        now += wait
        taken += bucket.take(1, now)
    assert taken <= bucket.holds + now * rate / 60 + 1e-6


def test_quotas_of_requests_and_tokens(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.requests_per_minute = 1.0
    invoke(client, TITAN, inputText="a")
    with pytest.raises(ClientError, match="Too many requests") as refused:
        invoke(client, TITAN, inputText="a")
    assert code_of(refused.value) == "ThrottlingException"
    emulator.behaviour = Behaviour(tokens_per_minute=60.0)
    client.converse(modelId=CLAUDE, messages=MESSAGE, inferenceConfig={"maxTokens": 1000})
    with pytest.raises(ClientError, match="Too many tokens"):
        invoke(client, TITAN, inputText="a")
    assert emulator.counts["throttled"] == 2


def test_failure_rate_and_seed() -> None:
    def drawn(seed: int) -> list[str]:
        chance, wanted = behaviours.Chance(), Behaviour(fail=0.3, stream_fail=0.2, seed=seed)
        failures = [chance.failure(wanted, stream=True) for _ in range(2000)]
        return [f"{failure.code} {failure.moment}" if failure else "" for failure in failures]

    codes = drawn(1)
    assert codes == drawn(1) != drawn(2)
    before = [code for code in codes if code.endswith("before")]
    assert 540 <= len(before) <= 660
    assert {code.split()[0] for code in before} == set(behaviours.RETRIED)
    assert 220 <= sum(code.endswith("stream") for code in codes) <= 340


def test_latency_is_constant_or_log_normal() -> None:
    chance = behaviours.Chance()
    assert chance.latency_s(Behaviour(latency_s=0.25)) == 0.25
    spread = sorted(chance.latency_s(Behaviour(latency_s=(0.2, 2.0))) for _ in range(4000))
    assert spread[2000] == pytest.approx(0.2, rel=0.1)
    assert spread[3960] == pytest.approx(2.0, rel=0.25)
