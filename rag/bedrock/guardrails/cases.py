"""Tables of texts that a guardrail is tested on: what each must come to, and what came.

A table is TOML, ``[[cases]]`` for each text, or JSON lines::

    [[cases]]
    text = "My card is 4111 1111 1111 1111."
    source = "input"                      # or "output"
    expect = "blocked"                    # "pass", "masked" or "blocked"
    by = "pii.credit_debit_card_number"   # what must do so: a policy, or one of its entries; or a list

    [[cases]]
    text = "Write to ada@example.com."
    source = "output"
    expect = "masked"
    masked = "Write to {EMAIL}."          # the text that must come

    [[cases]]
    text = "Staff take 30 days of leave."
    source = "output"
    grounding_source = "Staff take 28 days of leave."   # or a list
    query = "How many days of leave do staff take?"
    expect = "blocked"
    by = "grounding"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from rag.bedrock.guardrails.settings import FILTERS, PII, GuardrailSettings
from rag.bedrock.guardrails.units import Block, Source
from rag.core.errors import ConfigError, near_miss
from rag.usage.settings import Settings, checked

Expect = Literal["pass", "masked", "blocked"]
#: What `by` may begin with: the policies, as a guardrail's file names them.
POLICIES = ("topics", "filters", "words", "pii", "regexes", "grounding", "reasoning")


class Case(Settings):
    """A text, and what must come of it.

    Attributes
    ----------
    by : tuple of str
        Of ``"pass"``: what must be detected without an action.
    place : str
        Where it stands in its table, for people.
    """

    text: str = Field(strict=True, min_length=1, description="a text")
    expect: Expect
    source: Literal["input", "output"] = "input"
    masked: str | None = Field(None, strict=True, description="a text")
    by: tuple[str, ...] = ()
    grounding_source: tuple[str, ...] = ()
    query: str | None = Field(None, strict=True, min_length=1, description="a text")
    place: str = ""

    @field_validator("expect", "source", mode="before")
    @classmethod
    def _known(cls, value: Any, info: Any) -> Any:
        known = get_args(Expect) if info.field_name == "expect" else ("input", "output")
        if value not in known:
            raise ValueError(f"it is {value!r}: {near_miss(str(value), known)}")
        return value

    @field_validator("by", "grounding_source", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        values = (value,) if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not all(isinstance(each, str) and each for each in values):
            raise ValueError(f"it is a text or a list of texts, not {value!r}")
        return tuple(values)

    @model_validator(mode="after")
    def _consistent(self) -> Case:
        if self.masked is not None and self.expect != "masked":
            raise ValueError('masked goes with expect = "masked"')
        grounded = bool(self.grounding_source)
        if grounded != (self.query is not None) or (grounded and self.source == "input"):
            raise ValueError(
                'grounding is tested with grounding_source, query and source = "output" together'
            )
        return self

    @property
    def way(self) -> Source:
        """The source as ApplyGuardrail takes it."""
        return "INPUT" if self.source == "input" else "OUTPUT"

    def blocks(self) -> list[Block]:
        """Return the texts as ApplyGuardrail takes them."""
        if self.query is None:
            return [Block(self.text)]
        sources = [Block(text, ("grounding_source",)) for text in self.grounding_source]
        return [*sources, Block(self.query, ("query",)), Block(self.text, ("guard_content",))]


def read(path: Path, settings: GuardrailSettings) -> list[Case]:
    """Read a table, and check it against the guardrail that it tests.

    Raises
    ------
    ConfigError
        It cannot be read, a setting is refused, or a case names what the guardrail lacks.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the table {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the table {path} is not UTF-8: save it as such") from None
    rows = list(_toml(text, path) if path.suffix == ".toml" else _lines(text, path))
    if not rows:
        raise ConfigError(f"the table {path} has no cases: add [[cases]] with text and expect")
    return [_case(row, place, settings) for place, row in rows]


def _toml(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for name in table:
        if name != "cases":
            raise ConfigError(f"{path} has no setting {name!r}: {near_miss(name, ['cases'])}")
    cases = table.get("cases", [])
    if not isinstance(cases, list):
        raise ConfigError(f"{path}: cases must be tables [[cases]]")
    for number, case in enumerate(cases, 1):
        yield f"{path}, case {number}", case


def _lines(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    # Not splitlines: a text may hold a line separator.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{path}:{number} is not JSON: {error}") from None


def _case(row: Any, place: str, settings: GuardrailSettings) -> Case:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{place}: a case is a table of settings, not {row!r}")
    case = checked(Case, {**row, "place": place}, place)
    for name in case.by:
        policy, dot, entry = name.partition(".")
        if policy not in POLICIES:
            raise ConfigError(f"{place}: by names no policy {policy!r}: {near_miss(policy, POLICIES)}")
        known = _entries(settings)[policy]
        if dot and known is not None and entry.casefold() not in map(str.casefold, known):
            raise ConfigError(f"{place}: the guardrail has no {name!r}: {near_miss(entry, known)}")
    return case


def _entries(settings: GuardrailSettings) -> Mapping[str, Sequence[str] | None]:
    """Return what a policy of a guardrail can detect, by its name; None if that is not known."""
    return {
        "topics": [topic.name for topic in settings.topics],
        "filters": [name for name in FILTERS if name in settings.filters],
        "words": [*(word.text for word in settings.words), *(["profanity"] if settings.profanity else [])],
        "pii": [name for name in PII if name in settings.pii],
        "regexes": [regex.name for regex in settings.regexes],
        "grounding": list(settings.grounding), "reasoning": None,
    }  # fmt: skip
