"""From hits to a context: the most evidence within a budget, each piece with its place."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.trimming.trimmer import BudgetTrimmer

__all__ = ["BudgetTrimmer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("rag.trimming.trimmer").BudgetTrimmer
