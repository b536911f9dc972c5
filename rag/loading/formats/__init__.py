"""Parsers, one file per family of formats."""
