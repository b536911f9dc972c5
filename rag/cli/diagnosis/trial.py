"""``rag doctor --bedrock --whole``: the trial of every feature, its price first, and its report."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.bedrock.control.permissions import Use, resources
from rag.building.build import build
from rag.cli.diagnosis.aws import Bedrock
from rag.core.errors import UsageError
from rag.core.findings import Finding, ok
from rag.core.format import dollars
from rag.core.sample import handbook
from rag.emulator.server import Emulator
from rag.emulator.trial import report
from rag.emulator.trial.run import STEPS, Trial, planned
from rag.emulator.trial.world import World
from rag.pipeline import Pipeline
from rag.usage import ledger_settings
from rag.usage.meter import Meter

_MODEL, _RERANKER = "global.anthropic.claude-sonnet-5-5", "amazon.rerank-v1:0"


def findings(
    bedrock: Bedrock,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    agreed: Callable[[str], bool],
    into: dict[str, Any],
) -> Generator[Finding]:
    """Run the trial, and yield what each step finds; the report is put into `into`.

    Raises
    ------
    UsageError
        The trial cannot be priced, or would cost more than it may.
    """
    with tempfile.TemporaryDirectory(prefix="rag-doctor-") as temporary:
        world = _world(bedrock, options, Path(temporary))
        usd = _price(world)
        steps = planned(world)
        if not agreed(f"try {len(steps)} of {len(STEPS)} features for at most {dollars(usd)}"):
            text = f"{len(steps)} steps for at most {dollars(usd)} were not made"
            yield Finding("trial", "skip", text, "--yes makes them")
            return
        yield ok(
            "price", f"at most {dollars(usd)}; every call is refused that could pass {dollars(world.max_usd)}"
        )
        folder = report.folder_for(options["output"], world.region, dt.datetime.now(dt.UTC).date())
        meter = _user_meter(settings)
        trial = Trial(world, folder / report.TRAFFIC, Emulator, _hidden(world))
        try:
            with nullcontext() if meter is None else meter.reserve(None, usd=usd):  # the user's own budget
                yield from _tried(bedrock, trial, folder, into)
        finally:
            if meter is not None:
                _record(meter, world)


def _tried(bedrock: Bedrock, trial: Trial, folder: Path, into: dict[str, Any]) -> Iterator[Finding]:
    """Run the steps; the report is written even if they are interrupted."""
    try:
        for tried in trial.run():
            finding = tried.finding
            yield replace(finding, found=bedrock.shown(finding.found))
    finally:
        made = report.write(folder, trial, (bedrock.place.account,))
        into.update(folder=str(folder))
        into.update({name: made[name] for name in ("counts", "spent_usd", "assumptions")})
    for verdict in made["assumptions"]:
        if verdict["state"] == "differs":
            yield Finding(verdict["id"], "warn", f"{verdict['assumes']} {'; '.join(verdict['differences'])}")
    counts = ", ".join(f"{number} {state}" for state, number in sorted(made["counts"].items()))
    yield ok("assumptions", f"{counts}; it cost {dollars(made['spent_usd'])}")
    yield ok(
        "report", f"{folder}: {report.MARKDOWN}, {report.JSON}, {report.TRAFFIC}: read them, then send them"
    )


def _world(bedrock: Bedrock, options: Mapping[str, Any], folder: Path) -> World:
    chat = _first(bedrock, "chat")
    reranker, guardrail = _first(bedrock, "rerank"), _first(bedrock, "guardrail")
    model = options["model"] or (chat.name if chat else _MODEL)
    base = chat.base if chat and chat.name == model else None
    name = reranker.name if reranker else _RERANKER
    arn = name if name.startswith("arn:") else resources(name, None, bedrock.place)[0]
    storage = None
    if options["s3"]:
        from rag.bedrock.runtime.client import client

        storage = client("s3", region=bedrock.place.region)  # made with the user's credentials
    return World(
        model, bedrock.place.region, arn, folder, handbook(), options["max_usd"], bedrock.prices,
        build, Pipeline, base=base, guardrail=guardrail.name if guardrail else "", s3=options["s3"] or "",
        role_arn=options["batch_role"] or "", storage=storage,
    )  # fmt: skip


def _first(bedrock: Bedrock, kind: str) -> Use | None:
    return next((use for use in bedrock.uses if use.kind == kind), None)


def _price(world: World) -> float:
    """Return the most that the trial costs.

    Raises
    ------
    UsageError
        A step has no price, or the sum is above the limit.
    """
    steps = planned(world)
    lacking = [name for name, usd in steps.items() if usd is None]
    if lacking:
        advice = world.prices.advice(world.model)
        raise UsageError(f"the trial is refused, as {', '.join(lacking)} cannot be priced: {advice}")
    usd = sum(each or 0.0 for each in steps.values())
    if usd > world.max_usd:
        raise UsageError(
            f"the trial with {world.model} could cost {dollars(usd)}, above --max-usd "
            f"({dollars(world.max_usd)}): raise it, or give a cheaper --model such as "
            "global.anthropic.claude-haiku-5-5"
        )
    return usd


def _hidden(world: World) -> tuple[str, ...]:
    bucket = world.s3.removeprefix("s3://")
    return tuple(filter(None, (world.role_arn, world.role_arn.rpartition("/")[2], world.s3, bucket)))


def _user_meter(settings: Mapping[str, Any]) -> Meter | None:
    """Return the meter of the ledger that rag.toml names; None where each index has its own."""
    value = ledger_settings.settings(settings.get("ledger"))
    return None if value.path is None else Meter.of(value, Path(), settings.get("prices"))


def _record(meter: Meter, world: World) -> None:
    """Write what the trial has cost into the user's ledger, as one call for each model."""
    if not world.meter.ledger.path.exists():
        return
    from rag.core.calls import Call, Usage

    for row in world.meter.ledger.rows(("model",)):
        usage = Usage(
            row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens, row.usd
        )
        meter.record(Call(row.group[0], "doctor", usage))
