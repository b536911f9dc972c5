"""An index opened for reading: one version, searched dense, lexical or both under one filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from rag.errors import StoreCorruptError, StoreMismatchError, UsageError
from rag.index import lexical, ranking
from rag.index.manifest import Manifest, read_manifest
from rag.index.mask import Mask
from rag.index.notations import WhereLike, parse
from rag.index.schema import OWN
from rag.index.segment import Segment, Vectors
from rag.index.sources import SourceRecord, read_sources
from rag.index.where import FieldType, Where, bind
from rag.records import Hit

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

Mode = Literal["hybrid", "dense", "lexical"]

#: Weight of the lexical arm's standardised score beside the dense arm's.
LEXICAL_WEIGHT = 1.0

_Key = tuple[int, int]  # (segment, row)
_Scored = dict[_Key, tuple[float, float | None, float | None]]  # score, cosine, BM25


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a search was done.

    Attributes
    ----------
    rows, matched : int
        Rows of the index, and those that the filter lets through.
    where : str
        The filter as it was understood, in the string form; empty for none.
    """

    mode: str
    k: int
    rows: int
    matched: int
    where: str

    def __str__(self) -> str:
        got = f"{self.k} of {self.k}" if self.matched >= self.k else f"only {self.matched} exist"
        under = f" where {self.where}" if self.where else ""
        return f"{self.mode} over {self.matched} of {self.rows} chunks{under}: {got}"


class Hits(list[Hit]):
    """The hits of a search, best first, and in `plan` how they were found."""

    def __init__(self, hits: Iterable[Hit], plan: SearchPlan) -> None:
        super().__init__(hits)
        self.plan = plan

    def _repr_html_(self) -> str:
        from rag.display import hits_html

        return hits_html(self, str(self.plan))


