"""The stores that may hold something of a document, and how each is searched and cleaned.

Each has a file in the index's folder by default, which is searched whether the settings name it or not, and
the place that the settings name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rag.embedding import forgetting as vectors
from rag.erasure.json_lines import forget_lines
from rag.erasure.trace import Trace
from rag.receipts.store import ReceiptStore
from rag.response_cache import forgetting as answers
from rag.response_cache.store import ResponseStore
from rag.review.packing import unpack
from rag.review.store import ReviewStore, Selection
from rag.telemetry.rotation import rotated


@dataclass(frozen=True, slots=True)
class Swept:
    """What a place held of the documents, whether nothing of it is left, and what else goes with it."""

    count: int
    clean: bool = True
    note: str = ""


#: Searches a place; erases what it finds unless told only to count.
Sweep = Callable[[Trace, bool], Swept]


@dataclass(frozen=True, slots=True)
class Place:
    """A store.

    Attributes
    ----------
    kind : str
        What is counted: ``"answers"``, …
    name : str
        Its file, URL or table.
    sweep : callable
    path : Path or None
        Its file, if it is one.
    """

    kind: str
    name: str
    sweep: Sweep
    path: Path | None = None


@runtime_checkable
class InFile(Protocol):
    """A store in a SQLite file."""

    path: Path

    def give_back(self) -> bool:
        """Overwrite what was deleted; False while another process reads from before."""


def of_vectors(path: Path, *, own: bool) -> Place:
    """Return the embedding cache; one in the index's folder keeps vectors of texts in the index alone."""

    def sweep(trace: Trace, dry_run: bool) -> Swept:
        found = vectors.forget(path, trace.gone, trace.kept, only=own, dry_run=dry_run)
        note = (
            f"{found.unknown} of the vectors in {path} are of texts that no version holds: earlier wordings, "
            "or what a build that failed had embedded"
        )
        return Swept(found.count, found.clean, note if found.unknown else "")

    return Place("vectors", str(path), sweep, path)


def of_answers(store: ResponseStore) -> Place:
    """Return a response cache."""

    def sweep(trace: Trace, dry_run: bool) -> Swept:
        def holds(value: Any) -> bool:
            found = trace.in_values(value)
            if found and isinstance(value, dict):
                trace.answers.add(str((value.get("answer") or {}).get("id") or ""))
                trace.answers.discard("")
            return found

        count = answers.forget(store, holds, dry_run=dry_run)
        return Swept(count, dry_run or _given_back(store))

    return Place("answers", store.holdings().place, sweep, store.path if isinstance(store, InFile) else None)


def of_reviews(store: ReviewStore) -> Place:
    """Return a review queue."""

    def sweep(trace: Trace, dry_run: bool) -> Swept:
        found = set()
        for item in store.items(Selection()):
            data = store.answer(item.id)
            if data is not None and trace.in_item(item, answer := unpack(data)):
                found.add(item.id)
                trace.answers |= {answer.id} - {""}
        if dry_run:
            return Swept(len(found))
        store.prune()
        return Swept(store.remove(lambda item, answer: item.id in found), _given_back(store))

    return Place("review items", store.place, sweep, store.path if isinstance(store, InFile) else None)


def of_receipts(store: ReceiptStore) -> Place:
    """Return a file of receipts."""

    def sweep(trace: Trace, dry_run: bool) -> Swept:
        found = [row["id"] for row in store.all() if trace.in_values(row)]
        trace.answers.update(found)
        if dry_run or not store.path.exists():
            return Swept(len(found))
        return Swept(store.forget(ids=found), store.give_back())

    return Place("receipts", str(store.path), sweep, store.path)


def of_records(path: Path) -> Iterator[Place]:
    """Yield a file of records, and those before it: they lose texts of questions, and keep the numbers."""

    def rule(trace: Trace, row: Any) -> Any:
        if not isinstance(row, dict):
            return None if trace.in_values(row) else row
        texts = ("question", "answer")
        if any(name in row for name in texts) and trace.in_values(row):
            return {name: value for name, value in row.items() if name not in texts}
        return row

    for file in rotated(path):
        yield _of_lines("records", file, rule)


def of_lines(path: Path) -> Place:
    """Return a file of JSON lines that `rag` wrote: a log of answers and verdicts, outputs, a recording.

    A verdict does not say of which documents it speaks, so all of a file go.
    """

    def rule(trace: Trace, row: Any) -> Any:
        verdict = isinstance(row, dict) and "verdict" in row and "vote" in row
        return None if verdict or trace.in_values(row) else row

    return _of_lines("lines", path, rule)


def _of_lines(kind: str, path: Path, rule: Callable[[Trace, Any], Any]) -> Place:
    def sweep(trace: Trace, dry_run: bool) -> Swept:
        return Swept(forget_lines(path, lambda row: rule(trace, row), dry_run=dry_run))

    return Place(kind, str(path), sweep, path)


def _given_back(store: Any) -> bool:
    """Overwrite what a file's free pages held; a store that is no file has none."""
    return not isinstance(store, InFile) or not store.path.exists() or store.give_back()
