"""A world to try, services that differ from the emulator in one thing, and what is found of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import rag
from rag.core.sample import handbook
from rag.emulator import Emulator
from rag.emulator.connection import Incoming
from rag.emulator.trial.run import STEPS, Trial
from rag.emulator.trial.steps import Step
from rag.emulator.trial.world import World
from rag.emulator.wire import Reply
from rag.usage.prices import BUILT_IN

SONNET = "global.anthropic.claude-sonnet-5-5"
REGION = "us-east-1"
RERANKER = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.rerank-v1:0"
#: Takes the operation and the reply, and returns another one.
Change = Callable[[str, Reply], Reply]


class Differing(Emulator):
    """The emulator, with its replies changed."""

    def __init__(self, change: Change, **settings: Any) -> None:
        super().__init__(**settings)
        self.change = change

    def answer(self, incoming: Incoming) -> Reply:
        reply = super().answer(incoming)
        operation = next(
            each.operation for each in reversed(self.requests) if each.headers is incoming.headers
        )
        return self.change(operation, reply)


def world(folder: Path, **changes: Any) -> World:
    """A world with rag's own stages."""
    made = World(
        SONNET,
        REGION,
        RERANKER,
        folder,
        handbook(),
        0.05,
        BUILT_IN,
        rag.build,
        rag.Pipeline,
        guardrail="gr1a2b3c:2",
    )
    return replace(made, **changes)


def steps(*names: str) -> list[Step]:
    """Return steps by name."""
    return [next(step for step in STEPS if step.name == name) for name in names]


def trial(folder: Path, *names: str, **changes: Any) -> Trial:
    """Run some steps, by default all, against the service that the environment names."""
    made = Trial(world(folder, **changes), folder / "traffic.jsonl", Emulator)
    for _ in made.run(steps(*names) if names else STEPS):
        pass
    return made


def differing(tried: Trial) -> dict[str, tuple[str, ...]]:
    """Return the assumptions that differ, and how."""
    return {v.assumption.id: v.differences for v in tried.verdicts() if v.state == "differs"}


# ---------------------------------------------------------------------- changes


def of_body(operation: str, edit: Callable[[Any], None]) -> Change:
    """Change the JSON of an operation's replies of success."""

    def change(found: str, reply: Reply) -> Reply:
        if found != operation or reply.events is not None or reply.status != 200:
            return reply
        body = json.loads(reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body))
        edit(body)
        return replace(reply, body=body)

    return change


def of_events(edit: Callable[[list[tuple[str, Any]]], list[tuple[str, Any]]]) -> Change:
    """Change the events of streams."""

    def events(reply: Reply) -> Iterator[tuple[str, Any]]:
        yield from edit([(name, dict(payload)) for name, payload in reply.events or ()])

    def change(operation: str, reply: Reply) -> Reply:
        return replace(reply, events=events(reply)) if reply.events is not None else reply

    return change


def of_header(old: str, new: str | None) -> Change:
    """Rename a header, or drop it."""

    def change(operation: str, reply: Reply) -> Reply:
        found = {name: value for name, value in reply.headers.items() if name.lower() == old.lower()}
        headers = {name: value for name, value in reply.headers.items() if name not in found}
        value = next(iter(found.values()), None)
        return replace(reply, headers=headers | ({new: value} if new and value is not None else {}))

    return change


def of_status(operation: str, old: int, new: int) -> Change:
    """Change a status of an operation."""

    def change(found: str, reply: Reply) -> Reply:
        return replace(reply, status=new) if (found, reply.status) == (operation, old) else reply

    return change
