"""``rag guardrail new | plan | apply | test | list | show``: guardrails as code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, JSON, QUIET, print_json
from rag.core.errors import ConfigError, RagError, UsageError, near_miss
from rag.core.progress import Task

if TYPE_CHECKING:
    from rag.bedrock.control.guardrails import GuardrailControl, Listed
    from rag.bedrock.guardrails.changes import Change
    from rag.bedrock.guardrails.plan import Plan
    from rag.bedrock.guardrails.settings import GuardrailSettings

FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), default="guardrails", show_default=True, metavar="FOLDER",
    help="Where guardrails are looked for by name.",
)  # fmt: skip
REGION = click.option("--region", metavar="NAME", help="Of the account.  [default: as AWS's clients find it]")


@click.group(short_help="Plan, apply and test guardrails of Bedrock.")
def guardrail() -> None:
    """Plan, apply and test guardrails of Amazon Bedrock: files FOLDER/NAME.toml.

    What a file may hold is in rag/bedrock/guardrails/README.md.
    """


@guardrail.command(short_help="Write a guardrail to begin with.")
@click.argument("name", metavar="NAME")
@FOLDER
def new(name: str, folder: Path) -> int:
    """Write FOLDER/NAME.toml, a guardrail with comments to begin with."""
    from rag.bedrock.guardrails.file import begin
    from rag.cli.output import say

    say(f"{begin(name, folder)} is written: edit it, then `rag guardrail plan {name}`")
    return 0


@guardrail.command(short_help="Show what applying guardrails would change.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@FOLDER
@REGION
@JSON
def plan(names: tuple[str, ...], folder: Path, region: str | None, as_json: bool) -> int:
    """Compare guardrails with what the account has, field by field; nothing is changed.

    NAME is a guardrail of FOLDER, or a file; by default all of FOLDER.
    """
    from rag.bedrock.guardrails.plan import plan as compare

    chosen, control = _settings(names, folder), _control(region)
    plans = [compare(each, control) for each in chosen]
    if as_json:
        print_json({"guardrails": [each.to_dict() for each in plans]})
    else:
        for each in plans:
            _show_plan(each)
    return 0


@guardrail.command(short_help="Make the account's guardrails what the files say.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--yes", is_flag=True, help="Change without asking.")
@FOLDER
@REGION
@JSON
def apply(names: tuple[str, ...], yes: bool, folder: Path, region: str | None, as_json: bool) -> int:
    """Create or update guardrails, make a version of what changed, and wait until it is ready.

    Prints what to write into rag.toml. A run that was interrupted is run again.
    """
    from rag.bedrock.guardrails.plan import apply as make
    from rag.bedrock.guardrails.plan import plan as compare
    from rag.cli.output import say, warn

    control, rows = _control(region), []
    planned = [(each, compare(each, control)) for each in _settings(names, folder)]
    if not as_json:
        for _, each in planned:
            _show_plan(each)
    if any(each.step != "none" for _, each in planned):
        _confirm(yes)
    for settings, each in planned:
        applied = make(settings, each, control)
        for change in applied.kept_otherwise:
            warn(f"{each.name}: Bedrock keeps {change.field} otherwise than the file: {change}")
        rows.append({"name": each.name, "id": applied.id, "version": applied.version, "new": applied.made})
        if not as_json:
            what = "is made" if applied.made else "has this content"
            say(f"{each.name}: version {applied.version} {what}; for rag.toml:")
            say(f'[generator]\nguardrail = "{applied.setting}"', "bold")
    if as_json:
        print_json({"guardrails": rows})
    return 0


@guardrail.command(short_help="Show texts to a guardrail, and compare what it does.")
@click.argument("name", metavar="NAME")
@click.option("--table", type=click.Path(path_type=Path), required=True, metavar="FILE",
              help="Texts, and what each must come to: .toml or JSON lines.")  # fmt: skip
@click.option("--offline", is_flag=True, help="On this machine, by an approximation, without AWS and free.")
@click.option("--version", metavar="N|DRAFT", help="Of the account.  [default: that of the file's content]")
@CONFIG
@FOLDER
@REGION
@JSON
@QUIET
def test(
    name: str, table: Path, offline: bool, version: str | None, config_path: Path | None, folder: Path,
    region: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Show each text of a table to a guardrail, and compare what it does with what is expected.

    Exit code 1 if any differs. Says first what it costs at most; the calls are in the ledger of rag.toml, or
    in FOLDER/ledger.sqlite.
    """
    from rag.bedrock.guardrails.cases import read
    from rag.bedrock.guardrails.runtime import results_of
    from rag.cli.output import bar, warn

    if offline and (version or region):
        raise UsageError("--version and --region are of the account: leave them out with --offline")
    (settings,) = _settings((name,), folder)
    cases = read(table, settings)
    if offline:
        runner: Any = _offline(settings)
        for line in runner.notes():
            warn(line)
    else:
        runner = _paid(settings, cases, version, config_path, folder, region)
    results = []
    with Task(bar(), "texts", of=len(cases), unit="text") as task:
        for result in results_of(cases, runner):
            results.append(result)
            task.show(len(results))
    failed = sum(bool(result.wrong) for result in results)
    if as_json:
        rows = [result.to_dict() for result in results]
        print_json({"guardrail": settings.name, "cases": len(rows), "failed": failed, "results": rows})
    else:
        _show_results(settings.name, results, failed)
    if not offline:
        for line in dict.fromkeys(runner.notes):
            warn(line)
    return 1 if failed else 0


