"""Operators of a filter and their names in each notation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rag.core.errors import near_miss

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
#: The string form's functions of a field and a string; beside them there is ``exists``.
FUNCTIONS = ("startswith", "contains", "string_contains", "list_contains")
#: Names that are values in the string form: a field with such a name is written ``field('…')``.
CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
#: Operators of a Knowledge Bases RetrievalFilter.
BEDROCK = {
    "equals": "==", "notEquals": "!=", "greaterThan": ">", "greaterThanOrEquals": ">=",
    "lessThan": "<", "lessThanOrEquals": "<=", "in": "in", "notIn": "not in",
    "startsWith": "startswith", "listContains": "list_contains",
    "stringContains": "string_contains",
}  # fmt: skip
#: Operators of LangChain's dict form; ``$contains`` is Chroma's, and means what `contains` does.
LANGCHAIN = {
    "$eq": "==", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=",
    "$in": "in", "$nin": "not in", "$contains": "contains",
}  # fmt: skip
#: Others of that form, which are made of those.
LANGCHAIN_MORE = ("$not_contains", "$between", "$exists", "$not")


def near_operator(word: str, known: Iterable[str]) -> str:
    """Name the operator that was probably meant, or list all; never guess one with another meaning.

    Examples
    --------
    >>> near_operator("$gtee", ("$gte", "$lte", "$gt"))
    "did you mean '$gte'?"
    >>> near_operator("$notcontains", ("$contains", "$in"))
    'there is: $contains, $in'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=2, cutoff=0.75)
    unlike = not close or _turned(close[0]) != _turned(word.lower())
    # Two that are equally close are usually each other's opposites: $lte and $gte for $gle.
    tied = len(close) == 2 and _closeness(word, close[0]) - _closeness(word, close[1]) < 0.02
    return f"there is: {', '.join(names)}" if unlike or tied else near_miss(word, close[:1])


def _closeness(word: str, name: str) -> float:
    return difflib.SequenceMatcher(None, name, word.lower()).ratio()


def _turned(name: str) -> tuple[bool, bool, bool, bool]:
    """Return what separates an operator from its opposites: whether it denies, its side, and its end."""
    bare = name.lower().lstrip("$")
    return (
        bare.startswith(("n", "un", "missing")) and bare != "null",
        bare.startswith(("l", "bef")) and "list" not in bare and "like" not in bare,
        bare.startswith(("g", "aft")),
        bare.startswith(("end", "suffix")),
    )
