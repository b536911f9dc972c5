"""Callers by signed tokens (JWT) of an OpenID Connect provider, such as Amazon Cognito.

A token is taken if an asymmetric algorithm of the settings signed it with a key of the provider's set (JWKS),
it is for this service, and in force. Its claims make the caller's filter: a template with the names of claims
in braces, whose values become literals of the filter and can be nothing else. A claim that is missing refuses
the caller. Every refusal says the same.

The rules are those of RFC 8725 (JSON Web Token Best Current Practices); Cognito's claims are those of
https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag.core.errors import AuthError, ConfigError, WhereError
from rag.core.extras import require
from rag.index.filters.parse import parse
from rag.index.filters.where import Where
from rag.serving.callers import NO_LIMITS, Caller, Limits
from rag.serving.keys import credential

#: What every refusal says.
REFUSED = "the access token is missing or not valid"
#: Algorithms that a setting may name: none of them can be made with a key that is public.
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Characters of a token, bytes of a key set, and seconds to fetch it, at most.
_MOST_TOKEN, _MOST_KEYS, _FETCH_S = 16_384, 1 << 20, 5.0
#: Seconds for which keys are kept, and between two fetches that a token with an unknown key causes.
_KEEP_S, _BETWEEN_S = 3600.0, 30.0
_CLAIM = re.compile(r"\{([^{}]+)\}")
#: Most characters of a claim, and values of a claim that is a list.
_MOST_CLAIM, _MOST_VALUES = 1000, 200


class KeySet:
    """A provider's public keys, from a URL or a file; threads may share it.

    Parameters
    ----------
    place : str
        ``https://…``, or a path; ``http`` only from this machine.

    Raises
    ------
    ConfigError
        The URL is of another kind.
    """

    def __init__(self, place: str) -> None:
        url = urlsplit(place)
        local = url.hostname in ("127.0.0.1", "localhost", "::1")
        if url.scheme in ("http", "ftp") and not (url.scheme == "http" and local):
            raise ConfigError(f"the key set {place} is not fetched without encryption: give an https:// URL")
        self._place, self._is_url = place, url.scheme in ("http", "https")
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")

    def key(self, name: str) -> Any:
        """Return a key by its id; None if the set does not have it.

        A set that cannot be fetched anew keeps serving the keys that it had.
        """
        with self._lock:
            now = time.monotonic()
            old = now - self._fetched > _KEEP_S
            if (old or name not in self._keys) and now - self._tried > (_BETWEEN_S if self._keys else 1.0):
                self._tried = now
                try:
                    self._keys = self._read()
                    self._fetched = now
                except (OSError, ValueError, KeyError, TypeError):
                    pass  # the provider is down: what is known still holds
            return self._keys.get(name)

    def _read(self) -> dict[str, Any]:
        jwt = require("jwt", extra="serve")
        if self._is_url:
            opener = urllib.request.build_opener(_NoRedirect)
            with opener.open(self._place, timeout=_FETCH_S) as reply:
                data = reply.read(_MOST_KEYS + 1)
        else:
            data = Path(self._place).read_bytes()
        if len(data) > _MOST_KEYS:
            raise ValueError("the key set is too large")
        found = {}
        for each in json.loads(data)["keys"]:
            if (
                isinstance(each, Mapping)
                and isinstance(each.get("kid"), str)
                and each.get("use", "sig") == "sig"
            ):
                try:
                    found[each["kid"]] = jwt.PyJWK(dict(each)).key
                except jwt.PyJWTError:
                    continue  # of a kind that is not known here
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key set stands where the settings say, and nowhere else."""

    def redirect_request(self, *args: Any) -> None:
        """Follow none."""
        return


