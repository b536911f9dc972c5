"""Shared by the commands with batch jobs: their options, the settings they select, and rows for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import Command
from rag.core.errors import UsageError
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.bedrock.storage.batch_jobs import JobStatus
    from rag.bedrock.storage.batch_parts import Part
    from rag.bedrock.storage.batch_settings import BatchSettings

    Jobs = Sequence[tuple[Part, JobStatus]]

#: The value of an option without one (--batch, --gate): what rag.toml says.
CONFIGURED = "rag.toml"
NO_WAIT = click.option("--no-wait", is_flag=True, help="Do not wait; see `rag batch resume`.")
ROLE_ARN = click.option(
    "--role-arn", metavar="ARN", help="Role that Bedrock assumes.  [default: [batch] of rag.toml]"
)


def in_batch(what: str) -> Callable[[Command], Command]:
    """Return the option ``--batch`` of a command that does something in jobs."""
    return click.option(
        "--batch", is_flag=False, flag_value=CONFIGURED, metavar="[S3-URI]",
        help=f"{what} in batch jobs, at half price; S3-URI is s3://BUCKET/PREFIX.  "
        "[default: [batch] of rag.toml]",
    )  # fmt: skip


EMBED_IN_BATCH = in_batch("Embed")
ASK_IN_BATCH = in_batch("Answer --questions")


def selected(
    batch: str | None, role_arn: str | None, path: Path | None, also: Mapping[str, bool] | None = None
) -> BatchSettings | None:
    """Return the settings for ``--batch``; None without it.

    Parameters
    ----------
    batch, role_arn : str, optional
        The options' values.
    path : Path, optional
        Of ``rag.toml``.
    also : mapping of str to bool, optional
        Other options that go with ``--batch``, and whether they are given.

    Raises
    ------
    ConfigError
        A setting is wrong.
    UsageError
        An option comes without ``--batch``.
    """
    if batch is None:
        for name, given in {"--role-arn": role_arn is not None, **(also or {})}.items():
            if given:
                raise UsageError(f"{name} goes with --batch")
        return None
    from rag.bedrock.storage.batch_settings import settings
    from rag.config import settings as rag_toml

    table = rag_toml.read(path).get("batch", {})
    if not isinstance(table, Mapping):
        table = {"s3": table}
    options = {"s3": None if batch == CONFIGURED else batch, "role_arn": role_arn}
    return settings({**table, **{name: value for name, value in options.items() if value}})


def count(jobs: Sequence[Any]) -> str:
    """Return how many jobs there are, in words."""
    return counted(len(jobs), "job")


def job_rows(jobs: Jobs) -> list[dict[str, Any]]:
    """Return jobs for ``--json``."""
    return [{**asdict(status), **asdict(part), "name": part.name} for part, status in jobs]
