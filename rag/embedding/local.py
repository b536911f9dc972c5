"""The local model: all-MiniLM-L6-v2 as int8 ONNX, on this machine, free, offline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings
from tokenizers import Tokenizer

MODELS = Path(__file__).parent / "models"

#: Tokens that the model reads, with the two special ones (it was trained on up to 256, its
#: position table has 512). Longer texts are split and their vectors averaged, never cut.
MAX_TOKENS = 256


class LocalEmbeddings(Embeddings):
    """all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0), 384 dimensions, unit vectors.

    The model's files ship with the package; nothing is downloaded. A text's vector does not depend
    on which other texts it is embedded with.

    Examples
    --------
    >>> vector = LocalEmbeddings().embed_query("who declares a SEV-1?")
    >>> len(vector)
    384
    """

    name = "local"
    dimensions = 384
    fingerprint = "all-MiniLM-L6-v2 int8 onnx/1 dimensions=384 normalize=true"
    tokens_per_second = 20_000.0  # measured on 2 cores, texts of 200 tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the numbers of tokens that the model reads, special ones left out."""
        return [len(ids) for ids in _token_ids(texts)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a unit vector per text, in order."""
        rows: list[list[float]] = self.vectors(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Return a question's unit vector."""
        return self.embed_documents([text])[0]

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, ``(len(texts), 384)`` float32."""
        pieces: list[list[int]] = []
        owner: list[int] = []
        for number, ids in enumerate(_token_ids(texts)):
            for part in _split(ids, MAX_TOKENS - 2):
                pieces.append([_CLS, *part, _SEP])
                owner.append(number)
        made = _run(pieces)
        weights = np.array([len(piece) - 2 for piece in pieces], np.float32)[:, None]
        out = np.zeros((len(texts), self.dimensions), np.float32)
        np.add.at(out, owner, made * np.maximum(weights, 1))
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = np.divide(out, norms, out=np.zeros_like(out), where=norms > 0)
        return unit


_CLS, _SEP = 101, 102
_BATCH_TOKENS = 8192


def _split(ids: list[int], most: int) -> list[list[int]]:
    """Split a long text evenly, into as few parts as fit."""
    parts = -(-len(ids) // most) or 1
    size = -(-len(ids) // parts)
    return [ids[at : at + size] for at in range(0, len(ids), size)] or [[]]


def _token_ids(texts: Sequence[str]) -> list[list[int]]:
    encoded = tokenizer().encode_batch_fast(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in encoded]


def _run(pieces: Sequence[list[int]]) -> npt.NDArray[np.float32]:
    """Run the model over batches of like length."""
    out = np.zeros((len(pieces), LocalEmbeddings.dimensions), np.float32)
    order = sorted(range(len(pieces)), key=lambda number: len(pieces[number]))
    at = 0
    while at < len(order):
        size = at + 1
        while size < len(order) and (size + 1 - at) * len(pieces[order[size]]) <= _BATCH_TOKENS:
            size += 1
        batch = order[at:size]
        width = len(pieces[batch[-1]])
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, number in enumerate(batch):
            ids[row, : len(pieces[number])] = pieces[number]
            mask[row, : len(pieces[number])] = 1
        out[batch] = session().run(None, {"input_ids": ids, "attention_mask": mask})[0]
        at = size
    return out


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """Load the model's tokenizer, once."""
    return Tokenizer.from_file(str(MODELS / "minilm" / "tokenizer.json"))


@lru_cache(maxsize=1)
def session() -> Any:
    """Load the model, once."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        str(MODELS / "minilm" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
