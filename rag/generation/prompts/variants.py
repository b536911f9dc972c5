"""Prompts that are compared on users: each user always gets the same one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rag.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Variants:
    """Prompts by the names under which they are set, each with its share of the users.

    Attributes
    ----------
    prompts : mapping of str to prompt
    weights : mapping of str to float
        Shares, by name; any unit.

    Examples
    --------
    >>> variants = Variants({"a": "one", "b": "another"}, {"a": 0.5, "b": 0.5})
    >>> [variants.of(f"user {number}") for number in range(8)]
    ['a', 'b', 'a', 'a', 'a', 'b', 'b', 'a']
    """

    prompts: Mapping[str, Any]
    weights: Mapping[str, float]

    @property
    def name(self) -> str:
        """All their names."""
        return " | ".join(sorted(self.prompts))

    @property
    def hash(self) -> str:
        """None: each has its own."""
        return ""

    def of(self, key: str) -> str:
        """Return the name of a user's variant.

        The names, sorted, divide the interval from 0 to 1 by their weights; SHA-256 of all names and the
        key is a point in it. So other weights move users in one direction only, another set of names
        deals anew, and a changed text of a prompt moves nobody.
        """
        names = sorted(self.prompts)
        digest = hashlib.sha256("\0".join([*names, key]).encode()).digest()
        point = int.from_bytes(digest[:7], "big") / 256**7 * sum(self.weights.values())
        passed = 0.0
        for name in names:
            passed += self.weights[name]
            if point < passed:
                return name
        return next(name for name in reversed(names) if self.weights[name])

    def each(self, change: Callable[[Any], Any]) -> Variants:
        """Return the variants with each prompt replaced by what a function makes of it."""
        return Variants({name: change(prompt) for name, prompt in self.prompts.items()}, self.weights)


def weights_of(value: Any) -> dict[str, float]:
    """Return the weights of a setting ``variants = {a = 0.5, b = 0.5}``.

    Raises
    ------
    ConfigError
        There are not two prompts or more, or a weight is no number from 0.
    """
    if not isinstance(value, Mapping) or len(value) < 2:
        raise ConfigError(
            f"variants are two prompts or more with weights, {{a = 0.5, b = 0.5}}, not {value!r}"
        )
    for name, weight in value.items():
        right = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not right or not math.isfinite(weight) or weight < 0:
            raise ConfigError(f"the weight of the variant {name!r} is a number from 0, not {weight!r}")
    if not sum(value.values()):
        raise ConfigError("all variants have the weight 0: give one of them more")
    return {str(name): float(weight) for name, weight in value.items()}
