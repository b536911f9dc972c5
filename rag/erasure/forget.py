"""Forgetting documents: from every version of an index, and from all that the library keeps about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rag.config.around import receipts_of, response_cache_of, review_queue_of, spool_of, telemetry_of
from rag.core.errors import UsageError
from rag.core.files import BATCH_STATE, local_folder
from rag.core.progress import Progress, Task
from rag.embedding import cache_settings
from rag.erasure import places
from rag.erasure.erasure import Erasure
from rag.erasure.json_lines import check_file
from rag.erasure.places import Place
from rag.erasure.report import Forgotten
from rag.index.filters.parse import WhereLike
from rag.index.storage import forgotten
from rag.index.storage.locking import locked
from rag.index.storage.selection import versions_of
from rag.receipts.store import NAME as RECEIPTS
from rag.receipts.store import ReceiptStore
from rag.response_cache.sqlite_store import NAME as ANSWERS
from rag.response_cache.sqlite_store import SqliteStore
from rag.review.sqlite_store import NAME as REVIEWS
from rag.review.sqlite_store import SqliteReviews

#: The state of a batch of answers (`rag.answer_batches.state`).
_KEPT = "an erasure that has begun is completed by the same call, or by the next build"
_ANSWER_BATCH = "answers/state.json"


def forget(
    index: str | Path,
    source: str | Iterable[str] = (),
    *,
    where: WhereLike | None = None,
    files: Iterable[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    timeout_s: float = 0.0,
    progress: Progress | None = None,
) -> Forgotten:
    """Erase documents from every version of an index, and what the library keeps about them.

    Builds leave their files out from then on (`allow` takes that back). What is erased, what is not reached
    and what is promised is in ``rag/erasure/README.md``.

    Parameters
    ----------
    index : str or Path
    source : str or iterable of str
        Names of documents, whole. One that was forgotten before is looked for again.
    where : Where, str or dict, optional
        A filter; a document goes if any of its chunks matches, in the newest version that has it.
    files : iterable of str or Path
        Files of JSON lines that `rag` wrote, such as those of ``--log`` and ``--output``: they lose the lines
        that hold something of the documents, and all verdicts.
    settings : mapping, optional
        The tables of rag.toml, or objects as passed to a pipeline: ``cache``, ``responses``, ``review``,
        ``receipts``, ``telemetry``. The files in the index's folder are searched in any case.
    dry_run : bool
        Only say what would be erased.
    timeout_s : float
        How long to wait for another writer.
    progress : Progress, optional
        Told what is under way: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Returns
    -------
    Forgotten

    Raises
    ------
    UsageError
        A source is unknown, nothing matches, or everything would go; or a batch is under way.
    StoreError
        There is no index, its current version is damaged, or another process writes to it.

    Notes
    -----
    If it is killed, the index can be read, and the next call completes the work, whatever it names; without
    any names it does only that.

    Examples
    --------
    >>> rag.forget("indexes/handbook", "people/jane-doe.md", dry_run=True).chunks    # doctest: +SKIP
    34
    >>> rag.forget("indexes/handbook", "people/jane-doe.md").remains                 # doctest: +SKIP
    ()
    """
    folder = local_folder(index)
    versions = versions_of(folder)  # refuses what is no index, before a lock would make its folder
    for state, batch in ((BATCH_STATE, "a build"), (_ANSWER_BATCH, "answers")):
        if (folder / state).exists():
            raise UsageError(
                f"{index} has a batch of {batch} under way, whose files hold texts: `rag batch resume "
                f"{index}` completes it, `rag batch cancel {index}` drops it; then forget"
            )
    names = frozenset([source] if isinstance(source, str) else source)
    stores = [*stores_of(folder, settings or {}, files)]
    recorded = telemetry_of(settings or {})
    logs = (recorded.cloudwatch,) if recorded is not None and recorded.cloudwatch else ()
    if dry_run:
        return Erasure(folder, versions, names, where, stores, logs).planned()
    with locked(folder, timeout_s=timeout_s), Task(progress, "forget", kept=_KEPT) as task:
        task.show(0, detail="finding what is kept of them")
        return Erasure(folder, versions_of(folder), names, where, stores, logs).carried_out(task)


def allow(index: str | Path, source: str | Iterable[str], *, timeout_s: float = 0.0) -> None:
    """Let builds read files again that were forgotten.

    Raises
    ------
    UsageError
        One was not forgotten under this name; then none is allowed.
    """
    folder = local_folder(index)
    versions_of(folder)
    with locked(folder, timeout_s=timeout_s):
        known = forgotten.read(folder)
        names = [source] if isinstance(source, str) else list(source)
        if unknown := next((name for name in names if not known.has(name)), None):
            raise UsageError(
                f"{unknown} was not forgotten in {folder} under this name ({len(known)} names were): name "
                "the file as the index did"
            )
        known.without(names).save(folder)


def stores_of(folder: Path, settings: Mapping[str, Any], files: Iterable[str | Path] = ()) -> Iterator[Place]:
    """Yield the stores that may hold something of an index's documents; records of questions come last.

    Records say which answer they are of, and the others which answers hold something of the documents.

    Parameters
    ----------
    folder : Path
        The index's.
    settings, files
        As for `forget`.

    Raises
    ------
    ConfigError
        A setting is unknown or refused.
    SourceError
        A file is none.
    """
    cache = cache_settings.settings(settings.get("cache")).file(folder)
    for path in dict.fromkeys([cache, folder / cache_settings.NAME]):
        yield places.of_vectors(path, own=path.resolve().parent == folder.resolve())
    responses = response_cache_of(settings, folder)
    answers = [responses.store] if responses is not None else []
    yield from map(places.of_answers, _with(answers, folder / ANSWERS, SqliteStore))
    reviews = review_queue_of(settings, folder)
    items = [reviews.desk.store] if reviews is not None else []
    yield from map(places.of_reviews, _with(items, folder / REVIEWS, SqliteReviews))
    receipts = receipts_of(settings, folder)
    kept = [receipts.store] if receipts is not None else []
    yield from map(places.of_receipts, _with(kept, folder / RECEIPTS, ReceiptStore))
    for file in files:
        yield places.of_lines(check_file(Path(file)))
    recorded = telemetry_of(settings)
    if recorded is not None and recorded.path:
        yield from places.of_records(Path(recorded.path))
    if recorded is not None and recorded.cloudwatch:
        yield from places.of_records(spool_of(recorded, folder))


def _with(stores: list[Any], path: Path, kind: Callable[[Path], Any]) -> list[Any]:
    """Add the file in the index's folder, if it is there and none of the stores."""
    named = any(
        isinstance(store, places.InFile) and store.path.resolve() == path.resolve() for store in stores
    )
    return stores if named or not path.is_file() else [*stores, kind(path)]
