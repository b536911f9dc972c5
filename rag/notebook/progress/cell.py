"""A bar below a notebook's cell, drawn in place."""

from __future__ import annotations

import time
from typing import Any

from rag.core.progress import Update
from rag.notebook import lines, parts

#: Seconds between two drawings: a front end that is asked more often falls behind.
EVERY_S = 0.15


class CellBar:
    """Draws a bar in the output of the cell that runs: one for all tasks, the state of the last one stays."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._cell: object = None
        self._at = 0.0

    def __call__(self, update: Update, /) -> None:
        """Draw how far the work is, if the last drawing is old enough or the task has ended."""
        from IPython import get_ipython
        from IPython.display import display

        now = time.monotonic()
        if self._shown is not None and update.state == "running" and now - self._at < EVERY_S:
            return
        self._at = now
        cell = get_ipython().execution_count
        if cell != self._cell:
            self._cell, self._shown = cell, None
        bundle = {"text/plain": lines.line(str(update), 400), "text/html": bar_html(update)}
        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(bundle, raw=True)


def bar_html(update: Update) -> str:
    """Return a task's state as a card: its bar, with the figures below it."""
    share = update.share
    name = parts.inert(update.task, 120)
    kind = {"failed": "bad", "interrupted": "bad", "done": "good"}.get(update.state, "")
    said = ", ".join(part for part in (update.detail, *update.figures) if part)
    state = "" if update.state in ("running", "done") else f"{update.state} at "
    bar = parts.bar(share or 0.0, kind=kind, wide=True)  # also before the whole is known: nothing jumps
    value = (
        "" if share is None else f' aria-valuenow="{100 * share:.0f}" aria-valuemin="0" aria-valuemax="100"'
    )
    kept = parts.notes([update.kept]) if update.state == "interrupted" and update.kept else ""
    body = (
        f'<div role="progressbar" aria-label="{name}"{value}>{bar}</div>'
        f"{parts.dim(state + said) or parts.dim('…')}{kept}"
    )
    return parts.card(update.task, "", body)
