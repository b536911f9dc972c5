"""Hits and a budget to a context: what matters most, within the budget, each piece with its place.

Candidates are taken best first while they fit. Pieces that stand side by side in a document join
into one passage; what was already said is left out; passages go out best document first, and in
reading order inside a document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field

from rag.records import Hit
from rag.text import Span, sentences, terms
from rag.tokens import estimate_tokens
from rag.vectors import embed

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is taken or left as a whole; `gap` is what stands before the next unit, if that is next.

    `start` and `end` are offsets in the document.
    """

    hit: Hit
    start: int
    end: int
    text: str
    gap: str | None


class BudgetTrimmer(BaseDocumentCompressor):
    """Fills a budget with the most evidence.

    Parameters
    ----------
    budget : int
        Most characters or tokens of the passages' texts together; never exceeded. What the prompt
        puts around the passages is not counted.
    unit : {"chars", "tokens"}
        Tokens are estimated, high rather than low, unless `count_tokens` is given.
    strategy : {"chunks", "sentences"}
        Take chunks as they are, in the order of their scores: for `rag`'s own short ones. Or pick
        sentences out of them: for a retriever that gives long ones.
    embedder : Embeddings, optional
        Compares sentences with the question; without one they are compared by their words alone.
    lexical_weight, chunk_weight : float
        For sentences: weight of BM25 and of the chunk's own score beside the similarity, each
        standardised over the candidates.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    budget: int = Field(default=4000, ge=1)
    unit: Literal["chars", "tokens"] = "chars"
    strategy: Literal["chunks", "sentences"] = "chunks"
    embedder: Embeddings | None = None
    count_tokens: Callable[[str], int] = estimate_tokens
    lexical_weight: float = Field(default=0.5, ge=0)
    chunk_weight: float = Field(default=0.5, ge=0)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the passages to send, in the order of sending; each a slice of a document."""
        hits = [Hit.from_document(document) for document in documents]
        units = _units(hits, whole=self.strategy == "chunks")
        if not units:
            return []
        scores = np.array([unit.hit.score for unit in units])
        if self.strategy == "sentences":
            scores = self._sentence_scores(units, query)
        picked = self._pick(units, scores)
        passages = _passages(units, scores, picked)
        while sum(self.size(hit.text) for hit in passages) > self.budget:
            # A foreign token counter need not add up; give way from the worst unit on.
            picked.remove(min(picked, key=lambda number: float(scores[number])))
            passages = _passages(units, scores, picked)
        return [hit.to_document() for hit in passages]

    def size(self, text: str) -> int:
        """Return what a text takes of the budget."""
        return len(text) if self.unit == "chars" else self.count_tokens(text)

    def _pick(self, units: Sequence[_Unit], scores: Scores) -> set[int]:
        """Take units best first while they fit; one beside a taken one costs the gap, too."""
        picked: set[int] = set()
        said: set[str] = set()
        used = 0
        for number in np.argsort(-scores, kind="stable").tolist():
            unit = units[number]
            key = " ".join(unit.text.split()).lower()
            if key in said:
                continue
            cost = self.size(unit.text)
            if unit.gap is not None and number + 1 in picked:
                cost += self.size(unit.gap)
            if number - 1 in picked and (before := units[number - 1].gap) is not None:
                cost += self.size(before)
            if used + cost <= self.budget:
                picked.add(number)
                said.add(key)
                used += cost
        return picked

    def _sentence_scores(self, units: Sequence[_Unit], query: str) -> Scores:
        windows = _windows(units)
        total = self.lexical_weight * _standard(_bm25(windows, query))
        total = total + self.chunk_weight * _standard(np.array([unit.hit.score for unit in units]))
        if self.embedder is not None:
            texts = [unit.text for unit in units]
            vectors = embed(self.embedder, [*texts, *windows]).astype(np.float64)
            cosines = vectors @ np.asarray(self.embedder.embed_query(query), np.float64)
            total = total + _standard(cosines[: len(units)] + cosines[len(units) :])
        return total


