"""The steps of a trial that run a pipeline: a build of three files, two questions; and a batch job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rag.bedrock.storage.batch_jobs import BatchJobs, record
from rag.emulator.trial.steps import LEAVE, Step
from rag.emulator.trial.world import TITAN, World
from rag.usage.prices import BATCH_FACTOR

#: Short files of the sample handbook, and a question that one of them answers.
FILES = (
    "product/calibration-policy-v1.md", "legal/service-level-agreement-2023.md",
    "people/learning-budget-and-referral-bonus.md",
)  # fmt: skip
_QUESTION = "At how many points is a sensor calibrated?"
#: The most tokens of the three files, of a question's prompt (the shipped prompt, a context of
#: `_BUDGET` characters, the question), and of a reply.
_FILE_TOKENS, _BUDGET, _PROMPT_TOKENS, _REPLY_TOKENS = 6_000, 1_500, 3_000, 200
#: Fewest records of a job (quota of the account; 100 in recent ones), and tokens of a record.
_RECORDS, _RECORD_TOKENS = 100, 20


def _embedder(world: World) -> dict[str, Any]:
    return {"use": "titan", "dimensions": 256, "region": world.region}


def _index(world: World) -> Path:
    return world.folder / "index"


def _build(world: World) -> str:
    report = world.build(
        world.sample, _index(world), embedder=_embedder(world), ledger=world.ledger, prices=world.prices,
        loader={"include": list(FILES)},
    )  # fmt: skip
    return f"{report.files} files, {report.chunks} chunks"


def _build_usd(world: World) -> float | None:
    return world.prices.estimate_usd(TITAN, _FILE_TOKENS)


def _pipeline(world: World) -> Any:
    more = {"base_model": world.base} if world.base else {}
    generator = {
        "use": "claude", "model": world.model, "region": world.region, "max_tokens": _REPLY_TOKENS, **more,
    }  # fmt: skip
    return world.pipeline(
        _index(world), embedder=_embedder(world), generator=generator, ledger=world.ledger,
        prices=world.prices, trimmer={"budget": _BUDGET, "unit": "chars"},
    )  # fmt: skip


def _ask(world: World) -> str:
    answer = _pipeline(world).ask(_QUESTION)
    verified = sum(citation.verified for citation in answer.citations)
    return f"{verified} of {len(answer.citations)} citations verified; {answer.stop_reason}"


def _stream(world: World) -> str:
    events = list(_pipeline(world).stream(_QUESTION))
    return f"{len(events)} events"


def _ask_usd(world: World) -> float | None:
    return world.prices.estimate_usd(world.model, _PROMPT_TOKENS, _REPLY_TOKENS, world.base)


def _needs_index(world: World) -> str:
    return "" if (_index(world) / "CURRENT").exists() else "there is no index to ask"


def _batch(world: World) -> str:
    jobs = BatchJobs(world.s3, region=world.region, storage=world.storage)
    name = f"rag-doctor-{world.nonce[:12]}"
    path = world.folder / f"{name}.jsonl"
    body = {"dimensions": 256, "normalize": True}
    texts = [f"{number}. {LEAVE}" for number in range(_RECORDS)]
    path.write_text("".join(record(text, {"inputText": text, **body}) for text in texts), encoding="utf-8")
    usd = world.prices.estimate_usd(TITAN, _RECORDS * _RECORD_TOKENS)
    with world.meter.reserve(None, usd=(usd or 0.0) * BATCH_FACTOR):
        jobs.upload(path, name)
        arn = jobs.start(name, name, model=TITAN, role_arn=world.role_arn, timeout_hours=24)
        time.sleep(1.0)
        status = jobs.status(arn).status
        jobs.stop(arn)
    return f"started with {_RECORDS} records, {status}, then stopped; its input stays in {world.s3}"


def _no_batch(world: World) -> str:
    return "" if world.s3 and world.role_arn else "a job needs --s3 and --batch-role"


PIPELINE: tuple[Step, ...] = (
    Step("build", "build an index of three files with Titan", _build, _build_usd),
    Step("ask", "ask it a question", _ask, _ask_usd, _needs_index),
    Step("ask-stream", "stream an answer", _stream, _ask_usd, _needs_index),
)
BATCH = Step(
    "batch", "start and stop a batch job", _batch,
    lambda world: world.prices.estimate_usd(TITAN, _RECORDS * _RECORD_TOKENS), _no_batch,
)  # fmt: skip
