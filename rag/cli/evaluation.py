"""Commands that measure: ``rag eval | sweep``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.maintenance import print_json
from rag.cli.options import (
    BEDROCK,
    CONFIG,
    EMBEDDER,
    JSON,
    METADATA,
    METADATA_FROM_PATH,
    QUARANTINED,
    query_settings,
    replacing,
    settings_of,
)
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.evaluation import Evaluation

#: Lost passages for which a ready command line is shown.
_EXPLAINED = 3

Command = Callable[..., Any]


def _measuring_options(command: Command) -> Command:
    for option in reversed([
        click.option("--budgets", default="1000,2000,4000,8000", show_default=True, metavar="N,N,…",
                     help="Sizes of context to measure; `own` for the trimmer's own."),
        click.option("--unit", type=click.Choice(["chars", "tokens"]), default="chars", show_default=True),
        click.option("-k", type=click.IntRange(min=1), default=10, show_default=True,
                     help="How many documents of a ranking count."),
        click.option("--copies", is_flag=True, help="A verbatim copy of evidence elsewhere serves as well."),
        CONFIG, JSON,
    ]):  # fmt: skip
        command = option(command)
    return command


@click.command("eval")
@click.argument("index", metavar="INDEX")
@click.argument("questions", metavar="QUESTIONS.jsonl")
@_measuring_options
@click.option("--mode", type=click.Choice(["hybrid", "dense", "lexical"]))
@click.option("--where", metavar="FILTER", help="Added to each question's own filter.")
@EMBEDDER
@BEDROCK
@click.option("--against", metavar="INDEX2", help="Compare with another index.")
@click.option("--against-config", type=click.Path(path_type=Path), metavar="FILE",
              help="Compare with other settings on the same index.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Where to write each question's values.")  # fmt: skip
@click.option("--worst", type=click.IntRange(min=0), default=5, show_default=True, metavar="N",
              help="How many of the worst questions to show.")  # fmt: skip
def evaluate(as_json: bool, output: Path | None, worst: int, **options: Any) -> int:
    """Measure how much of the evidence for QUESTIONS.jsonl is in the contexts that INDEX gives.

    A question is {"id", "question", "where"?, "evidence": [{"source", "start", "end"}]} and/or
    "gold": [SOURCE, …]; the intervals hold 95 % of the means over resampled questions.
    """
    from rag.cli.output import say, show_table, show_warnings
    from rag.evaluation import compare, read

    if options["against"] and options["against_config"]:
        raise UsageError("give either --against or --against-config")
    asked = read(options["questions"])
    found = _measure(asked, options, options["index"], options["config_path"])
    comparison = None
    if options["against"] or options["against_config"]:
        index, config = options["against"] or options["index"], options["config_path"]
        comparison = compare(found, _measure(asked, options, index, options["against_config"] or config))
    if output is not None:
        with replacing(output) as sink:
            for scored in found.questions:
                sink.write(json.dumps(scored.to_dict(), ensure_ascii=False) + "\n")
    if as_json:
        low = [scored.to_dict() for scored in found.worst(worst)]
        rest = {} if comparison is None else {"comparison": comparison.to_dict()}
        print_json({**found.to_dict(questions=False), "worst": low, **rest})
    else:
        for table in found.tables():
            show_table(table)
        say(f"a question takes {_ms(found, 'p50')} ms (median; 95 % within {_ms(found, 'p95')} ms)", "dim")
        if comparison is not None:
            show_table(comparison.table())
        _show_worst(found, worst, options)
    show_warnings((*found.notes, *(comparison.notes if comparison else ())), ())
    return 0


def _ms(found: Evaluation, which: str) -> str:
    return f"{1000 * found.seconds[which]:.0f}"


def _measure(asked: Sequence[Any], options: dict[str, Any], index: str, config: Path | None) -> Evaluation:
    import rag
    from rag.cli.output import watch_steps
    from rag.evaluation import evaluate as measure

    settings = query_settings(index, config, options["bedrock"], options["embedder"])
    if index != options["index"]:
        settings = _own_embedder(index, settings)
    # Nothing is generated: a model of AWS that the settings name is not even made.
    kept = {name: value for name, value in settings.items() if name not in ("prompt", "generator", "cache")}
    pipe = rag.Pipeline(index, settings=kept)
    given = {name: options[name] for name in ("unit", "k", "copies", "where", "mode")}
    name = index if config is None else f"{index} with {config}"
    with watch_steps() as step:
        return measure(
            pipe, asked, budgets=_budgets(options["budgets"]), name=name, **given,
            progress=lambda done, of: step(name, done, of),
        )  # fmt: skip


def _own_embedder(index: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Let another index choose its own embedder, if that is local: the one named is the first index's."""
    from rag.config.registry import LOCAL
    from rag.index.storage.manifest import read_manifest

    own = read_manifest(Path(index)).embedder.name in LOCAL
    return {name: value for name, value in settings.items() if not own or name != "embedder"}


