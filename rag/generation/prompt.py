"""Assemble messages from a question and passages: a versioned system prompt, and the passages in a form.

There are three forms. ``"text"``: delimited documents, for any model. ``"search_results"``: one search
result for each passage, for models that cite them by themselves. ``"guarded"``: text in which the
documents are marked as the source, and the question as the query, of a guardrail's grounding check.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from rag.core.displayable import Displayable
from rag.core.errors import ConfigError, UsageError, near_miss
from rag.core.passages import Hit
from rag.generation.neutral import ENTITIES_OF_LOOKALIKES, written
from rag.generation.neutral import neutral as neutral
from rag.generation.passages import Shown, search_results
from rag.generation.passages import delimited as delimited
from rag.generation.prompts import library
from rag.generation.prompts.file import Form as Form
from rag.generation.prompts.file import PromptFile, Variable, chosen, has_front_matter
from rag.generation.prompts.library import SHIPPED as SHIPPED

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage


class Prompt(Displayable):
    """Maps a question and passages to messages.

    Parameters
    ----------
    name : str, optional
        A prompt file that ships, by default ``"answer-v1"``; ``"NAME@VERSION"`` in `folder`, or a name that
        has one version there; or the path of a Markdown file of yours.
    system : str, optional
        A system text of yours, instead of a file.
    form : {"text", "search_results", "guarded"}, optional
        The form of the passages; by default the one that the prompt was written for, else text.
    cite : bool, optional
        Whether the citation contract is appended to the system text: what the documents are, how to cite
        them, and ``<no_answer/>``. By default it is appended to `system`, and to a file whose front matter
        says ``cite: true``; any other file is the whole text, as the shipped ones contain the contract.
        With ``cite=False`` the model is sent `system` as it is. The reply is read the same way, but nothing
        makes the model cite, so every sentence of it may count as not supported.
    variables : mapping, optional
        Values of the variables that a file with front matter declares.
    folder : str or Path
        Where prompts are looked for by name.

    Attributes
    ----------
    name : str
        What an answer calls the prompt: ``NAME@VERSION``, or the name of a file without front matter.
    hash, version : str
        The SHA-256 of all of the prompt's text, contract included and values of variables not; and its
        first 8 digits, which stand in the ledger.
    parameters : mapping
        What the prompt asks of the model: ``temperature``, ``max_tokens``, ``stop``.
    file : PromptFile or None
        What the front matter says, if there is one.

    Raises
    ------
    ConfigError
        There is no such prompt, form or variable, the file or a value is wrong, or `cite` is given for a
        shipped prompt.

    Examples
    --------
    >>> from langchain_core.documents import Document
    >>> messages = Prompt()("Who?", [Document("Anyone.", metadata={"source": "a.md"})])
    >>> print(messages[1].content)
    <documents>
    <document index="1" source="a.md">
    Anyone.
    </document>
    </documents>
    <BLANKLINE>
    <question>Who?</question>
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        system: str | None = None,
        form: Form | None = None,
        cite: bool | None = None,
        variables: Mapping[str, Any] | None = None,
        folder: str | Path = library.FOLDER,
    ) -> None:
        self.file: PromptFile | None = None
        if system is None:
            wanted = name or "answer-v1"
            self.name, self._text, path = library.texts(wanted, Path(folder))
            if cite is not None and path is None:
                raise ConfigError(
                    f"the prompt {wanted!r} contains the citation contract: leave cite out, or give system="
                )
            if path is not None and has_front_matter(self._text):
                from rag.generation.prompts.parse import load  # YAML, which no other prompt needs

                self.file = load(path, self._text)
                self.name = self.file.label
            written_for: Form | None = "search_results" if wanted == SHIPPED["search_results"] else None
            if self.file is not None:
                written_for = self.file.form
        else:
            self.name, self._text, written_for = f"{name} (custom)" if name else "custom", system, None
        self.form: Form = form or written_for or "text"
        if self.form not in SHIPPED:
            raise ConfigError(f"there is no form {form!r} of a prompt: {near_miss(str(self.form), SHIPPED)}")
        by_default = self.file.cite if self.file is not None else system is not None
        self._cites = by_default if cite is None else cite
        #: Whether the form is left to the model: the contract is written for each.
        self.any_form = self.file is not None and self._cites and form is None and written_for is None
        self._given: Mapping[str, Any] = {}
        if variables:
            self._given = self.filled(variables)._given

    @property
    def hash(self) -> str:
        """The SHA-256 of the text, as 64 hexadecimal digits."""
        return hashlib.sha256(self._with_contract(self._text).encode()).hexdigest()

    @property
    def version(self) -> str:
        """The first 8 digits of the hash."""
        return self.hash[:8]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the prompt asks of the model."""
        return {} if self.file is None else self.file.parameters

    @property
    def system(self) -> str:
        """The system text.

        Raises
        ------
        UsageError
            A variable has no value.
        """
        text = self._text if self.file is None else self.file.body.render(self._values())
        return self._with_contract(text)

    @property
    def variables(self) -> Mapping[str, Variable]:
        """The variables that its file declares."""
        return {} if self.file is None else self.file.variables

    @property
    def values(self) -> dict[str, Any]:
        """The values of its variables: those given, else their defaults."""
        declared = self.variables.items()
        defaults = {name: each.default for name, each in declared if each.default is not None}
        return {**defaults, **self._given}

    def shown(self) -> str:
        """Return the system text for people: a variable without a value stays in braces."""
        values = {name: written(value) for name, value in self.values.items()}
        return self._with_contract(self._text if self.file is None else self.file.body.render(values))

    def filled(self, variables: Mapping[str, Any]) -> Prompt:
        """Return the prompt with values of its variables; this one stays as it is.

        Raises
        ------
        ConfigError
            The prompt has no such variable, or the variable no such value.
        """
        other = copy.copy(self)
        other._given = {**self._given, **chosen(self.variables, variables, self.name)}
        return other

    def in_form(self, form: Form) -> Prompt:
        """Return the prompt with the passages in another form."""
        other = copy.copy(self)
        other.form = form
        return other

    def __call__(self, question: str, documents: Sequence[Document]) -> list[BaseMessage]:
        """Return the messages for LangChain's documents."""
        return self.messages(question, [Hit.from_document(document) for document in documents])

    def messages(self, question: str, hits: Sequence[Hit]) -> list[BaseMessage]:
        """Return the messages: the system prompt, then the passages and the question."""
        from langchain_core.messages import HumanMessage, SystemMessage  # not needed to quote on this machine

        # Models on Bedrock send these along as the request's metadata.
        named = {"prompt": self.name, "version": self.version}
        content = self.content(question, hits)
        return [SystemMessage(self.system, additional_kwargs=named), HumanMessage(content)]

    def content(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        first: int = 1,
        again: Sequence[int] = (),
        in_full: str | None = None,
        before: str | None = None,
    ) -> Any:
        """Return the content of a message, a text or blocks: the passages and the question.

        Parameters
        ----------
        question : str
        hits : sequence of Hit
        first : int
            The number of the first passage; above 1 in a conversation whose messages before hold others.
        again : sequence of int
            Numbers of passages before that concern this question, too.
        in_full : str, optional
            The question as it stands on its own, if it is a follow-up.
        before : str, optional
            What was asked and answered in turns that are no longer sent.
        """
        name = f" in_full={quoteattr(neutral(in_full), ENTITIES_OF_LOOKALIKES)}" if in_full else ""
        tagged = f"<question{name}>{neutral(question)}</question>"
        show = None
        if self.file is not None:
            show = None if self.file.passage is None else Shown(self.file.passage)
            if self.file.question is not None:
                tagged = self.file.question.render({**self._values(), "question": tagged})
        if again:
            tagged = f"Of the documents above these concern the question, too: {_listed(again)}.\n\n{tagged}"
        if before:
            tagged = f"Asked and answered before, in short:\n{neutral(before)}\n\n{tagged}"
        if self.form == "search_results":
            return [*search_results(hits, show), {"type": "text", "text": tagged}]
        if self.form == "guarded" and hits:
            # A text that is marked as source or query alone is exempt from the guardrail's other policies;
            # the question must not be. The documents reach the user in the answer, which is checked.
            source = _guarded(delimited(hits, first, show), "grounding_source")
            return [source, _guarded(tagged, "query", "guard_content")]
        return f"{delimited(hits, first, show)}\n\n{tagged}" if hits or first == 1 else tagged

    def _with_contract(self, text: str) -> str:
        return f"{text.rstrip()}\n\n{library.contract(self.form)}" if self._cites else text

    def _values(self) -> dict[str, str]:
        """Return the variables' values as they are written."""
        values = self.values
        missing = next((name for name in self.variables if name not in values), None)
        if missing is not None:
            raise UsageError(
                f"the prompt {self.name} needs the variable {missing!r}: give it in [prompt] variables, or "
                "as ask(variables={…})"
            )
        return {name: written(value) for name, value in values.items()}


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _guarded(text: str, *qualifiers: str) -> dict[str, Any]:
    return {"guardContent": {"text": {"text": text, "qualifiers": list(qualifiers)}}}
