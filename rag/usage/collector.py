"""What one question costs, and what its user should know.

A stage does not keep what it spent: it adds it to the question under way, which a context variable
names. So each question has exactly its own calls, whatever stages, threads and tasks it shares with
others. Where no question is under way (a stage used on its own), nothing is collected.

A stage that pays for a call says so around it::

    with paid_call("cohere.rerank-v3-5:0", "rerank", documents=40) as call:
        reply = client.rerank(...)
        call.usage = Usage(...)
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from rag.core.calls import Call, Usage
from rag.core.ids import new_id
from rag.core.steps import asteps_in, steps_in
from rag.usage.question_limit import CallLimit, Estimates, QuestionLimit, most_usd

P = ParamSpec("P")
T = TypeVar("T")

_COLLECTOR: contextvars.ContextVar[Collector | None] = contextvars.ContextVar("collector", default=None)
_PURPOSE: contextvars.ContextVar[str] = contextvars.ContextVar("purpose", default="generate")
#: Called with each collector, in its context, before anything runs in it: what listens to calls that
#: report nothing by themselves (`rag.usage.model_calls`) registers here when it is imported.
LISTENERS: list[Callable[[Collector], None]] = []


@runtime_checkable
class ReportsCalls(Protocol):
    """A stage that reports its calls itself, or makes none because it is on this machine."""

    reports_calls: bool


class Held(Protocol):
    """What was set aside for a call (`rag.usage.meter.Reservation`)."""

    notes: tuple[str, ...]

    def settle(self, call: Call, *, prompt: str = "") -> str | None:
        """Record the call; return a note if that failed."""

    def release(self) -> None:
        """Free what was set aside."""


class Prices(Estimates, Protocol):
    """What models cost (`rag.usage.prices.PriceTable`)."""

    def find(self, model: str, base: str | None = None) -> Any:
        """Return a model's price, if it is known."""


class Meter(Protocol):
    """What is asked before a call and told afterwards (`rag.usage.meter.Meter`)."""

    @property
    def has_limits(self) -> bool:
        """Whether there is a budget to ask."""

    @property
    def prices(self) -> Prices:
        """What models cost."""

    def reserve(
        self,
        model: str | None,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        purpose: str = "generate",
        base: str | None = None,
        documents: int | None = None,
        cache_ttl: Any = None,
    ) -> Held:
        """Set aside what a call may cost at most."""

    def price(self, call: Call, base: str | None = None) -> Call:
        """Return a call with its cost."""

    def record(self, call: Call, *, prompt: str = "") -> str | None:
        """Record a call; return a note if that failed."""


