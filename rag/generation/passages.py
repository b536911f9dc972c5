"""Passages as a model is shown them: delimited documents, search results, or a guardrail's source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from rag.core.passages import Hit, sections_of, shared_parents
from rag.generation.neutral import ENTITIES_OF_LOOKALIKES, neutral
from rag.generation.prompts.template import Template

#: Most characters of an attribute of a passage (a title, a heading path): no budget counts these.
_LONGEST = 300
#: Most characters of the words with which a section is said to begin.
_LONGEST_WORDS = 40
# Bedrock refuses a blank text; left out, it would shift the numbers of those behind it.
_NO_TEXT = "(no text)"

#: Metadata that may hold a passage's date, the first that does.
_DATES = ("last_updated", "date", "modified", "created", "sent")

#: Takes the passages and the place of one among them; returns what is shown of it beside its text.
Show = Callable[[Sequence[Hit], int], Mapping[str, str]]


def delimited(hits: Sequence[Hit], first: int = 1, show: Show | None = None) -> str:
    """Return passages as text: numbered documents between tags, in which no passage can forge a tag.

    Parameters
    ----------
    hits : sequence of Hit
    first : int
        The number of the first one.
    show : callable, optional
        What is shown of a passage beside its source and text; by default `attributes`.
    """
    show = show or attributes
    parts = ["<documents>"]
    for place, hit in enumerate(hits):
        values = {"index": str(place + first), "source": hit.source, **show(hits, place)}
        named = " ".join(
            f"{name}={quoteattr(value, ENTITIES_OF_LOOKALIKES)}" for name, value in values.items()
        )
        parts += [f"<document {named}>", neutral(hit.text), "</document>"]
    return "\n".join([*parts, "</documents>"])


def search_results(hits: Sequence[Hit], show: Show | None = None) -> list[dict[str, Any]]:
    """Return a search result for each passage, in LangChain's form; its attributes go into the title."""
    show = show or attributes
    results = []
    for number, hit in enumerate(hits):
        values = dict(show(hits, number))
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


def attributes(hits: Sequence[Hit], number: int) -> dict[str, str]:
    """Return what the model reads by default of a passage beside its source and text."""
    hit, before = hits[number], hits[number - 1] if number else None
    values = {}
    for name in ("title", "version", "status", "last_updated"):
        value = str(hit.metadata.get(name, "")).strip()
        if value:
            values[name] = bounded(value)
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


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a passage: a template for each attribute.

    An attribute is left out where a value that it names is missing.
    """

    templates: Mapping[str, Template]

    def __call__(self, hits: Sequence[Hit], number: int) -> dict[str, str]:
        """Return the attributes of one of the passages."""
        hit = hits[number]
        values = {"source": hit.source, **attributes(hits, number)}
        values["date"] = next((text for name in _DATES if (text := _text(hit.metadata.get(name)))), "")
        shown = {}
        for name, template in self.templates.items():
            parts = {
                each: _text(hit.metadata.get(each.partition(".")[2])) if "." in each else values.get(each, "")
                for each in template.names
            }
            if all(parts.values()):
                shown[name] = bounded(" ".join(template.render(parts).split()))
        return shown


def _sections_within(hit: Hit) -> Iterator[str]:
    """Yield the sections that begin inside a passage, each with the words with which it begins.

    The headings above all sections are left out. So are the words where the heading is itself the first
    line: the model finds it in the text.
    """
    above = len(shared_parents([path for path in sections_of(hit) if path]))
    for at, path in hit.section_breaks:
        name = bounded(" > ".join(path[above:])) or "no heading"
        line = hit.text[at - hit.start :].lstrip().partition("\n")[0].strip("#*_ \t\r")
        if path and line == path[-1]:
            yield name
        else:
            words = line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS].rpartition(' ')[0]}…"
            yield f"{name}, from “{words}”"


def bounded(text: str) -> str:
    """Return a text, cut at the most that an attribute holds."""
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple | set):
        return "; ".join(map(str, value))
    return "" if value is None else bounded(str(value).strip())
