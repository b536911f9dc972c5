"""Hybrid search for a question, and the steps that may be put around it.

expand the question -> search for each -> drop copies -> rerank -> widen to neighbours or sections

Plain objects and Hits: `rag.retrieval.hybrid` puts LangChain's interface around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from rag.core.arguments import whole
from rag.core.errors import UsageError
from rag.core.passages import Hit
from rag.retrieval.reranking import reranked

#: Candidates for a context: at least so many, and one for each so many characters of room, which is
#: about five times what fits (chunks of 64 tokens have 200 characters on average).
FEWEST, CHARS_EACH = 64, 40


class Searchable(Protocol):
    """What a retriever needs of an index."""

    def search(self, query: str, k: int, **options: Any) -> Sequence[Hit]:
        """Return the k best hits that match the filter, best first."""
        ...

    def diverse(self, query: str, k: int, **options: Any) -> Sequence[Hit]:
        """Return k hits that are near the question and unlike each other."""
        ...

    def widened(self, hits: Sequence[Hit], *, neighbours: int, section: bool) -> list[Hit]:
        """Return hits with the chunks around them."""
        ...

    def both(self, *filters: Any) -> Any:
        """Return filters as one."""
        ...


class HybridSearch(BaseModel):
    """Dense and lexical search under one filter.

    Parameters
    ----------
    index : Index
        What to search.
    k : int, optional
        How many chunks to return; by default what the context has room for five times, 64 at least.
    mode : {"hybrid", "dense", "lexical"}
    where : Where, str or dict, optional
        A filter for every question; a question's own filter is added to it with "and".
    lexical_weight : float
        Weight of the lexical arm in mode "hybrid": 1 is what was measured to suit the index
        (`rag.Index.lexical_balance`).
    distinct : bool
        Leave out chunks with the text of a better one: copies of a page, repeated passages. Off, as
        the trimmer leaves out what was said already, and then takes the copy that stands beside what
        it took before; that keeps passages whole.
    diversity : float
        Above 0, chunks are chosen by maximal marginal relevance instead, by their cosines alone; up
        to 1, the most unlike.
    questions : callable, optional
        Gives more questions for a question (`rag.retrieval.Rephrased`, `Decomposed`, or your own);
        all are searched, and a chunk's best score counts.
    reranker : HitReranker or BaseDocumentCompressor, optional
        Ours or any of LangChain's; its order is kept.
    neighbours : int
        Return each chunk with so many on either side in its document.
    section : bool
        Return the whole section that a chunk stands in.

    Examples
    --------
    >>> HybridSearch(index=index, k=4).hits("how long do we keep CVs?")   # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Any = Field(repr=False)
    k: int | None = Field(default=None, ge=1)
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    where: Any = None
    lexical_weight: float = Field(default=1.0, ge=0)
    distinct: bool = False
    diversity: float = Field(default=0.0, ge=0, le=1)
    questions: Callable[[str], Sequence[str]] | None = None
    reranker: Any = None
    neighbours: int = Field(default=0, ge=0)
    section: bool = False

    def candidates(self, room_chars: int | None = None) -> int:
        """Return how many chunks are retrieved for a context with so much room."""
        return self.k or max(FEWEST, (room_chars or 0) // CHARS_EACH)

    def hits(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        room_chars: int | None = None,
    ) -> list[Hit]:
        """Return the passages for a question, best first.

        Parameters
        ----------
        question : str
        where : Where, str or dict, optional
            A filter, added to the retriever's own with "and".
        k : int, optional
            In place of the retriever's own.
        mode : {"hybrid", "dense", "lexical"}, optional
        room_chars : int, optional
            How much the context can hold, which decides k where nothing else does.
        """
        k = self.candidates(room_chars) if k is None else whole("k", k)
        bound = self.index.both(self.where, where)
        more = self.questions(question) if self.questions is not None else []
        questions = [question, more] if isinstance(more, str) else [question, *more]
        hits = _best([self._search(one, k, bound, mode or self.mode) for one in questions])
        hits = (_distinct(hits) if self.distinct else hits)[:k]
        if self.reranker is not None:
            hits = reranked(self.reranker, hits, question)
        if self.neighbours or self.section:
            hits = self.index.widened(hits, neighbours=self.neighbours, section=self.section)
        return hits

    def _search(self, query: str, k: int, where: Any, mode: str) -> Sequence[Hit]:
        """Return k hits with different texts, if there are so many."""
        if self.diversity:
            if mode == "lexical":
                raise UsageError("diversity compares vectors: leave it out in mode 'lexical'")
            return self._different(lambda most: self.index.diverse(
                query, most, fetch_k=4 * most, diversity=self.diversity, where=where
            ), k)  # fmt: skip
        return self._different(lambda most: self.index.search(
            query, most, where=where, mode=mode, lexical_weight=self.lexical_weight, spread=False
        ), k)  # fmt: skip

    def _different(self, search: Callable[[int], Sequence[Hit]], k: int) -> Sequence[Hit]:
        most = k
        while True:
            hits = search(most)
            if not self.distinct:
                return hits
            once = _distinct(hits)
            # Bounded: a collection of copies is not read to its end.
            if len(once) >= k or len(hits) < most or most > 8 * k:
                return once[:k]
            most *= 4


def _distinct(hits: Sequence[Hit]) -> list[Hit]:
    """Return hits without those that have the text of a better one."""
    texts: dict[str, Hit] = {}
    for hit in hits:
        texts.setdefault(" ".join(hit.text.lower().split()), hit)
    return list(texts.values())


def _best(found: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Return the hits of several searches, best first, each once with its best score."""
    if len(found) == 1:
        return list(found[0])
    best: dict[str, Hit] = {}
    for hits in found:
        for hit in hits:
            if hit.chunk_id not in best or best[hit.chunk_id].score < hit.score:
                best[hit.chunk_id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.chunk_id))
