"""What stands around a question: each takes its events, and may add to them or keep them.

Settings become a response cache and a review queue here; their rooms are imported only where there is one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag.core.answers import Event
from rag.core.errors import ConfigError, RagError
from rag.core.values import shown
from rag.usage.collector import Collector

if TYPE_CHECKING:
    from rag.receipts.recorder import Receipts
    from rag.response_cache.cache import ResponseCache
    from rag.review.queue import ReviewQueue
    from rag.review.store import ReviewStore
    from rag.telemetry.recorder import Recorder
    from rag.telemetry.settings import TelemetrySettings
    from rag.telemetry.sinks import Sink


class Around(Protocol):
    """A response cache, a review queue: what takes the events of each question of a pipeline."""

    def through(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: Iterator[Event],
    ) -> Iterator[Event]:
        """Yield the events of a question."""

    def athrough(
        self,
        pipeline: Any,
        question: str,
        options: Mapping[str, Any],
        collector: Collector,
        tenant: str | None,
        events: AsyncGenerator[Event, None],
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a question without blocking the event loop."""


@dataclass(frozen=True)
class Surroundings:
    """What stands around the questions of a pipeline; iterates over what there is, the innermost first."""

    responses: ResponseCache | None = None
    reviews: ReviewQueue | None = None
    receipts: Receipts | None = None
    telemetry: Recorder | None = None

    def __iter__(self) -> Iterator[Around]:
        yield from (
            each for each in (self.responses, self.reviews, self.receipts, self.telemetry) if each is not None
        )


def around(settings: Mapping[str, Any], folder: Path) -> Surroundings:
    """Return what stands around the questions of a pipeline.

    Parameters
    ----------
    settings : mapping
        As passed to the pipeline, or read from rag.toml.
    folder : Path
        The index's, which holds the files that have no path of their own.

    Raises
    ------
    ConfigError
        A setting is unknown or refused, or a store cannot be made.
    """
    return Surroundings(
        response_cache_of(settings, folder),
        review_queue_of(settings, folder),
        receipts_of(settings, folder),
        recorder_of(settings, folder),
    )


def receipts_of(settings: Mapping[str, Any], folder: Path) -> Receipts | None:
    """Return what keeps receipts by a pipeline's settings; None where they name nothing.

    Parameters
    ----------
    settings : mapping
        With ``receipts``, as passed to the pipeline or in rag.toml.
    folder : Path
        The index's, which holds the file that has no path of its own.

    Raises
    ------
    ConfigError
        A setting is unknown or refused.
    """
    value = settings.get("receipts")
    if value is None or value is False:
        return None
    from rag.receipts.recorder import Receipts
    from rag.receipts.settings import settings as read
    from rag.receipts.store import NAME, ReceiptStore

    if isinstance(value, Receipts):
        return value
    made = read(value)
    return Receipts(ReceiptStore(made.path or folder / NAME), made)


def recorder_of(settings: Mapping[str, Any], folder: Path, sinks: Sequence[Sink] = ()) -> Recorder | None:
    """Return what records questions by a pipeline's settings; None where they name nothing.

    Parameters
    ----------
    settings : mapping
        With ``telemetry``, as passed to the pipeline or in rag.toml.
    folder : Path
        The index's, which holds the spool file that has no path of its own.
    sinks : sequence of Sink
        More than the settings name: then there is a recorder in any case.

    Raises
    ------
    ConfigError
        A setting is unknown or refused.
    """
    value = settings.get("telemetry")
    off = value is None or value is False
    if off and not sinks:
        return None
    from rag.telemetry.recorder import Recorder
    from rag.telemetry.settings import TelemetrySettings
    from rag.telemetry.settings import settings as read

    if isinstance(value, Recorder):
        return value
    made = TelemetrySettings() if off else read(value)
    if made.cloudwatch:
        from rag.bedrock.storage.log_sink import CloudWatchSink

        to_cloudwatch = CloudWatchSink(
            made.cloudwatch, spool_of(made, folder), region=made.cloudwatch_region or None,
            spool_bytes=int(made.spool_mb * 1e6), emf=made.format == "emf",
        )  # fmt: skip
        sinks = (*sinks, to_cloudwatch)
    return Recorder(made, sinks)


def telemetry_of(settings: Mapping[str, Any]) -> TelemetrySettings | None:
    """Return what settings say of telemetry, without opening anything; None where they name nothing.

    Raises
    ------
    ConfigError
        A setting is unknown or refused.
    """
    value = settings.get("telemetry")
    if value is None or value is False:
        return None
    from rag.telemetry.recorder import Recorder
    from rag.telemetry.settings import settings as read

    return value.settings if isinstance(value, Recorder) else read(value)


def spool_of(settings: TelemetrySettings, folder: Path) -> Path:
    """Return the file for records that could not be sent to CloudWatch."""
    return Path(settings.spool) if settings.spool else folder / "cloudwatch-spool.jsonl"


def response_cache_of(settings: Mapping[str, Any], folder: Path) -> ResponseCache | None:
    """Return the cache of answers that a pipeline's settings name; None where they name none.

    Parameters
    ----------
    settings : mapping
        ``responses``, as passed to the pipeline, else ``cache.responses``, as in rag.toml.
    folder : Path
        The index's, which holds the file of a cache in SQLite that names none.

    Raises
    ------
    ConfigError
        A setting is unknown or refused, or a store cannot be made.
    """
    value = settings.get("responses")
    if value is None:
        table = settings.get("cache")
        value = table.get("responses") if isinstance(table, Mapping) else None
    if value is None or value is False:
        return None
    from rag.response_cache.cache import ResponseCache

    return value if isinstance(value, ResponseCache) else _made_cache(value, folder)


def _made_cache(value: Any, folder: Path) -> ResponseCache:
    from rag.config.settings import store_of_responses
    from rag.response_cache.cache import ResponseCache
    from rag.response_cache.sqlite_store import NAME

    use, kept, arguments, factory = store_of_responses(value)
    if factory is None:
        return ResponseCache(use, kept)
    try:
        store = factory(**({"path": folder / NAME, **arguments} if use == "sqlite" else arguments))
    except RagError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the response cache {use!r}: {' '.join(str(error).split())}") from None
    return ResponseCache(store, kept)


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
