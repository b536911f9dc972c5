"""How far long work is: one protocol for all of it, and what reports by it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, Protocol, TypeVar

from rag.core.errors import UsageError
from rag.core.format import bytes_text, counted, seconds_text

T = TypeVar("T")

State = Literal["running", "done", "failed", "interrupted"]

#: Seconds of work by which the time left is estimated, and between two samples of them.
_WINDOW_S, _SAMPLE_S = 30.0, 0.25


@dataclass(frozen=True, slots=True)
class Update:
    """How far a piece of work is; as text it is one line.

    Attributes
    ----------
    task : str
        What is being done: ``"build"``, ``"questions"``, ``"push"``.
    done : float
        How many units are done, from 0.
    of : float or None
        How many there are; None while that is not known.
    unit : str
        What is counted, in the singular: ``"file"``, ``"question"``, ``"byte"``.
    counts : mapping of str to int
        What else is counted, by its plural: ``{"chunks": 812}``.
    speed_of : str
        The count of which `speed` is given; empty for `done`.
    seconds : float
        Since the task began.
    left_s : float or None
        Seconds that the rest will take, by the speed of the last half minute; None while it is not known.
    detail : str
        What is under way within the task; often empty.
    state : {"running", "done", "failed", "interrupted"}
        A task's last update has one of the last three.
    kept : str
        What an interruption leaves, and how to go on.

    Examples
    --------
    >>> print(Update("build", 12, 40, "file", {"chunks": 345}, "chunks", seconds=3.0, left_s=7.0))
    build: 12 of 40 files, 7 s left, 115 chunks/s, 345 chunks
    """

    task: str
    done: float
    of: float | None = None
    unit: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    speed_of: str = ""
    seconds: float = 0.0
    left_s: float | None = None
    detail: str = ""
    state: State = "running"
    kept: str = ""

    @property
    def share(self) -> float | None:
        """What is done of the whole, in [0, 1]; None while the whole is not known."""
        if self.of is None:
            return None
        return min(max(self.done / self.of, 0.0), 1.0) if self.of else 1.0

    @property
    def speed(self) -> float:
        """Units, or what `speed_of` names, per second since the task began."""
        count = self.counts.get(self.speed_of, 0) if self.speed_of else self.done
        return count / self.seconds if self.seconds > 0 else 0.0

    @property
    def figures(self) -> tuple[str, ...]:
        """Texts of what is known, the most important first."""
        parts = [self._done()]
        if self.state != "running":
            parts.append(seconds_text(self.seconds))
        elif self.left_s is not None:
            parts.append(f"{_left_text(self.left_s)} left")
        if (self.speed_of or self.unit == "byte") and self.speed >= 1:
            parts.append(f"{_amount(self.speed, self.speed_of or self.unit)}/s")
        parts += [_amount(count, name) for name, count in self.counts.items() if count]
        return tuple(part for part in parts if part)

    def _done(self) -> str:
        if self.unit == "byte":
            return bytes_text(int(self.done)) + ("" if self.of is None else f" of {bytes_text(int(self.of))}")
        whole, count = self.of is not None, int(self.done if self.of is None else self.of)
        many = counted(count, self.unit) if self.unit else f"{count:,}"
        return f"{int(self.done):,} of {many}" if whole else many if count else ""

    def __str__(self) -> str:
        state = "" if self.state in ("running", "done") else f" {self.state}"
        kept = f"; {self.kept}" if self.kept and self.state == "interrupted" else ""
        said = ", ".join(part for part in (self.detail, *self.figures) if part)
        return f"{self.task}{state}{': ' if said else ''}{said}{kept}"


def _left_text(seconds: float) -> str:
    """Return an estimate, to the second only while it is short."""
    if seconds < 59.5:
        return f"{round(seconds)} s" if seconds >= 1 else "under 1 s"
    return seconds_text(seconds)


def _amount(count: float, name: str) -> str:
    if name in ("byte", "bytes"):
        return bytes_text(int(count))
    return f"{count:,.0f} {name[:-1] if round(count) == 1 and name.endswith('s') else name}"


class Progress(Protocol):
    """Told how far long work is: ``progress=`` of `rag.build` and all other work that takes long.

    Any callable that takes an `Update` will do, such as `print`; `rag.progress_bar` draws a bar. It is
    called from one thread at a time, which need not be the one that began the work. What it raises ends the
    work, as an interruption would.

    Examples
    --------
    >>> rag.build("data/handbook", "indexes/handbook", progress=print)             # doctest: +SKIP
    build: 12 of 73 files, 0.9 s left, 812 chunks/s, 345 chunks, 0.2 MB
    """

    def __call__(self, update: Update, /) -> None:
        """Take how far the work is."""


class Task:
    """Reports how far one piece of work is, and how it ended; without a `Progress` it does nothing.

    Parameters
    ----------
    progress : Progress or None
    task, of, unit, speed_of, kept
        As of `Update`.

    Raises
    ------
    UsageError
        `progress` cannot be called.

    Examples
    --------
    >>> with Task(print, "questions", of=2, unit="question") as task:              # doctest: +SKIP
    ...     for question in task.each(questions):
    ...         ask(question)
    questions: 0 of 2 questions
    """

    def __init__(
        self,
        progress: Progress | None,
        task: str,
        *,
        of: float | None = None,
        unit: str = "",
        speed_of: str = "",
        kept: str = "",
    ) -> None:
        if progress is not None and not callable(progress):
            raise UsageError(f"progress is {progress!r}: pass rag.progress_bar(), or a function of an Update")
        self._progress, self._began = progress, time.monotonic()
        self._last = Update(task, 0, of, unit, speed_of=speed_of, kept=kept)
        self._samples: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        self._lock, self._ended = threading.Lock(), False

    def __enter__(self) -> Task:
        if self._progress is not None:
            self._progress(self._last)
        return self

    def show(self, done: float, of: float | None = None, *, detail: str = "", **counts: int) -> None:
        """Report how many units are done, of how many if that has changed, and the other counts."""
        if self._progress is None:
            return
        with self._lock:
            if self._ended:  # a thread of work that was stopped
                return
            seconds = time.monotonic() - self._began
            of = self._last.of if of is None else of
            self._last = replace(
                self._last, done=done, of=of, counts=counts or self._last.counts, detail=detail,
                seconds=seconds, left_s=self._left(seconds, done, of),
            )  # fmt: skip
            self._progress(self._last)

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and count each once the next one is asked for."""
        for number, item in enumerate(items):
            if number:
                self.show(number)
            yield item

    def _left(self, seconds: float, done: float, of: float | None) -> float | None:
        """Estimate the time left by the speed of the last half minute: earlier work may have been cached."""
        if seconds - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((seconds, done))
            while len(self._samples) > 2 and seconds - self._samples[0][0] > _WINDOW_S:
                self._samples.popleft()
        since, before = self._samples[0]
        if of is None or done <= before or seconds <= since:
            return None
        return max(of - done, 0.0) * (seconds - since) / (done - before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is None:
            return
        with self._lock:
            self._ended = True
            last = replace(self._last, seconds=time.monotonic() - self._began, left_s=None)
            if kind is None or issubclass(kind, GeneratorExit):
                done = last.done if last.of is None or kind else last.of
                self._progress(replace(last, done=done, state="done", detail=""))
                return
            state: State = "failed" if issubclass(kind, Exception) else "interrupted"
            with contextlib.suppress(Exception):  # why the work ended says more than why it cannot be shown
                self._progress(replace(last, state=state))


def within(progress: Progress | None, step: str) -> Progress | None:
    """Return a `Progress` for a step of greater work, whose tasks are named after the step.

    Examples
    --------
    >>> within(print, "2 of 3")(Update("questions", 1, 4, "question"))
    2 of 3: questions: 1 of 4 questions
    """
    if progress is None:
        return None
    tell: Callable[[Update], None] = progress
    return lambda update: tell(replace(update, task=f"{step}: {update.task}"))


def tracked(
    progress: Progress | None, task: str, items: Sequence[T], unit: str, *, kept: str = ""
) -> Iterator[T]:
    """Yield items, and report how many of them are done.

    Parameters
    ----------
    progress : Progress or None
    task, unit, kept
        As of `Update`.
    items : sequence
    """
    with Task(progress, task, of=len(items), unit=unit, kept=kept) as running:
        yield from running.each(items)
