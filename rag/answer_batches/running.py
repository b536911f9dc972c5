"""The jobs of a batch of questions: their results are replies, which go into its journal and the ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rag.answer_batches import state
from rag.answer_batches.prepare import check_budget, estimate, number_of, row_at
from rag.answer_batches.state import WORK, AnswerBatch, Journals
from rag.bedrock.storage import batch_run
from rag.bedrock.storage.batch_jobs import BatchJobs
from rag.bedrock.storage.batch_parts import BadResult, Part, records_of, result_of
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.core.calls import Call, Usage
from rag.core.errors import GenerationError
from rag.core.progress import Task
from rag.usage.meter import Meter
from rag.usage.prices import BATCH_FACTOR


def jobs_of(batch: AnswerBatch) -> BatchJobs:
    """Return the jobs of a batch's bucket and region."""
    return BatchJobs(batch.settings.s3, region=batch.settings.region, error=GenerationError)


class Run(batch_run.Run):
    """Advances a batch, whose results are replies.

    Parameters
    ----------
    folder : Path
        The index's; the caller holds the lock of its batch.
    batch : AnswerBatch
    files : Journals
    meter : Meter
        Asked before each job, and told of each reply.
    task : Task
    jobs : BatchJobs, optional
    """

    invocation = "Converse"
    instead = "ask without --batch"
    private = True

    def __init__(
        self,
        folder: Path,
        batch: AnswerBatch,
        files: Journals,
        meter: Meter,
        task: Task,
        jobs: BatchJobs | None = None,
    ) -> None:
        super().__init__(folder, WORK, task, jobs or jobs_of(batch))
        self.batch, self._files, self._meter = batch, files, meter

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
        """The model that they ask."""
        return self.batch.model

    def keep(self, number: int, part: Part) -> Part:
        """Save a job's progress durably, and return it."""
        parts = list(self.batch.parts)
        parts[number] = part
        self.batch = replace(self.batch, parts=tuple(parts))
        state.save(self.folder, self.batch)
        return part

    def before_start(self, part: Part) -> None:
        """Ask the budget: much may have been spent since the batch was planned.

        Raises
        ------
        BudgetError
            The job could pass it.
        """
        most = estimate(self._meter.prices, self.folder, self.batch, self._files, [part.stem])
        check_budget(self._meter, self.batch, most)

    def missing(self, part: Part) -> list[str]:
        """Return the lines of a job's records that have no reply yet."""
        return [
            json.dumps(item) + "\n" for item in records_of(self.file(part))
            if item["recordId"] not in self._files.replies
        ]  # fmt: skip

    def collected(self, part: Part) -> Part:
        """Put a job's replies into the journal, record what each cost, and count what is no reply."""
        guarded = {
            item["recordId"]: "guardrailConfig" in item["modelInput"] for item in records_of(self.file(part))
        }
        replies, good, bad = self._files.replies, 0, Counter[str]()
        seen: set[str] = set()
        for line in self.jobs.results(part.name, part.arn):
            try:
                item = result_of(line, guarded)
            except BadResult as error:
                bad[str(error)] += 1
                continue
            record = item["recordId"]
            if record in seen:
                continue
            seen.add(record)
            if record not in replies:
                self._store(part, record, item["modelOutput"], guarded=guarded[record])
            why = replies[record]["why"]
            good, bad[why] = good + (not why), bad[why] + bool(why)
        replies.sync()
        bad["missing"] = max(len(guarded) - good - bad.total() + bad["unknown"], 0)
        return replace(part, good=good, bad={why: count for why, count in bad.items() if count})

    def _store(self, part: Part, record: str, output: Any, *, guarded: bool) -> None:
        """Record what a reply cost, and store it; a process killed in between records it twice, not never."""
        usage = usage_in(output)
        row = row_at(self._files, number_of(record))
        usd = None
        if any(usage.counts):  # a reply that tells no tokens was not free
            usd = self._meter.prices.cost_usd(self.batch.model, usage, self.batch.base)
        usage = replace(usage, cost_usd=None if usd is None else usd * BATCH_FACTOR)
        tag = self.batch.tag or self._meter.label or "batch"
        self._meter.record(Call(self.batch.model, "generate", usage), prompt=row.label, tag=tag)
        self._files.replies.append(
            record,
            {"why": _fault(output, guarded), "job": part.name, "usage": asdict(usage), "output": output},
        )  # fmt: skip


def usage_in(output: Any) -> Usage:
    """Return the tokens in the body of a Converse response; none if it tells none.

    Examples
    --------
    >>> usage_in({"usage": {"inputTokens": 1200, "outputTokens": 80}}).counts
    (1200, 80, 0, 0)
    """
    told = output.get("usage") if isinstance(output, Mapping) else None
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    counts = [told.get(name) if isinstance(told, Mapping) else 0 for name in names]
    return Usage(*(count if isinstance(count, int) and count > 0 else 0 for count in counts))


def _fault(output: Any, guarded: bool) -> str:
    """Return why an output must not become an answer; empty if it may."""
    if not isinstance(output, Mapping) or not {"output", "stopReason"} <= set(output):
        return "without a reply"
    trace = output.get("trace")
    if guarded and not (isinstance(trace, Mapping) and trace.get("guardrail")):
        # That jobs check guardrails is written nowhere: only a trace shows that this one did.
        return "without the guardrail's trace"
    return ""
