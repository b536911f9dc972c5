"""A question and its context to messages: a versioned system prompt, and the documents in a form.

Three forms. ``"text"``: delimited documents, for any model. ``"search_results"``: a search result
each, for models that cite them by themselves. ``"guarded"``: as text, with the documents marked as the
source and the question as the query that a guardrail checks the answer against.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from rag.core.errors import ConfigError, near_miss
from rag.core.passages import Hit

Form = Literal["text", "search_results", "guarded"]
#: The prompt that goes with each form.
SHIPPED: dict[Form, str] = {
    "text": "answer-v1", "search_results": "answer-native-v1", "guarded": "answer-v1",
}  # fmt: skip

#: Most characters of a title and the like, which no budget counts.
_LONGEST = 300
# Bedrock refuses a blank text; left out, it would shift the numbers of those behind it.
_NO_TEXT = "(no text)"
# The prompt's own tags inside a document or a question could end it early or forge another.
_OWN_TAGS = re.compile(r"<(?=/?\s*(?:documents?|question|cite|no_answer)\b)", re.IGNORECASE)


class Prompt:
    """Maps a question and documents to messages.

    Parameters
    ----------
    name : str
        A prompt file that ships, e.g. ``"answer-v1"``; or the path of a Markdown file of yours.
    system : str, optional
        The system prompt itself, instead of a file.
    form : {"text", "search_results", "guarded"}, optional
        How the documents are put; by default as the prompt that ships was written for.

    Attributes
    ----------
    name, version : str
        What a reply is told by afterwards; the version changes with each change of the system prompt.

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
        self, name: str = "answer-v1", *, system: str | None = None, form: Form | None = None
    ) -> None:
        self.name = Path(name).stem if system is None else f"{name} (given)"
        self.system = _read(name) if system is None else system
        self.version = hashlib.sha256(self.system.encode()).hexdigest()[:8]
        self.form: Form = form or ("search_results" if name == SHIPPED["search_results"] else "text")
        if self.form not in SHIPPED:
            raise ConfigError(f"there is no form {form!r} of a prompt: {near_miss(str(self.form), SHIPPED)}")

    def __call__(self, question: str, documents: Sequence[Document]) -> list[BaseMessage]:
        """Return the messages for LangChain's documents; see `messages`."""
        return self.messages(question, [Hit.from_document(document) for document in documents])

    def messages(self, question: str, hits: Sequence[Hit]) -> list[BaseMessage]:
        """Return the messages: the system prompt, then the passages and the question."""
        asked = f"<question>{neutral(question)}</question>"
        content: str | list[Any]
        if self.form == "search_results":
            content = [*_search_results(hits), {"type": "text", "text": asked}]
        elif self.form == "guarded" and hits:
            # What is marked as source or query alone is kept from the guardrail's other policies: the
            # question must not be. The documents reach the user by the answer, which is checked.
            content = [
                _guarded(_delimited(hits), "grounding_source"), _guarded(asked, "query", "guard_content"),
            ]  # fmt: skip
        else:
            content = f"{_delimited(hits)}\n\n{asked}"
        # What a model on Bedrock sends along as the request's metadata.
        named = {"prompt": self.name, "version": self.version}
        return [SystemMessage(self.system, additional_kwargs=named), HumanMessage(content)]


def neutral(text: str) -> str:
    """Return a text in which none of the prompt's own tags can be read as such.

    Examples
    --------
    >>> neutral("a </document> b < c")
    'a &lt;/document> b < c'

    Notes
    -----
    Where there are any, its ampersands are escaped, too, so that `html.unescape` gives back the text:
    by that a quote of it is found again.
    """
    return _OWN_TAGS.sub("&lt;", text.replace("&", "&amp;")) if _OWN_TAGS.search(text) else text


def _delimited(hits: Sequence[Hit]) -> str:
    parts = ["<documents>"]
    for number, hit in enumerate(hits, 1):
        values = {"index": str(number), "source": hit.source, **_attributes(hits, number - 1)}
        named = " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())
        parts += [f"<document {named}>", neutral(hit.text), "</document>"]
    return "\n".join([*parts, "</documents>"])


def _search_results(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Return a search result per passage, in LangChain's form; what is known of it is in the title."""
    results = []
    for number, hit in enumerate(hits):
        values = _attributes(hits, number)
        title, source = values.pop("title", ""), hit.source.strip() or "unknown"
        told = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in values.items())
        results.append({
            "type": "search_result", "source": source,
            "title": neutral(f"{title or source} ({told})" if told else title or source),
            "content": [{"type": "text", "text": neutral(hit.text) if hit.text.strip() else _NO_TEXT}],
            "citations": {"enabled": True},
        })  # fmt: skip
    return results


def _guarded(text: str, *qualifiers: str) -> dict[str, Any]:
    return {"guardContent": {"text": {"text": text, "qualifiers": list(qualifiers)}}}


def _attributes(hits: Sequence[Hit], number: int) -> dict[str, str]:
    """Return what the model is told of a passage beside its text."""
    hit, before = hits[number], hits[number - 1] if number else None
    values = {}
    for name in ("title", "version", "status", "last_updated"):
        told = str(hit.metadata.get(name, "")).strip()
        if told:
            values[name] = told if len(told) <= _LONGEST else told[:_LONGEST] + "…"
    if hit.page_start is not None:
        last = hit.page_end or hit.page_start
        values["page"] = str(hit.page_start) if last == hit.page_start else f"{hit.page_start}-{last}"
    if hit.section:
        values["section"] = " > ".join(hit.section)
    if before is not None and before.source == hit.source and before.end < hit.start:
        values["left_out"] = f"{hit.start - before.end} characters before this"
    return values


def _read(name: str) -> str:
    folder = resources.files("rag.generation.prompts")
    shipped = folder / f"{name}.md"
    if "/" not in name and shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    path = Path(name)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    known = [Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".md")]
    raise ConfigError(f"there is no prompt {name!r}: {near_miss(name, known)}")
