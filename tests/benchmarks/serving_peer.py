"""The peer of `tests.benchmarks.serving`: a plain FastAPI application around LangChain's parts.

``python -m tests.benchmarks.serving_peer INDEX_FOLDER PORT``: FAISS with the same embedder and texts, the
same prompt length, ``ChatBedrockConverse``, and server-sent events; one process, by uvicorn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_aws import ChatBedrockConverse
from langchain_community.vectorstores import FAISS
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

import rag
from rag.embedding.static import StaticEmbeddings

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from these passages:\n\n{passages}"), ("human", "{question}")]
)


class Query(BaseModel):
    """A question."""

    question: str
    k: int = 10
    stream: bool = False


def store(index: Path) -> FAISS:
    """LangChain's FAISS with the texts and vectors of an index."""
    hits = list(rag.Index.open(index).scan())
    embedder = StaticEmbeddings()
    vectors = embedder.embed_documents([hit.text for hit in hits])
    pairs = [(hit.text, vector) for hit, vector in zip(hits, vectors, strict=True)]
    return FAISS.from_embeddings(pairs, embedder, metadatas=[{"source": hit.source} for hit in hits])


def application(index: Path) -> FastAPI:
    """Return the service."""
    found, app = store(index), FastAPI()
    chain = PROMPT | ChatBedrockConverse(model=MODEL, region_name="us-east-1")

    @app.post("/v1/search")
    def search(query: Query) -> dict[str, Any]:
        hits = found.similarity_search_with_score(query.question, k=query.k)
        return {
            "hits": [{"text": hit.page_content, "score": float(score), **hit.metadata} for hit, score in hits]
        }

    @app.post("/v1/ask")
    async def ask(query: Query) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            hits = await found.asimilarity_search(query.question, k=query.k)
            passages = "\n\n".join(hit.page_content for hit in hits)
            yield f"event: context\ndata: {json.dumps([hit.page_content for hit in hits])}\n\n"
            async for piece in chain.astream({"passages": passages, "question": query.question}):
                if piece.text:
                    yield f"event: text\ndata: {json.dumps(piece.text)}\n\n"
            yield "event: answer\ndata: {}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    app = application(Path(sys.argv[1]))
    config = uvicorn.Config(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f"served at http://127.0.0.1:{sys.argv[2]}", flush=True)

    Announcing(config).run()
