"""Trim hits to a context: the most evidence within a budget, each piece with its place."""

from rag.trimming.trimmer import BudgetTrimmer

__all__ = ["BudgetTrimmer"]
