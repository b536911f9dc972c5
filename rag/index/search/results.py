"""The result of a search: hits, best first, and the plan of the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rag.core.displayable import Displayable
from rag.core.drawn import drawn
from rag.core.frames import frame
from rag.core.passages import Hit

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class SearchPlan(Displayable):
    """How a search was done.

    Attributes
    ----------
    mode : str
    k, found : int
        Hits requested, and hits returned.
    rows, matched : int
        Rows of the index, and rows that match the filter.
    compared : int
        Rows whose vectors were compared with the question's exactly: in large segments those that
        their codes did not rule out (`rag.index.storage.rabitq`), else all that match.
    where : str
        The bound filter in the string form; empty for none.
    min_score : float or None
        The lowest score that was allowed.
    question : str
        What was searched for; empty for a search by a vector alone.
    """

    mode: str
    k: int
    found: int
    rows: int
    matched: int
    compared: int
    where: str
    min_score: float | None = None
    question: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @property
    def exact(self) -> bool:
        """Whether every matching row was compared exactly."""
        return self.mode == "lexical" or self.compared >= self.matched

    def __str__(self) -> str:
        if self.found >= self.k:
            returned = f"{self.k:,} of {self.k:,}"
        elif self.min_score is not None:
            returned = f"only {self.found:,} score at least {self.min_score:g}"
        elif self.mode == "lexical" and self.found < self.matched:
            returned = f"only {self.found:,} hold a term of the question"
        else:
            returned = f"only {self.found:,} exist"
        under = f" where {drawn(self.where)}" if self.where else ""
        how = "" if self.exact else f", {self.compared:,} of them compared exactly, the rest by codes"
        return f"{self.mode} over {self.matched:,} of {self.rows:,} chunks{under}{how}: {returned}"


class Hits(Displayable, list[Hit]):
    """The hits of a search, best first; `plan` says how the search was done."""

    def __init__(self, hits: Iterable[Hit], plan: SearchPlan) -> None:
        super().__init__(hits)
        self.plan = plan

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``rag search --json`` prints them."""
        return {"plan": str(self.plan), "hits": [hit.to_dict() for hit in self]}

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each hit; metadata are columns ``metadata.NAME``; needs pandas."""
        return frame(
            {
                "rank": rank, "score": hit.score, "dense": hit.dense, "lexical": hit.lexical,
                "source": hit.source, "section": " > ".join(hit.section), "page_start": hit.page_start,
                "page_end": hit.page_end, "start": hit.start, "end": hit.end, "chunk_id": hit.chunk_id,
                "text": hit.text, **{f"metadata.{name}": value for name, value in hit.metadata.items()},
            }
            for rank, hit in enumerate(self, 1)
        )  # fmt: skip
