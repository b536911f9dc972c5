"""How many tokens a text costs a Claude model, estimated without one.

There is no public tokenizer for Claude 3 and later, so this is an estimate that errs high: one
token for each four letters of a word begun, for each digit pair, sign, and for each character of
scripts that are not alphabetic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ALPHABETIC = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d{1,2}")
_SIGNS = re.compile(r"[^\w\s]|_")
_LATIN = re.compile(r"[\x00-\u024f\u0370-\u052f]+")


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens, high rather than low.

    Examples
    --------
    >>> estimate_tokens("Anyone may declare a SEV-1.")
    10
    """
    count = len(_DIGITS.findall(text)) + len(_SIGNS.findall(text)) + text.count("\n")
    for word in _ALPHABETIC.findall(text):
        if _LATIN.fullmatch(word):
            per = 5 if word.isascii() else 3
            count += -(-len(word) // per)
        else:
            count += 2 * len(word)
    return count


def estimate_all(texts: Sequence[str]) -> list[int]:
    """Estimate the tokens of several texts."""
    return [estimate_tokens(text) for text in texts]
