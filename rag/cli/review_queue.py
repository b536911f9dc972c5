"""Which review queue a command of ``rag review`` works on, and which of its items."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, SINCE, Command, day_of, with_options
from rag.core.errors import StoreMissingError, UsageError

if TYPE_CHECKING:
    from rag.review.desk import ReviewDesk
    from rag.review.records import Item

STATES = ("open", "approved", "corrected", "rejected")
_INDEX = click.option(
    "--index", type=click.Path(path_type=Path), metavar="INDEX",
    help="Whose queue.  [default: rag.toml's, or the only one in indexes/]",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, and the folder of the index that its items are about, if it is known."""

    desk: ReviewDesk
    index: Path | None


def queue_options(command: Command) -> Command:
    """Add the options that name a queue."""
    return with_options(command, [_INDEX, CONFIG])


def item_options(command: Command) -> Command:
    """Add the options that select items."""
    return with_options(command, [
        click.option("--reason", metavar="NAME", help="Queued for this reason, e.g. unsupported or sample."),
        click.option("--tag", metavar="LABEL", help="Asked with this tag."),
        click.option("--tenant", metavar="NAME", help="Asked by this tenant."),
        SINCE,
    ])  # fmt: skip


def open_queue(index: Path | None, config_path: Path | None) -> Queue:
    """Open the queue that the options name.

    Raises
    ------
    UsageError
        None is named, and there is not exactly one in ``indexes/``.
    StoreMissingError
        There is no index.
    """
    from rag.config import settings as rag_toml
    from rag.config.around import review_store_of
    from rag.review.desk import ReviewDesk
    from rag.review.sqlite_store import NAME, SqliteReviews

    if index is not None and not index.is_dir():
        raise StoreMissingError(f"there is no index at {index}: name an index's folder")
    settings = rag_toml.read(config_path)
    store = review_store_of(settings, index or Path())
    in_folder = isinstance(store, SqliteReviews) and store.path == (index or Path()) / NAME
    if index is None and in_folder:
        index = _only_one()
        store = review_store_of(settings, index)
    return Queue(ReviewDesk(store), index)


def _only_one() -> Path:
    from rag.review.sqlite_store import NAME

    folders = sorted(path.parent for path in Path("indexes").glob(f"*/{NAME}"))
    if len(folders) == 1:
        return folders[0]
    there = f"there are {', '.join(map(str, folders))}" if folders else "no index in indexes/ here has one"
    raise UsageError(f"name a review queue with --index INDEX, or [review] in rag.toml: {there}")


def selected(
    queue: Queue, state: str | None, *, reason: str | None, tag: str | None, tenant: str | None,
    since: str | None,
) -> Iterator[Item]:  # fmt: skip
    """Yield the items that the options select, newest first."""
    chosen: Any = state
    yield from queue.desk.items(
        chosen, reason=reason, tag=tag, tenant=tenant, since=0.0 if since is None else seconds(since)
    )


def seconds(day: str, option: str = "--since") -> float:
    """Return the beginning of a day in UTC, in seconds since 1970."""
    return dt.datetime.combine(day_of(day, option), dt.time(), dt.UTC).timestamp()
