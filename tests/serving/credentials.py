"""Credentials that open nothing, and some that are mixed with one that does: what an attacker may try.

An attacker has a tenant's valid key, the ids of all keys, and old keys of every tenant: expired, revoked, and
from before a rotation.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rag.serving.keys import KeyStore, id_of, new_key
from tests.serving.tenants import Corpus, Tenant

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Credential:
    """What a request says of who sends it."""

    kind: str
    headers: Headers
    #: Whether it is the tenant's own; all else must be refused.
    own: bool


#: Makes the credential of a request of one tenant, which would be another one.
Draw = Callable[[random.Random, Tenant, Tenant], Credential]


class Credentials:
    """All keys that there are and were."""

    def __init__(self, corpus: Corpus, store: KeyStore) -> None:
        self.valid: dict[str, str] = {}
        self._old: dict[str, dict[str, str]] = {"expired": {}, "revoked": {}, "rotated": {}}
        for tenant in corpus.tenants:
            seen = {"tenant": tenant.name, "where": tenant.where}
            now = time.time()
            self._old["expired"][tenant.name] = store.add(f"{tenant.name}-e", **seen, expires=now - 60)[1]  # type: ignore[arg-type]
            key, self._old["revoked"][tenant.name] = store.add(f"{tenant.name}-r", **seen)  # type: ignore[arg-type]
            store.revoke(key.id)
            key, self._old["rotated"][tenant.name] = store.add(tenant.name, **seen)  # type: ignore[arg-type]
            _, self.valid[tenant.name] = store.rotate(key.id)

    def draw(self, rng: random.Random, own: Tenant, other: Tenant) -> Credential:
        """Three in five times the tenant's own; else one that is no key, or several at once."""
        if rng.random() < 0.6:
            return Credential("own", bearer(self.valid[own.name]), True)
        kind = rng.choice(sorted(_WRONG))
        return _WRONG[kind](
            rng, self.valid[own.name], self._one_of(rng, other), id_of(self.valid[other.name]) or ""
        )

    def _one_of(self, rng: random.Random, other: Tenant) -> str:
        kinds: Mapping[str, Mapping[str, str]] = self._old
        return kinds[rng.choice(sorted(kinds))][other.name]


def bearer(key: str) -> Headers:
    return [("authorization", f"Bearer {key}")]


def _changed(rng: random.Random, key: str) -> str:
    at = rng.randrange(len(key))
    return key[:at] + rng.choice("0z_X") + key[at + 1 :]


def _forged(rng: random.Random, own: str, old: str, id: str) -> Credential:
    return Credential("forged", bearer(new_key(id)[1]), False)


def _stale(rng: random.Random, own: str, old: str, id: str) -> Credential:
    return Credential("old", rng.choice([bearer(old), [("x-api-key", old)]]), False)


def _cut(rng: random.Random, own: str, old: str, id: str) -> Credential:
    wrong = rng.choice(
        [own[:-1], own + "0", f"{own},{old}", f"{own} {old}", own.upper(), old[:15] + own[15:], own[:15] + old[15:], ""]
    )  # fmt: skip
    return Credential("cut", bearer(wrong), False)


def _mistyped(rng: random.Random, own: str, old: str, id: str) -> Credential:
    changed = _changed(rng, own)
    return Credential("mistyped", bearer(changed), changed == own)


def _twice(rng: random.Random, own: str, old: str, id: str) -> Credential:
    """Two of one header: which of them counts nobody may have to guess, so none does."""
    keys = [own, rng.choice([old, new_key(id)[1]])]
    rng.shuffle(keys)
    name, start = rng.choice([("authorization", "Bearer "), ("x-api-key", "")])
    return Credential("twice", [(name, start + key) for key in keys], False)


def _mixed(rng: random.Random, own: str, old: str, id: str) -> Credential:
    """Two headers: the bearer counts, also where it is none and the other one is valid."""
    wrong = rng.choice([old, new_key(id)[1]])
    if rng.random() < 0.5:
        return Credential("mixed", [*bearer(own), ("x-api-key", wrong)], True)
    return Credential("mixed", [*bearer(wrong), ("x-api-key", own)], False)


def _elsewhere(rng: random.Random, own: str, old: str, id: str) -> Credential:
    """In headers that proxies and other services read; the valid one is where it belongs, or missing."""
    name = rng.choice(["cookie", "proxy-authorization", "x-amz-security-token", "x-forwarded-authorization"])
    more = [(name, rng.choice([old, f"Bearer {own}"]))]
    return rng.choice(
        [Credential("elsewhere", more, False), Credential("elsewhere", [*more, ("x-api-key", own)], True)]
    )


def _other_scheme(rng: random.Random, own: str, old: str, id: str) -> Credential:
    text = rng.choice([f"Basic {own}", own, f"Bearer{own}", f"Token {own}", "Bearer", f"bearer  {own}"])
    return Credential("scheme", [("authorization", text)], text.startswith("bearer  "))


_WRONG: Mapping[str, Callable[[random.Random, str, str, str], Credential]] = {
    "forged": _forged, "old": _stale, "cut": _cut, "mistyped": _mistyped, "twice": _twice, "mixed": _mixed,
    "elsewhere": _elsewhere, "scheme": _other_scheme,
}  # fmt: skip