def _units(hits: Sequence[Hit], *, whole: bool) -> list[_Unit]:
    """Return the units of the candidates in order of document and place, each place once."""
    found: list[_Unit] = []
    taken: dict[str, list[Span]] = {}
    for hit in hits:
        inner = [(0, len(hit.text))] if whole else _joined(hit.text, sentences(hit.text))
        covered = taken.setdefault(hit.source, [])
        for number, (a, b) in enumerate(inner):
            start, end = hit.start + a, hit.start + b
            if start == end or any(first < end and start < last for first, last in covered):
                continue
            last = number + 1 == len(inner)
            gap = hit.gap if last and end == hit.end else None if last else hit.text[b : inner[number + 1][0]]
            found.append(_Unit(hit, start, end, hit.text[a:b], gap))
        covered.append((hit.start, hit.end))
    found.sort(key=lambda unit: (unit.hit.source, unit.start))
    for number, unit in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        joins = (
            unit.gap is not None and following is not None
            and following.hit.source == unit.hit.source
            and following.start == unit.end + len(unit.gap)
        )  # fmt: skip
        if not joins:
            found[number] = replace(unit, gap=None)
    return found


def _joined(text: str, spans: Sequence[Span]) -> list[Span]:
    """Join a heading or a scrap to the sentence behind it: alone it says nothing."""
    out: list[Span] = []
    held: int | None = None
    for start, end in spans:
        first = start if held is None else held
        held = None
        if text.startswith("#", start) or end - start < 25:
            held = first
            continue
        out.append((first, end))
    if held is not None:
        last = spans[-1][1]
        if out:
            out[-1] = (out[-1][0], last)
        else:
            out.append((held, last))
    return out


def _windows(units: Sequence[_Unit]) -> list[str]:
    """Return each unit's text with its neighbours' on both sides."""
    out = []
    for number, unit in enumerate(units):
        before = units[number - 1] if number else None
        parts = [before.text] if before is not None and before.gap is not None else []
        parts.append(unit.text)
        if unit.gap is not None:
            parts.append(units[number + 1].text)
        out.append(" ".join(parts))
    return out


def _passages(units: Sequence[_Unit], scores: Scores, picked: set[int]) -> list[Hit]:
    """Join picked neighbours; best document first, inside a document in reading order."""
    runs: list[list[int]] = []
    for number in sorted(picked):
        if runs and runs[-1][-1] == number - 1 and units[number - 1].gap is not None:
            runs[-1].append(number)
        else:
            runs.append([number])
    best: dict[str, float] = {}
    passages: list[Hit] = []
    for run in runs:
        score = float(scores[run].max())
        passage = _passage([units[number] for number in run], score)
        best[passage.source] = max(best.get(passage.source, -np.inf), score)
        passages.append(passage)
    passages.sort(key=lambda hit: (-best[hit.source], hit.source, hit.start))
    return passages


def _passage(run: Sequence[_Unit], score: float) -> Hit:
    """Return units that stand side by side as one hit."""
    first, last = (unit.hit.narrowed(max(unit.start, unit.hit.start), unit.end) for unit in (run[0], run[-1]))
    text = "".join(unit.text + (unit.gap or "") for unit in run[:-1]) + run[-1].text
    breaks = {at for unit in run for at in unit.hit.page_breaks if run[0].start < at < run[-1].end}
    if first.page_start is not None:  # a page may also begin between two units
        known = [unit.hit.narrowed(unit.start, unit.end) for unit in run]
        breaks |= {
            known[i].start for i in range(1, len(known)) if known[i].page_start != known[i - 1].page_end
        }
    return replace(
        first, end=last.end, text=text, score=score, page_end=last.page_end, gap=last.gap,
        page_breaks=tuple(sorted(breaks)),
        chunk_id=first.chunk_id if len(run) == 1 else "",
        dense=first.dense if len(run) == 1 else None,
        lexical=first.lexical if len(run) == 1 else None,
    )  # fmt: skip


def _standard(values: Scores) -> Scores:
    deviation = values.std()
    return (values - values.mean()) / deviation if deviation > 1e-12 else np.zeros_like(values)


def _bm25(texts: Sequence[str], query: str, k1: float = 0.9, b: float = 0.4) -> Scores:
    """Score texts against a question, with statistics over these texts (see `rag.index.lexical`)."""
    bags = [Counter(terms(text)) for text in texts]
    lengths = np.array([bag.total() for bag in bags], np.float64)
    norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
    scores = np.zeros(len(texts))
    for term, weight in Counter(terms(query)).items():
        tf = np.array([bag[term] for bag in bags], np.float64)
        df = int((tf > 0).sum())
        if df:
            idf = np.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
            scores += weight * idf * tf * (k1 + 1) / (tf + norm)
    return scores
