"""Items and answers for the tests of the review queue, and what other processes run."""

from __future__ import annotations

import time
from typing import Any

from rag.core.answers import Answer, Step
from rag.core.calls import Usage
from rag.core.citations import Citation
from rag.core.errors import ReviewConflictError
from rag.core.ids import new_id
from rag.core.passages import Context, Hit
from rag.review.desk import ReviewDesk
from rag.review.packing import fingerprint_of, pack
from rag.review.records import Item, Reason
from rag.review.sqlite_store import SqliteReviews
from rag.review.store import ReviewStore

LEAVE = "Staff in Europe take 28 days of annual leave."


def answer_of(question: str = "How long is leave?", text: str = f"{LEAVE} [1]", **changes: Any) -> Answer:
    """An answer that cites one passage."""
    hit = Hit("eu.md", 9, 9 + len(LEAVE), LEAVE, 1.0)
    values: dict[str, Any] = {
        "question": question, "text": text, "answered": True,
        "citations": (Citation(1, "eu.md", 9, 9 + len(LEAVE), LEAVE, verified=True),),
        "context": Context((hit,), len(LEAVE), 4000, "chars"), "usage": Usage(1000, 100, cost_usd=0.002),
        "trace": (Step("retrieve", 0.1, {"documents": 1}),), "generator": "echo", "prompt": "answer-v1",
    }  # fmt: skip
    return Answer(**{**values, **changes})


def item_of(answer: Answer, at: float | None = None, **changes: Any) -> Item:
    """An item for an answer."""
    at = time.time() if at is None else at
    values: dict[str, Any] = {
        "id": new_id(at), "at": at, "question": answer.question, "search": answer.question, "where": None,
        "tenant": "", "tag": "", "user": "", "reasons": (Reason("unsupported", "supported 0 of 1 sentence"),),
        "index": "ix", "version": 1, "model": "echo-1", "tier": "", "prompt": answer.prompt, "prompt_hash": "",
        "answered": answer.answered, "supported": 0.0, "cost_usd": 0.002,
        "fingerprint": fingerprint_of(answer, None, ""),
    }  # fmt: skip
    return Item(**{**values, **changes})


def added(
    store: ReviewStore,
    answer: Answer | None = None,
    *,
    expires_s: float = 3600,
    at: float | None = None,
    **changes: Any,
) -> Item:
    """Add an item to a store; return what the store returns."""
    answer = answer or answer_of()
    return store.add(item_of(answer, at, **changes), pack(answer), time.time() + expires_s)


def decider(path: str, id: str, name: str) -> str:
    """Decide in a process of its own; return who won."""
    try:
        ReviewDesk(SqliteReviews(path)).approve(id, by=name)
    except ReviewConflictError as error:
        return str(error)
    return "won"


def adder(path: str, question: str, count: int, name: str) -> list[str]:
    """Add an answer that others add, too, and some of its own, in a process of its own; return the ids."""
    store = SqliteReviews(path)
    same = added(store, answer_of(question)).id
    return [same, *(added(store, answer_of(f"{question} {name} {n}")).id for n in range(count))]
