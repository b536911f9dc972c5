"""Prompts as files: those that ship, the form of others, their variables, checks and variants."""
