"""Settings to who may call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.config.serving import AuthSettings
from rag.serving.callers import Authenticator, Limits
from rag.serving.keys import NAME, KeyAuthenticator, KeyStore
from rag.serving.limits import Limiter

if TYPE_CHECKING:
    from rag.serving.tokens import TokenAuthenticator


def key_store(settings: AuthSettings, folder: Path) -> KeyStore:
    """Return the file of the keys, and of what callers have spent; by default in an index's folder."""
    return KeyStore(settings.path or folder / NAME)


def needs_callers(settings: Mapping[str, Any], store: KeyStore) -> bool:
    """Tell whether callers must say who they are: if [serving.auth] is set, or there ever was a key.

    That the last key expired or was revoked opens no door.

    Parameters
    ----------
    settings : mapping
        The table [serving] of rag.toml.
    store : KeyStore
    """
    return "auth" in settings or bool(store.all())


def authenticator(
    settings: AuthSettings, folder: Path, state: Path | None = None
) -> tuple[Authenticator, Limiter]:
    """Return who may call by ``[serving.auth]``, and what holds their limits.

    Parameters
    ----------
    settings : AuthSettings
    folder : Path
        The index's, which holds the keys where the settings name no file.
    state : Path, optional
        Where it is counted what callers spend; by default beside the keys.

    Raises
    ------
    ConfigError
        A setting cannot be used.
    """
    store = key_store(settings, folder)
    limiter = Limiter(state or store.path.parent)
    if settings.use == "keys":
        return KeyAuthenticator(store), limiter
    return token_authenticator(settings), limiter


def token_authenticator(settings: AuthSettings) -> TokenAuthenticator:
    """Return who may call by tokens.

    Raises
    ------
    ConfigError
        A setting cannot be used.
    """
    from rag.serving.tokens import TokenAuthenticator

    limits = Limits(settings.requests_per_minute, settings.tokens_per_day, settings.usd_per_day)
    return TokenAuthenticator(
        settings.issuer, settings.audience, jwks=settings.jwks, where=settings.where, tenant=settings.tenant,
        algorithms=settings.algorithms, leeway_s=settings.leeway_s, limits=limits,
        token_use=settings.token_use,
    )  # fmt: skip
