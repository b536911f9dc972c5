"""Similar questions: off unless a threshold is set, which is measured on pairs that somebody has labelled.

Two questions count as the same if the cosine of their vectors reaches the threshold, and their numbers,
names, negations and words of direction are equal: "7 days" is near to "14 days", and "before" to "after".
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag.core.quantities import missing
from rag.response_cache.entry import Entry
from rag.response_cache.key import Parts
from rag.response_cache.store import ResponseStore

#: Earlier questions that are compared, the newest; their vectors are one value of the store.
MOST = 100
_WORD = re.compile(r"[^\W_]+(?:[-'’./_][^\W_]+)*")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot|except|excluding|unless|besides)\b"
    r"|n['’]t\b", re.IGNORECASE,
)  # fmt: skip
#: What a question asks for; "what", "which" and "how" are exchanged freely.
_ASKED_FOR = frozenset(("who", "whom", "whose", "when", "where", "why"))
#: Words whose opposite makes another question, and is near to them.
_DIRECTIONS = frozenset(
    """
    above add after allow allowed before begin below close decrease disable disabled earliest enable enabled
    end exclude first forbidden from include increase last latest least less maximum minimum more most new
    old open optional over remove required start to under until
""".split()
)
#: Words that may begin a sentence with a capital letter and are no name.
_OPENERS = frozenset(
    """
    a am an and are at can could describe did do does explain for from give has have how i if in is list may
    must name my of on shall should show tell the there to under was were what when where which who whom whose
    why will with would
""".split()
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and whether one answer serves both."""

    a: str
    b: str
    same: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a threshold does on labelled pairs.

    Attributes
    ----------
    threshold : float
        The lowest cosine that keeps to the share of false hits asked for.
    hits, same : int
        Pairs with one answer that it takes for the same, and all such pairs.
    false_hits, different : int
        Pairs with two answers that it takes for the same, and all such pairs.
    """

    threshold: float
    hits: int
    same: int
    false_hits: int
    different: int

    @property
    def false_hit_rate(self) -> float:
        """The share of the pairs with two answers that are taken for the same."""
        return self.false_hits / self.different

    @property
    def false_hit_bound(self) -> float:
        """The upper end of that share's 95 % interval, one-sided (Clopper and Pearson 1934)."""
        return upper_bound(self.false_hits, self.different)

    def __str__(self) -> str:
        """Return the threshold, and what it hits."""
        return (
            f"semantic = {self.threshold:.4f}: takes {self.hits} of {self.same} pairs with one answer for "
            f"the same, and {self.false_hits} of {self.different} with two ({self.false_hit_rate:.1%}; with "
            f"95 % confidence at most {self.false_hit_bound:.1%})"
        )


def calibrate(pairs: Iterable[Pair], vector: Callable[[str], Any], most_false: float = 0.0) -> Calibration:
    """Return the lowest threshold with at most a share of false hits, and what it does.

    Parameters
    ----------
    pairs : iterable of Pair
        Of both kinds; those with two answers should be as near as the questions of your users can be.
    vector : callable
        Embeds a question.
    most_false : float
        The share, in [0, 1), of pairs with two answers that may be taken for the same.

    Raises
    ------
    ValueError
        There are no pairs of one kind.
    """
    rows = [(_cosine(vector(pair.a), vector(pair.b)) if same_facts(pair.a, pair.b) else -1.0, pair.same)
            for pair in pairs]  # fmt: skip
    different = sorted((cosine for cosine, same in rows if not same), reverse=True)
    same = [cosine for cosine, is_same in rows if is_same]
    if not same or not different:
        raise ValueError("pairs of both kinds are needed: some with one answer, some with two")
    first_refused = different[math.floor(most_false * len(different))]
    # Above the first pair that may not hit; rounded up, as it will be written.
    threshold = min(max((math.floor(first_refused * 1e4) + 1) / 1e4, 1e-4), 1.0)
    return Calibration(
        threshold, sum(cosine >= threshold for cosine in same), len(same),
        sum(cosine >= threshold for cosine in different), len(different),
    )  # fmt: skip


def upper_bound(count: int, of: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a share.

    Examples
    --------
    >>> round(upper_bound(0, 100), 4)
    0.0295
    """
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(60):
        share = (low + high) / 2
        below = sum(math.comb(of, n) * share**n * (1 - share) ** (of - n) for n in range(count + 1))
        low, high = (share, high) if below > 1 - confidence else (low, share)
    return high


def same_facts(a: str, b: str) -> bool:
    """Tell whether two questions have the same numbers, names, negations and words of direction.

    Examples
    --------
    >>> same_facts("How long is leave in the US?", "In the US, how long is leave?")
    True
    >>> same_facts("Is it kept for 7 days?", "Is it kept for 14 days?")
    False
    """
    if missing(a, [b]) or missing(b, [a]) or len(_NEGATION.findall(a)) != len(_NEGATION.findall(b)):
        return False
    words = [{word.casefold() for word in _WORD.findall(text)} for text in (a, b)]
    return _names(a) == _names(b) and all(
        words[0] & kind == words[1] & kind for kind in (_ASKED_FOR, _DIRECTIONS)
    )


def _names(text: str) -> set[str]:
    """Return the words with a capital letter or a digit."""
    names = set()
    for match in _WORD.finditer(text):
        word = match.group().removesuffix("'s").removesuffix("’s")
        opens = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1] in ".?!:"
        if any(c.isupper() or c.isdigit() for c in word) and not (opens and word.casefold() in _OPENERS):
            names.add(word.casefold())
    return names - {"i"}


class Neighbours:
    """The questions that were asked before, among those whose keys are otherwise equal.

    Parameters
    ----------
    store : ResponseStore
    threshold : float
    ttl_s : float
    vector : callable
    """

    def __init__(
        self, store: ResponseStore, threshold: float, ttl_s: float, vector: Callable[[str], Any]
    ) -> None:
        self._store, self._threshold, self._ttl_s, self._vector = store, threshold, ttl_s, vector

    def nearest(self, parts: Parts, question: str) -> str | None:
        """Return the key of the nearest question's answer; None where none is near enough."""
        best, key = self._threshold, None
        vector = None
        for asked, encoded, answer in self._read(parts):
            if not same_facts(asked, question):
                continue
            vector = self._vector(question) if vector is None else vector
            cosine = _cosine(vector, np.frombuffer(base64.b64decode(encoded), "<f2"))
            if cosine >= best:
                best, key = cosine, answer
        return key

    def add(self, parts: Parts, question: str, entry: Entry) -> None:
        """Add a question; of two that are added at once one may be lost, which costs a hit."""
        vector = np.asarray(self._vector(question), np.float32)
        unit = vector / (np.linalg.norm(vector) or 1.0)
        row = [question, base64.b64encode(unit.astype("<f2").tobytes()).decode(), entry.key]
        rows = [each for each in self._read(parts) if each[2] != entry.key]
        data = json.dumps([*rows, row][-MOST:], ensure_ascii=False).encode()
        self._store.put(_list_key(parts), data, self._ttl_s)

    def _read(self, parts: Parts) -> Sequence[Sequence[str]]:
        data = self._store.get(_list_key(parts))
        rows: Any = json.loads(data) if data else []
        return [row for row in rows if len(row) == 3]


def _list_key(parts: Parts) -> str:
    return hashlib.sha256(f"near {parts.others}".encode()).hexdigest()


def _cosine(a: Any, b: Any) -> float:
    left, right = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right) or 1.0))
