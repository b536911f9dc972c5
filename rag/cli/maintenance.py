"""Commands for an index's keeper: ``rag quarantine | verify | versions | diff | …``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rag.core.errors import SourceError

_INDEX = click.argument("index", metavar="INDEX")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_INDEX
@click.option("--version", type=int, metavar="N", help="Another than the current one.")
@_JSON
def verify(index: str, version: int | None, as_json: bool) -> int:
    """Read every file of INDEX and check all there is to check; exit 1 if anything is wrong."""
    import rag
    from rag.cli.output import show_verification

    found = rag.Store(index).verify(version)
    if as_json:
        print_json({**asdict(found), "sound": found.sound})
    else:
        show_verification(index, found)
    return 0 if found.sound else 1


@click.command()
@_INDEX
@_JSON
def quarantine(index: str, as_json: bool) -> int:
    """List the files that INDEX could not take in, why, and what to do.

    A build reads them again when they have changed, or all of them with --retry.
    """
    import rag
    from rag.cli.output import show_quarantined

    found = rag.Store(index).quarantined()
    if as_json:
        print_json([asdict(item) for item in found])
    else:
        show_quarantined(index, found)
    return 0


@click.command()
@_INDEX
@_JSON
def versions(index: str, as_json: bool) -> int:
    """List the versions that INDEX keeps."""
    import rag
    from rag.cli.output import show_versions

    found = rag.Store(index).versions()
    if as_json:
        print_json([asdict(version) for version in found])
    else:
        show_versions(found)
    return 0


@click.command()
@_INDEX
@click.argument("old", type=int)
@click.argument("new", type=int, required=False)
@_JSON
def diff(index: str, old: int, new: int | None, as_json: bool) -> int:
    """Show what differs between version OLD of INDEX and NEW (by default the current one)."""
    import rag
    from rag.cli.output import show_diff

    found = rag.Store(index).diff(old, new)
    if as_json:
        print_json(asdict(found))
    else:
        show_diff(found)
    return 0


@click.command()
@_INDEX
@click.argument("version", type=int)
def rollback(index: str, version: int) -> int:
    """Make an older VERSION of INDEX current again; nothing is deleted."""
    import rag
    from rag.cli.output import say

    number = rag.Store(index).rollback(version)
    say(f"{index}: version {number} is what version {version} was")
    return 0


@click.command()
@_INDEX
@click.option("--keep", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
def prune(index: str, keep: int) -> int:
    """Delete all but the newest versions of INDEX, and the files that only they used."""
    import rag
    from rag.cli.output import say

    gone = rag.Store(index).prune(keep)
    said = (
        f"version{'s' * (len(gone) > 1)} {', '.join(map(str, gone))} deleted" if gone else "nothing to delete"
    )
    say(f"{index}: {said}")
    return 0


@click.command()
@_INDEX
def compact(index: str) -> int:
    """Merge the segments of INDEX into one; builds do this by themselves when they pile up."""
    import rag
    from rag.cli.output import say

    before = rag.Index.open(index, embedder=None).manifest
    number = rag.Store(index).compact()
    after = rag.Index.open(index).manifest
    say(f"{index}: version {number}, {len(before.segments)} segments before, {len(after.segments)} now")
    return 0


@click.command()
@_INDEX
@click.option("--version", type=int, metavar="N", help="An older version, to make it the current one.")
@click.option(
    "--embedder", metavar="NAME", help="The index's own, where vectors are missing: a name or MODULE:CLASS."
)
@_JSON
def upgrade(index: str, version: int | None, embedder: str | None, as_json: bool) -> int:
    """Bring INDEX up to the format of this version of rag; nothing is read or cut again."""
    from rag.building.upgrade import upgrade as bring_up
    from rag.cli.output import say, show_warnings

    report = bring_up(index, version=version, embedder=embedder)
    if as_json:
        print_json(report.to_dict())
        return 0
    if report.before == report.format:
        say(f"{index}: has format {report.format} already, there is nothing to upgrade")
        return 0
    say(
        f"{index}: version {report.version}, format {report.format} (was {report.before}), "
        f"{report.chunks} chunks, {report.seconds:.1f} s"
    )
    show_warnings(report.notes, ())
    return 0


@click.group()
def cache() -> None:
    """Look after an embedding cache (by default INDEX/cache.sqlite)."""


@cache.command("info")
@click.argument("path", metavar="INDEX|FILE")
@_JSON
def cache_info(path: str, as_json: bool) -> int:
    """Show what an embedding cache holds."""
    from rag.cli.output import show_cache
    from rag.embedding.cache import info

    found = info(_cache_file(path))
    if as_json:
        print_json(asdict(found))
    else:
        show_cache(found)
    return 0


@cache.command("prune")
@click.argument("path", metavar="INDEX|FILE")
@click.option(
    "--max-mb", type=click.FloatRange(min=0), required=True, metavar="N", help="Size to come down to."
)
def cache_prune(path: str, max_mb: float) -> int:
    """Delete the vectors of a cache that were used least recently; no index changes."""
    from rag.cli.output import say
    from rag.embedding.cache import info, prune

    file = _cache_file(path)
    gone = prune(file, int(max_mb * 1e6))
    say(f"{file}: {gone} vectors deleted, {info(file).bytes / 1e6:.1f} MB left")
    return 0


def _cache_file(path: str) -> Path:
    given = Path(path)
    if not given.exists():
        raise SourceError(f"{given} does not exist: name an index, or the file of a cache")
    return given / "cache.sqlite" if given.is_dir() else given


def print_json(value: Any) -> None:
    """Print a result for `--json`."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


COMMANDS: tuple[click.Command, ...] = (
    quarantine, verify, versions, diff, rollback, prune, compact, upgrade, cache,
)  # fmt: skip
