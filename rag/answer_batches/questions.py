"""The questions of a batch, and what a batch cannot do: refused before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rag.core.errors import ConfigError, RagError, UsageError, near_miss
from rag.generation.models import StandsForOthers, describe, unbound

#: Options of `Pipeline.ask` that a batch has, too.
OPTIONS = ("k", "mode", "budget", "unit", "user", "variables", "tag")
#: Those that it cannot have, and why.
_REFUSED = {
    "schema": "replies that do not fit it are repaired by further calls",
    "repairs": "replies are repaired by further calls",
    "tools": "each call of a tool needs another call of the model",
    "max_turns": "each call of a tool needs another call of the model",
    "max_usd": "each call of a tool needs another call of the model",
    "history": "each question of a conversation waits for the answer before",
    "follow_up": "each question of a conversation waits for the answer before",
    "tenant": "the response cache is not asked",
}


@runtime_checkable
class TakesAnswerBatches(Protocol):
    """A chat model whose calls can be records of a batch job (`rag.bedrock.chat.claude.ClaudeBedrock`)."""

    model_id: str
    base_model_id: str | None
    region_name: str | None

    def batch_record(self, messages: Sequence[Any], **options: Any) -> dict[str, Any]:
        """Return the request for some messages as a record holds it."""

    def batch_reply(self, output: Mapping[str, Any]) -> Any:
        """Return the reply in a record's output."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question of a batch.

    Attributes
    ----------
    id : Any
        As in the file.
    where : str or None
        Its filter and that of the whole batch, as a string.
    """

    id: Any
    question: str
    where: str | None = None


class _Index(Protocol):
    def both(self, *filters: Any) -> Any:
        """Return filters joined with "and" and bound."""


def items_of(questions: Sequence[str | Mapping[str, Any]], index: _Index, where: Any = None) -> list[Item]:
    """Check questions and their filters.

    Parameters
    ----------
    questions : sequence of str, or of mapping
        With the keys ``question`` and, optionally, ``id`` (by default the number, from 1) and ``where``.
    index : Index
    where : Where, str or dict, optional
        A filter for all.

    Raises
    ------
    UsageError
        There is no question, or one is wrong; names it by its number.
    WhereError
        A filter is wrong; names the question by its number.
    """
    if isinstance(questions, str) or not questions:
        raise UsageError("a batch needs a list of questions: give at least one")
    return [_item(number, each, index, where) for number, each in enumerate(questions, 1)]


def _item(number: int, each: Any, index: _Index, where: Any) -> Item:
    row = {"question": each} if isinstance(each, str) else each
    known = ("id", "question", "where")
    if not isinstance(row, Mapping) or not isinstance(row.get("question"), str):
        raise UsageError(
            f'question {number} of the batch: write a text, or {{"question": "…"}}, not {each!r}'
        )
    for name in row:
        if name not in known:
            raise UsageError(f"question {number} of the batch has a key {name!r}: {near_miss(name, known)}")
    if not row["question"].strip():
        raise UsageError(f"question {number} of the batch is empty: write one")
    try:
        both = index.both(where, row.get("where"))
    except RagError as error:
        raise type(error)(f"question {number} of the batch: {error}") from None
    return Item(row.get("id", number), row["question"], None if both is None else both.to_string())


def refuse_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a batch that are given.

    Raises
    ------
    UsageError
        A batch cannot have one, or it is unknown.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name in _REFUSED:
            raise UsageError(f"a batch takes no {name}=, since {_REFUSED[name]}: ask without a batch")
        if name not in OPTIONS:
            raise UsageError(f"a batch has no option {name!r}: {near_miss(name, OPTIONS)}")
    return given


def claude_of(generator: Any) -> tuple[TakesAnswerBatches, dict[str, Any]]:
    """Return the model that a generator asks, and what is bound to it.

    Raises
    ------
    ConfigError
        It cannot be asked by batch jobs.
    """
    bound: dict[str, Any] = {}
    model = generator
    while model is not unbound(model):
        bound = {**getattr(model, "kwargs", {}), **bound}
        model = model.bound
    if isinstance(model, StandsForOthers):
        raise ConfigError(
            f"a batch asks one model, and the generator has several ({describe(generator)}): name one in "
            '[generator], as in use = "claude" and model = "…", without fallback, or ask without a batch'
        )
    if not isinstance(model, TakesAnswerBatches):
        raise ConfigError(
            f"the generator ({describe(generator)}) has no batch jobs: choose claude (--bedrock, "
            "--generator claude, or rag.ClaudeBedrock), or ask without a batch"
        )
    if bound.get("tools"):
        raise ConfigError(f"a batch takes no tools, since {_REFUSED['tools']}: ask without a batch")
    return model, bound
