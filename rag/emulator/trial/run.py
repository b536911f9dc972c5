"""Run a trial: each step through a proxy that records, under a limit of dollars."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rag.bedrock.control.endpoints import SERVICES, url_of
from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.faults import code_of, is_fault, response_of
from rag.core.errors import BudgetError, RagError
from rag.core.findings import Finding, ok
from rag.emulator.assumptions.assumption import Verdict, judge
from rag.emulator.assumptions.exchange import Exchange, exchange_of
from rag.emulator.assumptions.listed import ASSUMPTIONS
from rag.emulator.forwarding import Proxy
from rag.emulator.recording import Recording
from rag.emulator.trial.pipeline_steps import BATCH, PIPELINE
from rag.emulator.trial.steps import CALLS, Step
from rag.emulator.trial.world import World
from rag.emulator.trial.wrong import WRONG
from rag.emulator.variables import OTHERS, environment

STEPS: tuple[Step, ...] = (*CALLS, *PIPELINE, *WRONG, BATCH)
#: Seconds to wait for the end of a stream that its client has left.
STREAM_S = 10.0


@dataclass(frozen=True, slots=True)
class Tried:
    """A step that was run, or skipped: its finding, and its lines of the recording."""

    step: Step
    finding: Finding
    lines: tuple[int, ...] = ()


class Server(Protocol):
    """A local server that forwards to a recorder (`rag.emulator.Emulator`)."""

    def environment(self) -> Mapping[str, str]:
        """Return the variables that point AWS's clients at it."""


@dataclass
class Trial:
    """A trial of a world.

    Parameters
    ----------
    world : World
    recording : Path
        The traffic, redacted; a file that does not exist.
    serve : callable
        `rag.emulator.Emulator`; it is given its recorder.
    hide : tuple of str
        More texts to remove from it.

    Attributes
    ----------
    tried : list of Tried
    exchanges : list of Exchange
    """

    world: World
    recording: Path
    serve: Callable[..., AbstractContextManager[Server]]
    hide: tuple[str, ...] = ()
    tried: list[Tried] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    proxy: Proxy | None = None

    def run(self, steps: Sequence[Step] = STEPS) -> Iterator[Tried]:
        """Run the steps one after another, and yield what became of each."""
        with self._recorded():
            for step in steps:
                tried = self._tried(step)
                self.tried.append(tried)
                yield tried

    def verdicts(self) -> list[Verdict]:
        """Return a verdict on every assumption, on what was recorded so far."""
        return judge(ASSUMPTIONS, self.exchanges)

    def _tried(self, step: Step) -> Tried:
        if reason := step.skip(self.world):
            return Tried(step, Finding(step.name, "skip", f"not tried: {reason}"))
        if step.usd(self.world) is None:
            advice = self.world.prices.advice(self.world.model)
            return Tried(step, Finding(step.name, "skip", "not tried: it has no price", advice))
        finding = self._run(step)
        if self.proxy is not None:
            self.proxy.settled(STREAM_S)
        return Tried(step, finding, tuple(self._read(step)))

    def _run(self, step: Step) -> Finding:
        name = step.name
        try:
            found = step.run(self.world)
        except BudgetError as error:
            return Finding(name, "skip", f"not tried: {error}")
        except RagError as error:
            return Finding(name, "fail", f"{step.what}: {error}")
        except Exception as error:
            if not is_fault(error):  # of reading a reply of another form: the next steps may go on
                what = f"{type(error).__name__}: {' '.join(str(error).split())}"
                return Finding(name, "fail", f"{step.what}: the reply could not be read ({what})")
            if step.wrong and response_of(error):
                status = response_of(error)["ResponseMetadata"]["HTTPStatusCode"]
                return ok(name, f"{step.what}: refused with {status} {code_of(error)}")
            return Finding(name, "fail", f"{step.what}: {explain(error, self.world.model)}")
        if step.wrong:
            return Finding(name, "warn", f"{step.what}: accepted, though it should be refused")
        return ok(name, f"{step.what}: {found}")

    def _read(self, step: Step) -> Iterator[int]:
        """Read the lines that a step has added to the recording."""
        if not self.recording.exists():
            return
        for entry in Recording.open(self.recording).entries[len(self.exchanges) :]:
            self.exchanges.append(exchange_of(step.name, entry))
            yield entry.line

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """Point every client of this process at a proxy that signs with the user's credentials."""
        upstream = {service: url_of(service, self.world.region) for service in SERVICES}
        proxy = Proxy(self.recording, region=self.world.region, upstream=upstream, hide=self.hide)
        self.proxy = proxy
        with contextlib.closing(proxy), self.serve(recorder=proxy, check_signatures=False) as server:
            variables = {
                **server.environment(), "AWS_REGION": self.world.region,
                "AWS_DEFAULT_REGION": self.world.region,
            }  # fmt: skip
            with environment(variables, without=OTHERS):
                yield


def planned(world: World, steps: Sequence[Step] = STEPS) -> dict[str, float | None]:
    """Return the most that each step costs that will be tried; None where no price is known."""
    return {step.name: step.usd(world) for step in steps if step in PIPELINE or not step.skip(world)}
