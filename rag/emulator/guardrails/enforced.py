"""A guardrail of the account in Converse and ConverseStream: what it does to a prompt, and to a reply.

Sources: Amazon Bedrock User Guide, "Include a guardrail with the Converse API" (which content is assessed)
and "Configure streaming response behavior" (the two modes). A masked prompt reaches the model masked.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rag.bedrock.guardrails.units import Block
from rag.emulator.completion import Completion, Part
from rag.emulator.guardrails.engine import assess
from rag.emulator.guardrails.reports import REASONS, assessment
from rag.emulator.guardrails.store import Guardrail, Version
from rag.emulator.guardrails.verdict import Verdict
from rag.emulator.wire import Request

#: Characters of a stream that reach the user before each assessment, in asynchronous mode; AWS's are unknown.
_ASYNC_CHARS = 200


class Enforced:
    """The guardrail of one Converse request."""

    def __init__(self, guardrail: Guardrail, number: str, version: Version) -> None:
        self._guardrail, self._number, self._config = guardrail, number, version.config
        self._input: Verdict | None = None
        self._output: Verdict | None = None
        self._reply: list[str] = []
        self._context: list[Block] = []
        self.blocked_input = str(version.config["blockedInputMessaging"])

    def prompt(self, request: Request) -> Request | None:
        """Return the request as the model gets it, masked; None if it is blocked."""
        params = copy.deepcopy(dict(request.params))
        places = [*_places(params)]
        blocks = [Block(place["text"], tuple(place.get("qualifiers", ()))) for place in places]
        self._context = [*_context(blocks)]
        self._input = assess(self._config, "INPUT", blocks)
        if self._input.action == "BLOCKED":
            return None
        guarded = [place for place, block in zip(places, blocks, strict=True) if block.guarded]
        for place, text in zip(guarded, self._input.texts, strict=True):
            place["text"] = text
        return replace(request, params=params)

    def reply(self, completion: Completion) -> Completion:
        """Return the completion as the user gets it: passed, masked, or the message in its place."""
        verdict = self._assess(completion.parts)
        if verdict is None or not verdict.intervened:
            return completion
        if verdict.action == "BLOCKED":
            return Completion((self._message(),), "guardrail_intervened")
        texts = iter(verdict.texts)
        parts = tuple(replace(part, text=next(texts)) if part.text else part for part in completion.parts)
        return Completion(parts, "guardrail_intervened", completion.stop_sequence)

    def streamed(self, completion: Completion) -> Completion:
        """Return the completion as it reaches the user in asynchronous mode.

        Text is sent before it is assessed: it is never masked, and a reply that is blocked ends with the
        message behind what was sent by then.
        """
        verdict = self._assess(completion.parts)
        if verdict is None or not verdict.intervened:
            return completion
        parts = completion.parts
        if verdict.action == "BLOCKED":
            parts = (*self._sent(parts), self._message())
        return Completion(parts, "guardrail_intervened", completion.stop_sequence)

    def trace(self) -> dict[str, Any]:
        """Return the GuardrailTraceAssessment."""
        last = self._output or self._input
        trace: dict[str, Any] = {"actionReason": REASONS[last.action if last else "NONE"]}
        if self._output is not None and self._output.intervened:
            trace["modelOutput"] = self._reply
        if self._input is not None:
            trace["inputAssessment"] = {self._guardrail.id: self._report(self._input)}
        if self._output is not None:
            trace["outputAssessments"] = {self._guardrail.id: [self._report(self._output)]}
        return trace

    def _assess(self, parts: Sequence[Part]) -> Verdict | None:
        """Assess a reply's texts; arguments of tools are not assessed."""
        self._reply = [part.text for part in parts if part.text]
        if self._reply:
            self._output = self._verdict(self._reply)
        return self._output

    def _verdict(self, texts: Sequence[str]) -> Verdict:
        answer = [Block(text, ("guard_content",)) for text in texts]
        return assess(self._config, "OUTPUT", [*self._context, *answer])

    def _sent(self, parts: Sequence[Part]) -> Iterator[Part]:
        """Yield the parts of a blocked reply up to the first characters with which it is blocked."""
        before: list[str] = []
        for part in parts:
            for end in range(_ASYNC_CHARS, len(part.text) + _ASYNC_CHARS, _ASYNC_CHARS):
                if self._verdict([*before, part.text[:end]]).action == "BLOCKED":
                    yield Part(part.text[:end])
                    return
            before += [part.text] if part.text else []
            yield part

    def _message(self) -> Part:
        return Part(str(self._config["blockedOutputsMessaging"]))

    def _report(self, verdict: Verdict) -> dict[str, Any]:
        return assessment(verdict, self._guardrail, self._number)


def _context(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield the sources and the query that a reply is checked against; in its assessment they are no more."""
    for block in blocks:
        kept = tuple(name for name in block.qualifiers if name != "guard_content")
        if kept:
            yield Block(block.text, kept)


def _places(params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects whose ``text`` is assessed: ``guardContent`` where messages have it, else every text.

    A system prompt is assessed where it has ``guardContent``. Documents, search results, tools and their
    results are not assessed.
    """
    marked = [[*_marked(blocks)] for blocks in _blocks(params["messages"])]
    yield from _marked(params.get("system", ()))
    for found, blocks in zip(marked, _blocks(params["messages"]), strict=True):
        yield from found if any(marked) else (block for block in blocks if isinstance(block.get("text"), str))


def _blocks(messages: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    return (message["content"] for message in messages)


def _marked(blocks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    return (block["guardContent"]["text"] for block in blocks if "text" in block.get("guardContent", {}))
