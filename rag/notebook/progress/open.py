"""The bar for where one is: a notebook, a terminal, or a log, which gets none."""

from __future__ import annotations

import sys

from rag.core.progress import Progress, Update
from rag.notebook.frontend import in_notebook


def progress_bar() -> Progress:
    """Return what shows the progress of long work where one is, for any ``progress=``.

    Returns
    -------
    Progress
        In a notebook a bar below the cell; in a terminal one on its last line, on standard error; elsewhere,
        as in a log or a pipe, nothing is shown. It may be used again, for one piece of work at a time.

    Examples
    --------
    >>> rag.build("data/handbook", "indexes/handbook", progress=rag.progress_bar())    # doctest: +SKIP
    """
    if in_notebook():
        from rag.notebook.progress.cell import CellBar

        return CellBar()
    if sys.stderr is not None and sys.stderr.isatty():
        from rag.notebook.progress.terminal import TerminalBar

        return TerminalBar()
    return _nothing


def _nothing(update: Update, /) -> None:
    """Show nothing."""
