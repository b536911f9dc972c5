"""``rag dashboard``: what the records of questions say."""

from __future__ import annotations

import datetime as dt
import re
import time
from pathlib import Path

import click

from rag.cli.options import CONFIG, JSON, names_of, print_json
from rag.core.errors import SourceError, UsageError, near_miss
from rag.core.format import counted


def _since(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    if match is not None:
        seconds = int(match[1]) * {"m": 60, "h": 3600, "d": 86_400}[match[2]]
        return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since is {text!r}: write 30m, 24h, 7d, or a time such as 2026-11-01") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


@click.command(short_help="Latencies, errors, tokens and dollars of questions.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]…")
@click.option("--since", metavar="24h", help="30m, 24h, 7d, or a time (UTC).")
@click.option("--by", default="model", show_default=True, metavar="A,B,…",
              help="model, tag, tenant, prompt, tier, index, task.")  # fmt: skip
@click.option("--watch", is_flag=True, help="Show it again every 5 s, until Ctrl-C.")
@CONFIG
@JSON
def dashboard(
    files: tuple[Path, ...], since: str | None, by: str, watch: bool, config_path: Path | None, as_json: bool
) -> int:
    """Show what the records in FILEs say, by default those of [telemetry] in rag.toml.

    A file's rotated parts are read, too.
    """
    from rag.cli.output import say, show_table, warn
    from rag.config import settings
    from rag.telemetry.dashboard import BY, summarize
    from rag.telemetry.rotation import rotated

    names = names_of(by)
    for name in names:
        if name not in BY:
            raise UsageError(f"records are not grouped by {name!r}: {near_miss(name, BY)}")
    if not files:
        table = settings.read(config_path).get("telemetry")
        path = table if isinstance(table, str) else (table or {}).get("path")
        if not path:
            raise UsageError("name files of records, or set path in [telemetry] of rag.toml")
        files = (Path(path),)
    paths = [part for path in files for part in (rotated(path) if path.suffix != ".gz" else [path])]
    if not paths:
        raise SourceError(f"there is no file {files[0]}: records are written when questions are asked")
    while True:
        found = summarize(paths, since=_since(since), by=names)
        if as_json:
            print_json(found.to_dict())
        elif not found.questions:
            say("no questions in this time")
        else:
            if watch:
                click.clear()
            for each in found.tables():
                show_table(each)
        if found.unreadable:
            warn(f"{counted(found.unreadable, 'line')} of another kind of record")
        if not watch:
            return 0
        time.sleep(5)


COMMANDS: tuple[click.Command, ...] = (dashboard,)
