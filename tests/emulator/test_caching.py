"""The prompt cache."""

from __future__ import annotations

from typing import Any

from rag.emulator.caching import PromptCache
from rag.usage.tokens import estimate_tokens
from tests.emulator.conftest import CLAUDE, QUESTION, user


def test_cache_is_written_read_and_skipped_below_the_minimum(client: Any) -> None:
    long = {"text": "The handbook says this and that. " * 200}
    request = {
        "modelId": CLAUDE, "messages": user(QUESTION),
        "system": [long, {"cachePoint": {"type": "default", "ttl": "1h"}}],
    }  # fmt: skip
    first, second = (client.converse(**request)["usage"] for _ in range(2))
    tokens = estimate_tokens(long["text"], CLAUDE)
    assert (first["cacheWriteInputTokens"], first["cacheReadInputTokens"]) == (tokens, 0)
    assert first["cacheDetails"] == [{"ttl": "1h", "inputTokens": tokens}]
    assert (second["cacheWriteInputTokens"], second["cacheReadInputTokens"]) == (0, tokens)
    assert (
        first["totalTokens"] == second["totalTokens"] == first["inputTokens"] + tokens + first["outputTokens"]
    )
    short = client.converse(
        **{**request, "system": [{"text": "Short."}, {"cachePoint": {"type": "default"}}]}
    )
    assert short["usage"]["cacheWriteInputTokens"] == 0


def test_prefix_expires_and_longer_prefixes_pay_the_difference() -> None:
    now = [0.0]
    cache = PromptCache(lambda: now[0])
    point, part = {"cachePoint": {"type": "default"}}, {"text": "word " * 300}
    short = {"system": [part, point], "messages": []}
    both = {"system": [part, point, part, point], "messages": []}
    tokens = cache.use(short, CLAUDE, 100).written[0][1]
    assert cache.use(both, CLAUDE, 100) == type(cache.use(short, CLAUDE, None))(tokens, (("5m", tokens),))
    now[0] = 299.0
    assert cache.use(short, CLAUDE, 100).read == tokens  # and is kept for five minutes more
    now[0] = 590.0
    assert cache.use(short, CLAUDE, 100).read == tokens
    now[0] = 891.0
    assert cache.use(short, CLAUDE, 100).written == (("5m", tokens),)
    assert cache.use(short, "anthropic.claude-opus-5-5", 100).read == 0  # another model's
    assert cache.use(short, CLAUDE, None).written == ()
