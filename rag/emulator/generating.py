"""Answer RetrieveAndGenerate and its stream: search a knowledge base, and quote what is found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rag.bedrock.search.generation_limits import CITING, NO_ANSWER
from rag.emulator.answering import complete
from rag.emulator.base_state import KnowledgeBases
from rag.emulator.behaviour import Behaviour
from rag.emulator.guardrails.forced import BLOCKED_MESSAGE
from rag.emulator.wire import Event, Refusal, Reply, Request

_PIECE = re.compile(r"\s*\S{1,12}|\s+")


class Generates(Protocol):
    """The state of an emulator that these operations use, and its search."""

    @property
    def bases(self) -> KnowledgeBases:
        """Where sessions are kept."""

    def found(self, base: str, query: str, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what a knowledge base finds, in the form of Retrieve."""

    @property
    def behaviour(self) -> Behaviour:
        """Replies and guardrail."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an answer, and the results that it cites."""

    text: str
    references: Sequence[Mapping[str, Any]] = ()


def retrieve_and_generate(emulator: Generates, request: Request) -> Reply:
    """Answer RetrieveAndGenerate."""
    parts, session, blocked = _answered(emulator, request)
    text, citations = "", []
    for part in parts:
        start, text = len(text), text + part.text
        citations.append(_citation(part, start))
    action = "INTERVENED" if blocked else "NONE"
    return Reply({
        "sessionId": session, "output": {"text": text}, "citations": citations, "guardrailAction": action,
    })  # fmt: skip


def retrieve_and_generate_stream(emulator: Generates, request: Request) -> Reply:
    """Answer RetrieveAndGenerateStream; a citation comes behind the text that it belongs to."""
    parts, session, blocked = _answered(emulator, request)

    def events() -> Iterator[Event]:
        at = 0
        for part in parts:
            for piece in _PIECE.findall(part.text):
                yield "output", {"text": piece}
            yield "citation", {"citation": _citation(part, at), **_citation(part, at)}
            at += len(part.text)
        yield "guardrail", {"action": "INTERVENED" if blocked else "NONE"}

    return Reply(events=events(), headers={"x-amzn-bedrock-knowledge-base-session-id": session})


def _citation(part: _Part, start: int) -> dict[str, Any]:
    kept = ("content", "location", "metadata")
    span = {"start": start, "end": start + len(part.text)}
    return {
        "generatedResponsePart": {"textResponsePart": {"text": part.text, "span": span}},
        "retrievedReferences": [{name: each[name] for name in kept} for each in part.references],
    }


def _answered(emulator: Generates, request: Request) -> tuple[list[_Part], str, bool]:
    """Return the parts of the answer, its session, and whether a guardrail blocked it."""
    params = request.params
    settings = params["retrieveAndGenerateConfiguration"]["knowledgeBaseConfiguration"]
    question = params["input"]["text"]
    session, before = _session(emulator, params.get("sessionId"), question)
    generation = settings.get("generationConfiguration", {})
    query, configuration = f"{before} {question}".strip(), settings.get("retrievalConfiguration", {})
    results = emulator.found(settings["knowledgeBaseId"], query, configuration)
    if "guardrailConfiguration" in generation and emulator.behaviour.guardrail == "blocked":
        return [_Part(BLOCKED_MESSAGE)], session, True
    if not results:
        return [_Part(NO_ANSWER)], session, False
    parts = _parts(emulator, request, settings, question, results)
    template = generation.get("promptTemplate", {}).get("textPromptTemplate", CITING)
    if CITING not in template:  # the model is not told how to cite
        parts = [replace(part, references=()) for part in parts]
    return parts, session, False


def _parts(
    emulator: Generates, request: Request, settings: Mapping[str, Any], question: str, results: Sequence[Any]
) -> list[_Part]:
    blocks = [
        {"searchResult": {
            "source": result["location"]["s3Location"]["uri"], "title": "passage",
            "content": [{"text": result["content"]["text"]}], "citations": {"enabled": True},
        }}
        for result in results
    ]  # fmt: skip
    inference = (
        settings.get("generationConfiguration", {}).get("inferenceConfig", {}).get("textInferenceConfig", {})
    )
    model = settings["modelArn"].rsplit("/", 1)[-1]
    chat = replace(request, params={
        "modelId": model, "inferenceConfig": inference,
        "messages": [{"role": "user", "content": [*blocks, {"text": question}]}],
    })  # fmt: skip
    parts = [
        _Part(part.text, tuple(results[_number(each)] for each in part.citations))
        for part in complete(chat, emulator.behaviour).parts
    ]
    said = "".join(part.text for part in parts).strip()
    custom = emulator.behaviour.reply is not None
    if not said or not (custom or any(part.references for part in parts)):
        return [_Part(NO_ANSWER)]
    return [part for part in parts if part.text]


def _number(citation: Mapping[str, Any]) -> int:
    return int(citation["location"]["searchResultLocation"]["searchResultIndex"])


def _session(emulator: Generates, given: str | None, question: str) -> tuple[str, str]:
    """Return the session of a question, and the question before it."""
    sessions = emulator.bases.sessions
    with emulator.bases.lock:
        if given is not None and given not in sessions:
            raise Refusal(
                "ValidationException", f"Session with Id {given} is not valid. Please check and try again."
            )
        session = given or f"00000000-0000-4000-8000-{len(sessions) + 1:012d}"
        before = sessions.get(session, "")
        sessions[session] = question
    return session, before
