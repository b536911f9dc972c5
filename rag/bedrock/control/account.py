"""Who calls AWS, and from where: region, credentials and identity, as every client of `rag` finds them."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rag.bedrock.runtime.client import KEYS, client, explain, missing_keys
from rag.core.errors import RagError

#: botocore's names of where credentials come from (``Credentials.method``), for people.
_SOURCES: Mapping[str, str] = {
    "env": "environment variables", "shared-credentials-file": "~/.aws/credentials",
    "config-file": "~/.aws/config", "sso": "IAM Identity Center (SSO)", "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity token", "container-role": "the container's role",
    "iam-role": "the instance's role", "custom-process": "a credential process", "login": "aws login",
}  # fmt: skip
_ACCOUNT = re.compile(r"(?<!\d)\d{8}(\d{4})(?!\d)")
BEARER = "AWS_BEARER_TOKEN_BEDROCK"
_ADVICE = {
    "AccessDeniedException": "allow sts:GetCallerIdentity, unless a policy denies it on purpose",
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}


@runtime_checkable
class _Expiring(Protocol):
    """botocore's RefreshableCredentials."""

    _expiry_time: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials, by where they come from; never the keys themselves.

    Attributes
    ----------
    source : str
        For people, e.g. ``"environment variables"``.
    temporary : bool
        Whether they have a session token, and so end.
    expires : datetime or None
        In UTC; None where that is not known.
    bearer : bool
        Whether they are a Bedrock API key, with which STS cannot be asked.
    """

    source: str
    temporary: bool = False
    expires: dt.datetime | None = None
    bearer: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the credentials belong to, as STS says."""

    account: str
    arn: str

    @property
    def partition(self) -> str:
        """``aws``, ``aws-us-gov`` or ``aws-cn``."""
        return self.arn.split(":")[1]

    @property
    def root(self) -> bool:
        """Whether it is the account's root user."""
        return self.arn.endswith(":root")


def choose(region: str | None, profile: str | None) -> None:
    """Let every client that this process makes from now on use a region and a profile.

    Keys in the environment would go before the profile, so they are removed from this process.
    """
    if region:
        os.environ["AWS_REGION"] = region
    if profile:
        os.environ["AWS_PROFILE"] = profile
        for name in (*KEYS, BEARER):
            os.environ.pop(name, None)


def region_source() -> tuple[str, str] | None:
    """Return the region of clients without one of their own, and what sets it; None where nothing does.

    Raises
    ------
    RagError
        The profile does not exist, or its file cannot be read.
    """
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if value := os.environ.get(name):
            return value, name
    session = _session()
    region = session.region_name
    if region:
        return str(region), f"the profile {session.profile_name}"
    return None


def keys() -> Keys:
    """Return where the credentials come from.

    Raises
    ------
    RagError
        There are none, they are incomplete, or they cannot be had.
    """
    if os.environ.get(BEARER):
        return Keys(f"{BEARER}, a Bedrock API key", bearer=True)
    if incomplete := missing_keys():
        raise RagError(f"the credentials are incomplete: {incomplete}")
    from botocore.exceptions import BotoCoreError

    session = _session()
    try:
        held = session.get_credentials()
        if held is None:
            raise RagError(f"there are no AWS credentials: {_ADVICE['NoCredentialsError']}")
        temporary = bool(held.get_frozen_credentials().token)
    except BotoCoreError as error:
        raise RagError(explain(error, "AWS", _ADVICE)) from error
    source = _SOURCES.get(held.method, held.method)
    if os.environ.get("AWS_PROFILE") and held.method != "env":
        source = f"{source}, the profile {session.profile_name}"
    return Keys(source, temporary, held._expiry_time if isinstance(held, _Expiring) else None)


def identity(region: str | None = None) -> Identity:
    """Ask STS who the credentials belong to.

    Raises
    ------
    RagError
        STS cannot be asked, or refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        reply = client("sts", region=region, timeout_s=10.0).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise RagError(explain(error, "STS", _ADVICE)) from error
    return Identity(str(reply["Account"]), str(reply["Arn"]))


def masked(text: str, mask: str = r"********\1") -> str:
    """Return a text in which account ids show their last four digits only, or another word instead.

    Examples
    --------
    >>> masked("arn:aws:iam::111122223333:user/ann")
    'arn:aws:iam::********3333:user/ann'
    """
    return _ACCOUNT.sub(mask, text)


def _session() -> Any:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session()
    except BotoCoreError as error:
        raise RagError(explain(error, "AWS")) from error
