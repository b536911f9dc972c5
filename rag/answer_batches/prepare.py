"""Before the jobs: find each question's passages, make its request, and write the requests to files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from rag.answer_batches import state
from rag.answer_batches.questions import Item, claude_of
from rag.answer_batches.state import WORK, AnswerBatch, Journals
from rag.bedrock.storage.batch_parts import PartWriter, records_of
from rag.core.answers import Answer
from rag.core.calls import Call
from rag.core.errors import UsageError
from rag.core.plain import from_fields
from rag.core.progress import Task
from rag.core.retrieved import Retrieved
from rag.generation.voice import Voice
from rag.usage.collector import Collector
from rag.usage.messages import texts_of
from rag.usage.meter import Meter
from rag.usage.model_calls import MOST_OUTPUT_TOKENS
from rag.usage.prices import BATCH_FACTOR, PriceTable
from rag.usage.tokens import estimate_all


class Begun(Protocol):
    """A question whose reply is awaited (`rag.generation.begun.Begun`)."""

    @property
    def retrieved(self) -> Retrieved:
        """What was retrieved for it."""

    @property
    def messages(self) -> Sequence[Any]:
        """What is sent for it; empty where nothing was found."""

    @property
    def voice(self) -> Voice:
        """The prompt and the generator of this question."""

    @property
    def collector(self) -> Collector:
        """What it costs."""

    def answer(self, message: Any = None, calls: Sequence[Call] = ()) -> Answer:
        """Ask the model, or take a reply that is there already; return the answer."""


class Asks(Protocol):
    """What a batch asks of a pipeline (`rag.pipeline.Pipeline`)."""

    index: Any
    generator: Any
    prompt: Any
    meter: Meter
    responses: Any

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was made with."""

    def begin(
        self, question: str, *, retrieved: Retrieved | None = None, tag: str | None = None, **options: Any
    ) -> Begun:
        """Retrieve, trim and assemble, without asking the model."""


@dataclass(frozen=True, slots=True)
class Row:
    """A question with what was retrieved for it, and its request.

    Attributes
    ----------
    record : str
        The id of its record; empty if nothing was found, so that no model is asked.
    request : dict
        The body of a Converse request.
    prompt, prompt_hash, label : str
        The prompt that it was made with: as an answer calls it, its hash, and as the ledger calls it.
    input_tokens, output_tokens : int
        Of the request, as estimated, and of the longest reply.
    answer : dict or None
        The answer where no model is asked.
    """

    record: str
    request: dict[str, Any]
    retrieved: Retrieved
    prompt: str
    prompt_hash: str
    label: str
    input_tokens: int = 0
    output_tokens: int = 0
    answer: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that some requests can take: tokens, dollars in a batch, and dollars of the dearest one."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    dearest_usd: float | None = 0.0


def begin(pipe: Asks, item: Item, batch: AnswerBatch, retrieved: Retrieved | None = None) -> Begun:
    """Begin a question of a batch; with what was retrieved before, if that is given."""
    return pipe.begin(item.question, retrieved=retrieved, where=item.where, **batch.options)


def prepare(
    pipe: Asks, folder: Path, batch: AnswerBatch, items: Sequence[Item], files: Journals, task: Task
) -> AnswerBatch:
    """Make the requests that are not there yet, write them to files, and check the budget for the jobs.

    Raises
    ------
    UsageError
        There are fewer requests than a job takes, and nobody agreed to ask them on demand.
    BudgetError
        The jobs could pass the budget.
    """
    for number, item in enumerate(items):
        if str(number) not in files.rows:
            files.rows.append(str(number), _to_dict(_row(pipe, number, item, batch)))
        if number % 16 == 0 or number + 1 == len(items):
            task.show(number + 1, len(items), detail="questions prepared")
    files.rows.sync()
    writer = PartWriter(folder / WORK, f"rag-{batch.id}", batch.settings.min_records, private=True)
    records = 0
    for key in files.rows:
        row = row_at(files, int(key))
        if row.record:
            records += 1
            writer.add(json.dumps({"recordId": row.record, "modelInput": row.request}) + "\n")
    parts = tuple(writer.close())
    if records and not parts and not batch.on_demand:
        raise UsageError(
            f"{records} of {len(items)} questions have passages to ask about, and {too_few(batch)}; "
            f"`rag batch cancel {folder}` drops the batch"
        )
    batch = replace(batch, parts=parts, left=records - sum(part.records for part in parts))
    most = estimate(pipe.meter.prices, folder, batch, files)
    batch = replace(
        batch, prepared=True, input_tokens=most.input_tokens, output_tokens=most.output_tokens, usd=most.usd,
        warnings=check_budget(pipe.meter, batch, most) if parts else (),
    )  # fmt: skip
    state.save(folder, batch)
    return batch


