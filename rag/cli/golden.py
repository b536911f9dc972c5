"""``rag golden``: golden sets."""

from __future__ import annotations

import click

from rag.cli.options import print_json


@click.group(short_help="Check golden sets.")
def golden() -> None:
    """Check golden sets: questions with what answers them (rag/evaluation/README.md)."""


@golden.command(short_help="Print the JSON Schema of a golden set's lines.")
def schema() -> int:
    """Print the JSON Schema of a golden set's lines."""
    from rag.evaluation.golden_set import json_schema

    print_json(json_schema())
    return 0


COMMANDS: tuple[click.Command, ...] = (golden,)
