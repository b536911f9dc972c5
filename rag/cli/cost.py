"""``rag cost``: what calls have cost, from the ledgers of indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from rag.cli.options import CONFIG, JSON, SINCE, day_of, print_json
from rag.core.errors import StoreMissingError, UsageError, near_miss
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.usage.ledger import By, Ledger
    from rag.usage.prices import PriceTable
    from rag.usage.spending import Spending

#: Most models without a price that are named, each with how to enter one; the others are counted.
_NAMED = 5


@click.command(short_help="Show what calls have cost.")
@click.argument("indexes", metavar="[INDEX]...", nargs=-1, type=click.Path(path_type=Path))
@SINCE
@click.option(
    "--by", metavar="NAMES",
    help="Columns to group by, with commas: model, purpose, tag, account, day, prompt, index.  "
    "[default: model,purpose, and tag and account if set]",
)  # fmt: skip
@CONFIG
@JSON
def cost(
    indexes: tuple[Path, ...], since: str | None, by: str | None, config_path: Path | None, as_json: bool
) -> int:
    """Show what calls for INDEX have cost; without INDEX, all calls of rag.toml's ledger or of indexes/*."""
    from rag.cli.output import say, show_costs
    from rag.config import settings as rag_toml
    from rag.usage.prices import PriceTable, stale
    from rag.usage.spending import Spending, in_order

    start = None if since is None else day_of(since)
    settings = rag_toml.read(config_path)
    prices = PriceTable.from_settings(settings.get("prices"))
    chosen = None if by is None else _names(by)
    ledgers = list(_ledgers(indexes, settings.get("ledger")))

    def groups_by(names: Sequence[By]) -> list[Spending]:
        rows = (row for ledger, index in ledgers for row in ledger.rows(names, start, index=index))
        return in_order(rows, names)

    names = _usual(groups_by(("tag", "account"))) if chosen is None else chosen
    groups = groups_by(names)
    total = sum(groups, Spending())
    nowhere = None if ledgers else "no index in indexes/ here has a ledger: name an index"
    unpriced = _without_price(groups_by(("model", "purpose")), prices) if total.unpriced else []
    notes = [note for note in (*unpriced, stale(), nowhere) if note]
    if as_json:
        rows = [dict(zip(names, each.group, strict=True)) | _amounts(each) for each in groups]
        print_json({"by": names, "rows": rows, "total": _amounts(total), "notes": notes})
    elif groups:
        show_costs(groups, names, notes)
    else:
        say("nothing was spent" + (f" since {start}" if start else "") + (f": {nowhere}" if nowhere else ""))
    return 0


def _names(text: str) -> list[By]:
    from rag.usage.ledger import By

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in get_args(By):
            raise UsageError(f"--by knows no {name!r}: {near_miss(name, get_args(By))}")
    return cast("list[By]", list(dict.fromkeys(names)))


def _usual(labels: Sequence[Spending]) -> list[By]:
    """Return the columns that are shown by default: of tag and account those that distinguish calls."""
    names: list[By] = ["model", "purpose"]
    if any(tag for tag, _ in (each.group for each in labels)):
        names.append("tag")
    if any(account not in ("", tag) for tag, account in (each.group for each in labels)):
        names.append("account")
    return names


def _ledgers(indexes: tuple[Path, ...], settings: Any) -> Iterator[tuple[Ledger, str | None]]:
    """Yield each ledger to read, once, and the index to limit it to (None: all of them)."""
    from rag.index.storage.manifest import current_version
    from rag.usage import ledger_settings
    from rag.usage.ledger import NAME, Ledger

    shared = ledger_settings.settings(settings).path
    whole, names = [], []
    for index in indexes:
        path = index if index.is_file() else index / NAME
        if not path.is_file() and current_version(index) is None:
            raise StoreMissingError(f"there is no index at {index}: name an index, or a ledger's file")
        whole.append(path)
        names += [] if index.is_file() else [ledger_settings.name_of(index)]
    if not indexes:
        whole = sorted(Path("indexes").glob(f"*/{NAME}")) if shared is None else [shared]
    whole = list(dict.fromkeys(path.resolve() for path in whole))
    yield from ((Ledger(path), None) for path in whole)
    if shared is not None and shared.resolve() not in whole:
        yield from ((Ledger(shared), name) for name in dict.fromkeys(names))


def _without_price(groups: Sequence[Spending], prices: PriceTable) -> list[str]:
    """Return a note for each model with calls that have no price."""
    notes = []
    lacking = [group for group in groups if group.unpriced]
    for group in lacking[:_NAMED]:
        model, purpose = group.group
        plural = "s" * (group.unpriced > 1)
        calls = f"{group.unpriced:,} call{plural} of {model} ({purpose}) not in the dollars"
        known = prices.find(model) is not None and prices.cost_usd(model, _usage(group)) is not None
        why = "its price became known later" if known else prices.advice(model, purpose)
        notes.append(f"{calls}: {why}")
    if len(lacking) > _NAMED:
        rest = sum(group.unpriced for group in lacking[_NAMED:])
        notes.append(
            f"{counted(rest, 'call')} of {len(lacking) - _NAMED} more models not in the dollars: no price"
        )
    return notes


def _usage(spending: Spending) -> Any:
    from rag.core.calls import Usage

    return Usage(spending.input_tokens, spending.output_tokens)


def _amounts(spending: Spending) -> dict[str, Any]:
    return {name: value for name, value in asdict(spending).items() if name != "group"}


COMMANDS: tuple[click.Command, ...] = (cost,)
