"""``rag cost``: what calls have cost, from the ledgers of indexes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from rag.cli.maintenance import print_json
from rag.cli.options import CONFIG, JSON
from rag.core.errors import StoreMissingError, UsageError, near_miss

if TYPE_CHECKING:
    from rag.usage.ledger import By, Ledger


@click.command()
@click.argument("indexes", metavar="[INDEX]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--since", metavar="DATE|Nd", help="2026-11-01, or 7d for today and the six days before (UTC).")
@click.option(
    "--by", default="model", show_default=True, metavar="NAMES",
    help="Of model, day, tag, prompt, index and purpose, with commas between.",
)  # fmt: skip
@CONFIG
@JSON
def cost(
    indexes: tuple[Path, ...], since: str | None, by: str, config_path: Path | None, as_json: bool
) -> int:
    """Show what calls for INDEX have cost; without one, in rag.toml's ledger or of indexes/*."""
    from rag.bedrock.models import stale
    from rag.cli.output import say, show_costs
    from rag.usage.ledger import Spending, in_order

    names = _names(by)
    start = None if since is None else _day(since, dt.datetime.now(dt.UTC).date())
    ledgers = list(_ledgers(indexes, config_path))
    groups = in_order(
        (row for ledger, index in ledgers for row in ledger.rows(names, start, index=index)), names
    )
    total = sum(groups, Spending())
    nowhere = None if ledgers else "no index in indexes/ here has a ledger: name an index"
    notes = [note for note in (_without_price(total.unpriced), stale(), nowhere) if note]
    if as_json:
        rows = [dict(zip(names, each.group, strict=True)) | _figures(each) for each in groups]
        print_json({"by": names, "rows": rows, "total": _figures(total), "notes": notes})
    elif groups:
        show_costs(groups, names, notes)
    else:
        say("nothing was spent" + (f" since {start}" if start else "") + (f": {nowhere}" if nowhere else ""))
    return 0


def _names(given: str) -> list[By]:
    from rag.usage.ledger import By

    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in get_args(By):
            raise UsageError(f"--by knows no {name!r}: {near_miss(name, get_args(By))}")
    return cast("list[By]", list(dict.fromkeys(names)))


def _day(given: str, today: dt.date) -> dt.date:
    """Return the first day that counts."""
    days = re.fullmatch(r"([1-9]\d{0,4})d", given)
    try:
        return today - dt.timedelta(int(days[1]) - 1) if days else dt.date.fromisoformat(given)
    except ValueError:
        raise UsageError(f"--since is a date such as 2026-11-01, or days such as 7d, not {given!r}") from None


def _ledgers(indexes: tuple[Path, ...], config_path: Path | None) -> Iterator[tuple[Ledger, str | None]]:
    """Yield the ledgers to read, each once, and of which index alone."""
    from rag.config import settings as rag_toml
    from rag.index.storage.manifest import current_version
    from rag.usage.budget import name_of, settings
    from rag.usage.ledger import NAME, Ledger

    shared = settings(rag_toml.read(config_path).get("ledger")).path
    whole, names = [], []
    for index in indexes:
        own = index if index.is_file() else index / NAME
        if not own.is_file() and current_version(index) is None:
            raise StoreMissingError(f"there is no index at {index}: name an index, or a ledger's file")
        whole.append(own)
        names += [] if index.is_file() else [name_of(index)]
    if not indexes:
        whole = sorted(Path("indexes").glob(f"*/{NAME}")) if shared is None else [shared]
    whole = list(dict.fromkeys(path.resolve() for path in whole))
    yield from ((Ledger(path), None) for path in whole)
    if shared is not None and shared.resolve() not in whole:
        yield from ((Ledger(shared), name) for name in dict.fromkeys(names))


def _without_price(calls: int) -> str | None:
    if not calls:
        return None
    return f"{calls} call{'s' * (calls > 1)} of models without a known price: not in the dollars"


def _figures(each: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(each).items() if name != "group"}


COMMANDS: tuple[click.Command, ...] = (cost,)
