"""The command that shows where a question's evidence was lost."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def explain_command(
    index: str, question: str, expect: str, where: str | None = None, options: Sequence[str] = ()
) -> str:
    """Return a command line of ``rag explain``, to be copied into a shell.

    Parameters
    ----------
    index : str
        The index's path.
    question : str
    expect : str
        What should have been in the context: ``source:start-end``, or a source.
    where : str, optional
        The filter in force.
    options : sequence of str
        Further words, such as ``--budget 8000``: those with which it was lost.

    Examples
    --------
    >>> explain_command("ix", "How long?", "leave.md:0-60", "year == 2025", ["--budget", "8000"])
    "rag explain ix 'How long?' --expect leave.md:0-60 --where 'year == 2025' --budget 8000"
    """
    words = ["--expect", expect, *(["--where", where] if where else []), *options]
    if question.startswith("-"):  # else the question would be read as an option
        return shlex.join(["rag", "explain", *words, "--", index, question])
    return shlex.join(["rag", "explain", index, question, *words])
