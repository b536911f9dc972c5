"""Any trimmer behind one interface: Hits inside, Documents only at the edge to one that is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from rag.core.errors import ConfigError
from rag.core.passages import Candidate, Context, Hit


@runtime_checkable
class HitTrimmer(Protocol):
    """What the pipeline asks of a trimmer.

    Attributes
    ----------
    budget : int
        The most that the passages' texts may take together, in `unit`.
    unit : str
        ``"chars"`` or ``"tokens"``.
    """

    budget: int
    unit: Any

    def trim(self, hits: Sequence[Hit], question: str, /) -> tuple[Sequence[Hit], Sequence[Candidate]]:
        """Return the passages to send, and what became of each candidate."""
        ...

    def size(self, text: str, /) -> int:
        """Return what a text takes of the budget."""
        ...


class ForeignTrimmer:
    """A LangChain document compressor; it says nothing of the candidates that it leaves out.

    A ``budget``, ``unit`` and ``size`` of its own are shown as they are; without them sizes are counted
    in characters.
    """

    def __init__(self, compressor: Any) -> None:
        self.compressor = compressor

    def context(self, hits: Sequence[Hit], question: str) -> Context:
        """Return what the compressor keeps."""
        documents = [hit.to_document() for hit in hits]
        kept = [Hit.from_document(each) for each in self.compressor.compress_documents(documents, question)]
        size = getattr(self.compressor, "size", len)
        used = sum(size(hit.text) for hit in kept)
        budget, unit = getattr(self.compressor, "budget", used), getattr(self.compressor, "unit", "chars")
        return Context(tuple(kept), used, budget, unit)


def context_of(trimmer: Any, hits: Sequence[Hit], question: str) -> Context:
    """Return what a trimmer of any kind sends of the passages for a question.

    Raises
    ------
    ConfigError
        It is no trimmer.
    """
    if not isinstance(trimmer, HitTrimmer):
        if not callable(getattr(trimmer, "compress_documents", None)):
            raise ConfigError(
                f"the trimmer is a {type(trimmer).__name__}: give a LangChain document compressor, or an "
                "object with trim(hits, question), size(text), budget and unit"
            )
        return ForeignTrimmer(trimmer).context(hits, question)
    kept, candidates = trimmer.trim(hits, question)
    used = sum([trimmer.size(hit.text) for hit in kept])
    return Context(tuple(kept), used, trimmer.budget, trimmer.unit, tuple(candidates))
