"""The steps of a batch's jobs: upload, start, poll, read; each is saved before the next one begins."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rag.bedrock.runtime.faults import FAULTS
from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_jobs import BatchJobs, JobStatus
from rag.bedrock.storage.batch_parts import Part
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.core.progress import Task
from rag.index.storage.manifest import sha256, write_durably

#: Seconds between two polls of the jobs: the first interval, its growth per poll, the longest.
FIRST_S, GROWTH, LONGEST_S = 0.5, 1.5, 60.0
#: Polls in a row that may fail (each after its own retries) before waiting is given up.
PATIENCE = 30

#: What an interruption leaves of a batch.
GOES_ON = "jobs on AWS go on by themselves: resume the batch to wait for them"


class Run(ABC):
    """Advances the jobs of a batch; what a result is worth is left to its subclasses.

    Parameters
    ----------
    folder : Path
        The index's; the caller holds the lock of its batch.
    work : str
        The folder of the batch's files, in `folder`.
    task : Task
    jobs : BatchJobs
        Its `error` is what this raises.
    """

    #: How the model is called by the jobs.
    invocation: Literal["InvokeModel", "Converse"] = "InvokeModel"
    #: What a user may do without a batch.
    instead = "build without --batch"
    private = False

    def __init__(self, folder: Path, work: str, task: Task, jobs: BatchJobs) -> None:
        self.folder, self.task, self.jobs = folder, task, jobs
        self._work = folder / work

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The jobs."""

    @property
    @abstractmethod
    def settings(self) -> BatchSettings:
        """Where and how they run."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The id of their model."""

    @abstractmethod
    def keep(self, number: int, part: Part) -> Part:
        """Save a job's progress durably, and return it."""

    @abstractmethod
    def collected(self, part: Part) -> Part:
        """Store a job's results, record what it cost, and return it with its counts."""

    @abstractmethod
    def missing(self, part: Part) -> list[str]:
        """Return the lines of a job's records that have no result yet."""

    def before_start(self, part: Part) -> None:  # noqa: B027 -- most refuse none
        """Refuse to start a job, by raising an error."""

    def close(self) -> None:  # noqa: B027 -- most have nothing open
        """Close what is open."""

    def file(self, part: Part) -> Path:
        """Return the file of a job's records."""
        return self._work / f"{part.stem}.jsonl"

    @property
    def done(self) -> bool:
        """Whether all results have been read."""
        return all(part.step == "done" for part in self.parts)

    def step(self) -> None:
        """Advance every job as far as possible without waiting.

        Raises
        ------
        RagError
            Jobs failed; the others were advanced, and the next call starts the failed ones again.
        """
        failures: list[str] = []
        counts: Counter[str] = Counter()
        processed = 0
        for number, part in enumerate(self.parts):
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
        total = sum(part.records for part in self.parts)
        self.task.show(processed, total, detail=f"batch jobs: {summary or 'done'}")
        if failures:
            raise self.jobs.error(
                f"{'; '.join(failures)}: correct this, then `rag batch resume {self.folder}` starts it "
                f"again; or `rag batch cancel {self.folder}`, and {self.instead}"
            )

    def stop(self) -> None:
        """Ask AWS to stop the jobs that are running."""
        for number, part in enumerate(self.parts):
            arn = part.arn or (self.jobs.find(part.name) if part.step == "starting" else "")
            if arn and part.step != "done":
                self.keep(number, replace(part, arn=arn, step="running"))
                self.jobs.stop(arn)

    def stopped(self) -> bool:
        """Return whether all jobs have ended; their results are stored then."""
        for number, part in enumerate(self.parts):
            if part.step == "running":
                if not self.jobs.status(part.arn).ended:
                    return False
                self.keep(number, replace(self.collected(part), step="done"))
        return True

    def _started(self, number: int, part: Part) -> Part:
        """Upload a job's file and start the job, if that has not been done and the quota allows it."""
        if part.step == "written":
            self.jobs.upload(self.file(part), part.name)
            part = self.keep(number, replace(part, step="uploaded"))
        if part.step not in ("uploaded", "starting"):
            return part
        # AWS remembers a token for a limited time: look first for a job that may have been started.
        arn = self.jobs.find(part.name) if part.step == "starting" else ""
        if not arn:
            self.before_start(part)
        part = self.keep(number, replace(part, step="starting"))
        try:
            arn = arn or self.jobs.start(
                part.name, part.token, model=self.model, role_arn=self.settings.role_arn,
                timeout_hours=self.settings.timeout_hours, invocation=self.invocation,
            )  # fmt: skip
        except self.jobs.error as error:
            others = any(other.step == "running" for other in self.parts)
            if others and aws.fault_code(error) == "ServiceQuotaExceededException":
                return part  # until one of the others is done
            raise
        return self.keep(number, replace(part, step="running", arn=arn))

    def _ended(self, number: int, part: Part, status: JobStatus) -> Part:
        """Read a job's results; prepare one that failed to be started again."""
        part = self.collected(part)
        if status.status in aws.DONE:
            return self.keep(number, replace(part, step="done"))
        reason = status.message.rstrip(". ") or "AWS gives no reason"
        return self.keep(
            number, self._again(part, f"the batch job {part.name} is {status.status} ({reason})")
        )

    def _again(self, part: Part, failure: str) -> Part:
        """Return a job for the records that a failed one left without a result."""
        lines = self.missing(part)
        if len(lines) < self.settings.min_records:
            left = {"too few for another job": len(lines)}
            return replace(part, step="done", records=len(lines), good=0, bad=left, failure=failure)
        write_durably(self.file(part), "".join(lines), private=self.private)
        return Part(part.stem, len(lines), sha256(self.file(part)), attempt=part.attempt + 1, failure=failure)


def advance(run: Run, *, wait: bool, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Advance a batch's jobs until they end; return whether all results have been read.

    Parameters
    ----------
    run : Run
    wait : bool
        Whether to wait; otherwise each job is advanced once.
    sleep : callable
        Waits so many seconds.

    Raises
    ------
    RagError
        A job failed.
    """
    pause, failures = FIRST_S, 0
    while True:
        try:
            run.step()
            failures = 0
        except run.jobs.error as error:
            # It may wait for a day, in which the network comes and goes.
            fault = FAULTS.get(aws.fault_code(error))
            failures += 1
            if not wait or fault is None or fault.again == "no" or failures > PATIENCE:
                raise
        if run.done or not wait:
            return run.done
        sleep(pause)
        pause = min(pause * GROWTH, LONGEST_S)


def halt(run: Run, sleep: Callable[[float], None] = time.sleep) -> None:
    """Stop a batch's jobs, wait until they have ended, and store their results so far."""
    run.stop()
    pause = FIRST_S
    while not run.stopped():
        sleep(pause)
        pause = min(pause * GROWTH, LONGEST_S)
