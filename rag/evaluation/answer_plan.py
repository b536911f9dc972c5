"""What answering a golden set will cost, before anything is asked.

Passages are retrieved as for an answer, and the messages written, so that the tokens read are those that will
be sent; nothing that costs money is called. How long replies are is not known: what the log holds of the same
configuration tells, else `REPLY_TOKENS` are taken.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rag.core.displayable import Displayable
from rag.core.errors import BudgetError
from rag.core.format import dollars
from rag.core.passages import Hit
from rag.core.progress import Progress, tracked
from rag.core.table import Table
from rag.evaluation.answer_log import AnswerLog, key_of
from rag.evaluation.answer_prices import id_of, longest, paid_models, refuse_unpriced, unpriced
from rag.evaluation.answers import options_of
from rag.evaluation.golden_filters import combined
from rag.evaluation.golden_set import Question, Questions, read
from rag.generation.models import priced_as
from rag.generation.reply import texts
from rag.generation.voice import prompt_for
from rag.response_cache.key import parts_of
from rag.usage.budget import Budget
from rag.usage.collector import Collector
from rag.usage.tokens import estimate_all, room_chars

#: Tokens of a reply where none is in the log: some four sentences with their quotes. An assumption.
REPLY_TOKENS = 250
#: Characters of a context whose trimmer has no budget: the default trimmer's.
CONTEXT_CHARS = 4000
_WORDS = "Staff may ask their manager about it. "


@dataclass(frozen=True, slots=True, repr=False)
class AnswersPlan(Displayable):
    """What one configuration will cost.

    Attributes
    ----------
    calls : int
        Questions to ask, earlier turns of their conversations included.
    again : int
        Questions whose answers are in the log.
    input_tokens, output_tokens : int
        Estimated, of all calls.
    usd : float or None
        Estimated; None where a model has no known price.
    most_usd : float or None
        If every reply is as long as it may be; of several models behind one, by the dearest.
    """

    name: str
    calls: int
    again: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    most_usd: float | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def plan_answers(
    pipes: Mapping[str, Any],
    questions: Questions,
    *,
    where: Any = None,
    mode: str | None = None,
    tags: Sequence[str] = (),
    log: str | Path | None = None,
    progress: Progress | None = None,
) -> tuple[AnswersPlan, ...]:
    """Price the answers of several pipelines without asking for any.

    The parameters are those of `rag.evaluation.answers.evaluate_answers`.

    Raises
    ------
    BudgetError
        A pipeline's budget has a `stop_usd`, and one of its models no known price.

    Examples
    --------
    >>> (plan,) = plan_answers({"local": pipe}, "data/golden.jsonl")         # doctest: +SKIP
    >>> plan.calls, plan.usd                                                 # doctest: +SKIP
    (289, 0.0)
    """
    refuse_unpriced(pipes)
    golden = read(questions, tags=tags)
    kept, contexts = AnswerLog(log), _Contexts()
    work = {name: _Work() for name in pipes}
    steps = [(name, question) for name in pipes for question in golden]
    for name, question in tracked(progress, "plan", steps, "answer"):
        pipe, own = pipes[name], work[name]
        options = options_of(question, combined(pipe, where, question), mode)
        known = kept.get(key_of(pipe, question, options))
        if known is None:
            turns = 1 + len(question.expected.turns)
            own.calls += turns
            own.read += turns * contexts.tokens(pipe, question, options)
        else:
            own.replies.append(known.answer.usage.output_tokens)
    return tuple(_priced(name, pipe, work[name], contexts.notes) for name, pipe in pipes.items())


def table(plans: Sequence[AnswersPlan]) -> Table:
    """Return a table with a row for each configuration, and their sum."""
    rows = [
        (each.name, f"{each.calls:,}", f"{each.again:,}", f"{each.input_tokens:,}", f"{each.output_tokens:,}",
         _usd(each.usd), _usd(each.most_usd))
        for each in plans
    ]  # fmt: skip
    if len(plans) > 1:
        counts = [(each.calls, each.again, each.input_tokens, each.output_tokens) for each in plans]
        calls, again, read, written = (f"{sum(column):,}" for column in zip(*counts, strict=True))
        rows.append(("total", calls, again, read, written, _usd(total(plans)), _usd(total(plans, most=True))))
    head = ("configuration", "calls", "in the log", "tokens in", "tokens out", "dollars, about", "at most")
    return Table("nothing was asked; tokens are estimated", head, rows)


def total(plans: Sequence[AnswersPlan], *, most: bool = False) -> float | None:
    """Return the dollars of all; None where a price is not known."""
    costs = [each.most_usd if most else each.usd for each in plans]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def _usd(value: float | None) -> str:
    return "no known price" if value is None else dollars(value)


@dataclass(slots=True)
class _Work:
    """What is left to ask of one pipeline.

    Attributes
    ----------
    read : int
        Tokens of all messages.
    replies : list of int
        Tokens of the replies in the log.
    """

    calls: int = 0
    read: int = 0
    replies: list[int] = field(default_factory=list)


def _priced(name: str, pipe: Any, work: _Work, notes: Sequence[str]) -> AnswersPlan:
    models, prices, calls = paid_models(pipe.generator), pipe.meter.prices, work.calls
    reply = float(np.mean(work.replies)) if work.replies else REPLY_TOKENS

    def cost(model: Any, written: float) -> float | None:
        """Price an average call, as a long prompt may cost more for a token."""
        read = math.ceil(work.read / max(calls, 1))
        usd = prices.estimate_usd(id_of(model), read, math.ceil(written), priced_as(model))
        return None if usd is None else float(calls * usd)

    about = [cost(model, reply) for model in models]
    most = [cost(model, longest(model, pipe.prompt)) for model in models]
    known = [usd for usd in most if usd is not None]
    said = unpriced(pipe)
    if calls and models and not work.replies:
        said.append(f"a reply is taken to have {REPLY_TOKENS} tokens, as the log has none of {name}")
    if len(models) > 1:
        said.append(f"{name}: `about` is by its first model, `at most` by the dearest")
    return AnswersPlan(
        name, calls, len(work.replies), work.read, round(calls * reply) if models else 0,
        about[0] if about else 0.0, max(known, default=0.0) if len(known) == len(most) else None,
        (*said, *notes),
    )  # fmt: skip


class _Contexts:
    """Counts the tokens that are sent for questions; what is retrieved is shared by configurations.

    Attributes
    ----------
    notes : list of str
    """

    def __init__(self) -> None:
        self._hits: dict[str, Sequence[Hit] | None] = {}
        self.notes: list[str] = []

    def tokens(self, pipe: Any, question: Question, options: Mapping[str, Any]) -> int:
        """Return the estimated tokens of a question's messages."""
        free = copy.copy(pipe)
        # Refuses every call that costs money, and every model without a price.
        free.meter = replace(pipe.meter, budget=Budget(stop_usd=0.0, per="call"), on_budget=None)
        asked = {name: options[name] for name in ("where", "mode") if name in options}
        hits = self._retrieved(free, question, asked)
        try:
            sent = (
                None if hits is None else Collector(free.meter).run(free.trim, question.question, hits).hits
            )
        except BudgetError:
            sent = None
        if sent is None:
            sent = self._full(pipe)
        if not sent:
            return 0  # no model is asked
        prompt, _ = prompt_for(pipe.prompt, question.question)
        models = paid_models(pipe.generator)
        written = texts(prompt.messages(question.question, sent))
        return sum(estimate_all(written, id_of(models[0]) if models else None))

    def _retrieved(self, free: Any, question: Question, asked: Mapping[str, Any]) -> Sequence[Hit] | None:
        """Return what is retrieved; None where that costs money."""
        parts = parts_of(free, question.question, asked)
        stages = [parts.stages[name] for name in ("retriever", "embedder")]
        key = json.dumps([parts.index, question.id, stages, parts.options, size_of(free.trimmer)])
        if key not in self._hits:
            try:
                self._hits[key] = free.retrieve(question.question, **asked)
            except BudgetError:
                self._hits[key] = None
        return self._hits[key]

    def _full(self, pipe: Any) -> list[Hit]:
        """Return a context that fills the budget."""
        note = (
            "retrieving or trimming costs money, which is not in these figures: contexts are taken to be full"
        )
        if note not in self.notes:
            self.notes.append(note)
        chars = size_of(pipe.trimmer) or CONTEXT_CHARS
        text = (_WORDS * (chars // len(_WORDS) + 1))[:chars]
        return [Hit("document", 0, len(text), text, 0.0)]


@runtime_checkable
class _Sized(Protocol):
    """A trimmer with a budget."""

    budget: int
    unit: str


def size_of(trimmer: Any) -> int | None:
    """Return how many characters a trimmer's budget has room for."""
    return room_chars(trimmer.budget, trimmer.unit) if isinstance(trimmer, _Sized) else None
