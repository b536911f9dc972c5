"""Claude against the emulator: retries, copies and arguments."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from langchain_core.runnables import ConfigurableField

import rag
from rag.bedrock.runtime.retry import Retry
from rag.config import stages
from rag.core.errors import ConfigError, GenerationError
from rag.emulator import Emulator
from tests.bedrock.claude_calls import (
    QUESTION,
    SONNET,
    claude,
    last,
)


@pytest.mark.parametrize(("options", "calls"), [
    ({"retry": Retry(attempts=3, base_s=0)}, 3), ({"max_retries": 1, "timeout": 30}, 2),
    ({"max_retries": 0}, 1), ({"config": Config(retries={"total_max_attempts": 2, "mode": "standard"})}, 2),
    ({"config": Config(read_timeout=5), "retry": Retry(attempts=2, base_s=0)}, 2),
    ({"retry": Retry(attempts=2, base_s=0, deadline_s=0)}, 1),
])  # fmt: skip
def test_one_retry_policy(
    options: dict[str, Any], calls: int, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one policy retries calls."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    emulator.fail_next("ThrottlingException", times=calls)
    model = rag.ClaudeBedrock(**options)
    with pytest.raises(GenerationError, match=f"{SONNET}: ThrottlingException"):
        model.invoke(QUESTION)
    assert emulator.counts["Converse"] == calls
    assert model.invoke(QUESTION).text


def test_two_retry_policies() -> None:
    """Two retry policies are refused."""
    for options in ({"retry": Retry()}, {"config": Config(retries={"max_attempts": 3})}):
        with pytest.raises(ConfigError, match="would multiply attempts: set only one"):
            rag.ClaudeBedrock(max_retries=2, **options)


@pytest.mark.parametrize(("argument", "value", "message"), [
    ("temprature", 0.1, "did you mean 'temperature'"), ("model", "", "is the id of a model"),
    ("model", 7, "is the id of a model, not 7"), ("timeout_s", "x", "timeout_s: .*valid number"),
    ("timeout_s", -1, "timeout_s: .*greater than 0"), ("prompt_cache", "2h", "'5m' or '1h'"),
    ("max_retries", "3", "whole number"), ("connections", 0, "greater than or equal to 1"),
    ("retry", {"attempt": 1}, "retry.attempt"), ("retry", {"attempts": 0}, "attempts is 0"),
])  # fmt: skip
def test_wrong_argument(argument: str, value: Any, message: str, emulator: Emulator) -> None:
    """A wrong argument is a one-line error that names it."""
    with pytest.raises(ConfigError, match=message) as raised:
        stages.generator({"use": "claude", argument: value})
    assert "\n" not in str(raised.value)


def test_copies(emulator: Emulator) -> None:
    """Copies share the clients; no representation shows a secret."""
    secrets = {"aws_access_key_id": "AKIAHIDDEN", "aws_secret_access_key": "HIDDENSECRET"}
    model = claude(**secrets)
    assert not any(
        secret in repr(model) + str(model) + str(model.model_dump()) for secret in secrets.values()
    )
    model = claude()
    for copied in (copy.copy(model), copy.deepcopy(model), model.model_copy(update={"max_tokens": 9})):
        assert copied.client is model.client
        assert copied.invoke(QUESTION).text
    assert last(emulator)["inferenceConfig"] == {"maxTokens": 9}
    chosen = model.configurable_fields(max_tokens=ConfigurableField("most"))
    chosen.with_config(configurable={"most": 7}).invoke(QUESTION)
    assert last(emulator)["inferenceConfig"] == {"maxTokens": 7}


def test_profile(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile provides credentials and region."""
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = team\naws_secret_access_key = test\n")
    (tmp_path / "config").write_text("[profile team]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    claude(credentials_profile_name="team").invoke(QUESTION)
    assert "Credential=team/" in emulator.requests[-1].headers["authorization"]
    assert "/eu-central-1/bedrock/" in emulator.requests[-1].headers["authorization"]
    with pytest.raises(GenerationError, match=r"nosuch.*could not be found"):
        claude(credentials_profile_name="nosuch")


@pytest.mark.parametrize(("options", "message"), [
    ({"region": "not a region"}, "'not a region'"), ({"endpoint_url": "nonsense"}, "Invalid endpoint: nonsense"),
])  # fmt: skip
def test_wrong_endpoint(options: dict[str, Any], message: str, emulator: Emulator) -> None:
    """A wrong region or endpoint is named."""
    with pytest.raises(GenerationError, match=f"{SONNET}: .*{message}"):
        claude(**options)