class Index:
    """A read-only snapshot of an index: what it holds does not change while it is open.

    Examples
    --------
    >>> index = rag.Index.open("indexes/handbook")                          # doctest: +SKIP
    >>> index.search("who declares a SEV-1?", k=3, where="status == 'current'")  # doctest: +SKIP
    """

    def __init__(self, path: Path, manifest: Manifest, embedder: Embeddings | None) -> None:
        self.path, self.manifest, self.embedder = path, manifest, embedder
        self._segments = [
            Segment(
                path / "segments" / entry.id, entry.rows, manifest.embedder.dimensions,
                _removed(path, entry.removed.path if entry.removed else None, entry.rows),
            )
            for entry in manifest.segments
        ]  # fmt: skip
        self._live = [segment.live for segment in self._segments]

    @classmethod
    def open(
        cls, path: str | Path, *, embedder: Embeddings | None = None, version: int | None = None
    ) -> Self:
        """Open an index.

        Parameters
        ----------
        path : str or Path
            The index's folder.
        embedder : Embeddings, optional
            Turns questions into vectors; must be the one that the index was built with.
        version : int, optional
            An older version; by default the current one.

        Raises
        ------
        StoreMissingError, StoreCorruptError
            There is no index, or one of its files is missing or short.
        """
        folder = Path(path)
        return cls(folder, read_manifest(folder, version), embedder)

    def __len__(self) -> int:
        return int(sum(live.sum() for live in self._live))

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, version={self.version}, chunks={len(self)})"

    @property
    def version(self) -> int:
        """The number of the version that is open."""
        return self.manifest.version

    @property
    def schema(self) -> dict[str, FieldType]:
        """The type of each field that a filter can use."""
        return {**self.manifest.schema, **OWN}

    @cached_property
    def sources(self) -> list[SourceRecord]:
        """Every file that was seen when this version was built, in order of path."""
        return read_sources(self.path / self.manifest.sources.path)

    def info(self) -> dict[str, Any]:
        """Return what `rag info` shows, as plain values."""
        manifest = self.manifest
        files = [file for segment in manifest.segments for file in segment.files]
        quarantined = [
            {"source": item.source, "reason": item.reason, "advice": item.advice}
            for item in self.sources if item.reason
        ]  # fmt: skip
        return {
            "path": str(self.path), "version": self.version, "created": manifest.created,
            "root": manifest.root, "files": manifest.files, "chunks": len(self),
            "segments": len(manifest.segments), "bytes": sum(file.bytes for file in files),
            "embedder": {
                "name": manifest.embedder.name, "fingerprint": manifest.embedder.fingerprint,
                "dimensions": manifest.embedder.dimensions,
            },
            "chunker": manifest.chunker, "schema": dict(manifest.schema),
            "quarantined": quarantined, "notes": list(manifest.notes),
        }  # fmt: skip

    # ------------------------------------------------------------------ searching

    def search(
        self,
        query: str,
        k: int = 8,
        *,
        where: WhereLike | None = None,
        mode: Mode = "hybrid",
        lexical_weight: float = LEXICAL_WEIGHT,
        spread: bool = True,
    ) -> Hits:
        """Find the k best chunks for a question.

        Parameters
        ----------
        query : str
        k : int
            How many hits; fewer come back only when fewer rows match the filter (or, in mode
            ``"lexical"``, hold any of the query's terms).
        where : Where, str or dict, optional
            A filter in any notation; applied before the search, so it never costs hits.
        mode : {"hybrid", "dense", "lexical"}
            The score: both arms, each row with its surroundings (see `rag.index.ranking`); the
            cosine in [-1, 1]; or BM25 >= 0.
        lexical_weight : float
            Weight of BM25 in mode ``"hybrid"``.
        spread : bool
            In mode ``"hybrid"``: show different places. A chunk within a few chunks of a better hit
            is left out while there are others (its score has told of its surroundings already).
            A retriever that fills a context wants the neighbours, and says False.

        Raises
        ------
        WhereError
            The filter names an unknown field or a value of the wrong type.
        StoreMismatchError
            The index has no embedder to turn the question into a vector (mode ``"lexical"`` needs
            none).
        """
        vector = None
        if mode in ("dense", "hybrid") and query.strip():
            vector = self._embed(query)
        return self.search_by_vector(
            vector, query, k, where=where, mode=mode, lexical_weight=lexical_weight, spread=spread
        )

    def search_by_vector(
        self,
        vector: npt.ArrayLike | None,
        query: str = "",
        k: int = 8,
        *,
        where: WhereLike | None = None,
        mode: Mode = "dense",
        lexical_weight: float = LEXICAL_WEIGHT,
        spread: bool = True,
    ) -> Hits:
        """Find the k best chunks for a vector of shape (dimensions,), and a text in mode "hybrid"."""
        if mode not in get_args(Mode):
            raise UsageError(f"mode is {mode!r}: write one of {', '.join(get_args(Mode))}")
        if k < 1:
            raise UsageError(f"k is {k}: ask for at least 1 hit")
        if not query.strip() and vector is None:
            raise UsageError("the question is empty: write one")
        bound = None if where is None else bind(parse(where), self.schema)
        masks = [segment.mask(bound, self.manifest.schema) for segment in self._segments]
        matched = int(sum(mask.sum() for mask in masks))
        plan = SearchPlan(mode, k, len(self), matched, "" if bound is None else bound.to_string())
        unit = None if vector is None or mode == "lexical" else self._unit(vector)
        if mode == "dense" or not query.strip():
            assert unit is not None
            scored = self._dense(unit, masks, k)
        elif mode == "lexical" or unit is None:
            scored = self._lexical(query, masks, k)
        else:
            scored = self._hybrid(query, unit, masks, k, lexical_weight)
        return Hits(self._hits(scored, k, spread=spread and mode == "hybrid"), plan)

    def count(self, where: WhereLike | None = None) -> int:
        """Return how many chunks match a filter."""
        bound = None if where is None else bind(parse(where), self.schema)
        return int(sum(s.mask(bound, self.manifest.schema).sum() for s in self._segments))

    def check(self, where: WhereLike) -> Where:
        """Return a filter as it is understood: checked, dates parsed; raise `WhereError` if wrong."""
        return bind(parse(where), self.schema)

    def _dense(self, unit: Vectors, masks: Sequence[Mask], k: int) -> _Scored:
        out: _Scored = {}
        for number, row in self._nearest(unit, masks, k):
            cosine = float(np.clip(self._segments[number].vectors[row] @ unit, -1, 1))
            out[number, row] = (cosine, cosine, None)
        return out

    def _lexical(self, query: str, masks: Sequence[Mask], k: int) -> _Scored:
        bm25 = lexical.score(query, [s.postings for s in self._segments], self._live)
        best = _highest(bm25, [m & (s > 0) for m, s in zip(masks, bm25, strict=True)], k)
        return {(n, row): (float(bm25[n][row]), None, float(bm25[n][row])) for n, row in best}

    def _hybrid(self, query: str, unit: Vectors, masks: Sequence[Mask], k: int, weight: float) -> _Scored:
        """Score the best of either arm, and their neighbours, by both arms (`rag.index.ranking`)."""
        width = max(200, 5 * k)
        context = self._surroundings.lexical(query)
        bm25 = lexical.score(query, [s.postings for s in self._segments], self._live)
        found = self._nearest(unit, masks, width)
        found += _highest(context, [m & (s > 0) for m, s in zip(masks, context, strict=True)], width)
        count = max(len(self), 1)
        sums = [segment.score_sums(unit) for segment in self._segments]
        mean = sum(total for total, _ in sums) / count
        variance = sum(square for _, square in sums) / count - mean * mean
        deviation = float(np.sqrt(max(variance, 0.0))) or 1.0
        level, spread = ranking.moments(context, self._live)
        out: _Scored = {}
        for number, segment in enumerate(self._segments):
            rows = np.unique(np.array([row for n, row in found if n == number], np.int64))
            if not len(rows):
                continue
            low, high = segment.around(ranking.NEAR)
            near = np.unique(np.concatenate([rows, low[rows], high[rows] - 1]))
            near = near[masks[number][near]]
            cosines = np.clip(segment.vectors[near] @ unit, -1, 1)
            score = (ranking.dense(segment, unit, near) - sum(ranking.DENSE[:3]) * mean) / deviation
            score = score + weight * (context[number][near] - level) / spread
            for row, total, cosine in zip(near.tolist(), score, cosines, strict=True):
                out[number, row] = (float(total), float(cosine), float(bm25[number][row]))
        return out

    def _nearest(self, unit: Vectors, masks: Sequence[Mask], k: int) -> list[_Key]:
        best: list[tuple[float, _Key]] = []
        for number, (segment, mask) in enumerate(zip(self._segments, masks, strict=True)):
            rows, scores = segment.nearest(unit, mask, k)
            pairs = zip(scores, rows, strict=True)
            best += [(float(score), (number, int(row))) for score, row in pairs]
        best.sort(reverse=True)
        return [key for _, key in best[:k]]

    def _embed(self, query: str) -> Vectors:
        if self.embedder is None:
            raise StoreMismatchError(
                f"{self.path} was built with {self.manifest.embedder.fingerprint}, which is not "
                "at hand: pass it as embedder=, or search with mode='lexical'"
            )
        return np.asarray(self.embedder.embed_query(query), np.float32)

    def _unit(self, vector: npt.ArrayLike) -> Vectors:
        out = np.asarray(vector, np.float32).reshape(-1)
        if len(out) != self.manifest.embedder.dimensions:
            raise StoreMismatchError(
                f"the question's vector has {len(out)} dimensions, {self.path} has "
                f"{self.manifest.embedder.dimensions}: use the embedder it was built with, "
                f"{self.manifest.embedder.fingerprint}"
            )
        norm = float(np.linalg.norm(out))
        return out / norm if norm else out

    @cached_property
    def _surroundings(self) -> ranking.Surroundings:
        return ranking.Surroundings(self._segments)

    def _spread(self, order: Sequence[_Key], k: int) -> list[_Key]:
        """Return k rows, none in the surroundings of a better one while there are others."""
        kept: list[_Key] = []
        near: list[_Key] = []
        shadow: set[_Key] = set()
        for number, row in order:
            if len(kept) == k:
                break
            if (number, row) in shadow:
                near.append((number, row))
                continue
            kept.append((number, row))
            first, end = (int(side[row]) for side in self._segments[number].around(ranking.WIDE))
            shadow.update((number, other) for other in range(first, end))
        return kept + near[: k - len(kept)]

    def _hits(self, scored: _Scored, k: int, *, spread: bool = False) -> list[Hit]:
        """Return the k best; ties fall to the chunk id, however the index came about."""
        order = sorted(scored, key=lambda key: -scored[key][0])
        if spread:
            order = self._spread(order, k)
        if len(order) > k:
            least = scored[order[k - 1]][0]
            order = [key for key in order if scored[key][0] >= least]
        hits: list[Hit] = []
        for number, segment in enumerate(self._segments):
            rows = [row for n, row in order if n == number]
            for row, values in zip(rows, segment.take(rows) if rows else [], strict=True):
                score, dense, lexic = scored[number, row]
                lists = {name: tuple(values[name] or ()) for name in ("section", "page_breaks")}
                hits.append(Hit(**{**values, **lists}, score=score, dense=dense, lexical=lexic))
        hits.sort(key=lambda hit: (-hit.score, hit.chunk_id))
        return hits[:k]


def _highest(scores: Sequence[npt.NDArray[Any]], masks: Sequence[Mask], k: int) -> list[_Key]:
    """Return the k rows of the masks with the highest scores."""
    best: list[tuple[float, _Key]] = []
    for number, (values, mask) in enumerate(zip(scores, masks, strict=True)):
        rows = np.flatnonzero(mask)
        if len(rows) > k:
            rows = rows[np.argpartition(-values[rows], k - 1)[:k]]
        best += [(float(values[row]), (number, int(row))) for row in rows]
    best.sort(reverse=True)
    return [key for _, key in best[:k]]


def _removed(folder: Path, path: str | None, rows: int) -> npt.NDArray[np.int64]:
    if path is None:
        return np.zeros(0, np.int64)
    try:
        removed: npt.NDArray[np.int64] = np.load(folder / path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreCorruptError(f"{folder / path} is damaged ({error}): rebuild with --rebuild") from None
    if (
        removed.dtype != np.int64
        or removed.ndim != 1
        or (len(removed) and not 0 <= removed.min() <= removed.max() < rows)
    ):
        raise StoreCorruptError(f"{folder / path} does not fit its segment: rebuild with --rebuild")
    return removed
