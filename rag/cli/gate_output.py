"""Shared by ``rag gate`` and ``rag build --gate``: a gate's settings, and its outcome on a terminal."""

from __future__ import annotations

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


def show(gate: Gate, index: str, as_json: bool) -> None:
    """Show a gate's outcome."""
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
    show_warnings(gate.notes, ())
