"""A provider's public keys (JWKS, RFC 7517), from a URL or a file."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rag.core.errors import ConfigError, RagError
from rag.core.extras import require

#: Bytes of a key set, and seconds to fetch it, at most; seconds that a request waits for a key that the set
#: did not have before.
_MOST_BYTES, _FETCH_S, _WAIT_S = 1 << 20, 5.0, 1.0
#: Seconds for which keys are not fetched again; between two fetches that unknown keys cause; and for which
#: keys hold while the provider cannot be reached, as it may have withdrawn one.
_KEEP_S, _BETWEEN_S, _MOST_AGE_S = 3600.0, 30.0, 86_400.0
#: The kinds of asymmetric keys (RFC 7518 and 8037), and the fewest bits of RSA (RFC 7518, 3.3).
_KINDS, _FEWEST_BITS = ("RSA", "EC", "OKP"), 2048
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, and the algorithm that it is for; empty where the set does not say."""

    key: Any
    algorithm: str = ""


class KeySet:
    """A provider's public keys; threads may share it.

    Keys are fetched by a thread of their own: a provider that is slow delays no caller whose key is known.

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
        if "://" in place and url.scheme != "https" and not (url.scheme == "http" and local):
            raise ConfigError(f"the key set {place} is not fetched without encryption: give an https:// URL")
        self.place, self.is_url = place, url.scheme in ("http", "https")
        self._lock = threading.Lock()
        self._keys: dict[str, PublicKey] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: threading.Thread | None = None

    def key(self, name: str) -> PublicKey | None:
        """Return a key by its id; None if the set does not have it, or cannot be fetched."""
        with self._lock:
            now = time.monotonic()
            age, since = now - self._fetched, now - self._tried
            known = self._keys.get(name) if age <= _MOST_AGE_S else None
            old = age > (_KEEP_S if self.is_url else _BETWEEN_S)
            busy = self._fetching is not None and self._fetching.is_alive()
            if (old or known is None) and not busy and since > (_BETWEEN_S if self._keys else 1.0):
                self._tried = now
                self._fetching = threading.Thread(target=self._fetch, daemon=True, name="rag-key-set")
                self._fetching.start()
            fetching, wait_s = self._fetching, _WAIT_S if self._keys else _FETCH_S
        if known is not None:
            return known
        if fetching is not None:
            fetching.join(wait_s)
        with self._lock:
            return self._keys.get(name) if time.monotonic() - self._fetched <= _MOST_AGE_S else None

    def _fetch(self) -> None:
        try:
            keys = self.read()
        except RagError as error:  # what is known still holds for a while
            _LOG.warning("%s", error)
            return
        with self._lock:
            self._keys, self._fetched = keys, time.monotonic()

    def read(self) -> dict[str, PublicKey]:
        """Return the usable keys as they are now, by id.

        Raises
        ------
        RagError
            The set cannot be fetched or read, or has no usable key.
        """
        try:
            keys = _usable(json.loads(self._data()))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            cause = " ".join(str(error).split())[:200] or type(error).__name__
            raise RagError(
                f"cannot read the key set {self.place} ({cause}): check jwks in [serving.auth]"
            ) from None
        if not keys:
            raise RagError(f"the key set {self.place} has no key to check signatures with: name another one")
        return keys

    def _data(self) -> bytes:
        if not self.is_url:
            with Path(self.place).open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        else:
            data, until = b"", time.monotonic() + _FETCH_S
            with urllib.request.build_opener(_NoRedirect).open(self.place, timeout=_FETCH_S) as reply:
                while part := reply.read1(1 << 16):
                    data += part
                    if time.monotonic() > until:
                        raise ValueError(f"it takes over {_FETCH_S:g} s")
                    if len(data) > _MOST_BYTES:
                        break
        if len(data) > _MOST_BYTES:
            raise ValueError("it is larger than 1 MB")
        return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key set stands where the settings say, and nowhere else."""

    def redirect_request(self, *args: Any) -> None:
        """Follow none."""
        return


def _usable(key_set: Mapping[str, Any]) -> dict[str, PublicKey]:
    """Return a set's keys for signatures, by id: asymmetric, of a known kind, and not too short."""
    jwt = require("jwt", extra="serve")
    rsa = require("cryptography.hazmat.primitives.asymmetric.rsa", extra="serve")
    found = {}
    for each in key_set["keys"]:
        if (
            not isinstance(each, Mapping)
            or not isinstance(each.get("kid"), str)
            or each.get("kty") not in _KINDS
            or each.get("use", "sig") != "sig"
        ):
            continue
        try:
            key = jwt.PyJWK(dict(each)).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # of a kind that is not known here
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _FEWEST_BITS:
            continue
        algorithm = each.get("alg")
        found[each["kid"]] = PublicKey(key, algorithm if isinstance(algorithm, str) else "")
    return found
