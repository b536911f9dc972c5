"""Commands that inspect and maintain an index: ``rag info | verify | versions | diff | …``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rag.cli.options import CONFIG, INDEX, INDEX_FOLDER, JSON, QUIET, print_json, settings_of
from rag.cli.responses import responses
from rag.core.errors import SourceError
from rag.core.files import is_url
from rag.core.format import counted


@click.command(short_help="Show what INDEX holds, and how it was built.")
@INDEX
@CONFIG
@JSON
def info(index: str, config_path: Path | None, as_json: bool) -> int:
    """Show what INDEX holds, and how it was built."""
    import rag
    from rag.cli.output import show_info

    remote = settings_of(config_path, False, None).get("remote") if is_url(index) else None
    holdings = rag.Index.open(index, remote=remote).info()
    if as_json:
        print_json(holdings)
    else:
        show_info(holdings)
    return 0


@click.command(short_help="Check every file of INDEX.")
@INDEX_FOLDER
@click.option("--version", type=int, metavar="N", help="Check another version than the current one.")
@JSON
def verify(index: str, version: int | None, as_json: bool) -> int:
    """Check every file of INDEX; exit 1 if anything is wrong."""
    import rag
    from rag.cli.output import show_verification

    result = rag.Store(index).verify(version)
    if as_json:
        print_json(result.to_dict())
    else:
        show_verification(index, result)
    return 0 if result.sound else 1


@click.command(short_help="List the files that are not in INDEX, and why.")
@INDEX_FOLDER
@JSON
def quarantine(index: str, as_json: bool) -> int:
    """List the files that could not be read into INDEX, why, and what to do.

    A build reads them again when they have changed, or all of them with --retry.
    """
    import rag
    from rag.cli.output import show_quarantined

    files = rag.Store(index).quarantined()
    if as_json:
        print_json([asdict(file) for file in files])
    else:
        show_quarantined(index, files)
    return 0


@click.command(short_help="List the versions of INDEX.")
@INDEX_FOLDER
@JSON
def versions(index: str, as_json: bool) -> int:
    """List the versions of INDEX that are kept."""
    import rag
    from rag.cli.output import show_versions

    kept = rag.Store(index).versions()
    if as_json:
        print_json([asdict(version) for version in kept])
    else:
        show_versions(kept)
    return 0


@click.command(short_help="Compare two versions of INDEX.")
@INDEX_FOLDER
@click.argument("old", type=int)
@click.argument("new", type=int, required=False)
@JSON
def diff(index: str, old: int, new: int | None, as_json: bool) -> int:
    """Compare version OLD of INDEX with version NEW (by default the current one)."""
    import rag
    from rag.cli.output import show_diff

    difference = rag.Store(index).diff(old, new)
    if as_json:
        print_json(asdict(difference))
    else:
        show_diff(difference)
    return 0


@click.command(short_help="Make an older version of INDEX current again.")
@INDEX_FOLDER
@click.argument("version", type=int)
def rollback(index: str, version: int) -> int:
    """Make an older VERSION of INDEX current again; nothing is deleted."""
    import rag
    from rag.cli.output import say

    number = rag.Store(index).rollback(version)
    say(f"{index}: version {number} is now the same as version {version}")
    return 0


@click.command(short_help="Make a version of INDEX that was held back current.")
@INDEX_FOLDER
@click.argument("version", type=int)
@click.option("--because", default="", metavar="TEXT", help="Why; `rag versions` shows it.")
def promote(index: str, version: int, because: str) -> int:
    """Make a VERSION of INDEX current that a gate held back; who did so, and why, is written down."""
    import getpass

    import rag
    from rag.cli.output import say

    rag.Store(index).promote(version, because, getpass.getuser())
    say(f"{index}: version {version} is current now")
    return 0


@click.command(short_help="Delete old versions of INDEX.")
@INDEX_FOLDER
@click.option(
    "--keep", type=click.IntRange(min=1), default=1, show_default="1", metavar="N", help="Versions to keep."
)
def prune(index: str, keep: int) -> int:
    """Delete all but the newest versions of INDEX, with the files that only those used."""
    import rag
    from rag.cli.output import say

    deleted = rag.Store(index).prune(keep)
    numbers = f"version{'s' * (len(deleted) > 1)} {', '.join(map(str, deleted))}"
    say(f"{index}: {numbers} deleted" if deleted else f"{index}: nothing to delete")
    return 0


@click.command(short_help="Merge the segments of INDEX into one.")
@INDEX_FOLDER
def compact(index: str) -> int:
    """Merge the segments of INDEX into one; builds do this themselves when there are many."""
    import rag
    from rag.cli.output import say

    before = rag.Index.open(index, embedder=None).manifest
    number = rag.Store(index).compact()
    after = rag.Index.open(index).manifest
    say(
        f"{index}: version {number}, {counted(len(before.segments), 'segment')} before, "
        f"{len(after.segments)} now"
    )
    return 0


@click.command(short_help="Convert INDEX to the current format.")
@INDEX_FOLDER
@click.option("--version", type=int, metavar="N", help="Convert an older version, and make it current.")
@click.option("--embedder", metavar="NAME", help="The index's, if vectors are missing: NAME or MODULE:CLASS.")
@JSON
@QUIET
def upgrade(index: str, version: int | None, embedder: str | None, as_json: bool) -> int:
    """Convert INDEX to the format of this version of rag; no file is read or cut again."""
    from rag.building.upgrade import upgrade as run
    from rag.cli.output import bar, say, show_warnings

    report = run(index, version=version, embedder=embedder, progress=bar())
    if as_json:
        print_json(report.to_dict())
        return 0
    if report.before == report.format:
        say(f"{index}: has format {report.format} already; there is nothing to upgrade")
        return 0
    say(
        f"{index}: version {report.version}, format {report.format} (was {report.before}), "
        f"{counted(report.chunks, 'chunk')}, {report.seconds:.1f} s"
    )
    show_warnings(report.notes, ())
    return 0


@click.group(short_help="Inspect or prune the caches of embeddings and answers.")
def cache() -> None:
    """Inspect or prune an embedding cache (by default INDEX/cache.sqlite), or a response cache."""


@cache.command("info")
@click.argument("path", metavar="INDEX|FILE")
@JSON
def cache_info(path: str, as_json: bool) -> int:
    """Show what an embedding cache holds."""
    from rag.cli.output import show_cache
    from rag.embedding.cache import info as cache_holdings

    holdings = cache_holdings(_cache_file(path))
    if as_json:
        print_json(asdict(holdings))
    else:
        show_cache(holdings)
    return 0


@cache.command("prune")
@click.argument("path", metavar="INDEX|FILE")
@click.option(
    "--max-mb", type=click.FloatRange(min=0), required=True, metavar="N", help="Largest size to leave."
)
def cache_prune(path: str, max_mb: float) -> int:
    """Delete the least recently used vectors of a cache; no index changes."""
    from rag.cli.output import say
    from rag.embedding import cache as cache_file

    file = _cache_file(path)
    deleted = cache_file.prune(file, int(max_mb * 1e6))
    say(f"{file}: {counted(deleted, 'vector')} deleted, {cache_file.info(file).bytes / 1e6:.1f} MB left")
    return 0


cache.add_command(responses)


def _cache_file(path: str) -> Path:
    place = Path(path)
    if not place.exists():
        raise SourceError(f"{place} does not exist: name an index, or the file of a cache")
    return place / "cache.sqlite" if place.is_dir() else place


COMMANDS: tuple[click.Command, ...] = (
    info, quarantine, verify, versions, diff, rollback, promote, prune, compact, upgrade, cache,
)  # fmt: skip
