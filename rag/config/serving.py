"""``[serving]`` of ``rag.toml``: who may call the service, and how it runs (`rag.serving`).

::

    [serving.auth]
    use = "tokens"                    # or "keys", the default: `rag keys add`
    issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
    audience = "1example23456789"
    where = "department in {cognito:groups}"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from rag.core.errors import ConfigError
from rag.usage.settings import Dollars, Settings, checked

_Count = Field(default=None, ge=1, description="a whole number from 1")


class AuthSettings(Settings):
    """Who may call.

    Attributes
    ----------
    use : {"keys", "tokens"}
        API keys (`rag.serving.keys`), or signed tokens of an OpenID Connect provider (`rag.serving.tokens`).
    path : str
        The file of the keys; by default ``keys.sqlite`` in the index's folder.
    issuer, audience, jwks, where, tenant, algorithms, leeway_s, token_use
        See `rag.serving.tokens.TokenAuthenticator`.
    failures_per_minute : int
        After so many failures of a client's address it is refused for a while; 0 refuses none.
    requests_per_minute, tokens_per_day, usd_per_day
        Limits of each caller with a token; those of a key are its own.
    """

    use: Literal["keys", "tokens"] = Field(default="keys", description='"keys" or "tokens"')
    path: str = Field(default="", description="a path")
    issuer: str = Field(default="", description="the URL of the provider")
    audience: str = Field(default="", description="a text")
    jwks: str = Field(default="", description="a URL or a path")
    where: str = Field(default="", description="a filter, with claims in braces")
    tenant: str = Field(default="sub", description="the name of a claim")
    algorithms: tuple[str, ...] = Field(default=("RS256", "ES256"), description="a list of algorithms")
    leeway_s: float = Field(default=30.0, ge=0, le=300, description="a number of seconds from 0 to 300")
    token_use: Literal["", "access", "id"] = Field(default="", description='"access" or "id"')
    failures_per_minute: int = Field(default=30, ge=0, description="a whole number from 0")
    requests_per_minute: int | None = _Count
    tokens_per_day: int | None = _Count
    usd_per_day: Dollars | None = Field(default=None, description="a number of dollars from 0")


class ServingSettings(Settings):
    """How an index is served.

    Attributes
    ----------
    auth : mapping
        See `AuthSettings`.
    """

    auth: AuthSettings = Field(default=AuthSettings(), description="a table, [serving.auth]")


def settings(value: Any) -> ServingSettings:
    """Return the settings of a service.

    Raises
    ------
    ConfigError
        A name is unknown, a value is refused, or tokens are asked for without an issuer and an audience.
    """
    if not isinstance(value, Mapping):
        raise ConfigError("[serving] is a table")
    table = dict(value)
    auth = checked(AuthSettings, table.pop("auth", {}), "[serving.auth]")
    if auth.use == "tokens" and not (auth.issuer and auth.audience):
        raise ConfigError("[serving.auth] with tokens needs an issuer and an audience")
    return checked(ServingSettings, {**table, "auth": auth}, "[serving]")
