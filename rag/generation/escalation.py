"""Judge a reply: whether a stronger model should answer in its place (`rag.generation.router`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jsonschema.exceptions import SchemaError, best_match  # type: ignore[import-untyped]
from jsonschema.validators import validator_for  # type: ignore[import-untyped]
from pydantic import Field, model_validator

from rag.generation import reply
from rag.generation.citations import ReplyReader
from rag.generation.question import Question
from rag.generation.quoting import covers
from rag.usage.settings import Settings

Reason = Literal["refused", "unsupported", "schema", "cut", "empty"]
REASONS: tuple[Reason, ...] = ("refused", "unsupported", "schema", "cut", "empty")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that are bound to a model, as far as a reply is checked against them.

    Attributes
    ----------
    schemas : mapping
        The JSON schema of each tool's input, by the tool's name.
    forced : bool
        Whether the reply has to call one.
    """

    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forced: bool = False

    def problem(self, message: Any) -> str | None:
        """Return what is wrong with a reply's calls; None if nothing is."""
        if getattr(message, "invalid_tool_calls", None):
            return "the input of a tool is not valid JSON"
        calls = reply.tool_calls(message)
        for call in calls:
            schema = self.schemas.get(call["name"])
            if schema is None:
                return f"there is no tool {call['name']}" if self.schemas else None
            kind = validator_for(schema)
            try:
                kind.check_schema(schema)
            except SchemaError:
                continue  # nothing can be checked against it
            error = best_match(kind(schema).iter_errors(call["args"]))
            if error is not None:
                return f"{call['name']}: {error.json_path}: {error.message[:200]}"
        return "it calls no tool" if self.forced and not calls else None


class Escalation(Settings):
    """When a reply goes one tier up.

    Parameters
    ----------
    on : list of {"refused", "unsupported", "schema", "cut", "empty"}
        ``"refused"``: it says that there is no answer, though the passages cover the question;
        ``"unsupported"``: none of its sentences is supported by a citation, or a smaller share than
        `min_support`; ``"schema"``: its call of a tool does not fit the tool's schema; ``"cut"``: it
        reached max_tokens, or the context window is full; ``"empty"``: it has no text.
    min_support : float
        The least share of supported sentences, in [0, 1] (`Answer.supported`).
    covered : float
        The least confidence of the local answerer, in [0, 1], that the passages answer the question, for a
        refusal to go up (`rag.generation.quoting.confidence`; its default is the answerer's threshold).
    covered_score : float, optional
        In its place, the least cosine of the best passage with the question (`Question.best_score`).
    embedder : Embeddings, optional
        With which the local answerer reads the passages; not needed with `covered_score`.

    Notes
    -----
    What a guardrail or a content filter withheld never goes up. Support and refusals are judged by the
    passages alone, and so not where there are none or tools are bound. Outside a pipeline, the passages are
    those that the messages show as text.
    """

    on: tuple[Reason, ...] = Field(REASONS, min_length=1)
    min_support: float = Field(default=0.0, ge=0, le=1)
    covered: float = Field(default=0.5, ge=0, le=1)
    covered_score: float | None = None
    embedder: Any = None

    @model_validator(mode="after")
    def _can_tell_coverage(self) -> Escalation:
        if "refused" in self.on and self.covered_score is None and self.embedder is None:
            raise ValueError('"refused" needs an embedder, or covered_score')
        return self

    def reason(self, message: Any, question: Question, tools: Tools) -> tuple[Reason, str] | None:
        """Return why a reply should go up, with what was seen; None if it is good as it is."""
        found = self._reason(message, question, tools)
        return found if found is not None and found[0] in self.on else None

    def _reason(self, message: Any, question: Question, tools: Tools) -> tuple[Reason, str] | None:
        if reply.is_withheld(message):
            return None
        if reply.is_cut(message) or reply.is_malformed(message):
            reason: Reason = "cut" if reply.is_cut(message) else "schema"
            return reason, f"it ended with {reply.stop_reason(message)}"
        if (problem := tools.problem(message)) is not None:
            return "schema", problem
        if reply.tool_calls(message):
            return None  # it answers later, or by its call
        reader = ReplyReader(question.hits, question=question.text)
        for part in reply.parts(message):
            pieces = reader.feed(part) if isinstance(part, str) else reader.cite(part.quote, part.document)
            for _ in pieces:  # what it reads is in the reader
                pass
        for _ in reader.close():
            pass
        if not reader.text.strip():
            return "empty", "it has no text"
        if tools.schemas or not question.hits:
            return None  # it may rest on what tools returned
        if not reader.answered:
            return self._covered(question) if "refused" in self.on else None
        share = reader.support.share
        if share is None or (share > 0 and share >= self.min_support):
            return None
        return "unsupported", str(reader.support)

    def _covered(self, question: Question) -> tuple[Reason, str] | None:
        """Return the reason if the passages cover the question that a reply refuses to answer."""
        hits = question.passages or question.hits
        if self.covered_score is not None:
            score = question.best_score
            if score is None or score < self.covered_score:
                return None
            return "refused", f"though the best passage scores {score:.2f}"
        sure = covers(self.embedder, question.text, hits)
        if sure < self.covered:
            return None
        return "refused", f"though the passages answer it with confidence {sure:.2f}"