def too_few(batch: AnswerBatch) -> str:
    """Return what to do with fewer questions than a job takes."""
    return (
        f"a batch job takes at least {batch.settings.min_records} (min_records in [batch]): ask without "
        "--batch, or add --on-demand (on_demand=True), which asks at full price what no job takes"
    )


def estimate(
    prices: PriceTable, folder: Path, batch: AnswerBatch, files: Journals, stems: Sequence[str] | None = None
) -> Estimate:
    """Return the most that a batch's jobs can take, or those of them whose files have these names."""
    total = Estimate()
    for part in batch.parts:
        if stems is not None and part.stem not in stems:
            continue
        for record in records_of(folder / WORK / f"{part.stem}.jsonl"):
            row = row_at(files, number_of(record["recordId"]))
            usd = prices.estimate_usd(batch.model, row.input_tokens, row.output_tokens, batch.base)
            usd = None if usd is None else usd * BATCH_FACTOR
            unknown = usd is None or total.usd is None or total.dearest_usd is None
            total = Estimate(
                total.input_tokens + row.input_tokens, total.output_tokens + row.output_tokens,
                None if unknown else (total.usd or 0.0) + (usd or 0.0),
                None if unknown else max(total.dearest_usd or 0.0, usd or 0.0),
            )  # fmt: skip
    return total


def check_budget(meter: Meter, batch: AnswerBatch, most: Estimate) -> tuple[str, ...]:
    """Ask the budget before jobs are started, and return its warnings.

    Nothing stays reserved: the jobs may run for days, and no process has to wait for them. What each
    reply cost is recorded when it is read.
    """
    usd = most.dearest_usd if meter.budget.per == "call" else most.usd
    with meter.reserve(
        batch.model,
        input_tokens=most.input_tokens,
        output_tokens=most.output_tokens,
        usd=usd,
        base=batch.base,
    ) as held:
        return held.notes


def row_at(files: Journals, number: int) -> Row:
    """Return the row of a question, by its number from 0."""
    return from_fields(Row, files.rows[str(number)])


def record_id(number: int) -> str:
    """Return the id of a question's record: 11 letters and digits, like AWS's ids.

    Examples
    --------
    >>> record_id(12)
    'Q0000000012'
    """
    return f"Q{number:010d}"


def number_of(record: str) -> int:
    """Return the number of the question whose record has an id."""
    return int(record[1:])


def _row(pipe: Asks, number: int, item: Item, batch: AnswerBatch) -> Row:
    begun = begin(pipe, item, batch)
    answer = None if begun.messages else begun.answer().to_dict()
    row = Row(
        "", {}, begun.retrieved, begun.voice.name, begun.voice.hash, begun.collector.prompt, answer=answer
    )
    if answer is not None:
        return row
    model, bound = claude_of(begun.voice.generator.model)
    request = model.batch_record(begun.messages, **bound)
    texts = texts_of(request.get("system"))
    texts += [
        text for each in begun.messages if each.type != "system" for text in texts_of(each.content)
    ]  # fmt: skip
    return replace(
        row, record=record_id(number), request=request,
        input_tokens=sum(estimate_all(texts, batch.base or batch.model)),
        output_tokens=int(request.get("inferenceConfig", {}).get("maxTokens") or MOST_OUTPUT_TOKENS),
    )  # fmt: skip


def _to_dict(row: Row) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {**values, "retrieved": row.retrieved.to_dict()}
