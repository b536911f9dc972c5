"""An index opened for reading: one version, searched dense, lexical or both under one filter."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from rag.core.cpu_slots import turn
from rag.core.errors import StoreCorruptError, StoreMismatchError, UsageError
from rag.core.passages import Hit, joined
from rag.index.filters.mask import Mask
from rag.index.filters.parse import WhereLike, parse
from rag.index.filters.where import FieldType, Where, bind
from rag.index.search import ordering
from rag.index.search.neighbours import free, surrounding
from rag.index.search.ordering import Key, Scored
from rag.index.search.results import Hits, SearchPlan
from rag.index.search.searcher import Searcher
from rag.index.storage.manifest import Manifest, current_version, read_manifest
from rag.index.storage.schema import OWN
from rag.index.storage.segment import Vectors, open_segment
from rag.index.storage.sources import SourceRecord, open_sources, quarantined, read_sources
from rag.usage.embedding_calls import embedding_call

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

Mode = Literal["hybrid", "dense", "lexical"]

#: Weight of the lexical arm, as a multiple of what is measured in the index (`Index.lexical_balance`).
LEXICAL_WEIGHT = 1.0
_ASKED = 256  # questions whose vectors are remembered: measuring asks them again and again


class Index:
    """A read-only snapshot of an index: what it holds does not change while it is open.

    Examples
    --------
    >>> index = rag.Index.open("indexes/handbook")                          # doctest: +SKIP
    >>> index.search("who declares a SEV-1?", k=3, where="status == 'current'")  # doctest: +SKIP
    """

    def __init__(self, path: Path, manifest: Manifest, embedder: Embeddings | None) -> None:
        self.path, self.manifest, self.embedder = path, manifest, embedder
        size = manifest.embedder.dimensions
        # Everything is opened now: a version that is pruned later stays readable while it is open.
        self._segments = [open_segment(path, entry, size) for entry in manifest.segments]
        self._live = [segment.live for segment in self._segments]
        self._sources = open_sources(path / manifest.sources.path)
        self._count = sum(entry.live for entry in manifest.segments)
        self._asked: dict[str, Vectors] = {}
        self._asked_of: Embeddings | None = None

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
                # A writer may have made a new version, and pruned this one, in between.
                if current is None or current == current_version(folder):
                    raise

    def __len__(self) -> int:
        return self._count

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

    @functools.cached_property
    def sources(self) -> list[SourceRecord]:
        """Every file that was seen when this version was built, in order of path."""
        return read_sources(self._sources)

    def info(self) -> dict[str, Any]:
        """Return what `rag info` shows, as plain values."""
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
            How many hits; fewer come back only when fewer rows match the filter (or, in mode
            ``"lexical"``, hold any of the query's terms).
        where : Where, str or dict, optional
            A filter in any notation; applied before the search, so it never costs hits.
        mode : {"hybrid", "dense", "lexical"}
            The score: both arms, each row with its surroundings (see `rag.index.search.hybrid_score`); the
            cosine in [-1, 1]; or BM25 >= 0.
        lexical_weight : float
            Weight of BM25 in mode ``"hybrid"``: 1 is what was found to suit the index's embedder
            (`lexical_balance`), 2 twice that.
        spread : bool
            In mode ``"hybrid"``: show different places. A chunk within eight chunks of a better hit
            is left out while there are others (its score has told of its surroundings already).
            A retriever that fills a context wants the neighbours, and says False.
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
        if mode in ("dense", "hybrid") and query.strip():
            vector = self._embed(query)
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
        if k < 1:
            raise UsageError(f"k is {k}: ask for at least 1 hit")
        if not query.strip() and (vector is None or mode == "lexical"):
            raise UsageError("the question is empty: write one")
        if vector is None and mode == "dense":
            raise UsageError("mode 'dense' compares vectors: give one, or use mode='lexical'")
        bound, masks, matches = self._matching(where)
        unit = None if vector is None or mode == "lexical" else self._unit(vector)
        compared = 0
        if mode == "dense" or not query.strip():
            assert unit is not None
            scored, compared = self._searcher.dense(unit, masks, matches, k)
        elif mode == "lexical" or unit is None:
            scored = self._searcher.lexical(query, masks, k)
        else:
            scored, compared = self._searcher.hybrid(
                query, unit, masks, matches, k, lexical_weight, spread=spread
            )
        if min_score is not None:
            scored = {key: values for key, values in scored.items() if values[0] >= min_score}
        hits = self._hits(scored, k, spread=spread and mode == "hybrid")
        return Hits(hits, SearchPlan(
            mode, k, len(hits), len(self), sum(matches), compared,
            "" if bound is None else bound.to_string(), min_score,
        ))  # fmt: skip

    def diverse(
        self,
        query: str | npt.ArrayLike,
        k: int = 8,
        *,
        fetch_k: int = 32,
        diversity: float = 0.5,
        where: WhereLike | None = None,
    ) -> Hits:
        """Find k chunks that are near the question and unlike each other (MMR).

        Maximal marginal relevance as in Carbonell and Goldstein (1998): of the `fetch_k` nearest,
        one after the other, the one with the highest ``(1 - diversity) * cosine to the question -
        diversity * highest cosine to those chosen already``.

        Parameters
        ----------
        query : str or array of shape (dimensions,)
        k, fetch_k : int
        diversity : float
            From 0 (the nearest) to 1 (the most unlike).
        where : Where, str or dict, optional

        Returns
        -------
        Hits
            In the order chosen; `Hit.score` is each one's own cosine to the question.
        """
        if k < 1 or not 0 <= diversity <= 1:
            raise UsageError(f"k is {k}, diversity {diversity}: at least 1, and between 0 and 1")
        unit = self._unit(self._embed(query) if isinstance(query, str) else query)
        bound, masks, matches = self._matching(where)
        scored, compared = self._searcher.dense(unit, masks, matches, max(k, fetch_k))
        order = ordering.ordered(scored, self._segments)[: max(k, fetch_k)]
        vectors = [self._segments[number].vectors[row] for number, row in order]
        chosen = ordering.diverse([scored[key][0] for key in order], vectors, k, diversity)
        hits = self._made([order[at] for at in chosen], scored)
        return Hits(hits, SearchPlan(
            "dense", k, len(hits), len(self), sum(matches), compared,
            "" if bound is None else bound.to_string(),
        ))  # fmt: skip

    def widened(self, hits: Sequence[Hit], *, neighbours: int = 0, section: bool = False) -> list[Hit]:
        """Return hits with the chunks around them in their documents, each as one longer hit.

        Parameters
        ----------
        hits : sequence of Hit
            Of this index.
        neighbours : int
            Chunks on either side; fewer where text that no chunk holds stands between.
        section : bool
            All chunks of the hit's section instead.

        Returns
        -------
        list of Hit
            In the order of the hits, each place once: what a better hit's surroundings hold already
            is left out.
        """
        wanted = {hit.chunk_id for hit in hits}
        places = {
            name: (number, row) for number, segment in enumerate(self._segments)
            for rows in (segment.rows_with(wanted).tolist(),)
            for name, row in zip(segment.ids(rows), rows, strict=True) if segment.live[row]
        }  # fmt: skip
        out: list[Hit] = []
        taken: set[Key] = set()
        for hit in hits:
            if hit.chunk_id not in places:
                raise UsageError(f"{hit.source} [{hit.start}:{hit.end}] is no chunk of {self.path}")
            number, row = places[hit.chunk_id]
            run = [
                (number, other)
                for other in surrounding(self._segments[number], row, neighbours, section=section)
            ]
            run = free(run, (number, row), taken)
            taken.update(run)
            if run:
                pieces = self._made(run, dict.fromkeys(run, (hit.score, hit.dense, hit.lexical)))
                out.append(joined(pieces, hit.chunk_id))
        return out

    def both(self, *filters: WhereLike | None) -> Where | None:
        """Return filters as one, joined with "and" and checked; None if there are none."""
        checked = [self.check(where) for where in filters if where is not None]
        return functools.reduce(operator.and_, checked) if checked else None

    def get(self, chunk_ids: Iterable[str]) -> list[Hit]:
        """Return chunks by their ids, in the order of the ids; those that are not there are left out."""
        wanted = list(dict.fromkeys(chunk_ids))
        found: dict[str, Hit] = {}
        for number, segment in enumerate(self._segments):
            rows = [int(row) for row in segment.rows_with(set(wanted)) if segment.live[row]]
            keys = [(number, row) for row in rows]
            found |= {hit.chunk_id: hit for hit in self._made(keys, dict.fromkeys(keys, (0.0, None, None)))}
        return [found[name] for name in wanted if name in found]

    def scan(self, where: WhereLike | None = None) -> Iterator[Hit]:
        """Go through all chunks that match a filter, in the order in which they are kept."""
        _, masks, _ = self._matching(where)
        for number, mask in enumerate(masks):
            for row in np.flatnonzero(mask).tolist():
                yield from self._made([(number, row)], {(number, row): (0.0, None, None)})

    def count(self, where: WhereLike | None = None) -> int:
        """Return how many chunks match a filter."""
        return sum(self._matching(where)[2])

    def _matching(self, where: WhereLike | None) -> tuple[Where | None, list[Mask], list[int]]:
        """Return the filter as understood, and each segment's rows that match, and how many."""
        if where is None:
            return None, self._live, [entry.live for entry in self.manifest.segments]
        bound = bind(parse(where), self.schema)
        masks = [segment.mask(bound, self.manifest.schema) for segment in self._segments]
        return bound, masks, [int(np.count_nonzero(mask)) for mask in masks]

    def check(self, where: WhereLike) -> Where:
        """Return a filter as it is understood: checked, dates parsed; raise `WhereError` if wrong."""
        return bind(parse(where), self.schema)

    @functools.cached_property
    def lexical_balance(self) -> float:
        """What full BM25 weighs beside one deviation of the cosines, measured in this index.

        `hybrid_score.BALANCE` over the square of `lexical_balance.dense_trust`.
        """
        return self._searcher.lexical_balance

    @functools.cached_property
    def _searcher(self) -> Searcher:
        return Searcher(self._segments, len(self))

    def _embed(self, query: str) -> Vectors:
        if self._asked_of is not self.embedder or len(self._asked) >= _ASKED:
            self._asked, self._asked_of = {}, self.embedder
        if query not in self._asked:
            self._asked[query] = self._question(query)
        return self._asked[query]

    def _question(self, query: str) -> Vectors:
        if self.embedder is None:
            raise StoreMismatchError(
                f"{self.path} was built with {self.manifest.embedder.fingerprint}, which is not "
                "at hand: give it (--bedrock or --embedder; embedder= in Python), or search with mode "
                "'lexical'"
            )
        with embedding_call(self.embedder, [query]):
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

    def _hits(self, scored: Scored, k: int, *, spread: bool = False) -> list[Hit]:
        order = ordering.ordered(scored, self._segments)
        if spread:
            order = ordering.apart(order, k, self._segments)
        return self._made(order[:k], scored)

    def _made(self, keys: Sequence[Key], scored: Scored) -> list[Hit]:
        """Return the hits of rows, in their order."""
        hits: dict[Key, Hit] = {}
        for number in {number for number, _ in keys}:
            rows = [row for at, row in keys if at == number]
            for row, values in zip(rows, self._segments[number].take(rows), strict=True):
                score, dense, lexic = scored[number, row]
                values["section"] = tuple(values["section"] or ())
                values["page_breaks"] = tuple(values["page_breaks"] or ())
                hits[number, row] = Hit(**values, score=score, dense=dense, lexical=lexic)
        return [hits[key] for key in keys]