def _budgets(given: str) -> tuple[int, ...]:
    if given == "own":
        return ()
    try:
        return tuple(int(part) for part in given.split(","))
    except ValueError:
        raise UsageError(
            f"--budgets is {given!r}: write numbers with commas, e.g. 1000,2000; or own"
        ) from None


def _show_worst(found: Evaluation, count: int, options: dict[str, Any]) -> None:
    from rag.cli.output import say

    low = [scored for scored in found.worst(count) if scored.values[found.headline] < 1]
    if not low:
        return
    say(f"\nthe worst by {found.headline}:")
    for scored in low:
        text = " ".join(scored.question.question.split())
        short = text if len(text) <= 70 else text[:69] + "…"
        say(f"  {scored.values[found.headline]:.2f}  {scored.question.id}: {short}")
    lost = [scored for scored in low if scored.lost][:_EXPLAINED]
    if lost:
        say("\nwhere they are lost:")
        for scored in lost:
            click.echo("  " + shlex.join(_explaining(found, scored, options)))  # to copy: never broken


def _explaining(found: Evaluation, scored: Any, options: dict[str, Any]) -> list[str]:
    """Return the command that says where a question's first lost passage was lost."""
    words = ["rag", "explain", options["index"], scored.question.question, "--expect", scored.lost[0]]
    if scored.tokens and found.budgets:
        words += ["--budget", str(found.budgets[-1])]
        words += ["--unit", "tokens"] if found.unit == "tokens" else []
    given = {"where": scored.where, "mode": options["mode"], "embedder": options["embedder"],
             "config": options["config_path"]}  # fmt: skip
    for name, value in given.items():
        words += [f"--{name}", str(value)] if value else []
    return words + (["--bedrock"] if options["bedrock"] else [])


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("questions", metavar="QUESTIONS.jsonl")
@click.argument("folder", metavar="FOLDER")
@click.option("--set", "sets", multiple=True, required=True, metavar="STAGE.NAME=A,B,…",
              help="Values to try, e.g. chunker.max_tokens=48,64; the first is compared with.")  # fmt: skip
@_measuring_options
@METADATA
@METADATA_FROM_PATH
def sweep(as_json: bool, sets: tuple[str, ...], config_path: Path | None, **options: Any) -> int:
    """Build and measure every combination of settings; write FOLDER/sweep.md, .json and .png.

    What one setting has embedded is not embedded again for another. Each combination is compared
    with the first. Stopped, and run again, it goes on.
    """
    from rag.cli.output import say, show_table, show_warnings, watch_steps
    from rag.evaluation import sweep as run

    grid = _grid(sets)
    options["budgets"] = _budgets(options["budgets"])
    settings = settings_of(config_path, bedrock=False, embedder=None)
    with watch_steps() as step:
        found = run(**options, grid=grid, settings=settings, progress=step)
    if as_json:
        print_json(found.to_dict())
    else:
        show_table(found.table())
        say(f"see {options['folder']}/sweep.md and what stands beside it", "dim")
    show_warnings(found.notes, found.quarantined)
    return QUARANTINED if found.quarantined else 0


def _grid(sets: Sequence[str]) -> dict[str, list[Any]]:
    grid: dict[str, list[Any]] = {}
    for given in sets:
        name, equals, values = given.partition("=")
        if not equals or not values:
            raise UsageError(f"--set {given}: write STAGE.NAME=A,B, e.g. chunker.max_tokens=48,64")
        grid.setdefault(name, []).extend(_value(value) for value in values.split(","))
    return grid


def _value(text: str) -> Any:
    """Read a number, true or false; anything else is a name."""
    try:
        return json.loads(text)
    except ValueError:
        return text


COMMANDS: tuple[click.Command, ...] = (evaluate, sweep)
