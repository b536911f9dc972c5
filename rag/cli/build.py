"""``rag build | batch | plan``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from rag.cli.terminal import echo
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.bedrock.storage.batch_settings import BatchSettings
    from rag.building.report import BuildPlan, BuildReport


#: The value of ``--batch`` without one: use the bucket of rag.toml.
_CONFIGURED = "rag.toml"
_NO_WAIT = click.option("--no-wait", is_flag=True, help="Do not wait; see `rag batch resume`.")

_BATCH = click.option(
    "--batch", is_flag=False, flag_value=_CONFIGURED, metavar="[S3-URI]",
    help="Embed in batch jobs, at half price; S3-URI is s3://BUCKET/PREFIX.  [default: [batch] of rag.toml]",
)  # fmt: skip
_ROLE_ARN = click.option(
    "--role-arn", metavar="ARN", help="Role that Bedrock assumes.  [default: [batch] of rag.toml]"
)


def _building(command: Command) -> Command:
    """Add the options of a build by batch jobs to a command."""
    return with_options(command, [_BATCH, _ROLE_ARN, _NO_WAIT])


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
@_building
def build(as_json: bool, batch: str | None, role_arn: str | None, no_wait: bool, **options: Any) -> int:
    """Build or update INDEX from the files in SRC; only what changed is embedded."""
    import rag
    from rag.cli.output import watch

    path = options["config_path"]
    jobs = _selected(batch, role_arn, path)
    arguments = _arguments(options)
    if jobs is not None:
        return _build_by_jobs(arguments, jobs, wait=not no_wait, as_json=as_json)
    with watch() as progress:
        report = rag.build(**arguments, progress=progress)
    return _show_built(report, as_json)


@click.command(short_help="Show what a build would do and cost.")
@_options
@_BATCH
def plan(as_json: bool, batch: str | None, **options: Any) -> int:
    """Show what `rag build` would do and cost, without doing it."""
    import rag
    from rag.cli.output import show_plan, show_warnings

    planned: BuildPlan = rag.plan(**_arguments(options))
    if batch is not None:
        _show_batch_plan(planned, as_json)
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


def _selected(batch: str | None, role_arn: str | None, path: Path | None) -> BatchSettings | None:
    """Return the settings for ``--batch``; None without it.

    Raises
    ------
    ConfigError
        A setting is wrong.
    UsageError
        ``--role-arn`` comes without ``--batch``.
    """
    if batch is None:
        if role_arn is not None:
            raise UsageError("--role-arn goes with --batch")
        return None
    from rag.bedrock.storage.batch_settings import settings
    from rag.config import settings as rag_toml

    table = rag_toml.read(path).get("batch", {})
    if not isinstance(table, Mapping):
        table = {"s3": table}
    options = {"s3": None if batch == _CONFIGURED else batch, "role_arn": role_arn}
    return settings({**table, **{name: value for name, value in options.items() if value}})


def _build_by_jobs(
    arguments: Mapping[str, Any], settings: BatchSettings, *, wait: bool, as_json: bool
) -> int:
    """Build by batch jobs: start them, or continue with those under way."""
    from rag.building import batch as batching

    with _progress() as tell:
        batching.start(batch=settings, tell=tell, **arguments)
    return _resume(arguments["index"], wait=wait, as_json=as_json)


def _show_batch_plan(planned: BuildPlan, as_json: bool) -> None:
    """Show what a build by batch jobs would cost."""
    from rag.cli.output import cost_of, say, show_plan
    from rag.usage.prices import BATCH_FACTOR

    usd = None if planned.cost_usd is None else planned.cost_usd * BATCH_FACTOR
    if as_json:
        print_json({**planned.to_dict(), "batch_cost_usd": usd})
    else:
        show_plan(planned)
        say(f"  in batch jobs: {cost_of(usd)}; AWS may take a day or more")


@click.group(short_help="Continue or cancel a build by batch jobs.")
def batch() -> None:
    """Continue or cancel a build that waits for batch jobs (`rag build --batch`)."""


@batch.command("status")
@INDEX
@JSON
def batch_status(index: str, as_json: bool) -> int:
    """Show the progress of the jobs for INDEX."""
    _show_status(index, as_json)
    return 0


@batch.command("resume")
@INDEX
@_NO_WAIT
@JSON
def batch_resume(index: str, no_wait: bool, as_json: bool) -> int:
    """Continue a build that was left or killed; a job that failed is started again."""
    return _resume(index, wait=not no_wait, as_json=as_json)


@batch.command("cancel")
@INDEX
def batch_cancel(index: str) -> int:
    """Stop the jobs; their results are kept, and the next build embeds the rest."""
    from rag.building import batch as batching
    from rag.cli.output import say

    cancelled = batching.cancel(index)
    good = sum(part.good for part in cancelled.parts)
    say(f"{index}: the batch is cancelled; {good} of its vectors are in the cache")
    return 0


def _resume(index: str, *, wait: bool, as_json: bool) -> int:
    from rag.building import batch as batching
    from rag.cli.output import watch

    with _progress() as tell:
        ready = batching.resume(index, wait=wait, tell=tell)
    if not ready:
        _show_status(index, as_json)
        return 0
    with watch() as progress:
        report = batching.finish(index, progress=progress)
    return _show_built(report, as_json)


def _show_built(report: BuildReport, as_json: bool) -> int:
    """Show what a build did; return the exit code."""
    from rag.cli.output import show_report, show_warnings

    if as_json:
        print_json(report.to_dict())
    else:
        show_report(report)
    show_warnings(report.notes, report.quarantined)
    return QUARANTINED if report.quarantined else 0


def _show_status(index: str, as_json: bool) -> None:
    from rag.building import batch as batching
    from rag.building.batch import state
    from rag.cli.output import say

    if state.read(Path(index)) is None and Path(index).is_dir():
        print_json({"index": index, "jobs": []}) if as_json else say(f"{index}: no batch is under way")
        return
    jobs = batching.status(index)
    current = state.current(Path(index))
    if as_json:
        rows = [{**asdict(status), **asdict(part), "name": part.name} for part, status in jobs]
        print_json({"index": index, "source": current.source, "created": current.created,
                    "texts": current.texts, "jobs": rows})  # fmt: skip
        return
    count = f"{len(jobs)} job{'s' * (len(jobs) != 1)}"
    say(f"{index}: batch of {current.created} from {current.source}: {current.texts} texts, {count}")
    for part, status in jobs:
        status = status if status.status else replace(status, status="not started")
        records = f"{status.processed} of {status.records or part.records} records"
        why = status.message or part.failure
        say(f"  {part.name}: {status.status}, {records}{f' ({why})' if why else ''}")
    say(f"  `rag batch resume {index}` continues it, `rag batch cancel {index}` stops it")


@contextmanager
def _progress() -> Iterator[Any]:
    """Draw the jobs' progress; without a terminal, write a line whenever it changes."""
    import sys

    from rag.cli.output import watch_steps

    last = ""

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        step(what, done, of)
        if not sys.stderr.isatty() and what != last:
            echo(what, err=True)
        last = what

    with watch_steps() as step:
        yield tell


COMMANDS: tuple[click.Command, ...] = (build, batch, plan)
