"""Tokens, prices, the ledger and budgets."""
