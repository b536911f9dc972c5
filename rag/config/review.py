"""Settings to a review queue; its room is imported only where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.errors import ConfigError, RagError
from rag.core.values import shown

if TYPE_CHECKING:
    from rag.review.queue import ReviewQueue
    from rag.review.store import ReviewStore


def review_queue_of(settings: Mapping[str, Any], folder: Path) -> ReviewQueue | None:
    """Return the review queue that a pipeline's settings name; None where they name none.

    Parameters
    ----------
    settings : mapping
        With ``review``, as passed to the pipeline or in rag.toml.
    folder : Path
        The index's, which holds the file of a queue in SQLite that names none.

    Raises
    ------
    ConfigError
        A setting is unknown or refused, or a store cannot be made.
    """
    value = settings.get("review")
    if value is None or value is False:
        return None
    from rag.config import stages
    from rag.config.settings import store_of_reviews
    from rag.review.queue import ReviewQueue

    if isinstance(value, ReviewQueue):
        return value
    use, kept, arguments, factory = store_of_reviews(value)
    if kept.confidence is not None:
        kept = kept.model_copy(update={"embedder": stages.stage("embedder", kept.embedder, plain=True)})
    return ReviewQueue(_store(use, arguments, factory, folder), kept)


def review_store_of(settings: Mapping[str, Any], folder: Path) -> ReviewStore:
    """Return the store of the review queue that settings name; by default the file in an index's folder.

    Raises
    ------
    ConfigError
        As by `review_queue_of`.
    """
    from rag.config.settings import store_of_reviews

    value = settings.get("review")
    use, _, arguments, factory = store_of_reviews({} if value is None else value)
    return _store(use, arguments, factory, folder)


def _store(use: Any, arguments: Mapping[str, Any], factory: Any, folder: Path) -> ReviewStore:
    from rag.review.sqlite_store import NAME
    from rag.review.store import ReviewStore

    try:
        if factory is not None:
            use = factory(**({"path": folder / NAME, **arguments} if use == "sqlite" else arguments))
    except RagError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the review queue {use!r}: {' '.join(str(error).split())}") from None
    if not isinstance(use, ReviewStore):
        raise ConfigError(f"the review queue's use is a name or a store, not {shown(use)}")
    return use
