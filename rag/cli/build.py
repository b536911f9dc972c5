"""``rag build | plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rag.cli import batch as batches
from rag.cli.options import (
    BEDROCK,
    CONFIG,
    EMBEDDER,
    INDEX,
    JSON,
    METADATA,
    METADATA_FROM_PATH,
    QUARANTINED,
    Command,
    print_json,
    settings_of,
    with_options,
)

if TYPE_CHECKING:
    from rag.building.report import BuildPlan, BuildReport


def _options(command: Command) -> Command:
    return with_options(command, [
        click.argument("source", metavar="SRC"), INDEX,
        EMBEDDER, BEDROCK, CONFIG, METADATA, METADATA_FROM_PATH,
        click.option("--include", multiple=True, metavar="GLOB", help="Read only these files."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Leave these files out."),
        click.option("--ocr", metavar="NAME", help="For scans: tesseract, or MODULE:FUNCTION."),
        click.option("--cache", metavar="FILE", help="Embedding cache.  [default: INDEX/cache.sqlite]"),
        click.option("--rebuild", is_flag=True, help="Start empty, e.g. to change the embedder."),
        click.option("--retry", is_flag=True, help="Read quarantined files again."), JSON,
    ])  # fmt: skip


@click.command(short_help="Build or update INDEX from the files in SRC.")
@_options
@batches.building
def build(as_json: bool, batch: str | None, role_arn: str | None, no_wait: bool, **options: Any) -> int:
    """Build or update INDEX from the files in SRC; only what changed is embedded."""
    import rag
    from rag.cli.output import show_report, show_warnings, watch

    path = options["config_path"]
    jobs = batches.selected(batch, role_arn, path)
    arguments = _arguments(options)
    if jobs is not None:
        return batches.build(arguments, jobs, wait=not no_wait, as_json=as_json)
    with watch() as progress:
        report: BuildReport = rag.build(**arguments, progress=progress)
    if as_json:
        print_json(report.to_dict())
    else:
        show_report(report)
    show_warnings(report.notes, report.quarantined)
    return QUARANTINED if report.quarantined else 0


@click.command(short_help="Show what a build would do and cost.")
@_options
@batches.BATCH
def plan(as_json: bool, batch: str | None, **options: Any) -> int:
    """Show what `rag build` would do and cost, without doing it."""
    import rag
    from rag.cli.output import show_plan, show_warnings

    planned: BuildPlan = rag.plan(**_arguments(options))
    if batch is not None:
        batches.plan(planned, as_json)
    elif as_json:
        print_json(planned.to_dict())
    else:
        show_plan(planned)
    show_warnings(planned.notes, planned.quarantined)
    return QUARANTINED if planned.quarantined else 0


def _arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `rag.build` for a command's options."""
    settings = settings_of(options.pop("config_path"), options.pop("bedrock"), options.pop("embedder"))
    stages: dict[str, Any] = {
        name: settings[name]
        for name in ("loader", "chunker", "embedder", "cache", "ledger", "prices")
        if name in settings
    }
    files = {name: value for name in ("include", "exclude", "ocr") if (value := options.pop(name))}
    if files:
        table = stages.get("loader", {})
        stages["loader"] = {**({"use": table} if isinstance(table, str) else table), **files}
    return {**options, **stages, **({"cache": options["cache"]} if options["cache"] else {})}


COMMANDS: tuple[click.Command, ...] = (build, plan)
