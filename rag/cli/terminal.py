"""Write to a terminal what documents, file names and settings hold, such that it is drawn and never obeyed.

Every command writes through `echo`, `json_text`, or the consoles of `rag.cli.output`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import Any

import click

from rag.core.drawn import OBEYED, drawn
from rag.notebook.wrapping import folded

#: Where a command's context keeps that ``--quiet`` was given.
QUIET = "rag.quiet"


def is_quiet() -> bool:
    """Tell whether the command that runs is to show no progress."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def on_one_line(text: str) -> str:
    """Return a text drawn on one line: with a line feed, a file's name would forge a line of output."""
    return drawn(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def echo(text: str, *, err: bool = False) -> None:
    """Print a line; a terminal's is wrapped between words."""
    click.echo(folded(on_one_line(text), width_of(sys.stderr if err else sys.stdout), 2), err=err)


def width_of(stream: Any) -> int | None:
    """Return the columns of a terminal; None of what is none, in which a line stays a line."""
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON, in which such characters are escaped; what is read from it is exact.

    Examples
    --------
    >>> json_text({"text": "é \x9b2J"})
    '{"text": "é \\u009b2J"}'
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return re.sub(r"[^\n -~]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if OBEYED.match(match[0]) else match[0]
