"""What chat models say of themselves; LangChain's keep their model's id in different fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

_ID_FIELDS = ("model_id", "model", "model_name")
#: What notes contain that tell of a model that failed: another model, or another tier, answered.
STANDS_IN = (" answered, as ", " failed, so the answer of ", " did not classify the question: ")


@runtime_checkable
class Described(Protocol):
    """A generator that says who it is."""

    @property
    def description(self) -> str:
        """A line for the user, e.g. a model's id."""
        ...


@runtime_checkable
class StandsForOthers(Protocol):
    """A generator that passes on the answers of others."""

    @property
    def others(self) -> Sequence[Any]:
        """The models whose answers it passes on."""
        ...

    @property
    def guarded(self) -> bool:
        """Whether a guardrail checks the answers of each."""
        ...

    @property
    def reads_tag(self) -> bool:
        """Whether it chooses among them by the question's tag."""
        ...


@runtime_checkable
class NamesToolChoices(Protocol):
    """ChatBedrockConverse: with thinking enabled, some models cannot be made to call a tool."""

    supports_tool_choice_values: Sequence[str] | None


def unbound(model: Any) -> Any:
    """Return the chat model behind tools or options that were bound to it."""
    # The class's fields, not the object's attributes: a binding passes those of its model on.
    while "bound" in getattr(type(model), "model_fields", ()):
        model = model.bound
    return model


def model_of(generator: Any) -> str | None:
    """Return a chat model's id, in whichever field it keeps it; None if it keeps none."""
    model = unbound(generator)
    values = (getattr(model, name, None) for name in _ID_FIELDS)
    return next((value for value in values if isinstance(value, str) and value), None)


def priced_as(generator: Any) -> str | None:
    """Return the id by which a model's price is known: an ARN's may stand in a field of its own."""
    base = getattr(unbound(generator), "base_model_id", None)
    return base if isinstance(base, str) and base else model_of(generator)


def describe(generator: Any) -> str:
    """Return what the user is told about a generator."""
    if isinstance(generator, Described) and isinstance(generator.description, str):
        return generator.description
    return f"{type(unbound(generator)).__name__} {model_of(generator) or ''}".strip()


def context_form(generator: Any) -> str:
    """Return the form in which a generator wants the documents (`rag.generation.prompt`)."""
    return str(getattr(unbound(generator), "context_form", "text"))


def is_guarded(generator: Any) -> bool:
    """Tell whether a guardrail of Bedrock's checks a generator's answers."""
    model = unbound(generator)
    if isinstance(model, StandsForOthers):
        return model.guarded
    return bool(getattr(model, "guardrail_config", None))


def reads_tag(generator: Any) -> bool:
    """Tell whether a question's tag decides which model answers it."""
    model = unbound(generator)
    return isinstance(model, StandsForOthers) and (model.reads_tag or any(map(reads_tag, model.others)))
