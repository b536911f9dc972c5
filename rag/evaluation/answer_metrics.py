"""The names of what is measured of an answer."""

from __future__ import annotations

from collections.abc import Mapping

#: Checks that an answer must pass entirely to be right; the others are shares, with no such line.
HARD = ("answered", "must_include", "must_not_include", "regex", "numbers", "schema")
#: Metrics of answers in the order in which they are shown, with the unit of what is not a share.
METRICS: Mapping[str, str] = {
    "correct": "", **dict.fromkeys(HARD, ""), "cite_recall": "", "cite_precision": "", "verified": "",
    "supported": "", "f1": "", "contains": "", "usd": "$", "tokens": "tokens", "seconds": "s",
}  # fmt: skip
#: Metrics of which less is better.
COSTS = ("usd", "tokens", "seconds")
