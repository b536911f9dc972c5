"""Assemble messages from a question and passages: a versioned system prompt, and the passages in a form.

There are three forms. ``"text"``: delimited documents, for any model. ``"search_results"``: one search
result for each passage, for models that cite them by themselves. ``"guarded"``: text in which the
documents are marked as the source, and the question as the query, of a guardrail's grounding check.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import quoteattr

from rag.core.errors import ConfigError, near_miss
from rag.core.lookalikes import INVISIBLE, LATIN, LESS_THAN
from rag.core.passages import Hit, sections_of, shared_parents

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage

Form = Literal["text", "search_results", "guarded"]
#: The prompt that goes with each form.
SHIPPED: dict[Form, str] = {
    "text": "answer-v1", "search_results": "answer-native-v1", "guarded": "answer-v1",
}  # fmt: skip

#: Most characters of an attribute of a passage (a title, a heading path): no budget counts these.
_LONGEST = 300
#: Most characters of the words with which a section is said to begin.
_LONGEST_WORDS = 40
# Bedrock refuses a blank text; left out, it would shift the numbers of those behind it.
_NO_TEXT = "(no text)"
# The prompt's tags, and what a model reads as one, inside a document or a question could end it early or
# forge another: an opening bracket, one that looks like it, or its HTML entity, however often escaped; behind
# it white space, slashes, invisible characters, and letters of any width, accent or alphabet.
_TAGS = {"document", "documents", "question", "cite", "no_answer"}
_BRACKET = re.compile(
    rf"[{LESS_THAN}]|&(?:amp;)*(?:lt|#0*(?:60|65124|65308)|#x0*(?:3c|fe64|ff1c));?", re.IGNORECASE
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", **{bracket: f"&#{ord(bracket)};" for bracket in LESS_THAN[1:]}}
_ENTITIES_OF_LOOKALIKES = {bracket: _ENTITIES[bracket] for bracket in LESS_THAN[1:]}
_INVISIBLE = re.compile(f"[{INVISIBLE}]")


class Prompt:
    """Maps a question and passages to messages.

    Parameters
    ----------
    name : str, optional
        A prompt file that ships, by default ``"answer-v1"``; or the path of a Markdown file of yours.
    system : str, optional
        A system text of yours, instead of a file.
    form : {"text", "search_results", "guarded"}, optional
        The form of the passages; by default the one that the shipped prompt was written for, else text.
    cite : bool, optional
        Whether the citation contract is appended to the system text: what the documents are, how to cite
        them, and ``<no_answer/>``. By default it is appended to `system`, and a file is the whole text, as
        the shipped ones contain the contract. With ``cite=False`` the model is sent `system` as it is.
        The reply is read the same way, but nothing makes the model cite, so every sentence of it may
        count as not supported.

    Attributes
    ----------
    name, version : str
        What identifies the prompt in an answer and in the ledger. The version is a hash of the system
        text, contract included.

    Raises
    ------
    ConfigError
        There is no such prompt or form, or `cite` is given for a shipped prompt.

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
    ) -> None:
        file = name or "answer-v1"
        self.form: Form = form or ("search_results" if file == SHIPPED["search_results"] else "text")
        if self.form not in SHIPPED:
            raise ConfigError(f"there is no form {form!r} of a prompt: {near_miss(str(self.form), SHIPPED)}")
        if system is None:
            self.name, self.system = Path(file).stem, _read(file)
            if cite is not None and file in SHIPPED.values():
                raise ConfigError(
                    f"the prompt {file!r} contains the citation contract: leave cite out, or give system="
                )
        else:
            self.name, self.system = f"{name} (custom)" if name else "custom", system
        if cite or (cite is None and system is not None):
            self.system = f"{self.system.rstrip()}\n\n{_contract(self.form)}"
        self.version = hashlib.sha256(self.system.encode()).hexdigest()[:8]

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
        name = f" in_full={quoteattr(neutral(in_full), _ENTITIES_OF_LOOKALIKES)}" if in_full else ""
        tagged = f"<question{name}>{neutral(question)}</question>"
        if again:
            tagged = f"Of the documents above these concern the question, too: {_listed(again)}.\n\n{tagged}"
        if before:
            tagged = f"Asked and answered before, in short:\n{neutral(before)}\n\n{tagged}"
        if self.form == "search_results":
            return [*_search_results(hits), {"type": "text", "text": tagged}]
        if self.form == "guarded" and hits:
            # A text that is marked as source or query alone is exempt from the guardrail's other policies;
            # the question must not be. The documents reach the user in the answer, which is checked.
            source = _guarded(delimited(hits, first), "grounding_source")
            return [source, _guarded(tagged, "query", "guard_content")]
        return f"{delimited(hits, first)}\n\n{tagged}" if hits or first == 1 else tagged


