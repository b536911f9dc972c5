"""Read the reply of RetrieveAndGenerate: its text, and the passages that the service cites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rag.bedrock.search.generation_limits import NO_ANSWER
from rag.core.answers import Answer, Event
from rag.core.citations import Citation
from rag.core.passages import Context, Hit
from rag.generation.citations import ReplyReader


class MakesHits(Protocol):
    """What turns a retrieved reference into a Hit (`KnowledgeBaseRetriever`)."""

    def hit(self, result: Mapping[str, Any], rank: int) -> Hit:
        """Return a result as a Hit, located in the index."""


class CitedReply:
    """Reads a reply, whole or as a stream; its citations are those of `rag.generation.citations`.

    Parameters
    ----------
    places : MakesHits
    question : str
        Its numbers may be repeated without a source.
    """

    def __init__(self, places: MakesHits, question: str) -> None:
        self._places = places
        self._hits: list[Hit] = []  # the reader sees those that are added
        self._reader = ReplyReader(self._hits, question=question)
        self._blocked = False

    @property
    def unplaced(self) -> int:
        """Passages that the index does not hold."""
        return sum(not hit.placed for hit in self._hits)

    def whole(self, reply: Mapping[str, Any]) -> None:
        """Read a whole reply; each citation stands where its part of the text ends."""
        text, at = str(reply["output"]["text"]), 0
        self._blocked = reply.get("guardrailAction") == "INTERVENED"
        for end, references in _parts(text, reply.get("citations", ())):
            for _ in (*self._reader.feed(text[at:end]), *self._cite(references)):
                pass
            at = max(at, end)
        for _ in (*self._reader.feed(text[at:]), *self._reader.close()):
            pass

    def take(self, event: Mapping[str, Any]) -> Iterator[Event]:
        """Read an event of a stream; a citation belongs to the text before it."""
        if "output" in event:
            yield from self._events(self._reader.feed(str(event["output"].get("text", ""))))
        elif "citation" in event:
            # Newer models of the service have the members outside of `citation`, too.
            inner = event["citation"].get("citation") or event["citation"]
            yield from self._events(self._cite(inner.get("retrievedReferences", ())))
        elif event.get("guardrail", {}).get("action") == "INTERVENED":
            self._blocked = True

    def close(self) -> Iterator[Event]:
        """Read the end of a stream."""
        yield from self._events(self._reader.close())

    def answer(self, *, notes: Sequence[str], **fields: Any) -> Answer:
        """Return the answer; `fields` are those that the reply does not tell."""
        reader, hits = self._reader, self._hits
        size = sum(len(hit.text) for hit in hits)
        refuses = reader.text.strip() == NO_ANSWER
        return Answer(
            text=reader.text, answered=reader.answered and not refuses and not self._blocked,
            citations=tuple(self._located(each) for each in reader.citations),
            context=Context(tuple(hits), size, size, "chars"),
            guardrail="blocked" if self._blocked else None,
            stop_reason="guardrail_intervened" if self._blocked else "end_turn",
            support=None if refuses or self._blocked else reader.support,
            notes=(*notes, *(() if refuses or self._blocked else reader.notes)), **fields,
        )  # fmt: skip

    def _cite(self, references: Iterable[Mapping[str, Any]]) -> Iterator[str | Citation]:
        for reference in references:
            hit = self._places.hit(reference, len(self._hits))
            if not hit.text.strip():
                continue
            number = next((n for n, known in enumerate(self._hits, 1) if _same(known, hit)), None)
            if number is None:
                self._hits.append(hit)
                number = len(self._hits)
            yield from self._reader.cite("", number)

    def _events(self, pieces: Iterable[str | Citation]) -> Iterator[Event]:
        for piece in pieces:
            if isinstance(piece, str):
                yield Event("text", piece)
            else:
                yield Event("citation", self._located(piece))

    def _located(self, citation: Citation) -> Citation:
        """Return a citation; in a passage whose place is not known it has none either, and is no evidence."""
        placed = any(
            hit.placed and hit.source == citation.source and hit.start <= citation.start
            and hit.text[citation.start - hit.start : citation.end - hit.start] == citation.text
            for hit in self._hits
        )  # fmt: skip
        return citation if placed else replace(citation, start=0, end=0)


def _same(one: Hit, other: Hit) -> bool:
    return (one.source, one.start, one.text) == (other.source, other.start, other.text)


def _parts(
    text: str, citations: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Sequence[Mapping[str, Any]]]]:
    """Yield where each cited part of a text ends, and what it cites.

    The part is looked up by its words: whether ``span.end`` counts the last character is not documented.
    """
    at = 0
    for citation in citations:
        part = citation.get("generatedResponsePart", {}).get("textResponsePart", {})
        words = str(part.get("text", "")).strip()
        start = text.find(words, at) if words else -1
        end = start + len(words) if start >= 0 else int(part.get("span", {}).get("end", len(text)))
        at = max(at, min(end, len(text)))
        yield at, citation.get("retrievedReferences", ())