@guardrail.command("list", short_help="List the account's guardrails.")
@FOLDER
@REGION
@JSON
def list_(folder: Path, region: str | None, as_json: bool) -> int:
    """List the account's guardrails with their newest versions, and whether FOLDER has a file of each."""
    from rag.cli.output import show_table
    from rag.core.table import Table

    control = _control(region)
    rows = []
    for each in control.all():
        versions = control.versions(each.arn)
        rows.append({
            "name": each.name, "id": each.id, "status": each.status,
            "latest": versions[0].version if versions else None, "versions": len(versions),
            "file": str(path) if (path := folder / f"{each.name}.toml").is_file() else None,
        })  # fmt: skip
    if as_json:
        print_json({"guardrails": rows})
        return 0
    head = ("guardrail", "id", "status", "latest", "versions", "file")
    cells = [tuple("-" if value is None else str(value) for value in row.values()) for row in rows]
    show_table(Table(f"{len(rows)} guardrails of the account", head, cells))
    return 0


@guardrail.command(short_help="Show a guardrail as the account has it.")
@click.argument("name", metavar="NAME")
@click.option("--version", metavar="N|DRAFT", default="DRAFT", show_default=True, help="Which version.")
@REGION
@JSON
def show(name: str, version: str, region: str | None, as_json: bool) -> int:
    """Show the fields of a guardrail as the account has it, named as in files. NAME may be its id."""
    from rag.bedrock.guardrails.changes import Change, digest, facts
    from rag.bedrock.guardrails.wire import configuration
    from rag.cli.output import say

    control = _control(region)
    found = _listed(name, control)
    held = control.get(found.id, version)
    values = facts(configuration(held))
    if as_json:
        print_json({
            "name": found.name, "id": found.id, "version": version, "status": held["status"],
            "sha256": digest(values), "fields": values,
        })  # fmt: skip
        return 0
    numbers = ", ".join(each.version for each in control.versions(found.arn)) or "none"
    say(f"{found.name}: {found.id}, {version}, {held['status']}; versions: {numbers}", "bold")
    for field, value in values.items():
        _line(str(Change(field, None, value))[2:])
    return 0


def _control(region: str | None) -> GuardrailControl:
    from rag.bedrock.control.guardrails import GuardrailControl

    return GuardrailControl(region=region)


def _settings(names: Sequence[str], folder: Path) -> list[GuardrailSettings]:
    """Read guardrails by name or path, by default all of a folder."""
    from rag.bedrock.guardrails.file import files, find, read

    paths = [find(name, folder) for name in names] or files(folder)
    made = [read(path) for path in paths]
    names = [each.name for each in made]
    for path, each in zip(paths, made, strict=True):
        if names.count(each.name) > 1:
            raise ConfigError(f"{path}: another file has the name {each.name!r}, too: change one")
    return made


