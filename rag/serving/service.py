"""An index that is served: what each caller asks of it, under the caller's filter, on its current version.

Nothing here knows HTTP. A caller's filter is combined with that of each request, so that no method shows a
passage, a source or a value that the caller may not see, nor says that there is one.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.core.answers import Event
from rag.core.errors import MissingSourceError, RagError
from rag.core.passages import Context, Hit
from rag.index.filters.where import field as column
from rag.index.storage.manifest import current_version
from rag.retrieval.explain import Explanation
from rag.serving.callers import Caller
from rag.serving.deadlines import each_in_time
from rag.serving.limits import Limiter
from rag.usage.collector import Collector

_LOG = logging.getLogger("rag.serving")
#: Most values of a field that a caller is shown, and rows that are looked at for them.
_MOST_VALUES, _MOST_ROWS = 50, 20_000
#: Most characters of a source that are shown at once.
MOST_SOURCE = 20_000


class Service:
    """Answers callers from the current version of an index, and takes new versions over.

    Parameters
    ----------
    index : str or Path
    pipeline : callable
        Opens a pipeline over the current version of the index.
    limiter : Limiter, optional
        Told what each caller spends.
    current : callable, optional
        Returns the number of the index's current version; by default that of the folder.
    name : str
        What callers know the index by; by default its folder's name.

    Examples
    --------
    >>> service = Service(path, lambda: rag.Pipeline(path))                            # doctest: +SKIP
    >>> service.search(Caller("ana"), "Who declares a SEV-1?", k=3)                    # doctest: +SKIP
    """

    def __init__(
        self,
        index: str | Path,
        pipeline: Callable[[], Any],
        limiter: Limiter | None = None,
        *,
        current: Callable[[], int | None] | None = None,
        name: str = "",
    ) -> None:
        folder = Path(index)
        self.name, self._make, self._limiter = name or folder.resolve().name, pipeline, limiter
        self._current = current or (lambda: current_version(folder))
        self._lock = threading.Lock()
        self.problem = ""
        self._pipe = self._opened()
        self.started = time.time()

    @property
    def pipeline(self) -> Any:
        """The pipeline over the version in service; a request keeps the one that it began with."""
        return self._pipe

    @property
    def version(self) -> int:
        """The version in service."""
        return int(self._pipe.index.version)

    def _opened(self) -> Any:
        pipe = self._make()
        pipe.retrieve("warm", k=1)  # opens the files, and loads the embedder, before anyone waits for it
        return pipe

    def refresh(self) -> bool:
        """Take over a new version, if there is one; tell whether it did.

        A version that cannot be opened leaves the one in service, and says so in `problem`.
        """
        with self._lock:
            try:
                if self._current() == self.version:
                    self.problem = ""
                    return False
                pipe = self._opened()
            except (RagError, OSError) as error:
                problem = f"{type(error).__name__}: {error}"
                if problem != self.problem:
                    _LOG.warning("version %d stays in service: %s", self.version, problem)
                self.problem = problem
                return False
            self._pipe, self.problem = pipe, ""
        _LOG.info("version %d is in service", self.version)
        return True

    # ------------------------------------------------------------------- a caller's questions

    def search(self, caller: Caller, question: str, *, where: Any = None, **options: Any) -> list[Hit]:
        """Return the best passages that a caller may see."""
        with self._spending(caller) as spending:
            where = caller.narrowed(where)
            hits: list[Hit] = spending.run(self._pipe.retrieve, question, where=where, **options)
        return hits

    def context(self, caller: Caller, question: str, *, where: Any = None, **options: Any) -> Context:
        """Return what would be sent to the model."""
        with self._spending(caller) as spending:
            where = caller.narrowed(where)
            found: Context = spending.run(self._pipe.context, question, where=where, **options)
        return found

    async def events(
        self, caller: Caller, question: str, *, where: Any = None, **options: Any
    ) -> AsyncGenerator[Event, None]:
        """Answer a question as events; what it spends counts against the caller's limits.

        If the caller goes away, so does the model's reply.
        """
        options |= {"where": caller.narrowed(where), "tenant": caller.tenant or caller.name}
        with self._spending(caller) as spending:
            events = spending.run(lambda: self._pipe.astream(question, **options))
            async with aclosing(events):
                async for event in each_in_time(events):
                    yield event

    def _spending(self, caller: Caller) -> AbstractContextManager[Collector]:
        return nullcontext(Collector()) if self._limiter is None else self._limiter.spending(caller)

    def explain(
        self, caller: Caller, question: str, expect: str, *, where: Any = None, **options: Any
    ) -> Explanation:
        """Say what became of a passage that the caller may see.

        Raises
        ------
        MissingSourceError
            The caller may see no such passage.
        """
        place = self._place(caller, expect)
        with self._spending(caller) as spending:
            where = caller.narrowed(where)
            found: Explanation = spending.run(self._pipe.explain, question, place, where=where, **options)
        return replace(found, expected=expect)

    def _place(self, caller: Caller, expect: str) -> str:
        """Return ``source:start-end`` of a passage that the caller may see."""
        span = re.fullmatch(r"(?P<source>.+):(?P<start>\d+)-(?P<end>\d+)", expect)
        for source in (expect, span["source"] if span else ""):
            if source and self._pipe.index.count(caller.narrowed(column("source") == source)):
                return expect
        words = re.compile(r"\s+".join(map(re.escape, expect.split())) or r"\b\B", re.IGNORECASE)
        hits = self._pipe.index.search(expect, k=200, where=caller.narrowed(), mode="lexical")
        for hit in hits:
            if (match := words.search(hit.text)) is not None:
                return f"{hit.source}:{hit.start + match.start()}-{hit.start + match.end()}"
        raise MissingSourceError("there is no passage with these words that you may see")

    def source(
        self, caller: Caller, source: str, start: int = 0, end: int | None = None, around: int = 500
    ) -> list[Hit]:
        """Return the chunks of a source that stand at a place, and around it, in order.

        Parameters
        ----------
        caller : Caller
        source : str
        start, end : int
            Characters of the document, end exclusive.
        around : int
            Characters before and behind.

        Raises
        ------
        MissingSourceError
            There is no such source that the caller may see.
        """
        first, last = start - around, (1 << 62 if end is None else end + around)
        found = sorted(
            (hit for hit in self._pipe.index.scan(caller.narrowed(column("source") == source))
             if hit.start < last and first < hit.end),
            key=lambda hit: hit.start,
        )  # fmt: skip
        if not found:
            raise MissingSourceError("there is no such source, or nothing at this place")
        kept: list[Hit] = []
        size = 0
        for hit in found:
            size += len(hit.text)
            if kept and size > MOST_SOURCE:
                break
            kept.append(hit)
        return kept

    def follows(self, caller: Caller, source: str, at: int) -> bool:
        """Tell whether a source goes on behind a character, for this caller."""
        where = caller.narrowed(column("source") == source)
        return any(hit.end > at for hit in self._pipe.index.scan(where))

    def sources(self, caller: Caller) -> list[str]:
        """Return the names of the sources that a caller may see, in order."""
        index = self._pipe.index
        if caller.where is None:
            return sorted(record.source for record in index.sources if record.chunks)
        return sorted({hit.source for hit in index.scan(caller.narrowed())})

    def schema(self, caller: Caller) -> dict[str, Any]:
        """Return the fields that a caller may filter by, each with its type and most frequent values.

        Values are those of passages that the caller may see, of at most `_MOST_ROWS` of them.
        """
        index = self._pipe.index
        counts: dict[str, Counter[str]] = {name: Counter() for name in index.manifest.schema}
        for number, hit in enumerate(index.scan(caller.narrowed())):
            if number == _MOST_ROWS:
                break
            for name, value in hit.metadata.items():
                if name in counts and value is not None:
                    counts[name].update(map(str, value if isinstance(value, list | tuple) else [value]))
        return {
            name: {
                "type": str(kind), "values": [value for value, _ in counts[name].most_common(_MOST_VALUES)],
            }
            for name, kind in index.manifest.schema.items() if counts[name]
        }  # fmt: skip
