"""The local model: all-MiniLM-L6-v2 as int8 ONNX, on this machine, free, offline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rag.core.arguments import only_strings
from rag.core.cpu_slots import turn
from rag.core.vectors import normalised
from rag.embedding.wordpiece import MODELS, token_ids

#: Tokens that the model reads, with the two special ones (it was trained on up to 256, its
#: position table has 512). Longer texts are split and their vectors averaged, never cut.
MAX_TOKENS = 256


class LocalModel:
    """all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0), 384 dimensions, unit vectors.

    The model's files ship with the package; nothing is downloaded. A text's vector does not depend
    on which other texts it is embedded with.

    Examples
    --------
    >>> vector = LocalModel().embed_query("who declares a SEV-1?")
    >>> len(vector)
    384
    """

    name = "local"
    dimensions = 384
    on_this_machine: Literal[True] = True
    reports_calls = True  # it makes none
    fingerprint = "all-MiniLM-L6-v2 int8 onnx/2 dimensions=384 normalize=true"
    tokens_per_second = 20_000.0  # measured on 2 cores, texts of 200 tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the numbers of tokens that the model reads, special ones left out."""
        return [len(ids) for ids in token_ids(texts)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a unit vector per text, in order."""
        rows: list[list[float]] = self.vectors(texts).tolist()
        return rows

    @turn()
    def embed_query(self, text: str) -> list[float]:
        """Return a question's unit vector."""
        return self.embed_documents([text])[0]

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, ``(len(texts), 384)`` float32."""
        only_strings("texts", texts)
        pieces: list[list[int]] = []
        owner: list[int] = []
        for number, ids in enumerate(token_ids(texts)):
            for part in _split(ids, MAX_TOKENS - 2):
                pieces.append([_CLS, *part, _SEP])
                owner.append(number)
        made = _run(pieces)
        weights = np.array([len(piece) - 2 for piece in pieces], np.float32)[:, None]
        out = np.zeros((len(texts), self.dimensions), np.float32)
        np.add.at(out, owner, made * np.maximum(weights, 1))
        return normalised(out)


_CLS, _SEP = 101, 102
#: Tokens of a batch. Small: one session with a thread of its own per core, called with about five
#: texts of 200 tokens at once, was faster than large batches on a session with several threads.
_BATCH_TOKENS = 1024


def _split(ids: list[int], most: int) -> list[list[int]]:
    """Split a long text evenly, into as few parts as fit."""
    if not ids:  # no text, or one of characters that the model does not know
        return [[]]
    size = -(-len(ids) // -(-len(ids) // most))
    return [ids[at : at + size] for at in range(0, len(ids), size)]


def _run(pieces: Sequence[list[int]]) -> npt.NDArray[np.float32]:
    """Run the model over batches of like length, on all CPUs."""
    out = np.zeros((len(pieces), LocalModel.dimensions), np.float32)

    def run(batch: list[int]) -> None:
        width = max(len(pieces[number]) for number in batch)
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, number in enumerate(batch):
            ids[row, : len(pieces[number])] = pieces[number]
            mask[row, : len(pieces[number])] = 1
        out[batch] = session().run(None, {"input_ids": ids, "attention_mask": mask})[0]

    batches = _batches([len(piece) for piece in pieces])
    if len(batches) == 1:
        run(batches[0])
    elif batches:
        session()  # loaded here, so that the threads do not each load it
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(run, batches))
    return out


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Group texts of like length, longest first, so that little is padding."""
    out: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if out and (len(out[-1]) + 1) * lengths[out[-1][0]] <= _BATCH_TOKENS:
            out[-1].append(number)
        else:
            out.append([number])
    return out


@lru_cache(maxsize=1)
def session() -> Any:
    """Load the model, once."""
    from rag.embedding.onnx_runtime import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        str(MODELS / "minilm" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
