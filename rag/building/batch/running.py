"""The steps of batch jobs: upload, start, poll, read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_jobs import BatchJobs, JobStatus
from rag.building.batch import state
from rag.building.batch.results import BadResult, Tell, checked, records_of, text_of
from rag.building.batch.state import Batch, Part
from rag.building.texts import embedding_usd
from rag.config import stages
from rag.core.calls import Call, Usage
from rag.core.errors import EmbeddingError
from rag.embedding import cache_settings
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.manifest import sha256, write_durably
from rag.usage import ledger_settings
from rag.usage.meter import Meter
from rag.usage.prices import BATCH_FACTOR

#: Vectors written to the cache in one transaction.
_PUT = 512


def jobs_of(batch: Batch) -> BatchJobs:
    """Return the jobs of a batch's bucket and region."""
    return BatchJobs(batch.settings.s3, region=batch.settings.region)


class Run:
    """Advances a batch; every step is saved before the next one begins.

    Parameters
    ----------
    folder : Path
        The index's; the caller holds the lock of its batch.
    tell : callable
    jobs : BatchJobs, optional
    """

    def __init__(self, folder: Path, tell: Tell, jobs: BatchJobs | None = None) -> None:
        self.folder, self.tell = folder, tell
        self.batch = state.current(folder)
        self.jobs = jobs or jobs_of(self.batch)
        self._open: CachedEmbeddings | None = None

    def close(self) -> None:
        """Close the cache."""
        if self._open is not None:
            self._open.close()

    def step(self) -> None:
        """Advance every job as far as possible without waiting.

        Raises
        ------
        EmbeddingError
            Jobs failed; the others were advanced, and the next call starts the failed ones again.
        """
        failures: list[str] = []
        counts: Counter[str] = Counter()
        processed = 0
        for number, part in enumerate(self.batch.parts):
            part = self._started(number, part)
            if part.step == "running":
                status = self.jobs.status(part.arn)
                counts[status.status] += 1
                processed += status.processed
                if status.ended:
                    part = self._ended(number, part, status)
                    failures += [part.failure] if part.step == "written" else []
            elif part.step == "done":
                processed += part.records
            else:
                counts["waiting for a free slot"] += 1
        summary = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.tell(
            f"batch jobs: {summary or 'done'}", processed, sum(part.records for part in self.batch.parts)
        )
        if failures:
            raise EmbeddingError(
                f"{'; '.join(failures)}: correct this, then `rag batch resume {self.folder}` starts it "
                f"again; or `rag batch cancel {self.folder}`, and build without --batch"
            )

    def stop(self) -> None:
        """Ask AWS to stop the jobs that are running."""
        for number, part in enumerate(self.batch.parts):
            arn = part.arn or (self.jobs.find(part.name) if part.step == "starting" else "")
            if arn and part.step != "done":
                self._keep(number, replace(part, arn=arn, step="running"))
                self.jobs.stop(arn)

    def stopped(self) -> bool:
        """Return whether all jobs have ended; their results are in the cache then."""
        for number, part in enumerate(self.batch.parts):
            if part.step == "running":
                if not self.jobs.status(part.arn).ended:
                    return False
                self._keep(number, replace(self._collected(part), step="done"))
        return True

    def _started(self, number: int, part: Part) -> Part:
        """Upload a job's file and start the job, if that has not been done and the quota allows it."""
        if part.step == "written":
            self.jobs.upload(self._file(part), part.name)
            part = self._keep(number, replace(part, step="uploaded"))
        if part.step not in ("uploaded", "starting"):
            return part
        # AWS remembers a token for a limited time: look first for a job that may have been started.
        arn = self.jobs.find(part.name) if part.step == "starting" else ""
        part = self._keep(number, replace(part, step="starting"))
        chosen = self.batch.settings
        try:
            arn = arn or self.jobs.start(
                part.name, part.token, model=self.batch.model, role_arn=chosen.role_arn,
                timeout_hours=chosen.timeout_hours,
            )  # fmt: skip
        except EmbeddingError as error:
            others = any(other.step == "running" for other in self.batch.parts)
            if others and aws.fault_code(error) == "ServiceQuotaExceededException":
                return part  # until one of the others is done
            raise
        return self._keep(number, replace(part, step="running", arn=arn))

    def _ended(self, number: int, part: Part, status: JobStatus) -> Part:
        """Read a job's results; prepare one that failed to be started again."""
        part = self._collected(part)
        if status.status in aws.DONE:
            return self._keep(number, replace(part, step="done"))
        reason = status.message.rstrip(". ") or "AWS gives no reason"
        return self._keep(
            number, self._again(part, f"the batch job {part.name} is {status.status} ({reason})")
        )

    def _again(self, part: Part, failure: str) -> Part:
        """Return a job for the records that a failed one left without a vector."""
        records = {text_of(item): item["modelInput"] for item in records_of(self._file(part))}
        missing = self._cache.missing([text for text in records if text is not None])
        if len(missing) < self.batch.settings.min_records:
            left = {"too few for another job": len(missing)}
            return replace(part, step="done", records=len(missing), good=0, bad=left, failure=failure)
        write_durably(self._file(part), "".join(aws.record(text, records[text]) for text in missing))
        return Part(
            part.stem, len(missing), sha256(self._file(part)), attempt=part.attempt + 1, failure=failure
        )

    def _collected(self, part: Part) -> Part:
        """Put a job's good results into the cache, count the others, and record what it cost."""
        ids = {item["recordId"] for item in records_of(self._file(part))}
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

    def _file(self, part: Part) -> Path:
        return self.folder / "batch" / f"{part.stem}.jsonl"

    def _keep(self, number: int, part: Part) -> Part:
        parts = list(self.batch.parts)
        parts[number] = part
        self.batch = replace(self.batch, parts=tuple(parts))
        state.save(self.folder, self.batch)
        return part
