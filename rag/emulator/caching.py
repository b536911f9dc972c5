"""The prompt cache: which prefixes of prompts were seen before, and until when they are kept."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rag.usage.tokens import estimate_tokens

TTL_S = {"5m": 300.0, "1h": 3600.0}
#: Fewest tokens of a prefix, for models that `rag.bedrock.models` does not know.
MINIMUM = 1024


@dataclass(frozen=True, slots=True)
class Cached:
    """The cache reads and writes of one prompt.

    Attributes
    ----------
    read : int
        Tokens of the longest prefix in the cache.
    written : tuple of (str, int)
        Time to live and tokens of every further prefix, now in the cache.
    """

    read: int
    written: tuple[tuple[str, int], ...]


class PromptCache:
    """A cache of prompt prefixes, by hash, with a time to live.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def use(self, params: Mapping[str, Any], model: str, minimum: int | None) -> Cached:
        """Read and write the prefixes that a Converse request's cache points mark.

        Parameters
        ----------
        params : Mapping
            The request; prompts order tools, system prompt, messages.
        model : str
        minimum : int, optional
            Fewest tokens of a prefix; a shorter one is ignored silently, as on Bedrock. None if the
            model has no prompt cache.
        """
        if not any("cachePoint" in block for block in prompt_blocks(params)):
            return Cached(0, ())
        now = self._clock()
        read, before = 0, 0
        written: list[tuple[str, int]] = []
        with self._lock:
            for key, tokens, ttl in _prefixes(params, model):
                if minimum is None or tokens < minimum:
                    continue
                if self._until.get(key, 0.0) > now:
                    read, before, written = tokens, tokens, []
                else:
                    written.append((ttl, tokens - before))
                    before = tokens
                self._until[key] = now + TTL_S[ttl]
        return Cached(read, tuple(written))


def _prefixes(params: Mapping[str, Any], model: str) -> Iterator[tuple[bytes, int, str]]:
    """Yield the hash, the tokens and the time to live of the prefix before every cache point."""
    digest, tokens = hashlib.sha256(model.encode()), 0
    for block in prompt_blocks(params):
        if "cachePoint" in block:
            yield digest.digest(), tokens, block["cachePoint"].get("ttl", "5m")
        else:
            digest.update(json.dumps(block, sort_keys=True, default=repr).encode())
            tokens += block_tokens(block, model)


def prompt_blocks(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a prompt's blocks in the model's order: tools, system, messages."""
    yield from params.get("toolConfig", {}).get("tools", ())
    yield from params.get("system", ())
    for message in params.get("messages", ()):
        yield from message["content"]


def block_tokens(block: Any, model: str) -> int:
    """Estimate the tokens of a block: those of its texts, and one per 750 bytes of an image."""
    if isinstance(block, str):
        return estimate_tokens(block, model)
    if isinstance(block, bytes):
        return len(block) // 750
    if isinstance(block, Mapping):
        if "toolSpec" in block:
            return estimate_tokens(json.dumps(block["toolSpec"]), model)
        return sum(block_tokens(value, model) for value in block.values())
    if isinstance(block, list | tuple):
        return sum(block_tokens(value, model) for value in block)
    return 0
