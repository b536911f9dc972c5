"""The emulator's life, environment and internal faults."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from rag.emulator import Emulator, Request
from tests.emulator.conftest import CLAUDE, MESSAGE


def test_environment_points_here_and_exit_closes_the_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Emulator(secrets={"KEY": "secret"}) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        client = boto3.Session().client("bedrock-runtime")
        assert client.converse(modelId=CLAUDE, messages=MESSAGE)["stopReason"] == "end_turn"
        for service in ("bedrock", "bedrock-agent-runtime"):
            assert boto3.Session().client(service).meta.endpoint_url == emulator.url
        listening = emulator._listener
    assert listening.socket.fileno() == -1


def test_internal_fault_is_reported_as_such(
    emulator: Emulator, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(request: Request) -> str:
        raise RuntimeError("no reply here")

    emulator.behaviour.reply = broken
    with pytest.raises(ClientError, match="the emulator failed: no reply here"):
        client.converse(modelId=CLAUDE, messages=MESSAGE)
    assert emulator.problems == ["the emulator itself failed: RuntimeError: no reply here"]
    assert "Traceback" in capsys.readouterr().err
