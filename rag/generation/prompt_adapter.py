"""One interface for every prompt: `rag`'s own, LangChain's templates and runnables, and plain functions.

=========================================  =========================================================
prompt                                     what it is given
=========================================  =========================================================
`rag.Prompt`, or any `PassagePrompt`       the question and the passages as `Hit`
a ``ChatPromptTemplate``, or any template  its variables: `QUESTION_NAMES` and `PASSAGES_NAMES`
any other ``Runnable``                     a mapping with all of these variables
a callable                                 ``(question, documents)``, with LangChain's documents
=========================================  =========================================================

A variable for the passages is one text: the numbered documents of `rag.Prompt`, in which no passage can
forge a tag. A callable or runnable may return a string, a prompt value, a message, or a sequence of what
LangChain takes for messages: messages, ``(role, text)`` tuples, mappings, strings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable

from rag.core.errors import ConfigError, RagError, UsageError
from rag.core.passages import Hit
from rag.generation.passages import delimited

#: Variables of a template that stand for the question, and for the passages.
QUESTION_NAMES = ("question", "input", "query")
PASSAGES_NAMES = ("context", "documents")


@runtime_checkable
class PassagePrompt(Protocol):
    """Maps a question and passages to the messages for a model."""

    name: str

    def messages(self, question: str, hits: Sequence[Hit]) -> list[BaseMessage]:
        """Return the messages; the passages are numbered from 1 in their order."""


class ForeignPrompt:
    """A prompt that is not ours, as a `PassagePrompt`.

    Attributes
    ----------
    name : str
        Its own name, else that of its function or class.
    hash : str
        Empty: its text is not known.
    """

    hash = ""

    def __init__(self, prompt: Any, make: Callable[[str, Sequence[Hit]], Any]) -> None:
        name = getattr(prompt, "name", None) or getattr(prompt, "__name__", None)
        self.name = name if isinstance(name, str) else type(prompt).__name__
        self._make = make

    def messages(self, question: str, hits: Sequence[Hit]) -> list[BaseMessage]:
        """Return the prompt's messages.

        Raises
        ------
        UsageError
            The prompt fails, or returns no messages.
        """
        try:
            made = self._make(question, hits)
        except RagError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            raise UsageError(f"the prompt {self.name} failed: {type(error).__name__}: {text}") from error
        return _messages(made, self.name)


def adapt(prompt: Any) -> PassagePrompt:
    """Return a prompt as a `PassagePrompt`.

    Raises
    ------
    ConfigError
        A template has other variables, a callable takes other arguments, or the object is no prompt.

    Examples
    --------
    >>> hits = [Hit("a.md", 0, 9, "Ask Anna.", 1.0)]
    >>> prompt = adapt(lambda question, documents: [("system", documents[0].page_content), question])
    >>> [message.text for message in prompt.messages("Who?", hits)]
    ['Ask Anna.', 'Who?']
    """
    if isinstance(prompt, BasePromptTemplate):
        _check_variables(prompt)
        return ForeignPrompt(prompt, lambda question, hits: prompt.invoke(_values(question, hits)))
    if isinstance(prompt, Runnable):
        return ForeignPrompt(prompt, lambda question, hits: prompt.invoke(_values(question, hits)))
    if callable(getattr(prompt, "messages", None)) and isinstance(prompt, PassagePrompt):
        return prompt
    if callable(prompt) and not isinstance(prompt, type):
        _check_arguments(prompt)
        return ForeignPrompt(
            prompt, lambda question, hits: prompt(question, [hit.to_document() for hit in hits])
        )
    raise ConfigError(
        f"the prompt is {_kind(prompt)}: give a name, a file, rag.Prompt, a LangChain template, or "
        "a function (question, documents)"
    )


def _values(question: str, hits: Sequence[Hit]) -> dict[str, str]:
    text = delimited(hits)
    return {**dict.fromkeys(QUESTION_NAMES, question), **dict.fromkeys(PASSAGES_NAMES, text)}


def _check_variables(template: BasePromptTemplate[Any]) -> None:
    names = list(template.input_variables)
    unknown = [name for name in names if name not in (*QUESTION_NAMES, *PASSAGES_NAMES)]
    if unknown:
        raise ConfigError(
            f"the prompt template has the variable {{{unknown[0]}}}: the question is one of "
            f"{', '.join(QUESTION_NAMES)}, the passages are one of {', '.join(PASSAGES_NAMES)}; set "
            "others with partial()"
        )
    for what, known in (("question", QUESTION_NAMES), ("passages", PASSAGES_NAMES)):
        if not set(names) & set(known):
            raise ConfigError(
                f"the prompt template has no variable for the {what}: write one of "
                f"{', '.join(f'{{{name}}}' for name in known)}"
            )


def _check_arguments(prompt: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(prompt)
    except (TypeError, ValueError):  # of some builtins none is known
        return
    try:
        signature.bind("question", [])
    except TypeError:
        name = getattr(prompt, "__name__", type(prompt).__name__)
        raise ConfigError(
            f"the prompt {name} takes {signature}: it must take (question, documents)"
        ) from None


def _messages(made: Any, name: str) -> list[BaseMessage]:
    """Return what a prompt made as messages."""
    if isinstance(made, str):
        return [HumanMessage(made)]
    if isinstance(made, PromptValue):
        return made.to_messages()
    if inspect.iscoroutine(made):
        made.close()
    parts: list[Any] | None = None
    if isinstance(made, BaseMessage | Mapping):
        parts = [made]
    elif isinstance(made, Iterable) and not isinstance(made, bytes | bytearray):
        parts = list(made)
    if parts is None:
        raise UsageError(
            f"the prompt {name} returned {_kind(made)}: return a string, a prompt value or messages"
        )
    if not parts:
        raise UsageError(f"the prompt {name} returned no messages: return at least one")
    try:
        return [message for part in parts for message in convert_to_messages([part])]
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError):
        wrong = next(part for part in parts if not _is_message(part))
        raise UsageError(
            f"the prompt {name} returned {_kind(wrong)} among its messages: return messages, (role, text) "
            "tuples, mappings with role and content, or strings"
        ) from None


def _is_message(part: Any) -> bool:
    try:
        return bool(convert_to_messages([part]))
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError):
        return False


def _kind(value: Any) -> str:
    """Return what a value is, for an error: its type, and its text where that is short."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind, text = type(value).__name__, repr(value)
    return kind if len(text) > 60 or text.startswith("<") else f"{kind} {text}"
