"""Who may call the service of an index: its keys, or the provider of its tokens, and what each sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.errors import WhereError, near_miss
from rag.core.findings import Finding, checked, ok

if TYPE_CHECKING:
    from rag.config.serving import AuthSettings
    from rag.index.index import Index
    from rag.serving.keys import Key

#: Days before its end from which on a key is named.
_SOON_DAYS = 14


def findings(index: Path | None, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Check callers; nothing where there are neither keys nor settings for them."""
    from rag.config import serving
    from rag.core.errors import ConfigError
    from rag.serving.keys import NAME

    try:
        auth = serving.settings(settings.get("serving", {})).auth
    except ConfigError as error:
        yield Finding("[serving]", "fail", str(error), "correct rag.toml")
        return
    if auth.use == "tokens":
        yield from checked("tokens", lambda: _tokens(auth, index))
        return
    path = Path(auth.path) if auth.path else index / NAME if index else None
    if path is not None and path.exists():
        yield from checked("keys", lambda: _keys(path, index))


def _keys(path: Path, index: Path | None) -> Iterator[Finding]:
    import time
    from collections import Counter

    from rag.index.index import Index
    from rag.serving.keys import KeyStore

    if (mode := path.stat().st_mode & 0o777) & 0o077:
        yield Finding("keys", "fail", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    keys = KeyStore(path).all()
    states = Counter(key.state() for key in keys)
    text = ", ".join(f"{states[state]} {state}" for state in ("valid", "expired", "revoked") if states[state])
    yield ok("keys", f"{path}: {text or 'none'}")
    opened = None if index is None else Index.open(index)
    for key in keys:
        if key.state() != "valid":
            continue
        if key.expires is not None and (days := (key.expires - time.time()) / 86_400) < _SOON_DAYS:
            text = f"{key.name} ({key.id}) expires in {days:.0f} days"
            yield Finding("key", "warn", text, "add a new one in time")
        if opened is not None and key.where:
            yield from _view(opened, key)


def _view(index: Index, key: Key) -> Iterator[Finding]:
    from rag.serving.view import view

    who = f"{key.name} ({key.id})"
    try:
        seen = view(index, key.caller.where)
    except WhereError as error:
        yield Finding("key", "fail", f"{who}: {error}", "every request of it fails: add a key that fits")
        return
    if not seen.chunks:
        yield Finding("key", "warn", f"{who} sees nothing of this index: {key.where}", "check its filter")
    else:
        yield ok("key", f"{who} sees {seen}")


def _tokens(auth: AuthSettings, index: Path | None) -> Iterator[Finding]:
    from rag.index.index import Index
    from rag.serving.authenticators import token_authenticator

    tokens = token_authenticator(auth)
    if tokens.key_set.is_url:
        text = f"{tokens.key_set.place} is fetched with the first token"
        yield Finding("key set", "skip", text, "nothing is sent from here")
    else:
        yield ok("key set", f"{tokens.key_set.place}: {len(tokens.key_set.read())} keys")
    if tokens.filter is None:
        yield Finding("[serving.auth]", "warn", "every caller sees every document", "set where")
        return
    schema = {} if index is None else Index.open(index).schema
    unknown = sorted(tokens.filter.sample.fields().difference(schema)) if index else []
    if unknown:
        text = f"where names the field {unknown[0]!r}, which the index lacks: {near_miss(unknown[0], schema)}"
        yield Finding("[serving.auth]", "fail", text, "every request fails: correct where")
    else:
        yield ok("[serving.auth]", f"callers see what matches {auth.where}")