def _listed(name: str, control: GuardrailControl) -> Listed:
    known = control.all()
    for each in known:
        if name in (each.name, each.id, each.arn):
            return each
    raise UsageError(
        f"the account has no guardrail {name!r}: {near_miss(name, [each.name for each in known])}"
    )


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing is changed without being asked: give --yes")
    if not click.confirm("Change this?", err=True):
        raise RagError("nothing was changed")


def _show_plan(plan: Plan) -> None:
    from rag.cli.output import say

    place = f"{plan.id}, " if plan.id else ""
    newest = f"newest version {plan.latest}" if plan.latest else "no version"
    what = {
        "create": "would be created", "update": f"{place}{newest}: would change",
        "version": f"{place}{newest}: would be given a version, its draft has this content",
        "tag": f"{place}version {plan.version}: would be tagged",
        "none": f"{place}version {plan.version}: no change",
    }[plan.step]  # fmt: skip
    say(f"{plan.name}: {what}", "bold")
    for change in plan.changes:
        _line(f"  {change}", _STYLES[change.sign])
    for change in plan.tags:
        _line(f"  {_tag(change)}", _STYLES[change.sign])
    if plan.step == "update" and plan.version is not None:
        say(f"  version {plan.version} has this content already: no new one is made", "dim")


_STYLES: Mapping[str, str] = {"+": "green", "-": "red", "~": "yellow"}


def _tag(change: Change) -> str:
    return f"{change.sign} tags.{str(change)[2:]}"


def _line(text: str, style: str = "") -> None:
    from rag.cli.output import say
    from rag.cli.terminal import on_one_line

    say(on_one_line(text), style)


def _offline(settings: GuardrailSettings) -> Any:
    from rag.bedrock.guardrails.wire import arguments
    from rag.emulator.guardrails.offline import OfflineGuardrail

    return OfflineGuardrail(arguments(settings))


def _paid(
    settings: GuardrailSettings, cases: Sequence[Any], version: str | None, config_path: Path | None,
    folder: Path, region: str | None,
) -> Any:  # fmt: skip
    """Return the account's guardrail, after saying what the cases cost at most."""
    from rag.bedrock.guardrails.plan import version_of
    from rag.bedrock.guardrails.runtime import BedrockGuardrail
    from rag.bedrock.guardrails.wire import configuration
    from rag.cli.output import warn
    from rag.config import settings as rag_toml
    from rag.core.calls import price_text
    from rag.usage import ledger_settings
    from rag.usage.meter import Meter

    control = _control(region)
    if version is None:
        found = version_of(settings, control)
        if found is None:
            raise RagError(
                f"the account has no version of {settings.name} with the file's content: "
                f"`rag guardrail apply {settings.name}`, name one with --version, or test with --offline"
            )
        identifier, number = found
    else:
        identifier, number = _listed(settings.name, control).id, version
    table = rag_toml.read(config_path)
    meter = Meter.of(ledger_settings.settings(table.get("ledger")), folder, table.get("prices"))
    config = configuration(control.get(identifier, number))
    runner = BedrockGuardrail(identifier, number, config, meter, region=region)
    costs = [runner.most_usd(case.way, case.blocks()) for case in cases]
    total = None if None in costs else sum(cost for cost in costs if cost is not None)
    warn(f"{len(cases)} texts through {identifier}:{number}: at most {price_text(total)}")
    return runner


def _show_results(name: str, results: Sequence[Any], failed: int) -> None:
    from rag.cli.output import say, show_table
    from rag.core.format import shortened
    from rag.core.table import Table

    rows = []
    for number, result in enumerate(results, 1):
        found = ", ".join(map(str, result.came.found)) or "-"
        came = (
            result.came.did if result.came.did != "masked" else f"masked: {shortened(result.came.text, 60)}"
        )
        case = result.case
        text, wrong = shortened(case.text, 50), result.wrong or "as expected"
        rows.append((str(number), case.source, text, case.expect, came, found, wrong))
    head = ("", "source", "text", "expected", "came", "by", "")
    show_table(Table(f"{name}: {len(results)} texts", head, rows))
    say(f"{failed} of {len(results)} differ" if failed else "all as expected", "red" if failed else "green")


COMMANDS: tuple[click.Command, ...] = (guardrail,)
