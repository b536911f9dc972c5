"""The trained reranker over the product's hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.core.passages import Hit
from rag.embedding.onnx_models import in_batches, opened
from tests.benchmarks.reranking.sequences import Passage, sequences, standard

Scores = npt.NDArray[np.float64]


class Reader:
    """Sorts the first hits by the retriever's scores and the model's; the rest follow in their order.

    Parameters
    ----------
    path : Path
        The file that `export` wrote.
    first : int
        Hits that are read.
    weight : float
        Of the retriever's scores, in standard deviations, beside the model's logits.
    """

    def __init__(self, path: Path, first: int, weight: float) -> None:
        self.session, self.first, self.weight = opened(path), first, weight

    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        if not hits:
            return []
        read, rest = hits[: self.first], hits[self.first :]
        known = self.weight * standard([hit.score for hit in hits])
        scores = self.logits(question, read)
        scores += known[: len(read)] - scores.mean()
        after = known[len(read) :]
        below = scores.min() + after - after.max(initial=-np.inf)
        order = np.argsort(-scores, kind="stable").tolist()
        return [
            *(replace(read[number], score=float(scores[number])) for number in order),
            *(replace(hit, score=float(score)) for hit, score in zip(rest, below, strict=True)),
        ]

    def logits(self, question: str, hits: Sequence[Hit]) -> Scores:
        """Return what the model says of each hit, ``(len(hits),)``."""
        passages = [Passage(hit.source, hit.start, hit.end, hit.text, hit.section) for hit in hits]
        reads = sequences(question, passages)
        out = np.zeros(len(hits))

        def run(model: Any, batch: list[int], width: int) -> None:
            ids, mask, types = (np.zeros((len(batch), width), np.int64) for _ in range(3))
            weights = np.zeros((len(batch), width), np.float32)
            for row, number in enumerate(batch):
                one = reads[number]
                ids[row, : len(one.ids)], mask[row, : len(one.ids)] = one.ids, 1
                types[row, one.passages_start : len(one.ids)] = 1
                weights[row, one.question] = 1 / max(one.question.stop - 1, 1)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "question": weights}
            likeness, evidence = model.run(None, inputs)
            for row, number in enumerate(batch):
                for passage, span in reads[number].spans:
                    out[passage] = likeness[row, span].mean() + evidence[row, span].max()

        in_batches(self.session, [len(one.ids) for one in reads], run)
        return out
