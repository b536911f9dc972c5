"""A prompt's file, ``NAME@VERSION.md``: front matter, then the five sections of its system text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rag.core.errors import ConfigError, near_miss
from rag.generation.prompts.template import Template

Form = Literal["text", "search_results", "guarded"]
Type = Literal["str", "int", "bool", "choice"]
TYPES: tuple[Type, ...] = get_args(Type)
Value = str | int | bool
_IN_WORDS = {"str": "a text", "int": "a whole number", "bool": "true or false"}
#: The sections that a prompt should have, in their order.
SECTIONS = ("STYLE", "DOMAIN CONTEXT", "TASK DIRECTIVES", "ERROR HANDLING", "RESPONSE CONSTRAINTS")
#: What a passage's attributes may name, beside ``metadata.NAME``.
FIELDS = (
    "source", "title", "version", "status", "last_updated", "date", "page", "section", "sections_within",
    "left_out",
)  # fmt: skip
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FENCED = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a prompt's file that is wrong, or could be better.

    Attributes
    ----------
    line : int
        From 1.
    """

    path: str
    line: int
    severity: Literal["error", "warning"]
    text: str

    def __str__(self) -> str:
        """Return ``PATH:LINE: error: …``."""
        return f"{self.path}:{self.line}: {self.severity}: {self.text}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a prompt.

    Attributes
    ----------
    type : {"str", "int", "bool", "choice"}
    default : str, int, bool or None
        None if a value must be given.
    choices : tuple of str
        The values of a choice.
    about : str
        What it is for.
    """

    name: str
    type: Type = "str"
    default: Value | None = None
    choices: tuple[str, ...] = ()
    about: str = ""

    def checked(self, value: Any) -> Value:
        """Return a value if it is one of the variable's.

        Raises
        ------
        ConfigError
            It has another type, or is none of the choices.
        """
        right = {
            "str": isinstance(value, str), "bool": isinstance(value, bool),
            "int": isinstance(value, int) and not isinstance(value, bool),
            "choice": isinstance(value, str) and value in self.choices,
        }[self.type]  # fmt: skip
        if right:
            made: Value = value
            return made
        wanted = _IN_WORDS.get(self.type) or f"one of {', '.join(self.choices)}"
        hint = near_miss(value, self.choices) if self.type == "choice" and isinstance(value, str) else ""
        hint = f": {hint}" if hint.startswith("did") else ""
        raise ConfigError(f"the variable {self.name!r} is {wanted}, not {value!r}{hint}")

    def read(self, text: str) -> Value:
        """Return the value that a text on the command line stands for.

        Examples
        --------
        >>> Variable("most", "int").read("3"), Variable("formal", "bool").read("yes")
        (3, True)
        """
        if self.type == "int":
            try:
                return int(text)
            except ValueError:
                return self.checked(text)
        if self.type == "bool":
            truth = {"true": True, "yes": True, "false": False, "no": False}.get(text.strip().lower())
            return self.checked(text if truth is None else truth)
        return self.checked(text)


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What a prompt's file holds.

    Attributes
    ----------
    text : str
        All of the file.
    body : Template
        The system text.
    question : Template or None
        What surrounds the question; it names ``question``.
    passage : mapping of str to Template, or None
        What is shown of a passage, by attribute; None for what is shown by default.
    parameters : mapping
        Of the model: ``temperature``, ``max_tokens``, ``stop``.
    cite : bool
        Whether the citation contract is appended.
    form : str or None
        The form of the passages; None for the one that the model expects.
    """

    path: str
    text: str
    name: str
    version: str
    body: Template
    about: str = ""
    tags: tuple[str, ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    passage: Mapping[str, Template] | None = None
    question: Template | None = None
    cite: bool = False
    form: Form | None = None

    @property
    def label(self) -> str:
        """``NAME@VERSION``."""
        return f"{self.name}@{self.version}"

    def sections(self) -> list[tuple[str, int, str]]:
        """Return the title, line and text of each of its sections, in their order."""
        body = self.body.text
        fenced = [match.span() for match in _FENCED.finditer(body)]
        heads = [
            match for match in _HEADING.finditer(body)
            if not any(start <= match.start() < end for start, end in fenced)
            and " ".join(match[1].upper().split()) in SECTIONS
        ]  # fmt: skip
        ends = [match.start() for match in heads[1:]] + [len(body)]
        return [
            (" ".join(match[1].upper().split()), self.body.line + body.count("\n", 0, match.start()),
             body[match.end() : end].strip())
            for match, end in zip(heads, ends, strict=True)
        ]  # fmt: skip


def read_text(path: Path) -> str:
    """Return a prompt file's text.

    Raises
    ------
    ConfigError
        It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the prompt {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the prompt {path} is not UTF-8: save it as such") from None


def has_front_matter(text: str) -> bool:
    """Tell whether a text begins with front matter; one that does not is a system text as it stands."""
    return text.partition("\n")[0].rstrip() == "---"


def chosen(variables: Mapping[str, Variable], given: Mapping[str, Any], prompt: str) -> dict[str, Value]:
    """Return values that were given, checked.

    Raises
    ------
    ConfigError
        The prompt has no such variable, or the value is none of its.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"variables are a mapping of names to values, not {given!r}")
    for name in given:
        if name not in variables:
            raise ConfigError(
                f"the prompt {prompt} has no variable {name!r}: {near_miss(str(name), variables)}"
            )
    try:
        return {name: variables[name].checked(value) for name, value in given.items()}
    except ConfigError as error:
        raise ConfigError(f"the prompt {prompt}: {error}") from None