class Collector:
    """Collects the calls and notes of one question, or of one build; threads may share it.

    Parameters
    ----------
    meter : Meter, optional
        Asked before each call, and told of it afterwards; without one nothing is refused or recorded.
    prompt : str
        Written to the ledger with each call.
    tag : str
        The question's, as the ledger has it.
    limits : sequence of CallLimit
        Asked before each call, too, here and in the questions that are asked inside.

    Attributes
    ----------
    id : str
        The question's, which its answer and its records bear (`rag.core.ids`).

    Examples
    --------
    >>> collector = Collector()
    >>> collector.run(note, "the index is two days old")
    >>> collector.notes
    ('the index is two days old',)
    """

    def __init__(
        self, meter: Meter | None = None, *, prompt: str = "", tag: str = "", limits: Sequence[CallLimit] = ()
    ) -> None:
        self._more = tuple(limits)
        self.meter, self.prompt, self.tag, self.id = meter, prompt, tag, new_id()
        self._limit: QuestionLimit | None = None
        self._calls: list[Call] = []
        self._notes: dict[str, None] = {}
        self._lock = threading.Lock()
        self._outer = _COLLECTOR.get()  # of the question for which this one is asked, by a tool for instance
        self._context = contextvars.copy_context()
        self._context.run(self._enter)

    def _enter(self) -> None:
        _COLLECTOR.set(self)
        for listen in LISTENERS:
            listen(self)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls so far, in the order in which they ended."""
        with self._lock:
            return tuple(self._calls)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes so far, each once."""
        with self._lock:
            return tuple(self._notes)

    @property
    def has_limits(self) -> bool:
        """Whether a call may be refused, so that its tokens must be known before it is made."""
        return bool(self._limits()) or (self.meter is not None and self.meter.has_limits)

    def limit(self, usd: float) -> None:
        """Refuse calls that could bring what is spent here above `usd`; the lowest limit counts."""
        with self._lock:
            if self._limit is None:
                spent = sum(call.usage.cost_usd or 0.0 for call in self._calls)
                self._limit = QuestionLimit(usd, spent)
            self._limit.usd = min(usd, self._limit.usd)

    def _limits(self) -> list[CallLimit]:
        """Return the limits that hold here: this question's, and those of the questions around it."""
        own = [] if self._limit is None else [self._limit]
        return [*own, *self._more, *([] if self._outer is None else self._outer._limits())]

    def note(self, text: str) -> None:
        """Add something that the user should know."""
        with self._lock:
            self._notes.setdefault(text)

    def include(self, calls: Iterable[Call], notes: Iterable[str] = ()) -> None:
        """Add calls that were paid for and recorded before, and what was noted of them."""
        for call in calls:
            self._add(call)
        for text in notes:
            self.note(text)

    def run(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call a function so that what it spends is collected here."""
        return self._context.run(function, *args, **named)

    def through(self, steps: Iterator[T]) -> Iterator[T]:
        """Take an iterator's steps so that what each spends is collected here; close it at the end."""
        return steps_in(self._context, steps)

    def athrough(self, steps: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Take an asynchronous generator's steps as `through` does; close it at the end."""
        return asteps_in(self._context, steps)

    def begin(
        self,
        model: str | None,
        purpose: str,
        *,
        input_tokens: int | Callable[[], int] = 0,
        output_tokens: int = 0,
        documents: int | None = None,
        base: str | None = None,
        cache_ttl: Any = None,
    ) -> PaidCall:
        """Ask the budget for a call before it is made.

        The parameters are those of `rag.usage.meter.Meter.reserve`; a function for the tokens is called
        only if there is a budget to ask.

        Raises
        ------
        BudgetError
            The call must not be made.
        """
        paid = PaidCall(self, model, purpose, base=base)
        if not self.has_limits:
            return paid
        tokens = input_tokens() if callable(input_tokens) else input_tokens
        try:
            if model is not None and (limits := self._limits()):
                paid.held_usd = most_usd(
                    None if self.meter is None else self.meter.prices, model, purpose, input_tokens=tokens,
                    output_tokens=output_tokens, documents=documents, base=base, cache_ttl=cache_ttl,
                )  # fmt: skip
                for limit in limits:
                    limit.hold(paid.held_usd)
                    paid.limits.append(limit)
            if self.meter is not None and self.meter.has_limits:
                paid.held = self.meter.reserve(
                    model, purpose=purpose, input_tokens=tokens, output_tokens=output_tokens,
                    documents=documents, base=base, cache_ttl=cache_ttl,
                )  # fmt: skip
        except BaseException:
            paid.end(None)
            raise
        for text in () if paid.held is None else paid.held.notes:
            self.note(text)
        return paid

    def record(self, call: Call, *, base: str | None = None, held: Held | None = None) -> Call:
        """Add a call that was made, write it to the ledger, and return it with its price."""
        if self.meter is not None:
            call = self.meter.price(call, base)
            keep = self.meter.record if held is None else held.settle
            if remark := keep(call, prompt=self.prompt):
                self.note(remark)
        self._add(call)
        return call

    def _add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
        if self._outer is not None:
            self._outer._add(call)


@dataclass(slots=True)
class PaidCall:
    """A call under way; `usage` is set once it is known, or by the end what is known of it."""

    collector: Collector | None
    model: str | None
    purpose: str
    base: str | None = None
    held: Held | None = None
    limits: list[CallLimit] = field(default_factory=list)
    held_usd: float = 0.0
    usage: Usage | None = None

    @property
    def has_price(self) -> bool:
        """Whether a price per token is known of the model."""
        meter = self.collector.meter if self.collector is not None else None
        return meter is not None and self.model is not None and bool(meter.prices.find(self.model, self.base))

    def query_usage(self, documents: int) -> Usage | None:
        """Return the usage of a call that is paid by the query, not by tokens; None without a price."""
        meter = self.collector.meter if self.collector is not None else None
        if meter is None or self.model is None:
            return None
        usd = meter.prices.rerank_usd(self.model, documents, self.base)
        return None if usd is None else Usage(cost_usd=usd)

    def end(self, usage: Usage | None, *, model: str | None = None, base: str | None = None) -> None:
        """End the call: what it used is recorded; None says that nothing was billed.

        Parameters
        ----------
        usage : Usage or None
        model, base : str, optional
            The model that answered, where that is another one.
        """
        held, self.held, collector, self.collector = self.held, None, self.collector, None
        if collector is None:
            return
        if usage is None:
            if held is not None:
                held.release()
            for limit in self.limits:
                limit.settle(self.held_usd, 0.0)
            return
        call = Call(model or self.model or "", self.purpose, usage)
        base = base or (self.base if model in (None, self.model) else None)
        call = collector.record(call, base=base, held=held)
        for limit in self.limits:
            limit.settle(self.held_usd, call.usage.cost_usd)


@contextlib.contextmanager
def paid_call(
    model: str | None,
    purpose: str,
    *,
    input_tokens: int | Callable[[], int] = 0,
    output_tokens: int = 0,
    documents: int | None = None,
    base: str | None = None,
) -> Iterator[PaidCall]:
    """Pay for a call on behalf of the question under way.

    The budget is asked first; what the call used, as `PaidCall.usage` says at the end, is recorded even
    if the call fails. A usage of None means that nothing was billed.

    Raises
    ------
    BudgetError
        The call must not be made.

    Examples
    --------
    >>> collector = Collector()
    >>> def rerank():
    ...     with paid_call("cohere.rerank-v3-5:0", "rerank", documents=3) as call:
    ...         call.usage = Usage(cost_usd=0.002)
    >>> collector.run(rerank)
    >>> collector.calls[0].usage.cost_usd
    0.002
    """
    collector = _COLLECTOR.get()
    call = PaidCall(None, model, purpose)
    if collector is not None:
        call = collector.begin(
            model, purpose, input_tokens=input_tokens, output_tokens=output_tokens, documents=documents,
            base=base,
        )  # fmt: skip
    try:
        yield call
    finally:
        call.end(call.usage)


def calls_so_far() -> int:
    """Return how many calls the question under way has made; 0 where there is none."""
    return len(calls())


def limit_usd(usd: float) -> bool:
    """Limit what the question under way may cost; return False where no question is under way."""
    collector = _COLLECTOR.get()
    if collector is not None:
        collector.limit(usd)
    return collector is not None


def under_way() -> Collector | None:
    """Return the collector of the question under way; None where there is none."""
    return _COLLECTOR.get()


def calls() -> tuple[Call, ...]:
    """Return the calls of the question under way; none where there is none."""
    collector = _COLLECTOR.get()
    return () if collector is None else collector.calls


def note(text: str) -> None:
    """Tell the user of the question under way something."""
    if (collector := _COLLECTOR.get()) is not None:
        collector.note(text)


def prompted(prompt: str) -> None:
    """Name the prompt of the question under way, for the ledger."""
    if (collector := _COLLECTOR.get()) is not None:
        collector.prompt = prompt


def purpose() -> str:
    """Return what calls of chat models are for at present."""
    return _PURPOSE.get()


@contextlib.contextmanager
def calls_for(name: str) -> Iterator[None]:
    """Name the purpose of the chat models' calls inside: ``"rephrase"``, ``"repair"``."""
    token = _PURPOSE.set(name)
    try:
        yield
    finally:
        _PURPOSE.reset(token)
