"""The times of LangChain's FAISS, dense and alone: run by `tests.benchmarks.latency` in the peers' environment.

    python latency_peer.py FOLDER K > seconds

FOLDER holds ``texts.json``, ``vectors.npy`` of their unit vectors, and ``questions.npy``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from langchain_community.vectorstores import FAISS
from langchain_core.embeddings import Embeddings


class Given(Embeddings):
    """Stands for an embedder: the vectors are given."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError


def main(folder: str, k: str) -> None:
    work = Path(folder)
    texts = json.loads((work / "texts.json").read_text())
    pairs = zip(texts, np.load(work / "vectors.npy").tolist(), strict=True)
    store = FAISS.from_embeddings(pairs, Given())
    seconds = []
    for vector in np.load(work / "questions.npy").tolist():
        started = time.perf_counter()
        store.similarity_search_by_vector(vector, k=int(k))
        seconds.append(time.perf_counter() - started)
    sys.stdout.write("\n" + json.dumps(seconds) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
