"""What requests look like: every field is bounded, and one that is not known is refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_QUESTION = "Who declares a SEV-1?"
#: A filter in any notation: a string, a RetrievalFilter, or LangChain's form.
Filter = str | dict[str, Any]


def _there(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class Query(BaseModel):
    """A question, and which passages it may rest on."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"question": _QUESTION, "k": 5}]}
    )

    question: str = Field(min_length=1, max_length=8_000)
    where: Filter | None = Field(default=None, description="A filter; combined with what you may see.")
    k: int | None = Field(default=None, ge=1, le=200)
    mode: Literal["hybrid", "dense", "lexical"] | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of a search."""
        return {
            name: getattr(self, name) for name in ("where", "k", "mode") if getattr(self, name) is not None
        }


class Budgeted(Query):
    """A question with the size of its context."""

    budget: int | None = Field(default=None, ge=1, le=200_000)
    unit: Literal["chars", "tokens"] | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of a context."""
        return {**super().options(), **_there({"budget": self.budget, "unit": self.unit})}


class Turn(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: str = Field(max_length=32_000)


class Ask(Budgeted):
    """A question to answer."""

    stream: bool = Field(default=False, description="Server-sent events: context, text, citation, answer.")
    tag: str | None = Field(default=None, max_length=100)


class ChatAsk(Ask):
    """A question of a conversation, with the messages before it."""

    messages: list[Turn] = Field(default_factory=list, max_length=200)


class Explain(Budgeted):
    """A question, and a passage that was expected."""

    expect: str = Field(min_length=1, max_length=2_000)


class Message(BaseModel):
    """A message in OpenAI's form."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
        return self.content or ""


class Completion(BaseModel):
    """A request in OpenAI's form; what does not concern an index is ignored, as clients send much."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=200)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    n: int | None = Field(default=None, ge=1, le=1)
