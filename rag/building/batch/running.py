"""The steps of batch jobs: upload, start, look, read."""

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
from rag.config import settings as rag_toml
from rag.config import stages
from rag.core import embedders
from rag.core.answers import Call, Usage
from rag.core.errors import EmbeddingError
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.manifest import sha256, write_durably
from rag.usage import ledger_settings
from rag.usage.prices import BATCH_FACTOR

#: Vectors that are written to the cache at once.
_PUT = 512


def jobs_of(batch: Batch) -> BatchJobs:
    """Return the jobs of a batch's bucket and region."""
    return BatchJobs(batch.settings.s3, region=batch.settings.region)


class Run:
    """A batch on its way; every step is saved before the next one is taken.

    Parameters
    ----------
    folder : Path
        The index's; its batch is locked by the caller.
    tell : callable
    jobs : BatchJobs, optional
    """

    def __init__(self, folder: Path, tell: Tell, jobs: BatchJobs | None = None) -> None:
        self.folder, self.tell = folder, tell
        self.batch = state.known(folder)
        self.jobs = jobs or jobs_of(self.batch)
        self._open: CachedEmbeddings | None = None

    def close(self) -> None:
        """Close the cache."""
        if self._open is not None:
            self._open.close()

    def step(self) -> None:
        """Take every job as far as it goes without waiting.

        Raises
        ------
        EmbeddingError
            Jobs failed; the others have been looked after, and all is ready to start these again.
        """
        failures: list[str] = []
        counts: Counter[str] = Counter()
        processed = 0
        for number, part in enumerate(self.batch.parts):
            part = self._started(number, part)
            if part.step == "running":
                found = self.jobs.status(part.arn)
                counts[found.status] += 1
                processed += found.processed
                if found.ended:
                    part = self._ended(number, part, found)
                    failures += [part.failure] if part.step == "written" else []
            elif part.step == "done":
                processed += part.records
            else:
                counts["waiting for a place"] += 1
        said = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.tell(f"batch jobs: {said or 'done'}", processed, sum(part.records for part in self.batch.parts))
        if failures:
            raise EmbeddingError(
                f"{'; '.join(failures)}: put that right, then `rag batch resume {self.folder}` starts it "
                f"again; or `rag batch cancel {self.folder}`, and build without --batch"
            )

    def stop(self) -> None:
        """Stop the jobs that are running."""
        for number, part in enumerate(self.batch.parts):
            arn = part.arn or (self.jobs.find(part.name) if part.step == "starting" else "")
            if arn and part.step != "done":
                self._keep(number, replace(part, arn=arn, step="running"))
                self.jobs.stop(arn)

    def stopped(self) -> bool:
        """Tell whether no job is running any more; what they have written is in the cache then."""
        for number, part in enumerate(self.batch.parts):
            if part.step == "running":
                if not self.jobs.status(part.arn).ended:
                    return False
                self._keep(number, replace(self._collected(part), step="done"))
        return True

    def _started(self, number: int, part: Part) -> Part:
        """Upload a job's file and start it, if that is yet to be done and there is a place for it."""
        if part.step == "written":
            self.jobs.upload(self._file(part), part.name)
            part = self._keep(number, replace(part, step="uploaded"))
        if part.step not in ("uploaded", "starting"):
            return part
        # AWS knows a token for a time only: a job that may have been started is looked for first.
        arn = self.jobs.find(part.name) if part.step == "starting" else ""
        part = self._keep(number, replace(part, step="starting"))
        chosen = self.batch.settings
        try:
            arn = arn or self.jobs.start(
                part.name, part.token, model=self.batch.model, role_arn=chosen.role_arn,
                timeout_hours=chosen.timeout_hours,
            )  # fmt: skip
        except EmbeddingError as error:
            others = any(each.step == "running" for each in self.batch.parts)
            if others and aws.fault_code(error) == "ServiceQuotaExceededException":
                return part  # until one of the others is done
            raise
        return self._keep(number, replace(part, step="running", arn=arn))

    def _ended(self, number: int, part: Part, found: JobStatus) -> Part:
        """Read a job's results; one that has failed is made ready to be started again."""
        part = self._collected(part)
        if found.status in aws.DONE:
            return self._keep(number, replace(part, step="done"))
        said = found.message.rstrip(". ") or "AWS gives no reason"
        return self._keep(number, self._again(part, f"the batch job {part.name} is {found.status} ({said})"))

    def _again(self, part: Part, failure: str) -> Part:
        """Return a job for the records that are still missing after one that failed."""
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
        """Put a job's good results into the cache, count the others, and note what it cost."""
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
        self._note_cost(tokens)
        return replace(part, good=len(good), tokens=tokens, bad={why: n for why, n in bad.items() if n})

    def _put(self, waiting: dict[str, npt.NDArray[np.float32]]) -> None:
        if waiting:
            self._cache.put(list(waiting), np.stack(list(waiting.values())))
            waiting.clear()

    def _note_cost(self, tokens: int) -> None:
        """Write what a job cost into the ledger; killed right after, it is written twice, never not."""
        usd = embedders.cost_usd(self._cache.embedder, tokens) * BATCH_FACTOR
        chosen = ledger_settings.settings(state.placed(self.batch).ledger)
        meter = chosen.meter(self.folder)
        call = Call(self.batch.model, "embed", Usage(input_tokens=tokens, cost_usd=usd))
        if tokens:
            meter.record(call, tag=chosen.tag or "batch")

    @property
    def _cache(self) -> CachedEmbeddings:
        if self._open is None:
            arguments = state.placed(self.batch).arguments
            embedder = stages.stage("embedder", arguments.get("embedder"))
            path, _ = rag_toml.cache(arguments.get("cache"))
            self._open = CachedEmbeddings(embedder, path or self.folder / "cache.sqlite")
        return self._open

    def _file(self, part: Part) -> Path:
        return self.folder / "batch" / f"{part.stem}.jsonl"

    def _keep(self, number: int, part: Part) -> Part:
        parts = list(self.batch.parts)
        parts[number] = part
        self.batch = replace(self.batch, parts=tuple(parts))
        state.save(self.folder, self.batch)
        return part
