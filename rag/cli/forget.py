"""``rag forget``: documents are erased from an index, and from what is kept about them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, INDEX_FOLDER, JSON, QUIET, print_json, reporting, settings_of
from rag.cli.terminal import echo
from rag.core.errors import UsageError
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.erasure.report import Forgotten

#: In place of a file of --check: what was erased is looked for by its source.
_BY_SOURCE = "\0"
_MOST = 10  # documents that are shown by name


@click.command(short_help="Erase documents from INDEX and what is kept of them.")
@INDEX_FOLDER
@click.option("--source", "sources", multiple=True, metavar="NAME", help="A document; may be repeated.")
@click.option("--where", metavar="FILTER", help="Documents that match, e.g. \"person == 'jane'\".")
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Clean a file that rag wrote, too: of --log, --output, a recording.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Erase, without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
@click.option("--check", "text", is_flag=False, flag_value=_BY_SOURCE, metavar="[FILE]",
              help="Erase nothing: look for what is left of --source, or of FILE's text.")  # fmt: skip
@click.option("--allow", multiple=True, metavar="NAME", help="Let builds read a forgotten file again.")
@CONFIG
@JSON
@QUIET
def forget(
    index: str, sources: tuple[str, ...], where: str | None, files: tuple[Path, ...], yes: bool,
    dry_run: bool, text: str | None, allow: tuple[str, ...], config_path: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Erase documents from every version of INDEX, and from caches, reviews, receipts and records.

    It shows what would go and asks; --yes answers. Builds leave the files out from then on. An erasure that
    was killed is completed by the next one, or by naming INDEX alone. Exit 1 if something is left.
    """
    if allow:
        if sources or where or text or files:
            raise UsageError("--allow stands alone: it erases nothing")
        return _allow(index, allow)
    settings = settings_of(config_path, False, None)
    if text is not None:
        return _check(index, text, sources, files, settings, as_json)
    from rag.cli.output import bar
    from rag.erasure.forget import forget as erase

    def run(*, only_look: bool) -> Forgotten:
        with reporting("store of answers, reviews or receipts"):
            return erase(
                index, sources, where=where, files=files, settings=settings, dry_run=only_look, progress=bar()
            )

    if not yes or dry_run:
        planned = run(only_look=True)
        _show(planned, as_json=as_json and not _asks(dry_run))
        if dry_run:
            return 0
        if not _asks(dry_run):
            raise UsageError("nothing was erased: add --yes to erase it, or --dry-run to only look")
        if not click.confirm("Erase this?"):
            echo("nothing was erased")
            return 1
    report = run(only_look=False)
    _show(report, as_json=as_json)
    return 1 if report.remains else 0


def _asks(dry_run: bool) -> bool:
    """Tell whether somebody is there to be asked."""
    return not dry_run and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _allow(index: str, names: tuple[str, ...]) -> int:
    from rag.cli.output import say
    from rag.erasure.forget import allow

    allow(index, names)
    say(f"{index}: builds read {', '.join(names)} again")
    return 0


def _check(
    index: str, text: str, sources: tuple[str, ...], files: tuple[Path, ...], settings: dict[str, Any],
    as_json: bool,
) -> int:  # fmt: skip
    """Look for what is left, and show it."""
    from rag.cli.output import say
    from rag.erasure.check import check

    if text == _BY_SOURCE and not sources:
        raise UsageError("--check looks for --source NAME, or for the text of --check FILE: name one")
    with reporting("store of answers, reviews or receipts"):
        result = check(
            index, sources, text=None if text == _BY_SOURCE else Path(text), files=files, settings=settings
        )
    if as_json:
        print_json(asdict(result))
    else:
        for each in result.remains:
            echo(f"  {each}")
        for note in result.notes:
            say(note, "dim")
        what = f"{len(result.remains)} places hold something" if result.remains else "nothing is left"
        say(f"{index}: {what} ({result.looked_for})", "yellow" if result.remains else "green")
    return 1 if result.remains else 0


def _show(report: Forgotten, *, as_json: bool) -> None:
    from rag.cli.output import say

    if as_json:
        print_json(report.to_dict())
        return
    verb = "erased" if report.done else "would be erased"
    count = len(report.documents)
    say(f"{report.index}: {counted(count, 'document')} {verb}")
    for name in report.documents[:_MOST]:
        echo(f"  {name}")
    if count > _MOST:
        echo(f"  and {count - _MOST} more")
    say(f"index: {counted(report.chunks, 'chunk')} of the current version, "
        f"{counted(report.rows, 'row')} in all; "
        f"{'rewritten' if report.done else 'to rewrite'}: {_versions(report.versions)}"
        + (f"; version {report.version} is current" if report.done else ""))  # fmt: skip
    for number, why in report.dropped.items():
        say(f"version {number} {'was' if report.done else 'would be'} dropped: {why}", "yellow")
    for store in report.stores:
        if store.count:
            kind = store.kind if store.count > 1 else store.kind.removesuffix("s")
            echo(f"{store.count} {kind}: {store.place}")
    if report.copies:
        say(f"other sources with the same bytes, which stay: {', '.join(report.copies)}", "yellow")
    for note in report.notes:
        say(note)
    say("not reached:")
    for line in report.not_reached:
        echo(f"  {line}")
    for each in report.remains:
        say(f"left: {each}", "red")
    if report.done and not report.remains:
        say(
            f"no piece of their texts is left in {report.index} and its stores ({report.seconds:.1f} s)",
            "green",
        )


def _versions(numbers: tuple[int, ...]) -> str:
    return f"version{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}" if numbers else "no version"


COMMANDS: tuple[click.Command, ...] = (forget,)
