"""Any prompt behind one interface: Hits inside, Documents only at the edge to one that is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from langchain_core.messages import BaseMessage

from rag.core.passages import Hit


@runtime_checkable
class PassagePrompt(Protocol):
    """What the pipeline asks of a prompt."""

    name: str

    def messages(self, question: str, hits: Sequence[Hit]) -> list[BaseMessage]:
        """Return what is sent to the model."""
        ...


class _Foreign:
    def __init__(self, prompt: Any) -> None:
        self.prompt, self.name = prompt, str(getattr(prompt, "name", type(prompt).__name__))

    def messages(self, question: str, hits: Sequence[Hit]) -> list[BaseMessage]:
        out: list[BaseMessage] = self.prompt(question, [hit.to_document() for hit in hits])
        return out


def as_passage_prompt(prompt: Any) -> PassagePrompt:
    """Return a prompt behind the pipeline's interface."""
    return prompt if isinstance(prompt, PassagePrompt) else _Foreign(prompt)
