"""``rag cache responses``: what it holds, emptying it, and the threshold of similar questions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, JSON, print_json, reporting
from rag.core.errors import SourceError, StoreMissingError, UsageError
from rag.core.json_lines import read_json_lines

if TYPE_CHECKING:
    from rag.response_cache.semantic import Pair
    from rag.response_cache.store import ResponseStore

#: The fields of a labelled pair of questions.
_FIELDS: tuple[tuple[str, type], ...] = (("a", str), ("b", str), ("same", bool))
_LINE = '{"a": "…", "b": "…", "same": true or false}'
_INDEX = click.argument("index", metavar="[INDEX]", required=False, type=click.Path(path_type=Path))


@click.group(short_help="Inspect, empty or calibrate a response cache.")
def responses() -> None:
    """Inspect, empty or calibrate the cache of answers that [cache.responses] in rag.toml names.

    Without that table it is INDEX/responses.sqlite.
    """


@responses.command("info")
@_INDEX
@CONFIG
@JSON
def responses_info(index: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Show what a response cache holds."""
    from rag.cli.output import say

    store = _store(index, config_path)
    with reporting("response cache"):
        held = store.holdings()
    if as_json:
        print_json(asdict(held))
        return 0
    size = "" if held.bytes is None else f", {held.bytes / 1e6:.1f} MB"
    most = "" if held.max_bytes is None else f" of at most {held.max_bytes / 1e6:,.0f} MB"
    count = "entries are not counted" if held.entries is None else f"{held.entries:,} entries"
    say(f"{held.place}: {count}{size}{most}")
    return 0


@responses.command("clear")
@_INDEX
@CONFIG
def responses_clear(index: Path | None, config_path: Path | None) -> int:
    """Delete all answers of a response cache."""
    from rag.cli.output import say

    store = _store(index, config_path)
    with reporting("response cache"):
        count, place = store.clear(), store.holdings().place
    say(f"{place}: {count} entries deleted")
    return 0


@responses.command("calibrate")
@click.argument("index", metavar="INDEX")
@click.argument("pairs", metavar="PAIRS.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--most-false", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True,
    metavar="SHARE", help="Most pairs with two answers that may count as the same.",
)  # fmt: skip
@CONFIG
@JSON
def responses_calibrate(
    index: str, pairs: Path, most_false: float, config_path: Path | None, as_json: bool
) -> int:
    """Measure from which cosine similar questions have one answer, on pairs that you have labelled.

    Each line of PAIRS.jsonl is {"a": "…", "b": "…", "same": true or false}.
    """
    from rag.cli.output import say
    from rag.config import settings as rag_toml
    from rag.config.open import open_index
    from rag.response_cache.semantic import calibrate

    opened = open_index(index, rag_toml.read(config_path).get("embedder"), plain=True)
    labelled = list(_read(pairs))
    try:
        result = calibrate(labelled, opened.question_vector, most_false)
    except ValueError as error:
        raise UsageError(f"{pairs}: {error}") from None
    if as_json:
        rates = {"false_hit_rate": result.false_hit_rate, "false_hit_bound": result.false_hit_bound}
        print_json({**asdict(result), **rates})
    else:
        say(str(result))
    return 0


def _store(index: Path | None, config_path: Path | None) -> ResponseStore:
    from rag.config import settings as rag_toml
    from rag.config.around import response_cache_of

    settings = rag_toml.read(config_path)
    cache = response_cache_of(settings, index or Path())
    if index is None and (cache is None or _in_folder(cache.store)):
        raise UsageError("name an INDEX: rag.toml names no place for [cache.responses]")
    if index is not None and not index.is_dir():
        raise StoreMissingError(f"there is no index at {index}: name an index's folder")
    cache = cache or response_cache_of({"responses": True}, index or Path())
    assert cache is not None
    return cache.store


def _in_folder(store: Any) -> bool:
    """Tell whether a store is the file in an index's folder that is meant where none is named."""
    from rag.response_cache.sqlite_store import NAME, SqliteStore

    return isinstance(store, SqliteStore) and store.path == Path(NAME)


def _read(path: Path) -> list[Pair]:
    from rag.response_cache.semantic import Pair

    pairs = []
    for place, row in read_json_lines(path, _LINE):
        try:
            values = [row[name] for name, kind in _FIELDS if isinstance(row[name], kind)]
            pairs.append(Pair(*values))  # too few where one is of another type
        except (KeyError, TypeError):
            raise SourceError(f"{place}: write {_LINE}") from None
    return pairs
