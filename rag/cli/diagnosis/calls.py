"""The smallest calls that show what the caller may do: their price is shown first, and asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from rag.bedrock.control.probes import Probe, probes
from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.faults import is_fault
from rag.cli.diagnosis.aws import Bedrock, action_text
from rag.core.calls import Call
from rag.core.errors import BudgetError, RagError
from rag.core.findings import Finding, ok
from rag.core.format import dollars
from rag.usage.meter import Meter

_ADVICE = {"AccessDeniedException": "request access to the model in the Bedrock console"}


def planned(bedrock: Bedrock) -> list[Probe]:
    """Return the calls to make."""
    return probes(bedrock.uses, bedrock.prices, bedrock.at)


def price(calls: Sequence[Probe]) -> float:
    """Return the most that the calls with a price cost together, in US dollars."""
    return sum(probe.usd or 0.0 for probe in calls)


def findings(bedrock: Bedrock, calls: Sequence[Probe], meter: Meter | None) -> Iterator[Finding]:
    """Make the calls, and yield what each shows; a ledger, if there is one, records them."""
    for probe in calls:
        name, action = probe.use.stage, action_text(probe.operation)
        if probe.usd is None:
            yield Finding(
                name,
                "skip",
                f"{action} was not tried",
                bedrock.prices.advice(probe.use.name, _purpose(probe)),
            )
            continue
        try:
            yield ok(name, f"{action} is allowed: {_made(probe, meter)}")
        except BudgetError as error:
            yield Finding(name, "skip", str(error))
        except RagError as error:
            yield Finding(name, "fail", bedrock.shown(str(error)))
        except Exception as error:
            if not is_fault(error):
                raise
            finding = bedrock.refusal(name, error, probe.operation, fatal=True)
            if not finding.advice:  # no permission of the caller's
                finding = Finding(name, "fail", bedrock.shown(explain(error, probe.use.name, _ADVICE)))
            yield finding


def _purpose(probe: Probe) -> str:
    return {"embed": "embed", "rerank": "rerank"}.get(probe.use.kind, "generate")


def _made(probe: Probe, meter: Meter | None) -> str:
    use, began = probe.use, time.monotonic()
    held: Any = nullcontext() if meter is None else meter.reserve(use.name, usd=probe.usd, base=use.base)
    with held as reservation:
        usage = probe.call()
        if reservation is not None and usage is not None:
            reservation.settle(Call(use.name, "doctor", usage))
    least = f"{dollars(probe.usd)} at most" if probe.usd else "free"
    return f"{use.name} answered in {1000 * (time.monotonic() - began):.0f} ms, {least}"
