"""The word policy: words and phrases of the guardrail's own, and a list of profanity.

A word is found whole and whatever its case, the blanks between the words of a phrase whatever they are. AWS's
list of profanity is not public; this one is a short one of English words, with their inflections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rag.bedrock.guardrails.units import Source
from rag.emulator.guardrails.verdict import evaluated

_PROFANITY = re.compile(
    r"(?<!\w)(?:(?:mother|bull|dip|horse)?(?:fuck|shit)(?:s|ed|er|ers|ing|ty|head|heads)?|(?:ass|arse)hole?s?|"
    r"bastards?|bitch(?:es|y)?|bollocks|crap(?:py)?|cunts?|damn(?:ed|it)?|dickheads?|goddamn(?:ed|it)?|"
    r"piss(?:ed)?|pricks?|sluts?|twats?|wank(?:er|ers|ing)?|whores?)(?!\w)",
    re.IGNORECASE,
)


def assessed(policy: Mapping[str, Any], texts: Sequence[str], source: Source) -> dict[str, Any]:
    """Return the GuardrailWordPolicyAssessment of some texts; empty if nothing is found."""
    custom = [
        {"match": match, "action": action, "detected": True}
        for entry, action in evaluated(policy.get("wordsConfig", ()), source)
        for match in _found(_pattern(entry["text"]), texts)
    ]
    managed = [
        {"match": match, "type": entry["type"], "action": action, "detected": True}
        for entry, action in evaluated(policy.get("managedWordListsConfig", ()), source)
        for match in _found(_PROFANITY, texts)
    ]
    return {"customWords": custom, "managedWordLists": managed} if custom or managed else {}


@lru_cache(maxsize=20_000)
def _pattern(word: str) -> re.Pattern[str]:
    phrase = r"\s+".join(map(re.escape, word.split()))
    return re.compile(rf"(?<!\w){phrase}(?!\w)", re.IGNORECASE)


def _found(pattern: re.Pattern[str], texts: Sequence[str]) -> Iterator[str]:
    """Yield what matches, once for each spelling."""
    yield from dict.fromkeys(match[0] for text in texts for match in pattern.finditer(text))
