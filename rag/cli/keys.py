"""``rag keys``: who may call `rag serve` and `rag mcp`, and what each sees and spends."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rag.cli.options import CONFIG, JSON, print_json
from rag.core.errors import UsageError
from rag.core.files import is_url
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.config.open import Index
    from rag.serving.keys import Key, KeyStore

_INDEX = click.argument("index", metavar="INDEX")


@click.group(short_help="API keys of those who may call the service.")
def keys() -> None:
    """Add, list, revoke and rotate the API keys of an index's service."""


def _store(index: str, config: Path | None) -> KeyStore:
    from rag.config import serving, settings
    from rag.core.errors import StoreMissingError
    from rag.serving.authenticators import key_store

    auth = serving.settings(settings.read(config).get("serving", {})).auth
    if is_url(index):
        if not auth.path:
            raise UsageError(
                f"the local copy of {index} is no place for keys: set path in [serving.auth] of rag.toml"
            )
        return key_store(auth, Path())
    if not auth.path and not (Path(index) / "CURRENT").exists():
        raise StoreMissingError(f"there is no index at {index}: build it first, or name another folder")
    return key_store(auth, Path(index))


def _expires(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})([dh])", text)
    if match is None:
        raise UsageError(f"--expires is {text!r}: write days or hours, e.g. 90d or 12h")
    return time.time() + int(match[1]) * (86_400 if match[2] == "d" else 3600)


@keys.command(short_help="Add a key; it is printed once.")
@_INDEX
@click.argument("name")
@click.option("--where", default="", metavar="FILTER", help="What its caller sees, and no more.")
@click.option("--tenant", default="", metavar="NAME", help="Whose answers are kept apart.  [default: its id]")
@click.option("--rpm", type=click.IntRange(min=1), metavar="N", help="Most requests a minute.")
@click.option("--tokens-per-day", type=click.IntRange(min=1), metavar="N", help="Most tokens a day (UTC).")
@click.option("--usd-per-day", type=click.FloatRange(min=0), metavar="X", help="Most dollars a day (UTC).")
@click.option("--expires", metavar="90d", help="Days or hours until it is refused.  [default: never]")
@CONFIG
def add(
    index: str, name: str, where: str, tenant: str, rpm: int | None, tokens_per_day: int | None,
    usd_per_day: float | None, expires: str | None, config_path: Path | None,
) -> int:  # fmt: skip
    """Add a key for NAME and print it: the key alone on standard output, once, as it is stored nowhere."""
    from rag.cli.output import warn
    from rag.serving.callers import Limits

    store = _store(index, config_path)
    if where:
        _check_filter(index, where, config_path)
    limits = Limits(rpm, tokens_per_day, usd_per_day)
    key, text = store.add(name, tenant=tenant, where=where, limits=limits, expires=_expires(expires))
    click.echo(text)
    warn(f"key {key.id} of {name}: keep it now, it is shown this once; it {_sees(key)}")
    return 0


def _check_filter(index: str, where: str, config: Path | None) -> None:
    """Refuse a filter that does not fit the index: it would fail each query of its caller."""
    if is_url(index) or (Path(index) / "CURRENT").exists():
        _opened(index, config).both(where)


def _opened(index: str, config: Path | None) -> Index:
    import rag
    from rag.config import settings

    return rag.Index.open(index, remote=settings.read(config).get("remote"))


def _sees(key: Key) -> str:
    return f"sees what matches {key.where}" if key.where else "sees every document"


@keys.command("list", short_help="List the keys.")
@_INDEX
@CONFIG
@JSON
def list_(index: str, config_path: Path | None, as_json: bool) -> int:
    """List the keys of INDEX; none can be read again."""
    from rag.cli.output import say, show_table
    from rag.core.format import utc_text
    from rag.core.table import Table

    found = _store(index, config_path).all()
    if as_json:
        print_json([each.to_dict() for each in found])
        return 0
    if not found:
        say(f"no keys: rag keys add {index} NAME")
        return 0
    rows = [
        (each.id, each.name, each.state(), each.where or "everything", _limits(each),
         "never" if each.used is None else utc_text(each.used))
        for each in found
    ]  # fmt: skip
    show_table(Table(f"keys of {index}", ("id", "name", "state", "sees", "limits", "last used"), rows))
    return 0


def _limits(key: Key) -> str:
    limits = key.limits
    named = (
        (limits.requests_per_minute, "{:,} requests/min"), (limits.tokens_per_day, "{:,} tokens/day"),
        (limits.usd_per_day, "${:g}/day"),
    )  # fmt: skip
    return ", ".join(form.format(value) for value, form in named if value is not None) or "none"


@keys.command(short_help="What a key sees: documents and chunks.")
@_INDEX
@click.argument("key", metavar="ID|NAME")
@CONFIG
@JSON
def show(index: str, key: str, config_path: Path | None, as_json: bool) -> int:
    """Show what a key sees of INDEX, its limits, and what it spent today."""
    from rag.cli.output import say
    from rag.serving.limits import Limiter
    from rag.serving.view import view

    store = _store(index, config_path)
    found = store.get(key)
    opened = _opened(index, config_path)
    seen = view(opened, found.caller.where)
    spent = Limiter(store.path.parent).spent(found.caller)
    if as_json:
        print_json({**found.to_dict(), "sees": asdict(seen),
                    "spent_today": {"tokens": spent.tokens, "usd": spent.usd}})  # fmt: skip
        return 0
    say(f"{found.id}  {found.name}: {found.state()}")
    say(f"it {_sees(found)}: {seen}")
    say(f"limits: {_limits(found)}; today {counted(spent.tokens, 'token')}, ${spent.usd:.4f}")
    return 0


@keys.command(short_help="Revoke a key: it is refused at once.")
@_INDEX
@click.argument("key", metavar="ID|NAME")
@CONFIG
def revoke(index: str, key: str, config_path: Path | None) -> int:
    """Revoke a key of INDEX: every process refuses it from its next request on."""
    from rag.cli.output import say

    found = _store(index, config_path).revoke(key)
    say(f"key {found.id} of {found.name} is revoked")
    return 0


@keys.command(short_help="Give a key a new secret.")
@_INDEX
@click.argument("key", metavar="ID|NAME")
@CONFIG
def rotate(index: str, key: str, config_path: Path | None) -> int:
    """Give a key of INDEX a new secret and print the key; the old one is refused from now on."""
    from rag.cli.output import warn

    found, text = _store(index, config_path).rotate(key)
    click.echo(text)
    warn(f"key {found.id} of {found.name} has a new secret: keep it now, it is shown this once")
    return 0


COMMANDS: tuple[click.Command, ...] = (keys,)
