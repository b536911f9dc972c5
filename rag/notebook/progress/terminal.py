"""A bar on the last line of a terminal; it fits any width."""

from __future__ import annotations

import time

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rag.core.progress import Update
from rag.notebook.lines import line

#: Columns of a bar, at least and at most; a terminal is drawn this often in a second.
_LEAST, _MOST, _A_SECOND = 6, 24, 10


class TerminalBar:
    """Draws a bar while work is running; when it ends the bar goes, and an interruption leaves a line.

    Parameters
    ----------
    console : rich.console.Console, optional
        By default standard error.
    tell_kept : bool
        Whether an interruption leaves a line that says what is kept.
    """

    def __init__(self, console: Console | None = None, *, tell_kept: bool = True) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._tell_kept = tell_kept
        self._live: Live | None = None
        self._last: tuple[Update, float] = (Update("", 0), 0.0)

    def __call__(self, update: Update, /) -> None:
        """Draw how far the work is."""
        self._last = update, time.monotonic()
        if update.state != "running":
            self._end(update)
        elif self._live is None:
            self._live = Live(
                console=self._console, get_renderable=self._drawn, transient=True,
                refresh_per_second=_A_SECOND,
            )  # fmt: skip
            self._live.start()

    def _end(self, update: Update) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        if update.state == "interrupted" and update.kept and self._tell_kept:
            self._console.print(Text(line(str(update), 10 * self._console.width), style="yellow"))

    def _drawn(self) -> Text:
        update, at = self._last
        plain = not (self._console.encoding or "").lower().startswith("utf")
        return bar_line(update, self._console.width, since_s=time.monotonic() - at, plain=plain)


def bar_line(update: Update, width: int, *, since_s: float = 0.0, plain: bool = False) -> Text:
    """Return a bar with its figures on one line; what does not fit is left out, the least important first.

    Parameters
    ----------
    update : Update
    width : int
        Columns of the terminal.
    since_s : float
        Seconds since the update: while it is not known how much there is, the time goes on.
    plain : bool
        Whether the terminal writes ASCII only.
    """
    figures = [*update.figures]
    if update.share is None:
        figures.append(f"{update.seconds + since_s:.0f} s")
    name = f"{update.task}: {update.detail}" if update.detail else update.task
    room = width - 1  # a terminal may wrap what fills its last column
    # The bar's size does not follow the figures, with which it would jump.
    bar = 0 if update.share is None else min(max((width - 16) // 4, _LEAST), _MOST)
    first = sum(map(cell_len, figures[:1]))
    name = line(name, max(min(cell_len(name), room - first - bar - 2), 8))
    left, kept = room - cell_len(name) - bar - 1, list[str]()
    for figure in figures:
        left -= cell_len(figure) + (2 if kept else 1)
        if left < 0:
            break
        kept.append(figure)
    said = "  ".join(kept)
    out = Text(name.replace("…", "~") if plain else name, no_wrap=True, overflow="crop", end="")
    if update.share is not None:
        filled = round(bar * update.share)
        out.append(" ").append(("#" if plain else "━") * filled, style="cyan")
        out.append(("-" if plain else "━") * (bar - filled), style="bright_black")
    return out.append(f" {said}" if said else "")
