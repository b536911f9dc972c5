"""``rag push | pull``: an index to S3, and from there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.interrupts import CODE, message
from rag.cli.options import CONFIG, INDEX_FOLDER, JSON, QUIET, print_json, settings_of
from rag.cli.terminal import echo
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.index.remote.transfer import Transfer

_URL = click.argument("url", metavar="s3://BUCKET/PREFIX")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would be moved.")


@click.command(short_help="Push INDEX to S3.")
@INDEX_FOLDER
@_URL
@click.option("--version", type=int, metavar="N", help="Another version than the current one.")
@click.option("--prune", is_flag=True, help="Delete old versions there, and what no version names.")
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="With --prune: versions to keep.  [default: 1]"
)
@click.option("--check", is_flag=True, help="Read what is there, and send again what is damaged.")
@click.option("--force", is_flag=True, help="Replace what another writer pushed.")
@click.option("--kms-key", metavar="KEY", help="Encrypt with this KMS key.  [default: as the bucket does]")
@_DRY_RUN
@CONFIG
@JSON
@QUIET
def push(
    index: str, url: str, version: int | None, prune: bool, keep: int | None, check: bool, force: bool,
    kms_key: str | None, dry_run: bool, config_path: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Push a version of INDEX to S3: only the files that are missing there are moved.

    Other machines see it once all of it is there. A push that would lose another machine's version is
    refused. It may be interrupted or killed: run it again, it goes on where it stopped.
    """
    from rag.config.remote import push as run

    if keep is not None and not prune:
        raise UsageError("--keep says what --prune leaves: give both")
    remote = _remote(config_path)
    if kms_key:
        remote = {**remote, "kms_key": kms_key}
    return _transfer("push", as_json, lambda progress: run(
        index, url, version=version, force=force, check=check, keep=(keep or 1) if prune else None,
        dry_run=dry_run, progress=progress, remote=remote,
    ))  # fmt: skip


@click.command(short_help="Pull an index from S3.")
@_URL
@INDEX_FOLDER
@click.option("--version", type=int, metavar="N", help="Another version than the current one.")
@click.option("--force", is_flag=True, help="Drop versions of INDEX that S3 does not have.")
@_DRY_RUN
@CONFIG
@JSON
@QUIET
def pull(
    url: str, index: str, version: int | None, force: bool, dry_run: bool, config_path: Path | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Pull an index from S3 into the folder INDEX: only the files that it lacks are moved.

    Everything is checked before it becomes current; files of INDEX that are damaged are replaced. It may be
    interrupted or killed: run it again, it goes on where it stopped.
    """
    from rag.config.remote import pull as run

    remote = _remote(config_path)
    return _transfer("pull", as_json, lambda progress: run(
        url, index, version=version, force=force, dry_run=dry_run, progress=progress, remote=remote,
    ))  # fmt: skip


def _remote(config: Path | None) -> dict[str, Any]:
    return dict(settings_of(config, False, None).get("remote") or {})


def _transfer(what: str, as_json: bool, run: Callable[[Any], Transfer]) -> int:
    from rag.cli.output import bar, say, show_warnings

    with _interruptible(what):
        done = run(bar())
    if as_json:
        print_json(done.to_dict())
        return 0
    say(str(done))
    show_warnings(done.notes, ())
    return 0


@contextmanager
def _interruptible(what: str) -> Iterator[None]:
    """End at Ctrl-C at once: threads that wait for the network would take up to a minute."""
    try:
        yield
    except KeyboardInterrupt:
        echo(f"rag: {message([what])}", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(CODE)


COMMANDS: tuple[click.Command, ...] = (push, pull)
