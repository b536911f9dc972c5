"""One peer's contexts for some questions: run by `tests.benchmarks.evidence` in the peers' environment.

    python evidence_peer.py KIND CORPUS QUESTIONS.jsonl FOLDER BUDGET ... > figures

Chunks the corpus, indexes the chunks, ranks them for each question, and packs them whole, in their
order, into each budget, of the first 200 those that fit; writes ``FOLDER/BUDGET.jsonl``. All share
`rag`'s local model. A KIND that ends in ``-static`` only chunks, with `rag`'s static model.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, for the model

from rag.embedding.local import LocalEmbeddings
from rag.embedding.static import StaticEmbeddings
from rag.embedding.wordpiece import MODELS

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
DEPTH = 200  # ranked chunks that are looked at


class Chunk(NamedTuple):
    """A chunk, and its place in the source: None if it cannot be found there."""

    source: str
    text: str
    start: int | None
    end: int | None


#: Texts to pieces of them, in order, each with the place that the splitter gives (None: none).
Split = Callable[[str], list[tuple[str, int | None]]]
#: A question to numbers of chunks, best first.
Rank = Callable[[str], Sequence[int]]


# ---------------------------------------------------------------------- splitters


def recursive(model: Any) -> Split:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=500, chunk_overlap=50, add_start_index=True)
    return lambda text: [
        (each.page_content, each.metadata["start_index"]) for each in splitter.create_documents([text])
    ]


def semantic(model: Any) -> Split:
    from langchain_experimental.text_splitter import SemanticChunker

    splitter = SemanticChunker(model)
    return lambda text: [(each, None) for each in splitter.split_text(text)]


def chonkie(model: Any, **settings: Any) -> Split:
    import numpy as np
    from chonkie import SemanticChunker
    from chonkie.embeddings import BaseEmbeddings
    from tokenizers import Tokenizer

    class Shared(BaseEmbeddings):
        dimension = model.dimensions

        def embed(self, text: str) -> Any:
            return model.vectors([text])[0]

        def embed_batch(self, texts: list[str]) -> list[Any]:
            return list(model.vectors(texts)) if texts else []

        def similarity(self, u: Any, v: Any) -> Any:
            return np.float32(np.dot(u, v))  # unit vectors

        def get_tokenizer(self) -> Any:
            return Tokenizer.from_file(str(MODELS / "minilm" / "tokenizer.json"))

    splitter = SemanticChunker(Shared(), **settings)
    return lambda text: [(each.text, each.start_index) for each in splitter.chunk(text)]


def short_chonkie(model: Any) -> Split:
    """Split so that chunks are as long as the others': 128 tokens are about 500 characters."""
    return chonkie(model, chunk_size=128)


def haystack(model: Any) -> Split:
    from haystack import Document
    from haystack.components.preprocessors import RecursiveDocumentSplitter

    splitter = RecursiveDocumentSplitter(  # its "sentence" needs NLTK's data, which must be downloaded
        split_length=400, split_unit="char", separators=["\n\n", "\n", ". ", " "]
    )
    return lambda text: [
        (each.content, each.meta["split_idx_start"])
        for each in splitter.run([Document(content=text)])["documents"]
    ]


# ---------------------------------------------------------------------- places


def fold(text: str) -> tuple[str, list[int]]:
    """Fold each run of white space to one space; return the text, and where each character was."""
    out, places = [], []
    for at, letter in enumerate(text):
        if not letter.isspace():
            out.append(letter)
        elif not out or out[-1] != " ":
            out.append(" ")
        else:
            continue
        places.append(at)
    return "".join(out), places


def placed(source: str, text: str, pieces: list[tuple[str, int | None]]) -> list[Chunk]:
    """Find the pieces, which come in order, in the text: where the splitter says, or with white space folded."""
    folded, places = fold(text)
    out = []
    behind = 0  # where the piece before starts, folded
    for piece, start in pieces:
        if not piece.strip():
            continue  # a blank piece would only take of the budget
        if start is not None and start >= 0 and text.startswith(piece, start):
            out.append(Chunk(source, piece, start, start + len(piece)))
            behind = max(behind, bisect_right(places, start) - 1)
            continue
        wanted = " ".join(piece.split())
        at = folded.find(wanted, behind)
        if at < 0:
            out.append(Chunk(source, piece, None, None))
        else:
            out.append(Chunk(source, piece, places[at], places[at + len(wanted) - 1] + 1))
            behind = at + 1
    return out


# ---------------------------------------------------------------------- rankings