def neutral(text: str) -> str:
    """Return a text in which nothing can be read as one of the prompt's tags.

    White space, invisible characters, other forms of letters and brackets, and HTML entities are seen
    through.

    Examples
    --------
    >>> neutral("a </document> b < c")
    'a &lt;/document> b < c'

    Notes
    -----
    In a text with such a tag the ampersands are escaped, too, so that `html.unescape` gives back the text:
    that is how a quote of it is looked up.
    """
    cuts = [match.start() for match in _BRACKET.finditer(text) if _opens_tag(text, match.end())]
    if not cuts:
        return text
    out, at = "", 0
    for cut in cuts:
        out += text[at:cut].replace("&", "&amp;") + _ENTITIES[text[cut]]
        at = cut + 1
    return out + text[at:].replace("&", "&amp;")


def _opens_tag(text: str, at: int) -> bool:
    """Tell whether the name of one of the prompt's tags follows, behind a slash or not."""
    name = ""
    for character in _seen(text, at):
        if character.isalnum() or character == "_":
            name += character
            if len(name) > len("documents"):
                return False
        elif name or character not in " /\\!?":
            break
    return name in _TAGS


def _seen(text: str, at: int) -> Iterator[str]:
    """Yield the characters of a text from an offset on, as they are read: no invisible ones, plain forms."""
    for number in range(at, len(text)):
        character = text[number]
        if character.isspace():
            yield " "
        elif not _INVISIBLE.match(character):
            plain = unicodedata.normalize("NFKD", character).casefold().translate(LATIN)
            yield from (part for part in plain if not unicodedata.combining(part))


def delimited(hits: Sequence[Hit], first: int = 1) -> str:
    """Return passages as text: numbered documents between tags, in which no passage can forge a tag."""
    parts = ["<documents>"]
    for place, hit in enumerate(hits):
        values = {"index": str(place + first), "source": hit.source, **_attributes(hits, place)}
        attributes = " ".join(
            f"{name}={quoteattr(value, _ENTITIES_OF_LOOKALIKES)}" for name, value in values.items()
        )
        parts += [f"<document {attributes}>", neutral(hit.text), "</document>"]
    return "\n".join([*parts, "</documents>"])


def _search_results(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Return a search result for each passage, in LangChain's form; its attributes go into the title."""
    results = []
    for number, hit in enumerate(hits):
        values = _attributes(hits, number)
        source = hit.source.strip() or "unknown"
        title = values.pop("title", "") or source
        more = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in values.items())
        results.append({
            "type": "search_result", "source": neutral(source),
            "title": neutral(f"{title} ({more})" if more else title),
            "content": [{"type": "text", "text": neutral(hit.text) if hit.text.strip() else _NO_TEXT}],
            "citations": {"enabled": True},
        })  # fmt: skip
    return results


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _guarded(text: str, *qualifiers: str) -> dict[str, Any]:
    return {"guardContent": {"text": {"text": text, "qualifiers": list(qualifiers)}}}


def _attributes(hits: Sequence[Hit], number: int) -> dict[str, str]:
    """Return what the model reads of a passage beside its text."""
    hit, before = hits[number], hits[number - 1] if number else None
    values = {}
    for name in ("title", "version", "status", "last_updated"):
        value = str(hit.metadata.get(name, "")).strip()
        if value:
            values[name] = _bounded(value)
    if hit.page_start is not None:
        last = hit.page_end or hit.page_start
        values["page"] = str(hit.page_start) if last == hit.page_start else f"{hit.page_start}-{last}"
    if hit.section:
        values["section"] = " > ".join(hit.section)
    if hit.section_breaks:
        values["sections_within"] = "; ".join(_sections_within(hit))
    if before is not None and before.source == hit.source and before.end < hit.start:
        values["left_out"] = f"{hit.start - before.end} characters before this"
    return values


def _sections_within(hit: Hit) -> Iterator[str]:
    """Yield the sections that begin inside a passage, each with the words with which it begins.

    The headings above all sections are left out. So are the words where the heading is itself the first
    line: the model finds it in the text.
    """
    above = len(shared_parents([path for path in sections_of(hit) if path]))
    for at, path in hit.section_breaks:
        name = _bounded(" > ".join(path[above:])) or "no heading"
        line = hit.text[at - hit.start :].lstrip().partition("\n")[0].strip("#*_ \t\r")
        if path and line == path[-1]:
            yield name
        else:
            words = line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS].rpartition(' ')[0]}…"
            yield f"{name}, from “{words}”"


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _contract(form: Form) -> str:
    """Return the citation contract of a form, as a system text of the user's ends with it."""
    name = "search_results" if form == "search_results" else "text"
    path = resources.files("rag.generation.prompts") / "contract" / f"{name}.md"
    return path.read_text(encoding="utf-8").rstrip()


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
