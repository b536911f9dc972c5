"""Callers by signed tokens (JWT) of an OpenID Connect provider, such as Amazon Cognito.

A token is taken if an asymmetric algorithm of the settings signed it with a key of the provider's set (JWKS),
it is for this service, and in force. Its claims make the caller's filter (`rag.serving.claims`). A claim that
is missing refuses the caller. Every refusal says the same.

The rules are those of RFC 8725 (JSON Web Token Best Current Practices); Cognito's claims are those of
https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.core.errors import AuthError, ConfigError
from rag.core.extras import require
from rag.serving.callers import NO_LIMITS, Caller, Limits
from rag.serving.claims import ClaimFilter
from rag.serving.key_set import KeySet
from rag.serving.keys import credential

#: What every refusal says.
REFUSED = "the access token is missing or not valid"
#: Algorithms that a setting may name: none of them can be made with a key that is public.
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
#: Most characters of a token, and of the names in it that are kept: subject and tenant.
_MOST_TOKEN, _MOST_NAME = 16_384, 256


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
        With claims in braces, without quotes (`rag.serving.claims`); without a filter every caller sees all.
    tenant : str
        A claim's name, in braces or not.
    algorithms : sequence of str
        Of `ASYMMETRIC`.
    leeway_s : float
        Seconds by which clocks may differ.
    limits : Limits
        Of each caller.
    token_use : str
        Which of Cognito's tokens are taken: ``"access"`` or ``"id"``; by default both.

    Attributes
    ----------
    key_set : KeySet
    filter : ClaimFilter or None

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
        token_use: str = "",
    ) -> None:
        if bad := [each for each in algorithms if each not in ASYMMETRIC]:
            raise ConfigError(f"tokens signed by {bad[0]} are not taken: use {', '.join(ASYMMETRIC)}")
        self._jwt = require("jwt", extra="serve")
        self._issuer, self._audience, self._tenant = issuer, audience, tenant.strip("{}")
        self._algorithms, self._leeway_s, self._limits = list(algorithms), leeway_s, limits
        self._token_use = token_use
        self.key_set = KeySet(jwks or f"{issuer.rstrip('/')}/.well-known/jwks.json")
        self.filter = ClaimFilter(where) if where else None

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
            where = None if self.filter is None else self.filter.bound(claims)
            return Caller(_name(claims, "sub"), _name(claims, self._tenant), where, self._limits)
        # Of a token's JSON anything may come: nesting beyond Python's stack, infinite moments.
        except (self._jwt.PyJWTError, AuthError, ArithmeticError, RecursionError, TypeError, ValueError):
            raise AuthError(REFUSED) from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        header = self._jwt.get_unverified_header(token)
        name, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in self._algorithms or not isinstance(name, str) or "crit" in header:
            raise AuthError(REFUSED)
        key = self.key_set.key(name)
        if key is None or key.algorithm not in ("", algorithm):
            raise AuthError(REFUSED)
        claims: dict[str, Any] = self._jwt.decode(
            token, key.key, algorithms=self._algorithms, issuer=self._issuer, leeway=self._leeway_s,
            options={"require": ["exp", "iss", "sub"], "verify_aud": False},
        )  # fmt: skip
        use = claims.get("token_use")  # only Cognito's tokens have it
        if self._token_use and use != self._token_use:
            raise AuthError(REFUSED)
        if use == "access":  # Cognito's access tokens name the client, not an audience
            meant = claims.get("client_id") == self._audience
        else:
            audience = claims.get("aud")
            meant = self._audience in (audience if isinstance(audience, list) else [audience])
        if not meant or use not in (None, "access", "id"):
            raise AuthError(REFUSED)
        return claims


def _name(claims: Mapping[str, Any], claim: str) -> str:
    """Return a claim that names someone."""
    value = claims.get(claim)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_NAME:
        raise AuthError(REFUSED)
    return value
