"""``rag models``: the models that the account may call, with prices and abilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import click

from rag.cli.options import CONFIG, JSON, print_json
from rag.core.errors import RagError
from rag.core.format import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rag.bedrock.control.catalog import Access, Listed
    from rag.bedrock.models import Model
    from rag.usage.prices import PriceTable


@dataclass
class Row:
    """A model, as it is printed.

    Attributes
    ----------
    id : str
    provider : str
    modality : str
        E.g. ``"text, image -> text"``.
    profiles : list of str
        Inference profiles that call it.
    on_demand : bool or None
        Whether its bare id can be called; None where that is not known.
    context_tokens : int or None
    input, output, cache_read, cache_write : float or None
        US dollars per million tokens, by the model's bare id; None where no price is known.
    per_query : float or None
        US dollars, of a reranker.
    abilities : list of str
        What `rag` knows of it; empty for a model that it does not know.
    access : str
        ``"granted"``, what is missing, or why that is not known.
    legacy : bool
    """

    id: str
    provider: str = ""
    modality: str = ""
    profiles: list[str] = field(default_factory=list)
    on_demand: bool | None = None
    context_tokens: int | None = None
    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    per_query: float | None = None
    abilities: list[str] = field(default_factory=list)
    access: str = "not asked"
    legacy: bool = False


@click.command(short_help="List the models that you may call, with prices.")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--region", metavar="NAME", help="By default the environment's.")
@click.option("--profile", metavar="NAME", help="Of ~/.aws/config.")
@click.option("--offline", is_flag=True, help="List the models that rag knows, without AWS.")
@CONFIG
@JSON
def models(
    words: tuple[str, ...], region: str | None, profile: str | None, offline: bool,
    config_path: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """List the models and inference profiles of the account and region; of those with each WORD in the id.

    Prices are rag's own, per million tokens, with those of rag.toml.
    """
    from rag.bedrock.control import account
    from rag.config import settings as rag_toml
    from rag.usage.prices import PriceTable

    prices = PriceTable.from_settings(rag_toml.read(config_path).get("prices"))
    if offline:
        rows = [row for row in _known(prices) if _fits(row.id, words)]
    else:
        account.choose(region, profile)
        rows = _listed(prices, words, region)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        _show(rows, words)
    return 0


def _fits(id: str, words: tuple[str, ...]) -> bool:
    return all(word.lower() in id.lower() for word in words)


def _known(prices: PriceTable) -> Iterator[Row]:
    from rag.bedrock.models import MODELS
    from rag.usage.price_list import PRICES

    for id in sorted({*MODELS, *PRICES}):
        yield _priced(Row(id, id.partition(".")[0].capitalize()), MODELS.get(id), prices)


def _listed(prices: PriceTable, words: tuple[str, ...], region: str | None) -> list[Row]:
    from rag.bedrock.control.catalog import Catalog
    from rag.bedrock.models import find

    catalog = Catalog(region)
    listed = [model for model in catalog.models() if _fits(model.id, words)]
    profiles: dict[str, list[str]] = {}
    for profile in catalog.profiles():
        for model in profile.models:
            profiles.setdefault(model, []).append(profile.id)
    access = catalog.access_to(model.id for model in listed)
    return [
        _priced(_row(model, profiles.get(model.id, []), access[model.id]), find(model.id), prices)
        for model in listed
    ]


def _row(model: Listed, profiles: list[str], access: Access | RagError) -> Row:
    ways = " -> ".join(", ".join(kinds).lower() for kinds in (model.inputs, model.outputs) if kinds)
    told = str(access) if isinstance(access, RagError) else access.missing or "granted"
    return Row(
        model.id, model.provider, ways, profiles, model.on_demand, access=told, legacy=model.legacy,
        abilities=["streaming"] if model.streams else [],
    )  # fmt: skip


def _priced(row: Row, known: Model | None, prices: PriceTable) -> Row:
    """Add what `rag` knows of a model."""
    price = prices.find(row.id)
    if price is not None:
        row.per_query = price.per_query
        if price.per_query is None:
            row.input, row.output = price.input, price.output or None
    if known is None:
        return row
    row.context_tokens = known.context_tokens
    chat = known.kind == "chat"
    held = {
        "streaming": chat, "tools": chat, "guardrails": chat, "citations": known.citations,
        "JSON": known.structured, "prompt cache": known.cache_minimum is not None, "batch": bool(known.batch),
    }  # fmt: skip
    row.abilities = [name for name, there in held.items() if there]
    if known.batch is None:
        row.abilities.append("batch?")
    if price is not None and known.cache_minimum is not None:
        row.cache_read, row.cache_write = price.cache_read, price.cache_write
    return row


def _show(rows: list[Row], words: tuple[str, ...]) -> None:
    from rag.cli.output import say, show_warnings
    from rag.cli.terminal import on_one_line
    from rag.usage.prices import DATE, stale

    if not rows:
        say(
            f"no model has {' and '.join(words)} in its id: leave words out"
            if words
            else "there are no models"
        )
        return
    for row in rows:
        marks = "  (AWS retires it)" if row.legacy else ""
        say(on_one_line(f"{row.id}{marks}"), "bold")
        for text in filter(None, (_what(row), _how(row), _access(row))):
            say(on_one_line(f"    {text}"), "yellow" if text.startswith("no access") else "")
    what = "prices per million tokens of the bare id or its global profile; regional profiles may cost more"
    say(f"{counted(len(rows), 'model')}; {what}; of {DATE.isoformat()}", "dim")
    show_warnings([note for note in (stale(),) if note], ())


def _what(row: Row) -> str:
    context = f"{counted(row.context_tokens, 'token')}" if row.context_tokens else ""
    return "; ".join(
        filter(None, (row.provider, row.modality, context, _price(row), ", ".join(row.abilities)))
    )


def _price(row: Row) -> str:
    if row.per_query is not None:
        return f"${row.per_query:g} a query"
    if row.input is None:
        return "no price"
    out = f", ${row.output:g} out" if row.output is not None else ""
    cached = (
        f", cache ${row.cache_write:g} written, ${row.cache_read:g} read"
        if row.cache_read is not None
        else ""
    )
    return f"${row.input:g} in{out}{cached}"


def _how(row: Row) -> str:
    if row.on_demand is None:
        return ""
    ways = [*(["its id"] if row.on_demand else []), *row.profiles]
    return f"called by {', '.join(ways)}" if ways else "called by an inference profile; the region lists none"


def _access(row: Row) -> str:
    if row.access in ("granted", "not asked"):
        return "access granted" if row.access == "granted" else ""
    return f"no access: {row.access}"


COMMANDS: tuple[click.Command, ...] = (models,)
