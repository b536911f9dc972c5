"""The jobs of a build: their results are vectors, which go into the embedding cache."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage import batch_run
from rag.bedrock.storage.batch_jobs import BatchJobs
from rag.bedrock.storage.batch_parts import BadResult, Part, records_of
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.building.batch import state
from rag.building.batch.results import checked, text_of
from rag.building.batch.state import Batch
from rag.building.texts import embedding_usd
from rag.config import stages
from rag.core.calls import Call, Usage
from rag.core.progress import Task
from rag.embedding import cache_settings
from rag.embedding.cache import CachedEmbeddings
from rag.usage import ledger_settings
from rag.usage.meter import Meter
from rag.usage.prices import BATCH_FACTOR

#: Vectors written to the cache in one transaction.
_PUT = 512


def jobs_of(batch: Batch) -> BatchJobs:
    """Return the jobs of a batch's bucket and region."""
    return BatchJobs(batch.settings.s3, region=batch.settings.region)


class Run(batch_run.Run):
    """Advances a batch, whose results are vectors for the cache.

    Parameters
    ----------
    folder : Path
        The index's; the caller holds the lock of its batch.
    task : Task
    jobs : BatchJobs, optional
    """

    def __init__(self, folder: Path, task: Task, jobs: BatchJobs | None = None) -> None:
        self.batch = state.current(folder)
        super().__init__(folder, "batch", task, jobs or jobs_of(self.batch))
        self._open: CachedEmbeddings | None = None

    def close(self) -> None:
        """Close the cache."""
        if self._open is not None:
            self._open.close()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The jobs."""
        return self.batch.parts

    @property
    def settings(self) -> BatchSettings:
        """Where and how they run."""
        return self.batch.settings

    @property
    def model(self) -> str:
        """The embedder's model."""
        return self.batch.model

    def keep(self, number: int, part: Part) -> Part:
        """Save a job's progress durably, and return it."""
        parts = list(self.batch.parts)
        parts[number] = part
        self.batch = replace(self.batch, parts=tuple(parts))
        state.save(self.folder, self.batch)
        return part

    def missing(self, part: Part) -> list[str]:
        """Return the lines of a job's records whose texts have no vector yet."""
        records = {text_of(item): item["modelInput"] for item in records_of(self.file(part))}
        missing = self._cache.missing([text for text in records if text is not None])
        return [aws.record(text, records[text]) for text in missing]

    def collected(self, part: Part) -> Part:
        """Put a job's good results into the cache, count the others, and record what it cost."""
        ids = {item["recordId"] for item in records_of(self.file(part))}
        good: set[str] = set()
        bad: Counter[str] = Counter()
        waiting: dict[str, npt.NDArray[np.float32]] = {}
        for line in self.jobs.results(part.name, part.arn):
            try:
                text, vector = checked(line, ids, self._cache)
            except BadResult as error:
                bad[str(error)] += 1
                continue
            good.add(aws.record_id(text))
            waiting[text] = vector
            if len(waiting) >= _PUT:
                self._put(waiting)
        self._put(waiting)
        bad["missing"] = max(len(ids) - len(good) - bad.total() + bad["unknown"], 0)
        tokens = self.jobs.tokens(part.name, part.arn)
        self._record_cost(tokens)
        return replace(part, good=len(good), tokens=tokens, bad={why: n for why, n in bad.items() if n})

    def _put(self, waiting: dict[str, npt.NDArray[np.float32]]) -> None:
        if waiting:
            self._cache.put(list(waiting), np.stack(list(waiting.values())))
            waiting.clear()

    def _record_cost(self, tokens: int) -> None:
        """Record what a job cost; a process killed right after it records twice rather than never."""
        if not tokens:
            return
        ledger = ledger_settings.settings(state.relocated(self.batch).ledger)
        meter = Meter.of(ledger, self.folder, self.batch.prices)
        on_demand = embedding_usd(self._cache.embedder, tokens, meter.prices)
        usd = None if on_demand is None else on_demand * BATCH_FACTOR
        call = Call(self.batch.model, "embed", Usage(input_tokens=tokens, cost_usd=usd))
        meter.record(call, tag=ledger.tag or "batch")

    @property
    def _cache(self) -> CachedEmbeddings:
        if self._open is None:
            arguments = state.relocated(self.batch).arguments
            embedder = stages.stage("embedder", arguments.get("embedder"))
            cache = cache_settings.settings(arguments.get("cache"))
            self._open = CachedEmbeddings(embedder, cache.file(self.folder))
        return self._open
