"""``[serving]`` of rag.toml: what cannot be safe or is mistyped is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag.config import serving, settings
from rag.core.errors import ConfigError
from rag.serving.authenticators import authenticator
from rag.serving.callers import Limits
from rag.serving.keys import KeyAuthenticator
from rag.serving.tokens import TokenAuthenticator

TOKENS = {"use": "tokens", "issuer": "https://issuer.example", "audience": "rag"}


def test_keys_are_the_default_and_stand_beside_the_index(tmp_path: Path) -> None:
    made, _ = authenticator(serving.settings({}).auth, tmp_path)
    assert isinstance(made, KeyAuthenticator) and made.store.path == tmp_path / "keys.sqlite"
    elsewhere, _ = authenticator(serving.settings({"auth": {"path": "k.sqlite"}}).auth, tmp_path)
    assert isinstance(elsewhere, KeyAuthenticator) and elsewhere.store.path == Path("k.sqlite")


def test_tokens_have_limits_and_a_filter(tmp_path: Path) -> None:
    table = {**TOKENS, "where": "department in {groups}", "requests_per_minute": 60, "usd_per_day": 2.0}
    made, _ = authenticator(serving.settings({"auth": table}).auth, tmp_path)
    assert isinstance(made, TokenAuthenticator) and made.filter is not None
    assert made.key_set.place == "https://issuer.example/.well-known/jwks.json"
    assert made._limits == Limits(60, None, 2.0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"use": "tokens"}, "needs an issuer and an audience"),
        ({"use": "oauth"}, '\\[serving.auth\\]\'s use is "keys" or "tokens"'),
        ({"isuer": "a"}, "has no setting 'isuer': did you mean 'issuer'"),
        ({"usd_per_day": -1}, "usd_per_day is a number of dollars from 0"),
        ({"requests_per_minute": 0}, "requests_per_minute is a whole number from 1"),
        ({"leeway_s": 9999}, "leeway_s is a number of seconds from 0 to 300"),
        ({"token_use": "refresh"}, 'token_use is "access" or "id"'),
        ({"failures_per_minute": -1}, "failures_per_minute is a whole number from 0"),
    ],
)
def test_a_mistake_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        serving.settings({"auth": table})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"algorithms": ["HS256"]}, "tokens signed by HS256 are not taken"),
        ({"algorithms": ["none"]}, "tokens signed by none are not taken"),
        ({"where": 'department == "{groups}"'}, "write it without quotes"),
        ({"issuer": "http://issuer.example"}, "is not fetched without encryption"),
    ],
)
def test_what_cannot_be_safe_is_refused_at_the_start(
    more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        authenticator(serving.settings({"auth": {**TOKENS, **more}}).auth, tmp_path)


def test_rag_toml_knows_the_table(tmp_path: Path) -> None:
    path = tmp_path / "rag.toml"
    path.write_text('[serving.auth]\nuse = "keys"\nfailures_per_minute = 0\n')
    assert serving.settings(settings.read(path)["serving"]).auth.failures_per_minute == 0