def dense(chunks: Sequence[Chunk], model: Any) -> Rank:
    from langchain_community.vectorstores import FAISS

    numbers = [{"number": number} for number in range(len(chunks))]
    store = FAISS.from_texts([chunk.text for chunk in chunks], model, numbers)
    return lambda question: [found.metadata["number"] for found in store.similarity_search(question, k=DEPTH)]


def fused(chunks: Sequence[Chunk], model: Any) -> Rank:
    from haystack import Document
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore()
    vectors = model.embed_documents([chunk.text for chunk in chunks])
    store.write_documents([
        Document(content=chunk.text, embedding=vector, meta={"number": number})
        for number, (chunk, vector) in enumerate(zip(chunks, vectors, strict=True))
    ])  # fmt: skip
    words = InMemoryBM25Retriever(store, top_k=DEPTH)
    near = InMemoryEmbeddingRetriever(store, top_k=DEPTH)
    joiner = DocumentJoiner(join_mode="distribution_based_rank_fusion")

    def rank(question: str) -> list[int]:
        both = [words.run(query=question)["documents"]]
        both.append(near.run(query_embedding=model.embed_query(question))["documents"])
        return [found.meta["number"] for found in joiner.run(documents=both)["documents"]]

    return rank


#: What splits and what ranks, by kind.
KINDS: dict[str, tuple[Callable[[Any], Split], Callable[[Sequence[Chunk], Any], Rank]]] = {
    "langchain-recursive": (recursive, dense),
    "langchain-semantic": (semantic, dense),
    "chonkie-semantic": (chonkie, dense),
    "chonkie-semantic-128": (short_chonkie, dense),
    "haystack-dbrf": (haystack, fused),
}
PACKAGES = (
    "langchain-text-splitters", "langchain-experimental", "langchain-community", "faiss-cpu", "chonkie",
    "haystack-ai",
)  # fmt: skip


def packed(ranked: Sequence[Chunk], budget: int) -> list[Chunk]:
    """Take chunks whole, best first; leave out those that do not fit."""
    taken, used = [], 0
    for chunk in ranked[:DEPTH]:
        if used + len(chunk.text) <= budget:
            taken.append(chunk)
            used += len(chunk.text)
    return taken


def read(path: Path) -> str:
    return path.read_bytes().decode()


def main(kind: str, corpus: str, questions: str, folder: str, *budgets: str) -> None:
    name = kind.removesuffix("-static")
    model: Any = StaticEmbeddings() if name != kind else LocalEmbeddings()
    model.embed_query("warm")  # so that loading the model is not counted
    split, index = KINDS[name]
    splitter = split(model)
    files = sorted(Path(corpus).rglob("*.md"))
    texts = {path.relative_to(corpus).as_posix(): read(path) for path in files}
    started = time.perf_counter()
    pieces = {source: splitter(text) for source, text in texts.items()}
    seconds = time.perf_counter() - started
    chunks = [chunk for source, each in pieces.items() for chunk in placed(source, texts[source], each)]
    out: dict[str, Any] = {
        "seconds": seconds,
        "bytes": sum(len(text.encode()) for text in texts.values()),
        "chunks": len(chunks),
        "longest": max(len(chunk.text) for chunk in chunks),
        "rewritten": sum(chunk.text not in texts[chunk.source] for chunk in chunks),
        "lost": sum(chunk.start is None for chunk in chunks),
        "versions": ", ".join(f"{package} {version(package)}" for package in PACKAGES),
    }
    if name == kind:
        contexts(index(chunks, model), chunks, Path(questions), Path(folder), list(map(int, budgets)))
    sys.stdout.write("\n" + json.dumps(out) + "\n")


def contexts(
    rank: Rank, chunks: Sequence[Chunk], questions: Path, folder: Path, budgets: Sequence[int]
) -> None:
    """Write each question's context at each budget; a chunk without a place fills, and shows nothing."""
    files = {budget: (folder / f"{budget}.jsonl").open("w", encoding="utf-8") for budget in budgets}
    for line in read(questions).split("\n"):
        if not line:
            continue
        row = json.loads(line)
        ranked = [chunks[number] for number in rank(row["question"])]
        for budget, file in files.items():
            hits = [
                {"source": chunk.source, "start": chunk.start, "end": chunk.end}
                for chunk in packed(ranked, budget) if chunk.start is not None
            ]  # fmt: skip
            file.write(json.dumps({"id": row["id"], "hits": hits}) + "\n")
    for file in files.values():
        file.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
