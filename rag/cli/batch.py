"""``rag batch``, and ``rag build --batch``: embedding at half price, in jobs that take their time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.maintenance import print_json
from rag.cli.options import JSON, QUARANTINED
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.bedrock.storage.batch_jobs import BatchSettings
    from rag.building.report import BuildPlan, BuildReport

#: What ``--batch`` without a place stands for: that of rag.toml.
_CONFIGURED = "rag.toml"
_INDEX = click.argument("index", metavar="INDEX")
_NO_WAIT = click.option("--no-wait", is_flag=True, help="Leave the jobs to themselves: `rag batch resume`.")

BATCH = click.option(
    "--batch", is_flag=False, flag_value=_CONFIGURED, metavar="[s3://BUCKET/PREFIX]",
    help="Embed by batch jobs, at half price; by default where [batch] of rag.toml says.",
)  # fmt: skip
ROLE_ARN = click.option(
    "--role-arn", metavar="ARN", help="The role that Bedrock takes on for --batch; or in [batch] of rag.toml."
)


def building(command: Any) -> Any:
    """Add the options of a build by batch jobs to a command."""
    return BATCH(ROLE_ARN(_NO_WAIT(command)))


def chosen(index: str, batch: str | None, role_arn: str | None, path: Path | None) -> BatchSettings | None:
    """Return the settings of the batch that is asked for; None where none is.

    Raises
    ------
    ConfigError
        They cannot be meant.
    UsageError
        A role is given without a batch.
    """
    if batch is None:
        if role_arn is not None:
            raise UsageError("--role-arn goes with --batch")
        return None
    from rag.bedrock.storage.batch_jobs import settings
    from rag.config import settings as rag_toml

    table = rag_toml.read(path).get("batch", {})
    if not isinstance(table, Mapping):
        table = {"s3": table}
    given = {"s3": None if batch == _CONFIGURED else batch, "role_arn": role_arn}
    return settings({**table, **{name: value for name, value in given.items() if value}})


def build(
    arguments: Mapping[str, Any], settings: BatchSettings, path: Path | None, *, wait: bool, as_json: bool
) -> int:
    """Build by batch jobs, or go on with them."""
    from rag.building import batch as batching
    from rag.config import settings as rag_toml

    index = arguments["index"]
    ledger = {"ledger": rag_toml.read(path).get("ledger")}
    with _shown() as tell:
        batching.start(batch=settings, tell=tell, **{**ledger, **arguments})
    return _go_on(index, wait=wait, as_json=as_json)


def plan(found: BuildPlan, as_json: bool) -> None:
    """Show what a build by batch jobs would cost."""
    from rag.cli.output import say, show_plan
    from rag.usage.prices import BATCH_FACTOR

    if as_json:
        print_json({**found.to_dict(), "batch_cost_usd": found.cost_usd * BATCH_FACTOR})
    else:
        show_plan(found)
        say(f"  as a batch: ${found.cost_usd * BATCH_FACTOR:.4f}; AWS takes its time, up to a day or more")


@click.group()
def batch() -> None:
    """Look after a build that waits for batch jobs (`rag build --batch`)."""


@batch.command("status")
@_INDEX
@JSON
def batch_status(index: str, as_json: bool) -> int:
    """Show how far the jobs for INDEX are."""
    _show_status(index, as_json)
    return 0


@batch.command("resume")
@_INDEX
@_NO_WAIT
@JSON
def batch_resume(index: str, no_wait: bool, as_json: bool) -> int:
    """Go on with a build that was left or killed; a job that failed is started again."""
    return _go_on(index, wait=not no_wait, as_json=as_json)


@batch.command("cancel")
@_INDEX
def batch_cancel(index: str) -> int:
    """Stop the jobs; what they have done is kept, and the next build embeds the rest."""
    from rag.building import batch as batching
    from rag.cli.output import say

    ended = batching.cancel(index)
    good = sum(part.good for part in ended.parts)
    say(f"{index}: the batch is cancelled; {good} vectors of it are in the cache")
    return 0


def _go_on(index: str, *, wait: bool, as_json: bool) -> int:
    from rag.building import batch as batching
    from rag.cli.output import show_report, show_warnings, watch

    with _shown() as tell:
        ready = batching.go_on(index, wait=wait, tell=tell)
    if not ready:
        _show_status(index, as_json)
        return 0
    with watch() as progress:
        report: BuildReport = batching.finish(index, progress=progress)
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

    begun = state.read(Path(index))
    if begun is None and Path(index).is_dir():
        print_json({"index": index, "jobs": []}) if as_json else say(f"{index}: no batch is under way")
        return
    found = batching.status(index)
    begun = state.known(Path(index))
    if as_json:
        jobs = [{**asdict(status), **asdict(part), "name": part.name} for part, status in found]
        print_json({"index": index, "source": begun.source, "created": begun.created, "texts": begun.texts,
                    "jobs": jobs})  # fmt: skip
        return
    jobs_said = f"{len(found)} job{'s' * (len(found) != 1)}"
    say(f"{index}: batch of {begun.created} from {begun.source}: {begun.texts} texts, {jobs_said}")
    for part, status in found:
        status = status if status.status else replace(status, status="not started")
        counts = f"{status.processed} of {status.records or part.records} records"
        why = status.message or part.failure
        say(f"  {part.name}: {status.status}, {counts}{f' ({why})' if why else ''}")
    say(f"  `rag batch resume {index}` goes on, `rag batch cancel {index}` stops it")


@contextmanager
def _shown() -> Iterator[Any]:
    """Draw how far jobs are; where nobody watches, write a line whenever it changes."""
    import sys

    from rag.cli.output import watch_steps

    last = ""

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        step(what, done, of)
        if not sys.stderr.isatty() and what != last:
            click.echo(what, err=True)
        last = what

    with watch_steps() as step:
        yield tell


COMMANDS: tuple[click.Command, ...] = (batch,)
