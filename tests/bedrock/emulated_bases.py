"""Two emulated knowledge bases, over the handbook and over single rows, and retrievers over them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from langchain_core.documents import Document

import rag
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.search.knowledge_base import (
    KnowledgeBaseRetriever,
)

ID, ROWS_ID = "HANDBOOK01", "ROWSROWS01"


BUCKET = "s3://handbook01/"
QUESTION = "who declares a SEV-1?"


ROWS: list[dict[str, Any]] = [
    {"name": "alpha", "year": 2021, "ok": True, "day": dt.date(2021, 1, 1), "tags": ["a", "gdpr"]},
    {"name": "beta", "year": 2023, "ok": False, "day": dt.date(2023, 5, 1), "tags": ["b"]},
    {"name": "Alphabet", "year": -4.5, "tags": []},
    {"year": 2025, "ok": True, "at": dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC), "tags": ["gdpr", "b"]},
    {"name": "", "day": dt.date(2020, 2, 29)},
    {},
]


def retriever(index: rag.Index | None = None, **options: Any) -> KnowledgeBaseRetriever:
    return KnowledgeBaseRetriever(
        **{"knowledge_base_id": ID, "index": index, "prefix": BUCKET, "retry": Retry(base_s=0), **options}
    )


def place(document: Document) -> tuple[str, int, int]:
    return (document.metadata["source"], document.metadata["start"], document.metadata["end"])
