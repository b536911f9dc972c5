"""Shared by ``rag gate`` and ``rag build --gate``: a gate's settings, and its outcome on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.options import print_json
from rag.cli.terminal import echo

if TYPE_CHECKING:
    from rag.config.gate import GateSettings
    from rag.evaluation.gate import Gate

#: Most questions that are listed.
_LISTED = 10


def gate_settings(path: Path | None, **options: Any) -> GateSettings:
    """Return the settings of rag.toml's [gate], and in their place those of a command's options."""
    from rag.config import gate, settings

    table = settings.read(path).get("gate", {})
    table = {"golden": table} if isinstance(table, str) else dict(table)
    return gate.settings({**table, **{name: value for name, value in options.items() if value}})


def judged_by(asked: GateSettings, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of judges and metrics of one's own: a command's, and in their absence [gate]'s."""
    names = ("judge", "rubrics", "votes", "labels", "min_kappa", "grade")
    given = {name: options.get(name) for name in names}
    table: dict[str, Any] = {
        **{name: getattr(asked, name) for name in names},
        "rubrics": ",".join(asked.rubrics), "grade": ",".join(asked.grade),
    }  # fmt: skip
    return {**options, **{name: table[name] if value is None else value for name, value in given.items()}}


def show(gate: Gate, index: str, as_json: bool, cost: str = "") -> None:
    """Show a gate's outcome, and what judging cost."""
    from rag.cli.output import say, show_table, show_warnings
    from rag.evaluation.gate_report import explain_command

    if as_json:
        print_json(gate.to_dict())
        return
    for table in gate.tables():
        show_table(table)
    for reason in gate.reasons:
        say(f"failed: {reason}", "red")
    if not gate.passed:
        rows = [*gate.canaries, *gate.lost][:_LISTED]
        if rows:
            say("\nquestions that were lost:")
        for each in rows:
            echo(f"  {each.id}: {each.why}")
            if command := explain_command(index, gate.version, each):
                echo(f"    {command}")
    if gate.flaky:
        say(f"flaky, as runs differ: {', '.join(gate.flaky)}", "yellow")
    say("the gate is passed" if gate.passed else "the gate is NOT passed", "green" if gate.passed else "red")
    if cost:
        say(cost, "dim")
    show_warnings(gate.notes, ())
