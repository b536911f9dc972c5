"""A streamed answer: drawn in place in a notebook, written as it comes elsewhere."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rag.core.drawn import drawn
from rag.core.format import counted
from rag.notebook import parts
from rag.notebook.answers import CHARS, AnswerDisplay
from rag.notebook.frontend import in_notebook
from rag.notebook.texts import marked
from rag.notebook.wrapping import Wrapped

if TYPE_CHECKING:
    from rag.core.answers import Answer, Event

#: Seconds between two drawings: a front end that is asked more often falls behind, and flickers.
EVERY_S = 0.1


def show(events: Iterator[Event], question: str) -> Answer:
    """Show an answer while it comes, and return it.

    Parameters
    ----------
    events : iterator of Event
        As of `rag.Pipeline.stream`.
    question : str
    """
    return _in_notebook(events, question) if in_notebook() else write(events, sys.stdout.write)


def write(events: Iterator[Event], to: Callable[[str], object], width: int | None = None) -> Answer:
    """Write the text of an answer as it comes, then its citations and costs.

    Parameters
    ----------
    events : iterator of Event
    to : callable
        Takes the pieces of the output.
    width : int, optional
        Columns at which lines are wrapped between words; by default a terminal's, else none.
    """
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    answer = write_text(events, to, width)
    to("\n".join(AnswerDisplay(answer).rest()) + "\n")
    sys.stdout.flush()
    return answer


def write_text(events: Iterator[Event], to: Callable[[str], object], width: int | None) -> Answer:
    """Write the text of an answer as it comes, and nothing else; return the answer.

    The parameters are those of `write`; without a width, lines are not wrapped.
    """
    lines = Wrapped(to, width)
    answer: Any = None
    try:
        for event in events:
            answer = event.value
            if event.kind == "text":
                lines.write(event.value)
                sys.stdout.flush()
    finally:
        lines.close()
    return answer  # type: ignore[no-any-return]


def _in_notebook(events: Iterator[Event], question: str) -> Answer:
    from IPython.display import display

    text, state, answer, at = "", "searching…", None, -math.inf
    shown: Any = display(_bundle(question, text, state), raw=True, display_id=True)  # type: ignore[no-untyped-call]
    try:
        for event in events:
            answer = event.value
            if event.kind == "text":
                text, state = text + event.value, "answering…"
            elif event.kind == "context":
                state = f"answering from {counted(len(event.value.hits), 'passage')}…"
            elif event.kind == "tool":
                state = f"using {event.value.name}…"
            now = time.monotonic()
            if event.kind != "answer" and now - at >= EVERY_S:
                at = now
                shown.update(_bundle(question, text, state), raw=True)
    except BaseException as error:
        state = "stopped" if isinstance(error, KeyboardInterrupt) else f"failed: {type(error).__name__}"
        kept = "what the reply cost until then is in the ledger"
        shown.update(_bundle(question, text, f"{state}; {kept}", ended=True), raw=True)
        raise
    shown.update(answer)
    return answer  # type: ignore[return-value]


def _bundle(question: str, text: str, state: str, *, ended: bool = False) -> dict[str, str]:
    return {
        "text/plain": drawn(f"{text}\n{state}"),
        "text/html": streaming_html(question, text, state, ended),
    }


def streaming_html(question: str, text: str, state: str, ended: bool = False) -> str:
    """Return the text so far as a card; all of it is text, whatever tag or sequence it breaks off in."""
    busy = "" if ended else ' aria-busy="true"'
    body = f'<div class="text answer" dir="auto"{busy}>{marked(text[:CHARS])}</div>'
    left = parts.more(len(text) - CHARS, "character", "answer.text")
    return parts.card("Answer", question, body + left + (parts.notes([state]) if ended else parts.dim(state)))
