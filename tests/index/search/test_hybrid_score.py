"""The hybrid score equals sums computed row by row, over segments with removed rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag
from rag.core.text import terms
from rag.index.search import hybrid_score, surroundings
from rag.index.search import reach as reach_of
from rag.index.storage import compaction
from rag.index.storage.bm25 import K1, B
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.writer import open_writer

ENTRY = EmbedderEntry("", "random", 8)
WORDS = ["leave", "days", "backup", "region", "audit", "budget", "zebra"]

rows = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
documents = st.lists(st.lists(rows, min_size=1, max_size=14), min_size=1, max_size=6)


def make(folder: Path, groups: list[list[list[str]]], gone: set[int], seed: int) -> rag.Index:
    """An index of a segment for each group of documents, some documents of which are removed again."""
    with pytest.MonkeyPatch.context() as patch:
        # Rows that are gone stay where they are, and segments apart.
        patch.setattr(compaction, "choose", lambda segments, *, everything: [])
        _write(folder, groups, gone, seed)
    return rag.Index.open(folder)


def _write(folder: Path, groups: list[list[list[str]]], gone: set[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    names: dict[int, str] = {}
    for found in groups:
        with open_writer(folder, ENTRY, rebuild=False) as writer:
            for texts in found:
                own = len(names)
                names[own] = name = "-" * (own + 1)  # no words: a source's name is indexed, too
                number = writer.add_document(name, name, {})
                vectors = random.normal(size=(len(texts), 8)).astype(np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                chunks = [Chunk(id_of(own, n), n, n + len(text), text) for n, text in enumerate(texts)]
                writer.add_chunks([(number, chunk) for chunk in chunks], vectors)
            writer.commit(removed=set(), sources=[], root=".", chunker="none")
    removed = {names[number] for number in gone if number < len(names) - 1 and number in names}
    if removed:
        with open_writer(folder, ENTRY, rebuild=False) as writer:
            writer.commit(removed=removed, sources=[], root=".", chunker="none")


def id_of(document: int, row: int) -> str:
    return f"{document}-{row}"


def around(row: int, count: int, reach: int) -> range:
    return range(max(row - reach, 0), min(row + reach + 1, count))


def idf(df: int, count: int) -> float:
    return float(np.log(1 + (count - df + 0.5) / (df + 0.5)))


def lexical(live: list[list[str]], every: list[list[str]], question: str) -> list[list[float]]:
    """Return BM25 with its surroundings of the rows of every document, by documents that are live."""
    bags = [[Counter(terms(text)) for text in document] for document in live]
    count, lengths = sum(map(len, bags)), [[bag.total() for bag in document] for document in bags]
    near, wide = (
        sum(sum(own[n] for n in around(row, len(own), reach)) for own in lengths for row in range(len(own)))
        / count
        for reach in (reach_of.NEAR, reach_of.WIDE)
    )
    whole = sum(map(sum, lengths)) / len(bags)

    def saturated(tf: float, length: float, mean: float) -> float:
        return tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / max(mean, 1e-9)))

    out = []
    asked = Counter(terms(question))
    rare = {t: idf(sum(t in bag for document in bags for bag in document), count) for t in asked}
    rare_whole = {
        t: idf(sum(any(t in bag for bag in document) for document in bags), len(bags)) for t in asked
    }
    most, most_whole = (sum(n * weights[t] for t, n in asked.items()) for weights in (rare, rare_whole))
    for texts in every:
        own = [Counter(terms(text)) for text in texts]
        scores = []
        for row in range(len(own)):
            total = 0.0
            for share, reach, mean in (
                (surroundings.LEXICAL[0], reach_of.NEAR, near),
                (surroundings.LEXICAL[1], reach_of.WIDE, wide),
            ):
                window = [own[n] for n in around(row, len(own), reach)]
                for t, n in asked.items():
                    tf, length = sum(bag[t] for bag in window), sum(bag.total() for bag in window)
                    total += share * n * rare[t] * saturated(tf, length, mean) / max(most, 1e-9)
            for t, n in asked.items():
                tf, length = sum(bag[t] for bag in own), sum(bag.total() for bag in own)
                total += (
                    surroundings.LEXICAL[2]
                    * n
                    * rare_whole[t]
                    * saturated(tf, length, whole)
                    / max(most_whole, 1e-9)
                )
            scores.append(total / ((K1 + 1) * sum(surroundings.LEXICAL)))
        out.append(scores)
    return out


@pytest.mark.parametrize("at_once", [1, 2, 128])
@settings(max_examples=48, deadline=None)
@given(
    st.lists(documents, min_size=1, max_size=3),
    st.sets(st.integers(0, 8)),
    st.lists(st.sampled_from([*WORDS, "unheard"]), min_size=1, max_size=6),
    st.data(),
)
def test_lexical_equals_a_sum_by_row(
    tmp_path_factory: pytest.TempPathFactory, at_once: int,
    groups: list[list[list[str]]], gone: set[int], question: list[str], data: st.DataObject,
) -> None:  # fmt: skip
    """The scores, and which rows are best, are those of a sum over every row; however few are computed."""
    index = make(tmp_path_factory.mktemp("ix") / "ix", groups, gone, data.draw(st.integers(0, 99)))
    every = dict(enumerate(document for group in groups for document in group))
    gone = gone & set(range(len(every) - 1))
    live = [document for number, document in every.items() if number not in gone]
    masks = [
        segment.live & data.draw(st.lists(st.booleans(), min_size=segment.rows, max_size=segment.rows).map(np.array))
        for segment in index._segments
    ]  # fmt: skip
    k = data.draw(st.integers(1, 12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surroundings, "AT_ONCE", at_once)
        asked = index._searcher._statistics.look_up(" ".join(question))
        whole = index._searcher._surroundings.lexical(asked)
        before = [whole.of(n, np.arange(segment.rows)) for n, segment in enumerate(index._segments)]
        best = whole.best(masks, k)
        after = [whole.of(n, np.flatnonzero(mask)) for n, mask in enumerate(masks)]
    scores = lexical(live, list(every.values()), " ".join(question))
    expected = {id_of(number, row): score for number in every if number not in gone
                for row, score in enumerate(scores[number])}  # fmt: skip
    names = [segment.ids(range(segment.rows)) for segment in index._segments]
    alive = [segment.live for segment in index._segments]
    assert by_name(names, before, alive) == pytest.approx(expected, abs=1e-12)
    searched = [
        {name for name, found in zip(own, mask, strict=True) if found}
        for own, mask in zip(names, masks, strict=True)
    ]
    assert {n: s for found in searched for n, s in expected.items() if n in found} == pytest.approx(
        by_name(
            [[own[row] for row in np.flatnonzero(mask)] for own, mask in zip(names, masks, strict=True)],
            after,
        ),
        abs=1e-12,
    )
    positive = sorted(
        (expected[name] for found in searched for name in found if expected[name] > 0), reverse=True
    )
    least = positive[k - 1] if len(positive) >= k else 0.0
    got = {own[row] for own, rows in zip(names, best, strict=True) for row in rows}
    assert {n for found in searched for n in found if expected[n] > least + 1e-9} <= got
    assert all(expected[name] > 0 and expected[name] >= least - 1e-9 for name in got)
    assert len(got) >= min(k, len(positive))


def by_name(
    names: list[list[str]], scores: list[np.ndarray], alive: list[np.ndarray] | None = None
) -> dict[str, float]:
    """Scores by chunk id, of the rows that are alive."""
    return {
        name: score
        for number, (own, values) in enumerate(zip(names, scores, strict=True))
        for row, (name, score) in enumerate(zip(own, values, strict=True))
        if alive is None or alive[number][row]
    }


@settings(max_examples=40, deadline=None)
@given(documents, st.data())
def test_dense_equals_a_sum_by_row(
    tmp_path_factory: pytest.TempPathFactory, found: list[list[str]], data: st.DataObject
) -> None:
    """Cosines are weighted with those of the rows around them in the document."""
    index = make(tmp_path_factory.mktemp("ix") / "ix", [found], set(), data.draw(st.integers(0, 99)))
    segment = index._segments[0]
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, segment.rows - 1)))), np.int64)
    unit = np.eye(8, dtype=np.float32)[data.draw(st.integers(0, 7))]
    cosines = segment.vectors @ unit
    starts = np.cumsum([0, *map(len, found)])
    expected = []
    for row in chosen:
        at = int(np.searchsorted(starts, row, side="right")) - 1
        own, place = cosines[starts[at] : starts[at + 1]].astype(np.float64), int(row - starts[at])
        near, wide = (
            [own[n] for n in around(place, len(own), reach)] for reach in (reach_of.NEAR, reach_of.WIDE)
        )
        parts = (own[place], np.mean(near), np.mean(wide), max(wide), 0.0)
        expected.append(
            sum(w * p for w, p in zip(hybrid_score.DENSE, parts, strict=True))
            - 0.25 * sum(hybrid_score.DENSE[:4])
        )
    assert hybrid_score.dense(segment, unit, chosen, 0.25).tolist() == pytest.approx(expected, abs=1e-6)
