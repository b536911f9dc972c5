"""Region, credentials and identity are found as every client finds them, and said without the keys."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from rag.bedrock.control import account
from rag.core.errors import RagError
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.emulator.variables import OTHERS


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No credentials and no region, but a file of profiles."""
    for name in (*OTHERS, *account.KEYS, "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = eu-north-1\n")
    keys = tmp_path / "credentials"
    keys.write_text(
        "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = secret\naws_session_token = t\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    return monkeypatch


def test_the_region_names_its_source(nobody: pytest.MonkeyPatch) -> None:
    assert account.region_source() is None
    nobody.setenv("AWS_PROFILE", "work")
    assert account.region_source() == ("eu-north-1", "the profile work")
    nobody.setenv("AWS_DEFAULT_REGION", "us-east-2")
    assert account.region_source() == ("us-east-2", "AWS_DEFAULT_REGION")
    nobody.setenv("AWS_REGION", "eu-west-1")
    assert account.region_source() == ("eu-west-1", "AWS_REGION")


def test_credentials_name_their_source_and_never_the_keys(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("AWS_PROFILE", "work")
    assert account.keys() == account.Keys("~/.aws/credentials, the profile work", temporary=True)
    nobody.delenv("AWS_PROFILE")
    nobody.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    nobody.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert account.keys() == account.Keys("environment variables")
    nobody.setenv(account.BEARER, "ABSK" + "x" * 40)
    assert account.keys().bearer
    assert "xxx" not in str(account.keys())


def test_when_credentials_end(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    nobody.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nobody.setenv("AWS_SESSION_TOKEN", "token")
    assert account.keys().expires is None
    ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=2)
    nobody.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    assert account.keys().expires == ends


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "there are no AWS credentials: set AWS_PROFILE"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "wrok"}, "ProfileNotFound"),
    ],
)
def test_missing_credentials_are_one_line(
    nobody: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        nobody.setenv(name, value)
    with pytest.raises(RagError, match=expected) as raised:
        account.keys()
    assert "\n" not in str(raised.value)


def test_a_profile_that_is_chosen_goes_before_keys_in_the_environment(nobody: pytest.MonkeyPatch) -> None:
    nobody.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    nobody.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nobody.setenv("AWS_PROFILE", "other")
    nobody.setenv("AWS_REGION", "us-east-1")
    account.choose("eu-west-3", "work")
    assert account.keys().source == "~/.aws/credentials, the profile work"
    assert account.region_source() == ("eu-west-3", "AWS_REGION")


def test_identity_of_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator() as emulator:
        point_at(monkeypatch, emulator.environment())
        who = account.identity()
        assert who == account.Identity("123456789012", "arn:aws:iam::123456789012:user/emulated")
        assert (who.partition, who.root) == ("aws", False)
        emulator.behaviour.denied = frozenset({"sts:GetCallerIdentity"})
        with pytest.raises(RagError, match="allow sts:GetCallerIdentity"):
            account.identity()


def test_identity_of_motos_sts(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(monkeypatch, {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_STS": moto,
    })  # fmt: skip
    assert account.identity().account == "123456789012"


def test_account_ids_are_masked_and_other_numbers_are_not() -> None:
    assert account.masked("arn:aws:iam::111122223333:user/a in 111122223333") == (
        "arn:aws:iam::********3333:user/a in ********3333"
    )
    assert account.masked("1234567890123 and 20240307") == "1234567890123 and 20240307"
    assert account.masked("arn:aws:iam::111122223333:x", "ACCOUNT") == "arn:aws:iam::ACCOUNT:x"