class TokenAuthenticator:
    """Callers by their tokens.

    Parameters
    ----------
    issuer : str
        As the claim ``iss`` has it.
    audience : str
        As ``aud``, or as ``client_id`` of Cognito's access tokens.
    jwks : str, optional
        The key set's URL or file; by default ``ISSUER/.well-known/jwks.json``, as Cognito's.
    where : str
        A filter with claims in braces: ``department in {cognito:groups}``; empty lets every caller see all.
    tenant : str
        A claim's name.
    algorithms : sequence of str
        Of `ASYMMETRIC`.
    leeway_s : float
        Seconds by which clocks may differ.
    limits : Limits
        Of each caller.

    Raises
    ------
    ConfigError
        An algorithm is none of `ASYMMETRIC`, or the template is no filter.

    Examples
    --------
    >>> TokenAuthenticator("https://issuer.example", "rag", where="department in {groups}")  # doctest: +SKIP
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks: str = "",
        where: str = "",
        tenant: str = "sub",
        algorithms: Sequence[str] = ("RS256", "ES256"),
        leeway_s: float = 30.0,
        limits: Limits = NO_LIMITS,
    ) -> None:
        if bad := [each for each in algorithms if each not in ASYMMETRIC]:
            raise ConfigError(f"tokens signed by {bad[0]} are not taken: use {', '.join(ASYMMETRIC)}")
        self._jwt = require("jwt", extra="serve")
        self._issuer, self._audience, self._tenant = issuer, audience, tenant
        self._algorithms, self._leeway_s, self._limits = list(algorithms), leeway_s, limits
        self._keys = KeySet(jwks or f"{issuer.rstrip('/')}/.well-known/jwks.json")
        self._where = where
        if where:
            try:  # with any value the template must be a filter
                parse(_CLAIM.sub("['x']", where) if " in {" in where else _CLAIM.sub("'x'", where))
            except WhereError as error:
                raise ConfigError(f"the filter {where!r} of callers: {error}") from None

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return whose token the headers have.

        Raises
        ------
        AuthError
            There is none, or it is not valid; the text is always the same.
        """
        token = credential(headers)
        if token is None or len(token) > _MOST_TOKEN:
            raise AuthError(REFUSED)
        try:
            claims = self._claims(token)
            tenant = _value(claims, self._tenant)
            if not isinstance(tenant, str) or not tenant:
                raise AuthError(REFUSED)
            return Caller(str(claims["sub"]), tenant, self._filter(claims), self._limits)
        except (self._jwt.PyJWTError, KeyError, TypeError, ValueError, WhereError):
            raise AuthError(REFUSED) from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        header = self._jwt.get_unverified_header(token)
        name = header.get("kid")
        if header.get("alg") not in self._algorithms or not isinstance(name, str) or header.get("crit"):
            raise AuthError(REFUSED)
        key = self._keys.key(name)
        if key is None:
            raise AuthError(REFUSED)
        required = ["exp", "iss", "sub"]
        claims: dict[str, Any] = self._jwt.decode(
            token, key, algorithms=self._algorithms, issuer=self._issuer, leeway=self._leeway_s,
            options={"require": required, "verify_aud": False},
        )  # fmt: skip
        if claims.get("token_use") == "access":  # Cognito's access tokens name the client, not an audience
            meant = claims.get("client_id") == self._audience
        else:
            audience = claims.get("aud")
            meant = self._audience in (audience if isinstance(audience, list) else [audience])
        if not meant:
            raise AuthError(REFUSED)
        return claims

    def _filter(self, claims: Mapping[str, Any]) -> Where | None:
        """Return the caller's filter: each claim as a literal, which nothing in it can end."""
        if not self._where:
            return None
        return parse(_CLAIM.sub(lambda match: _literal(_value(claims, match[1])), self._where))


def _value(claims: Mapping[str, Any], name: str) -> Any:
    if name not in claims:
        raise AuthError(REFUSED)
    return claims[name]


def _literal(value: Any) -> str:
    """Return a claim as a literal of a filter; lists are of texts.

    Raises
    ------
    ValueError
        It is of another kind, or too long.
    """
    if isinstance(value, list):
        if len(value) > _MOST_VALUES or not all(isinstance(each, str) for each in value):
            raise ValueError("no list of texts")
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool | int | float):
        return repr(value)
    if not isinstance(value, str) or len(value) > _MOST_CLAIM:
        raise ValueError("no text")
    return repr(value)
