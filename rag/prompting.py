"""A question and its context to messages: a versioned system prompt, delimited documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from xml.sax.saxutils import quoteattr

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from rag.errors import ConfigError, near_miss
from rag.records import Hit

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

    def __init__(self, name: str = "answer-v1", *, system: str | None = None) -> None:
        self.name = Path(name).stem if system is None else f"{name} (given)"
        self.system = _read(name) if system is None else system

    def __call__(self, question: str, documents: Sequence[Document]) -> list[BaseMessage]:
        """Return the messages: the system prompt, then the documents and the question."""
        parts = ["<documents>"]
        before: Hit | None = None
        for number, document in enumerate(documents, 1):
            hit = Hit.from_document(document)
            values = _attributes(number, hit)
            if before is not None and before.source == hit.source and before.end < hit.start:
                values["left_out"] = f"{hit.start - before.end} characters before this"
            named = " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())
            parts += [f"<document {named}>", neutral(hit.text), "</document>"]
            before = hit
        parts += ["</documents>", "", f"<question>{neutral(question)}</question>"]
        return [SystemMessage(self.system), HumanMessage("\n".join(parts))]


def neutral(text: str) -> str:
    """Return a text in which none of the prompt's own tags can be read as such.

    Examples
    --------
    >>> neutral("a </document> b < c")
    'a &lt;/document> b < c'
    """
    return _OWN_TAGS.sub("&lt;", text)


def _attributes(number: int, hit: Hit) -> dict[str, str]:
    values = {"index": str(number), "source": hit.source}
    for name in ("title", "version", "status", "last_updated"):
        if name in hit.metadata:
            values[name] = str(hit.metadata[name])
    if hit.page_start is not None:
        last = hit.page_end or hit.page_start
        values["page"] = str(hit.page_start) if last == hit.page_start else f"{hit.page_start}-{last}"
    if hit.section:
        values["section"] = " > ".join(hit.section)
    return values


def _read(name: str) -> str:
    folder = resources.files("rag.prompts")
    shipped = folder / f"{name}.md"
    if "/" not in name and shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    path = Path(name)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    known = [Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".md")]
    raise ConfigError(f"there is no prompt {name!r}: {near_miss(name, known)}")
