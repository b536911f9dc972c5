r"""Rules that choose a tier (`rag.generation.router`) by what is known of a question before it is answered.

In ``rag.toml``::

    [[generator.rules]]
    when = {question_words_below = 12, best_score_at_least = 0.8}
    tier = "small"

    [[generator.rules]]
    when = {matches = '\b(compare|difference|versus)\b'}
    tier = "large"

The first rule that matches counts. All conditions of its ``when`` must hold; nothing in it is evaluated as
code, and only ``call`` imports any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from rag.core.errors import ConfigError
from rag.core.imports import resolve
from rag.generation.question import Question
from rag.usage.settings import Settings, checked

#: Characters of a question that ``matches`` searches: a pattern may take time exponential in them.
_SEARCHED = 2_000


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _function(value: Any) -> Any:
    return resolve(value, "a rule's call") if isinstance(value, str) else value


_Names = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
_Function = Annotated[Callable[[Question], Any], BeforeValidator(_function)]


class When(Settings):
    """Conditions on a question, all of which must hold.

    Parameters
    ----------
    question_words_below, question_words_at_least : int, optional
        How many words the question has; a follow-up as it stands on its own.
    passages_below, passages_at_least : int, optional
        How many passages are sent for it.
    best_score_below, best_score_at_least : float, optional
        The highest cosine of these with the question, in [-1, 1] (`Question.best_score`); without passages
        both fail.
    where_has : str or list of str, optional
        Fields that its filter names, all of them.
    tag : str or list of str, optional
        Its tag is one of these.
    matches : str, optional
        A regular expression that is found in its first 2,000 characters, whatever the case.
    call : str or callable, optional
        ``"module:function"``, which takes the `Question` and returns whether it matches.

    Examples
    --------
    >>> When(question_words_below=6).fails(Question("Who declares a SEV-1?"))
    >>> When(question_words_below=5, tag="it").fails(Question("Who declares a SEV-1?"))
    'question_words_below = 5'
    """

    question_words_below: int | None = Field(default=None, ge=1)
    question_words_at_least: int | None = Field(default=None, ge=1)
    passages_below: int | None = Field(default=None, ge=1)
    passages_at_least: int | None = Field(default=None, ge=1)
    best_score_below: float | None = None
    best_score_at_least: float | None = None
    where_has: _Names | None = None
    tag: _Names | None = None
    matches: str | None = Field(default=None, min_length=1)
    call: _Function | None = None
    _pattern: re.Pattern[str] | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _is_a_condition(self) -> When:
        if not self.model_fields_set:
            raise ValueError(f"give at least one of {', '.join(type(self).model_fields)}")
        if self.matches is not None:
            try:
                self._pattern = re.compile(self.matches, re.IGNORECASE)
            except re.error as error:
                raise ValueError(f"matches is no regular expression: {error}") from None
        return self

    @property
    def conditions(self) -> list[str]:
        """The conditions, as they are written in ``rag.toml``."""
        return [self._condition(name) for name in type(self).model_fields if getattr(self, name) is not None]

    def fails(self, question: Question) -> str | None:
        """Return the first condition that does not hold; None if all hold.

        Raises
        ------
        ConfigError
            The function of ``call`` failed.
        """
        count = question.word_count
        score, passages = question.best_score, len(question.passages)
        holds: dict[str, Callable[[Any], bool]] = {
            "question_words_below": lambda limit: count < limit,
            "question_words_at_least": lambda limit: count >= limit,
            "passages_below": lambda limit: passages < limit,
            "passages_at_least": lambda limit: passages >= limit,
            "best_score_below": lambda limit: score is not None and score < limit,
            "best_score_at_least": lambda limit: score is not None and score >= limit,
            "where_has": lambda names: set(names) <= set(question.fields),
            "tag": lambda tags: question.tag in tags,
            "matches": lambda _: (
                self._pattern is not None and self._pattern.search(question.text[:_SEARCHED]) is not None
            ),
            "call": lambda function: _called(function, question),
        }
        for name, test in holds.items():
            value = getattr(self, name)
            if value is not None and not test(value):
                return self._condition(name)
        return None

    def _condition(self, name: str) -> str:
        value = getattr(self, name)
        if name == "call":
            value = (
                f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', type(value).__name__)}"
            )
        if isinstance(value, tuple):
            value = value[0] if len(value) == 1 else list(value)
        return f"{name} = {value!r}"


class Rule(Settings):
    """A tier, and when a question goes to it."""

    when: When = Field(description="a table of conditions, as in {question_words_below = 12}")
    tier: str = Field(description="the name of a tier")


def rules_of(value: Any) -> tuple[Rule, ...]:
    """Return rules from their settings: a list of tables, each with ``when`` and ``tier``.

    Raises
    ------
    ConfigError
        A name is unknown, a value is refused, or a condition's function cannot be imported.
    """
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise ConfigError(f"the generator's rules are a list of tables, not {value!r}")
    return tuple(each if isinstance(each, Rule) else _rule(each, n) for n, each in enumerate(value, 1))


def _rule(table: Any, number: int) -> Rule:
    what = f"rule {number} of the generator"
    if not isinstance(table, Mapping):
        raise ConfigError(f"{what} is a table with when and tier, not {table!r}")
    when = table.get("when")
    if isinstance(when, Mapping):
        return checked(Rule, {**table, "when": checked(When, when, f"{what}, when")}, what)
    return checked(Rule, table, what)


def first_match(rules: Sequence[Rule], question: Question) -> tuple[str, str] | None:
    """Return the tier of the first rule that matches, and the reason in words; None if none does.

    Examples
    --------
    >>> rules = rules_of([{"when": {"question_words_below": 9}, "tier": "small"}])
    >>> first_match(rules, Question("Who declares a SEV-1?"))
    ('small', 'rule 1: question_words_below = 9')
    """
    for number, rule in enumerate(rules, 1):
        if rule.when.fails(question) is None:
            return rule.tier, f"rule {number}: {', '.join(rule.when.conditions)}"
    return None


def _called(function: Callable[[Question], Any], question: Question) -> bool:
    try:
        return bool(function(question))
    except Exception as error:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise ConfigError(
            f"the generator's rule calls {name}, which failed: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
