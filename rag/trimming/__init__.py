"""Hits and a budget to a context: what matters most, within the budget, each piece with its place."""

from rag.trimming.trimmer import BudgetTrimmer

__all__ = ["BudgetTrimmer"]
