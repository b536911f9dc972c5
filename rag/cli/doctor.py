"""``rag doctor``: check this machine, the settings, an index, and what the caller may do on Bedrock."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag import __version__
from rag.cli.interrupts import StoppedError
from rag.cli.options import CONFIG, JSON, print_json
from rag.cli.terminal import echo, on_one_line
from rag.core.errors import UsageError
from rag.core.findings import Finding, failed
from rag.core.format import counted, dollars

if TYPE_CHECKING:
    from rag.bedrock.control.permissions import Use
    from rag.cli.diagnosis.aws import Bedrock

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
_OPTIONS = (
    click.option("--bedrock", is_flag=True, help="Check Amazon Bedrock, too, with your credentials."),
    click.option("--whole", is_flag=True, help="Try every feature once for real; write a report to send."),
    click.option("--policy", is_flag=True, help="Print the IAM policy that rag.toml needs, and stop."),
    click.option("--region", metavar="NAME", help="By default the environment's."),
    click.option("--profile", metavar="NAME", help="Of ~/.aws/config."),
    click.option("--full", is_flag=True, help="Show whole account ids."),
    click.option("--yes", "-y", is_flag=True, help="Make calls that cost money without asking."),
    click.option("--model", metavar="ID", help="Chat model of --whole.  [default: rag.toml's]"),
    click.option("--max-usd", type=click.FloatRange(min=0, min_open=True), default=0.05, show_default=True,
                 metavar="USD", help="The most that --whole may cost."),
    click.option("--output", type=click.Path(path_type=Path), metavar="FOLDER",
                 help="Of --whole's report.  [default: rag-doctor-REGION-DATE]"),
    click.option("--s3", metavar="S3-URI", help="Of --whole, to try a batch job; with --batch-role."),
    click.option("--batch-role", metavar="ARN", help="Role that Bedrock assumes for it."),
)  # fmt: skip


@dataclass
class Run:
    """One run: what was found, shown as it is found."""

    as_json: bool
    found: list[Finding] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def section(self, title: str, findings: Iterable[Finding]) -> None:
        """Show findings under a title."""
        from rag.cli.output import say

        if not self.as_json:
            say(title, "bold")
        for finding in findings:
            self.found.append(finding)
            if not self.as_json:
                say(line(finding), "" if finding.state == "ok" else _STYLES[finding.state])

    def end(self) -> int:
        """Sum up; return the exit code."""
        from rag.cli.output import say

        counts = {state: sum(each.state == state for each in self.found) for state in _STYLES}
        if self.as_json:
            rows = [asdict(each) for each in self.found]
            print_json({"ok": not failed(self.found), "counts": counts, "findings": rows, **self.more})
        else:
            total = ", ".join(f"{counts[state]} {state}" for state in ("fail", "warn", "ok") if counts[state])
            say(total, "bold red" if counts["fail"] else "bold green")
        return 1 if failed(self.found) else 0


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(short_help="Check this machine, the settings and the AWS account.")
@click.argument("index", metavar="[INDEX]", required=False)
@CONFIG
@_options
@JSON
def doctor(index: str | None, config_path: Path | None, as_json: bool, **options: Any) -> int:
    """Check this machine, rag.toml and INDEX, and with --bedrock the AWS account; exit 1 if anything fails.

    Nothing is sent anywhere without --bedrock. Calls that cost money are priced first, and asked for.
    """
    from rag.cli.diagnosis import callers, files, machine, settings

    _refuse_loose(options)
    values, read = settings.read(config_path)
    if options["policy"]:
        return _print_policy(values, read, options)
    run = Run(as_json)
    folder = files.usable(index)
    run.section("This machine", machine.findings(__version__))
    run.section("Settings", (*read, *settings.findings(values)))
    run.section("Files", files.findings(folder, values))
    if found := list(callers.findings(folder, values)):
        run.section("Callers", found)
    if options["bedrock"]:
        _bedrock(run, values, folder, options)
    return run.end()


def line(finding: Finding) -> str:
    """Return a finding on one line.

    Examples
    --------
    >>> line(Finding("SQLite", "ok", "3.46.1"))
    '  ok    SQLite                 3.46.1'
    """
    advice = f": {finding.advice}" if finding.advice else ""
    return on_one_line(f"  {finding.state:<4}  {finding.name:<21}  {finding.found}{advice}")


def _refuse_loose(options: dict[str, Any]) -> None:
    """Refuse options that mean nothing without another one."""
    if options["whole"] and not options["bedrock"]:
        raise UsageError("--whole goes with --bedrock: it calls Amazon Bedrock")
    for name in ("output", "model", "s3", "batch_role"):
        if options[name] and not options["whole"]:
            raise UsageError(f"--{name.replace('_', '-')} goes with --bedrock --whole")
    if bool(options["s3"]) != bool(options["batch_role"]):
        raise UsageError("--s3 and --batch-role go together: a batch job needs both")
    if (options["profile"] or options["full"]) and not (options["bedrock"] or options["policy"]):
        raise UsageError("--profile and --full go with --bedrock")


def _uses(values: dict[str, Any]) -> tuple[Use, ...]:
    """Return what rag.toml calls on AWS; if that is nothing, what --bedrock stands for elsewhere."""
    from rag.config.bedrock_uses import uses
    from rag.config.registry import BEDROCK

    return uses(values) or uses(BEDROCK)


def _of(values: dict[str, Any], options: dict[str, Any]) -> Bedrock:
    from rag.bedrock.control import account
    from rag.cli.diagnosis.aws import Bedrock
    from rag.usage.prices import PriceTable

    account.choose(options["region"], options["profile"])
    prices = PriceTable.from_settings(values.get("prices"))
    return Bedrock(_uses(values), prices, options["region"], options["full"])


def _print_policy(values: dict[str, Any], read: list[Finding], options: dict[str, Any]) -> int:
    """Print the policy alone, so that it can be piped into a file."""
    if failed(read):
        raise UsageError(read[0].found)
    bedrock = _of(values, options)
    known = list(bedrock.findings()) if options["bedrock"] else bedrock.located()
    for finding in known:
        if finding.state == "fail":
            echo(f"rag: {line(finding).strip()}", err=True)
    print_json(bedrock.whole_policy())
    return 0


def _bedrock(run: Run, values: dict[str, Any], index: Path | None, options: dict[str, Any]) -> None:
    from rag.cli.diagnosis import calls

    bedrock = _of(values, options)
    run.section("Amazon Bedrock", bedrock.findings())
    if not bedrock.reachable:
        return
    planned = calls.planned(bedrock)
    usd = calls.price(planned)
    if _agreed(f"make {counted(len(planned), 'call')} for at most {dollars(usd)}", options["yes"]):
        meter = _meter(values, index)
        run.section("Permissions", calls.findings(bedrock, planned, meter))
    else:
        text = f"{counted(len(planned), 'call')} for at most {dollars(usd)} were not made"
        skipped = Finding("calls", "skip", text, "--yes makes them")
        run.section("Permissions", [skipped])
    if bedrock.lacking:
        run.more["policy"] = bedrock.lacking_policy()
        if not run.as_json:
            _show_policy(run.more["policy"], options["full"])
    if options["whole"]:
        from rag.cli.diagnosis import trial

        made: dict[str, Any] = run.more.setdefault("trial", {})
        found = trial.findings(bedrock, values, options, lambda what: _agreed(what, options["yes"]), made)
        try:
            with closing(found):
                run.section("Trial", found)
        except KeyboardInterrupt:
            if "folder" not in made:
                raise
            text = f"interrupted: the report of what was tried so far is in {made['folder']}"
            raise StoppedError(text) from None


def _show_policy(policy: dict[str, Any], full: bool) -> None:
    from rag.cli.output import say
    from rag.cli.terminal import json_text

    say("A policy that allows what was refused" + ("" if full else " (replace ACCOUNT)"), "bold")
    for text in json_text(policy, indent=2).splitlines():
        say(text)


def _agreed(what: str, yes: bool) -> bool:
    """Say what would be done, and ask; without a terminal to ask at, only --yes agrees."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    return click.confirm(f"rag doctor would {what}. Go on?", err=True)


def _meter(values: dict[str, Any], index: Path | None) -> Any:
    """Return the meter of the ledger that the calls belong to; None where there is none."""
    from rag.config import stages
    from rag.usage import ledger_settings

    if index is None and ledger_settings.settings(values.get("ledger")).path is None:
        return None
    return stages.meter(values.get("ledger"), values.get("prices"), index or Path())


COMMANDS: tuple[click.Command, ...] = (doctor,)
