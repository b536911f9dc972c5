"""An index opened for reading: one version, searched by vectors, words or both, under one filter."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from rag.core.arguments import real, strings, text, whole
from rag.core.cpu_slots import turn
from rag.core.displayable import Displayable
from rag.core.errors import StoreCorruptError, UsageError
from rag.core.passages import Hit, joined
from rag.index.contents import Contents, contents
from rag.index.filters.bind import Bound, bind, fits
from rag.index.filters.mask import Mask
from rag.index.filters.parse import WhereLike, parse
from rag.index.filters.where import And, FieldType, Schema
from rag.index.search import ordering
from rag.index.search.neighbours import runs
from rag.index.search.ordering import Key, Scored
from rag.index.search.question_vectors import remembering, unit
from rag.index.search.results import Hits, SearchPlan
from rag.index.search.searcher import Searcher
from rag.index.storage.layout import Vectors
from rag.index.storage.manifest import Manifest, current_version, read_manifest
from rag.index.storage.schema import BUILT_IN
from rag.index.storage.segment import open_segment
from rag.index.storage.sources import SourceRecord, open_sources, quarantined, read_sources

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

Mode = Literal["hybrid", "dense", "lexical"]

#: Weight of the lexical arm, as a multiple of the weight measured in the index (`Index.lexical_balance`).
LEXICAL_WEIGHT = 1.0


class Index(Displayable):
    """A read-only snapshot of an index, which threads may share: one version, whatever is written later.

    Examples
    --------
    >>> index = rag.Index.open("indexes/handbook")                          # doctest: +SKIP
    >>> index.search("who declares a SEV-1?", k=3, where="status == 'current'")  # doctest: +SKIP
    """

    def __init__(self, path: Path, manifest: Manifest, embedder: Embeddings | None) -> None:
        self.path, self.manifest = path, manifest
        self.embedder = embedder
        size = manifest.embedder.dimensions
        # All files are opened now: a version that is pruned later stays readable while it is open.
        self._segments = [open_segment(path, entry, size) for entry in manifest.segments]
        self._sources = open_sources(path / manifest.sources.path)
        self._schema: Schema = MappingProxyType({**manifest.schema, **BUILT_IN})
        # For searches without a filter: each segment's mask, and its rows in the mask.
        self._live = [segment.live for segment in self._segments]
        self._live_counts = [entry.live for entry in manifest.segments]
        self._count = sum(self._live_counts)
        self._searcher = Searcher(self._segments, self._count)

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
            There is no index, or one of its files is missing or damaged.
        """
        folder = Path(path)
        while True:
            current = None if version is not None else current_version(folder)
            try:
                return cls(folder, read_manifest(folder, version), embedder)
            except StoreCorruptError:
                # A writer may meanwhile have published a new version and pruned this one.
                if current is None or current == current_version(folder):
                    raise

    @property
    def embedder(self) -> Embeddings | None:
        """Turns questions into vectors; None if the index is open without one."""
        return self._embedder

    @embedder.setter
    def embedder(self, embedder: Embeddings | None) -> None:
        self._embedder = embedder
        self._built_with = f"{self.path} was built with {self.manifest.embedder.fingerprint}"
        self.question_vector = remembering(embedder, self._built_with)

    def with_embedder(self, embedder: Embeddings | None) -> Self:
        """Return the same snapshot with another embedder; this one keeps its own.

        They share files and measurements; each remembers the vectors of its questions. The caller
        checks that the embedder's fingerprint is that of `manifest`.
        """
        other = copy.copy(self)
        other.embedder = embedder
        return other

    def __len__(self) -> int:
        return self._count

    @property
    def version(self) -> int:
        """The number of the open version."""
        return self.manifest.version

    @property
    def schema(self) -> dict[str, FieldType]:
        """The type of each field that a filter can use."""
        return dict(self._schema)

    @functools.cached_property
    def sources(self) -> list[SourceRecord]:
        """Every file of the build, indexed or quarantined, in order of path."""
        return read_sources(self._sources)

    @functools.cached_property
    def contents(self) -> Contents:
        """Documents, files in quarantine, and the fields of the metadata with their most frequent values."""
        return contents(self._segments, self._sources, self.manifest.schema)

    def info(self) -> dict[str, Any]:
        """Return the facts that `rag info` shows, as plain values."""
        manifest = self.manifest
        files = [file for segment in manifest.segments for file in segment.files]
        return {
            "path": str(self.path), "version": self.version, "created": manifest.created,
            "why": manifest.why, "root": manifest.root, "files": manifest.files, "chunks": len(self),
            "segments": len(manifest.segments), "bytes": sum(file.bytes for file in files),
            "embedder": {
                "name": manifest.embedder.name, "fingerprint": manifest.embedder.fingerprint,
                "dimensions": manifest.embedder.dimensions,
            },
            "lexical_balance": round(self.lexical_balance, 1),
            "chunker": manifest.chunker, "schema": dict(manifest.schema),
            "quarantined": [asdict(item) for item in quarantined(self.sources)],
            "notes": list(manifest.notes),
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
        min_score: float | None = None,
    ) -> Hits:
        """Find the k best chunks for a question.

        Parameters
        ----------
        query : str
        k : int
            How many hits; fewer only when fewer rows match the filter (or, in mode
            ``"lexical"``, hold any of the query's terms).
        where : Where, str or dict, optional
            A filter in any notation; applied before the search, so it never costs hits.
        mode : {"hybrid", "dense", "lexical"}
            The score: cosines and BM25 of each row and the rows around it (see
            `rag.index.search.hybrid_score`); the cosine in [-1, 1]; or BM25 >= 0.
        lexical_weight : float
            Weight of BM25 in mode ``"hybrid"``: 1 is the weight measured in the index
            (`lexical_balance`), 2 twice that.
        spread : bool
            In mode ``"hybrid"``: leave out a chunk within eight chunks of a better hit while there are
            others. False for a retriever that fills a context, which needs the neighbours.
        min_score : float, optional
            Leave out hits with a lower score (of the mode's kind).

        Raises
        ------
        WhereError
            The filter names an unknown field or a value of the wrong type.
        StoreMismatchError
            The index has no embedder to turn the question into a vector (mode ``"lexical"`` needs
            none).
        """
        vector = None
        if text("the question", query).strip() and mode in ("dense", "hybrid"):
            vector = self.question_vector(query)
        return self.search_by_vector(
            vector, query, k, where=where, mode=mode, lexical_weight=lexical_weight, spread=spread,
            min_score=min_score,
        )  # fmt: skip

    @turn()
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
        min_score: float | None = None,
    ) -> Hits:
        """Find the k best chunks for a vector of shape (dimensions,), and a text in mode "hybrid"."""
        if mode not in get_args(Mode):
            raise UsageError(f"mode is {mode!r}: write one of {', '.join(get_args(Mode))}")
        k, lexical_weight = whole("k", k), real("lexical_weight", lexical_weight, 0)
        min_score = None if min_score is None else real("min_score", min_score)
        if not text("the question", query).strip() and (vector is None or mode == "lexical"):
            raise UsageError("the question is empty: write one")
        if vector is None and mode == "dense":
            raise UsageError("mode 'dense' compares vectors: give one, or use mode='lexical'")
        bound, masks, matches = self._matching(where)
        direction = None if vector is None or mode == "lexical" else self._unit(vector)
        compared = 0
        if mode == "dense" or not query.strip():
            assert direction is not None
            scored, compared = self._searcher.dense(direction, masks, matches, k)
        elif mode == "lexical" or direction is None:
            scored = self._searcher.lexical(query, masks, k)
        else:
            scored, compared = self._searcher.hybrid(
                query, direction, masks, matches, k, lexical_weight, spread=spread
            )
        order = ordering.ordered(ordering.at_least(scored, min_score), self._segments)
        if spread and mode == "hybrid":
            order = ordering.apart(order, k, self._segments)
        hits = self._hits(order[:k], scored)
        return Hits(hits, SearchPlan(
            mode, k, len(hits), self._count, sum(matches), compared,
            "" if bound is None else bound.to_string(), min_score, query,
        ))  # fmt: skip

    def diverse(
        self,
        query: str | npt.ArrayLike,
        k: int = 8,
        *,
        fetch_k: int = 32,
        diversity: float = 0.5,
        where: WhereLike | None = None,
        min_score: float | None = None,
    ) -> Hits:
        """Find k of the `fetch_k` nearest chunks that are unlike each other, by maximal marginal relevance.

        See `rag.index.search.ordering.diverse` for the formula.

        Parameters
        ----------
        query : str or array of shape (dimensions,)
        k, fetch_k : int
        diversity : float
            From 0 (the nearest) to 1 (the most unlike).
        where : Where, str or dict, optional
        min_score : float, optional
            Leave out chunks with a lower cosine to the question.

        Returns
        -------
        Hits
            In the order of choice; `Hit.score` is the cosine to the question.
        """
        k, diversity = whole("k", k), real("diversity", diversity, 0, 1)
        min_score = None if min_score is None else real("min_score", min_score)
        fetch_k = max(k, whole("fetch_k", fetch_k))
        if isinstance(query, str) and not query.strip():
            raise UsageError("the question is empty: write one")
        vector = self.question_vector(text("the question", query)) if isinstance(query, str) else query
        bound, masks, matches = self._matching(where)
        scored, compared = self._searcher.dense(self._unit(vector), masks, matches, fetch_k)
        order = ordering.ordered(ordering.at_least(scored, min_score), self._segments)[:fetch_k]
        vectors = [self._segments[number].vectors[row] for number, row in order]
        chosen = ordering.diverse([scored[key][0] for key in order], vectors, k, diversity)
        hits = self._hits([order[at] for at in chosen], scored)
        return Hits(hits, SearchPlan(
            "dense", k, len(hits), self._count, sum(matches), compared,
            "" if bound is None else bound.to_string(), min_score, query if isinstance(query, str) else "",
        ))  # fmt: skip

    def widened(self, hits: Sequence[Hit], *, neighbours: int = 0, section: bool = False) -> list[Hit]:
        """Return hits joined with the chunks around them in their documents, as longer hits.

        Parameters
        ----------
        hits : sequence of Hit
            Of this index.
        neighbours : int
            Chunks on either side; fewer where the next chunk does not follow directly.
        section : bool
            All chunks of the hit's section instead.

        Returns
        -------
        list of Hit
            In the order of the hits; no chunk is in two of them, and the better hit has it.

        Raises
        ------
        UsageError
            A hit is not a chunk of this index.
        """
        return [
            joined(self._hits(run, dict.fromkeys(run, (hit.score, hit.dense, hit.lexical))), hit.chunk_id)
            for hit, run in runs(self._segments, hits, whole("neighbours", neighbours, 0), section=section)
        ]

    def get(self, chunk_ids: Iterable[str]) -> list[Hit]:
        """Return chunks by their ids, in the order of the ids; unknown ids are left out."""
        wanted = list(dict.fromkeys(strings("chunk_ids", chunk_ids)))
        hits: dict[str, Hit] = {}
        for number, segment in enumerate(self._segments):
            rows = [int(row) for row in segment.rows_with(set(wanted)) if segment.live[row]]
            keys = [(number, row) for row in rows]
            hits |= {hit.chunk_id: hit for hit in self._hits(keys, dict.fromkeys(keys, (0.0, None, None)))}
        return [hits[name] for name in wanted if name in hits]

    def scan(self, where: WhereLike | None = None) -> Iterator[Hit]:
        """Yield all chunks that match a filter, in the order in which they are stored."""
        _, masks, _ = self._matching(where)
        for number, mask in enumerate(masks):
            for row in np.flatnonzero(mask).tolist():
                yield from self._hits([(number, row)], {(number, row): (0.0, None, None)})

    def vectors(self) -> Iterator[tuple[Hit, Vectors]]:
        """Yield all chunks with their vectors, ``(dimensions,)`` float32 of unit length."""
        for number, segment in enumerate(self._segments):
            for row in np.flatnonzero(segment.live).tolist():
                yield self._hits([(number, row)], {(number, row): (0.0, None, None)})[0], segment.vectors[row]

    def count(self, where: WhereLike | None = None) -> int:
        """Return how many chunks match a filter."""
        return sum(self._matching(where)[2])

    def count_documents(self, where: WhereLike | None = None) -> int:
        """Return how many documents have chunks that match a filter."""
        masks = self._matching(where)[1]
        pairs = zip(self._segments, masks, strict=True)
        return sum(len(np.unique(segment.document_of_row[mask])) for segment, mask in pairs)

    def check(self, where: WhereLike) -> Bound:
        """Return a filter bound to this index's schema: fields and types checked, dates parsed.

        Searches take it without checking it again; one that is bound to the same schema is returned as
        it is, and one that is bound to another index's schema is bound anew.

        Raises
        ------
        WhereError
            The filter cannot be read, or names an unknown field or a value of the wrong type.
        """
        if isinstance(where, Bound) and fits(where, self._schema):
            return where
        return bind(parse(where), self._schema)

    def both(self, *filters: WhereLike | None) -> Bound | None:
        """Return filters joined with "and" and bound, as `check` does; None if there are none."""
        present = [where for where in filters if where is not None]
        if len(present) > 1:
            return bind(And(tuple(parse(where) for where in present)), self._schema)
        return self.check(present[0]) if present else None

    @property
    def lexical_balance(self) -> float:
        """Weight of BM25 at its maximum beside one deviation of the cosines, measured in this index."""
        return self._searcher.lexical_balance

    def _matching(self, where: WhereLike | None) -> tuple[Bound | None, list[Mask], list[int]]:
        """Return the bound filter, each segment's mask of matching rows, and the rows in each mask."""
        if where is None:
            return None, self._live, self._live_counts
        bound = self.check(where)
        masks = [segment.mask(bound) for segment in self._segments]
        return bound, masks, [int(np.count_nonzero(mask)) for mask in masks]

    def _unit(self, vector: npt.ArrayLike) -> Vectors:
        return unit(vector, self.manifest.embedder.dimensions, self._built_with)

    def _hits(self, keys: Sequence[Key], scored: Scored) -> list[Hit]:
        """Return the hits of rows, in their order."""
        hits: dict[Key, Hit] = {}
        for number in {number for number, _ in keys}:
            rows = [row for at, row in keys if at == number]
            for row, values in zip(rows, self._segments[number].take(rows), strict=True):
                score, dense, lexical = scored[number, row]
                values["section"] = tuple(values["section"] or ())
                values["page_breaks"] = tuple(values["page_breaks"] or ())
                hits[number, row] = Hit(**values, score=score, dense=dense, lexical=lexical)
        return [hits[key] for key in keys]
