"""``rag answer``: receipts of answers, and answers made again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, JSON, SINCE, day_of, print_json, settings_of
from rag.cli.terminal import echo, on_one_line
from rag.core.errors import UsageError
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.receipts.store import ReceiptStore

_INDEX = click.argument("index", metavar="INDEX", type=click.Path(path_type=Path))
_ID = click.argument("id", metavar="ID")
_FILE = click.option("--receipts", "path", type=click.Path(path_type=Path), metavar="FILE",
                     help="By default that of [receipts], else the index's.")  # fmt: skip


@click.group(short_help="Receipts of answers; make one again.")
def answer() -> None:
    """List, show and replay answers of which [receipts] in rag.toml keeps receipts."""


def _store(index: Path, path: Path | None, config: Path | None) -> ReceiptStore:
    from rag.receipts.settings import settings
    from rag.receipts.store import NAME, ReceiptStore

    if path is None:
        table = settings_of(config, False, None).get("receipts", True)
        path = Path(settings(table).path or index / NAME)
    if not path.exists():
        raise UsageError(f"there are no receipts at {path}: set [receipts] in rag.toml, and ask")
    return ReceiptStore(path)


@answer.command("list", short_help="List answers, the newest first.")
@_INDEX
@_FILE
@SINCE
@click.option("--tenant", metavar="NAME", help="Only those of a tenant.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="Most answers.")  # fmt: skip
@CONFIG
@JSON
def list_(
    index: Path, path: Path | None, since: str | None, tenant: str | None, limit: int,
    config_path: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """List the answers of INDEX that have a receipt."""
    from rag.core.format import shortened, utc_text

    at = 0.0
    if since:
        at = dt.datetime.combine(day_of(since), dt.time(), dt.UTC).timestamp()
    rows = _store(index, path, config_path).latest(limit, tenant=tenant, since=at)
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        verdict = "answered" if row["answered"] else "refused"
        echo(f"{row['id']}  {utc_text(row['at'])}  {verdict:<8}  {shortened(row['question'], 60)}")
    return 0


@answer.command(short_help="Show what an answer was made from.")
@_INDEX
@_ID
@_FILE
@CONFIG
@JSON
def show(index: Path, id: str, path: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Show the receipt of an answer of INDEX, by its id or the id's beginning."""
    from rag.core.format import utc_text

    row = _store(index, path, config_path).get(id)
    if as_json:
        print_json(row)
        return 0
    rows: dict[str, Any] = {
        "id": row["id"], "asked": utc_text(row["at"]), "question": row["question"],
        **({"searched as": row["search"]} if row["search"] != row["question"] else {}),
        "filter": row["where"] or "none", "index": f"{row['index']}, version {row['version']}",
        "prompt": f"{row['prompt']} {row['prompt_hash'][:12]}", "answered by": row["generator"],
        "tag": row["tag"] or "none", "tenant": row["tenant"] or "none",
        **({"from the cache": row["cached"]["id"] or row["cached"]["kind"]} if row["cached"] else {}),
    }  # fmt: skip
    for name, value in rows.items():
        echo(f"{name:<14} {on_one_line(str(value))}")
    usd = [call["usd"] for call in row["calls"]]
    echo(f"{'calls':<14} {len(usd)}, " + ("no known price" if None in usd else f"${sum(usd):.6f}"))
    for number, each in enumerate(row["passages"], 1):
        echo(f"passage {number:<6} {each['source']}:{each['start']}-{each['end']}  {each['sha256'][:12]}")
    for each in row["citations"]:
        state = "" if each["verified"] else "  not verified"
        echo(f"citation {each['number']:<5} {each['source']}:{each['start']}-{each['end']}{state}")
    for line in (row["text"] or f"text not kept; its SHA-256 is {row['text_sha256']}").splitlines():
        echo(line)
    return 0


@answer.command(short_help="Make an answer again; say what differs.")
@_INDEX
@_ID
@_FILE
@click.option("--ask", is_flag=True, help="Ask the model again, too: it is paid for.")
@CONFIG
@JSON
def replay(
    index: Path, id: str, path: Path | None, ask: bool, config_path: Path | None, as_json: bool
) -> int:
    """Retrieve and trim again for an answer of INDEX, on the version that it was made from.

    Exit code 0 if all is as it was, 1 if something differs.
    """
    import rag
    from rag.cli.output import say
    from rag.receipts.replay import replay as made_again

    row = _store(index, path, config_path).get(id)
    settings = settings_of(config_path, False, None)
    kept = {name: value for name, value in settings.items() if name not in ("cache", "review", "receipts")}
    found = made_again(
        row, lambda version: rag.Pipeline(rag.Index.open(index, version=version), settings=kept), ask=ask
    )
    if as_json:
        print_json(found.to_dict())
        return 0 if found.same else 1
    what = "retrieval, prompt and answer are" if ask else "retrieval and prompt are"
    say(f"{what} as they were" if found.same else "what differs:", "green" if found.same else "yellow")
    for line in (*found.differences, *found.text_diff):
        echo(f"  {line}")
    return 0 if found.same else 1


@answer.command(short_help="Erase receipts.")
@_INDEX
@click.argument("id", metavar="[ID]", required=False)
@_FILE
@click.option("--before", metavar="DATE", help="Erase all before this day (UTC).")
@CONFIG
def forget(
    index: Path, id: str | None, path: Path | None, before: str | None, config_path: Path | None
) -> int:
    """Erase the receipt of one answer of INDEX, or those before a day."""
    from rag.cli.output import say

    if (id is None) == (before is None):
        raise UsageError("name an answer's id, or give --before DATE")
    store = _store(index, path, config_path)
    at = None
    if before is not None:
        at = dt.datetime.combine(day_of(before, "--before"), dt.time(), dt.UTC).timestamp()
    count = store.forget(id=store.get(id)["id"] if id else None, before=at)
    say(f"{counted(count, 'receipt')} erased")
    return 0


COMMANDS: tuple[click.Command, ...] = (answer,)
