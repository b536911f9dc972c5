"""The retriever: search under a filter, and what may be put around it, one step after the other.

questions -> search, one after the other -> no text twice -> rerank -> neighbours or section
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, Protocol

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from rag.core.errors import UsageError
from rag.core.passages import Hit

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


class HybridRetriever(BaseRetriever):
    """Dense and lexical search under one filter, as a LangChain retriever.

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
    reranker : BaseDocumentCompressor, optional
        Any of LangChain's; its order is kept.
    neighbours : int
        Return each chunk with so many on either side in its document.
    section : bool
        Return the whole section that a chunk stands in.

    Examples
    --------
    >>> HybridRetriever(index=index, k=4).invoke("how long do we keep CVs?")   # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Any
    k: int | None = Field(default=None, ge=1)
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    where: Any = None
    lexical_weight: float = Field(default=1.0, ge=0)
    distinct: bool = False
    diversity: float = Field(default=0.0, ge=0, le=1)
    questions: Callable[[str], Sequence[str]] | None = None
    reranker: BaseDocumentCompressor | None = None
    neighbours: int = Field(default=0, ge=0)
    section: bool = False

    def candidates(self, room_chars: int | None = None) -> int:
        """Return how many chunks are retrieved for a context with so much room."""
        return self.k or max(FEWEST, (room_chars or 0) // CHARS_EACH)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        room_chars: int | None = None,
    ) -> list[Document]:
        k = self.candidates(room_chars) if k is None else k
        joined = self.index.both(self.where, where)
        more = self.questions(query) if self.questions is not None else []
        asked = [query, more] if isinstance(more, str) else [query, *more]
        found = _best([self._search(one, k, joined, mode or self.mode) for one in asked])
        found = (_distinct(found) if self.distinct else found)[:k]
        if self.reranker is not None:
            found = _reranked(self.reranker, found, query)
        if self.neighbours or self.section:
            found = self.index.widened(found, neighbours=self.neighbours, section=self.section)
        return [hit.to_document() for hit in found]

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


def _reranked(reranker: BaseDocumentCompressor, hits: Sequence[Hit], query: str) -> list[Hit]:
    """Return what a reranker leaves, in its order, with scores that say so.

    A reranker may give its own scores (as LangChain's do, under "relevance_score"); those that are
    in order are kept, else the places count.
    """
    given = reranker.compress_documents([hit.to_document() for hit in hits], query)
    found = [Hit.from_document(document) for document in given]
    said = [hit.metadata.get("relevance_score") for hit in found]
    scores = [float(score) for score in said if isinstance(score, Real)]
    if len(scores) < len(found) or scores != sorted(scores, reverse=True):
        scores = [-float(place) for place in range(len(found))]
    return [replace(hit, score=score) for hit, score in zip(found, scores, strict=True)]
