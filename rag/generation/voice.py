"""What speaks for one question: the prompt, with its variables' values, and the generator it binds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rag.core.answers import Step
from rag.core.errors import ConfigError, UsageError, near_miss
from rag.generation.history import messages_of
from rag.generation.prompts.variants import Variants
from rag.usage.collector import prompted


@runtime_checkable
class Hashed(Protocol):
    """A prompt whose text is known by its SHA-256."""

    hash: str


@runtime_checkable
class TakesVariables(Protocol):
    """A prompt with variables, and with parameters for the model."""

    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]
    values: Mapping[str, Any]

    def filled(self, variables: Mapping[str, Any]) -> Any:
        """Return the prompt with values of its variables."""


@runtime_checkable
class HasEarlier(Protocol):
    """A conversation that tells its questions with their answers (`rag.conversation.transcript`)."""

    @property
    def earlier(self) -> list[tuple[str, str]]:
        """The questions with their answers, oldest first."""


@dataclass(frozen=True, slots=True)
class Voice:
    """The prompt and the generator of one question.

    Attributes
    ----------
    steps : tuple of Step
        A step ``prompt`` where a variant was chosen or a variable has a value.
    """

    prompt: Any
    generator: Any
    steps: tuple[Step, ...] = ()

    @property
    def name(self) -> str:
        """The prompt's name, with its version."""
        return str(self.prompt.name)

    @property
    def hash(self) -> str:
        """The SHA-256 of the prompt's text; empty where it is not known."""
        return hash_of(self.prompt)


def hash_of(prompt: Any) -> str:
    """Return the SHA-256 of a prompt's text; empty where it is not known."""
    return prompt.hash if isinstance(prompt, Hashed) else ""


def label(prompt: Any) -> str:
    """Return what stands for a prompt in the ledger: ``NAME@VERSION#``, and 8 digits of the hash."""
    digits = hash_of(prompt)[:8]
    return f"{prompt.name}#{digits}" if digits else str(prompt.name)


def voice(
    prompt: Any,
    generator: Any,
    question: str,
    user: str | None = None,
    variables: Mapping[str, Any] | None = None,
    history: Any = None,
) -> Voice:
    """Return what speaks for a question, and name its prompt to the ledger.

    Parameters
    ----------
    prompt : PassagePrompt or Variants
    generator : Generator
    question : str
    user : str, optional
        The key by which a variant is assigned; without one it is the question.
    variables : mapping, optional
        Values of the prompt's variables. With variants, each takes those that it has.
    history : Transcript or sequence of BaseMessage, optional
        The conversation before, whose first question then stands for the question: all of a conversation
        has one prompt.

    Raises
    ------
    UsageError
        The prompt has no such variable, or the value is wrong.
    """
    started = time.perf_counter()
    chosen, detail = prompt_for(prompt, question, user, variables, history)
    if isinstance(chosen, TakesVariables) and chosen.parameters:
        generator = generator.bound(chosen.parameters)
    if not detail:
        return Voice(chosen, generator)
    detail = {"prompt": label(chosen), **detail}
    return Voice(chosen, generator, (Step("prompt", time.perf_counter() - started, detail),))


def prompt_for(
    prompt: Any,
    question: str,
    user: str | None = None,
    variables: Mapping[str, Any] | None = None,
    history: Any = None,
) -> tuple[Any, dict[str, Any]]:
    """Return the prompt of a question, and how it was chosen; name it to the ledger.

    The parameters are those of `voice`.

    Raises
    ------
    UsageError
        The prompt has no such variable, or the value is wrong.
    """
    detail: dict[str, Any] = {}
    if isinstance(prompt, Variants):
        name = prompt.of(user or " ".join((_first(history) or question).split()))
        detail = {"variant": name, "by": "user" if user else "question"}
        chosen = prompt.prompts[name]
        if variables:
            variables = taken(prompt, chosen, variables)
    else:
        chosen = prompt
    if variables:
        if not isinstance(chosen, TakesVariables):
            raise UsageError(f"the prompt {chosen.name} takes no variables: leave them out")
        chosen = chosen.filled(variables)
    if isinstance(chosen, TakesVariables) and chosen.values:
        detail["variables"] = dict(chosen.values)
    prompted(label(chosen))
    return chosen, detail


def _first(history: Any) -> str | None:
    """Return the first question of a conversation."""
    if isinstance(history, HasEarlier):
        return history.earlier[0][0] if history.earlier else None
    return next(
        (str(message.text) for message in messages_of(history or ()) if message.type == "human"), None
    )


def taken(variants: Variants, chosen: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some variables that a variant has.

    Raises
    ------
    ConfigError
        None of the variants has one of them.
    """
    known = {
        name
        for each in variants.prompts.values()
        if isinstance(each, TakesVariables)
        for name in each.variables
    }
    for name in variables:
        if name not in known:
            raise ConfigError(f"no variant of the prompt has a variable {name!r}: {near_miss(name, known)}")
    of_this = chosen.variables if isinstance(chosen, TakesVariables) else {}
    return {name: value for name, value in variables.items() if name in of_this}
