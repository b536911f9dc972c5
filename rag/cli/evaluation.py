"""Commands that measure: ``rag eval | sweep``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.answers import answer_options
from rag.cli.answers import run as run_answers
from rag.cli.options import (
    BEDROCK,
    CONFIG,
    EMBEDDER,
    JSON,
    METADATA,
    METADATA_FROM_PATH,
    MODE,
    QUARANTINED,
    Command,
    measuring_settings,
    print_json,
    query_settings,
    replacing,
    settings_of,
    with_options,
)
from rag.cli.terminal import echo, json_text
from rag.core.errors import UsageError

if TYPE_CHECKING:
    from rag.evaluation.evaluate import Evaluation

#: Most lost passages for which a ready command line is shown.
_EXPLAINED = 3


def _measuring_options(command: Command) -> Command:
    return with_options(command, [
        click.option("--budgets", default="1000,2000,4000,8000", show_default=True, metavar="N,N,…",
                     help="Sizes of context to measure; `own` for the trimmer's."),
        click.option("--unit", type=click.Choice(["chars", "tokens"]), default="chars", show_default=True,
                     metavar="UNIT", help="chars or tokens."),
        click.option("-k", type=click.IntRange(min=1), default=10, show_default="10", metavar="N",
                     help="How many documents of a ranking count."),
        click.option("--copies", is_flag=True, help="Count verbatim copies of evidence elsewhere."),
        CONFIG, JSON,
    ])  # fmt: skip


@click.command("eval", short_help="Measure how much evidence reaches the contexts.")
@click.argument("index", metavar="INDEX")
@click.argument("questions", metavar="QUESTIONS.jsonl")
@_measuring_options
@MODE
@click.option("--where", metavar="FILTER", help="Combined with each question's filter.")
@EMBEDDER
@BEDROCK
@click.option("--against", metavar="INDEX2", help="Compare with another index.")
@click.option("--against-config", type=click.Path(path_type=Path), metavar="FILE",
              help="Compare with other settings.")  # fmt: skip
@click.option("--prompts", metavar="A,B,…", help="Answer with each of these prompts, and compare.")
@answer_options
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Where to write each question's values.")  # fmt: skip
@click.option("--worst", type=click.IntRange(min=0), default=5, show_default="5", metavar="N",
              help="How many of the worst questions to show.")  # fmt: skip
def evaluate(
    as_json: bool, output: Path | None, worst: int, prompts: str | None, answers: bool, **options: Any
) -> int:  # fmt: skip
    """Measure how much of the evidence for QUESTIONS.jsonl is in the contexts from INDEX.

    A question is {"id", "question", "where"?, "evidence": [{"source", "start", "end"}]} and/or
    "gold": [SOURCE, …]. The intervals hold 95 % of the means over resampled questions.

    With --answers every question is answered, and paid for, and the answer is checked against the keys of
    `rag golden schema`; with --prompts it is with each prompt.
    """
    if answers:
        if options["against"] or options["against_config"] or prompts:
            raise UsageError("--answers measures one configuration: leave out --against and --prompts")
        return _answers(options, output, worst, as_json)
    if options["baseline"]:
        raise UsageError("--baseline compares answers: give --answers")
    if prompts is not None:
        if options["against"] or options["against_config"] or output:
            raise UsageError("--prompts compares answers: leave out --against, --against-config and --output")
        return _compare_prompts(prompts, as_json, options)
    from rag.cli.output import say, show_table, show_warnings
    from rag.evaluation.compare import compare
    from rag.evaluation.golden_set import read

    if options["against"] and options["against_config"]:
        raise UsageError("give either --against or --against-config")
    questions = read(options["questions"])
    result = _measure(questions, options, options["index"], options["config_path"])
    comparison = None
    if options["against"] or options["against_config"]:
        index, config = options["against"] or options["index"], options["config_path"]
        other = _measure(questions, options, index, options["against_config"] or config)
        comparison = compare(result, other)
    if output is not None:
        with replacing(output) as sink:
            for scored in result.questions:
                sink.write(json_text(scored.to_dict()) + "\n")
    if as_json:
        low = [scored.to_dict() for scored in result.worst(worst)]
        rest = {} if comparison is None else {"comparison": comparison.to_dict()}
        print_json({**result.to_dict(questions=False), "worst": low, **rest})
    else:
        for table in result.tables():
            show_table(table)
        say(f"a question takes {_ms(result, 'p50')} ms (median; 95 % within {_ms(result, 'p95')} ms)", "dim")
        if comparison is not None:
            show_table(comparison.table())
        _show_worst(result, worst, options)
    show_warnings((*result.notes, *(comparison.notes if comparison else ())), ())
    return 0


def _answers(options: dict[str, Any], output: Path | None, worst: int, as_json: bool) -> int:
    import rag
    from rag.config import stages

    settings = measuring_settings(
        options["index"], options["config_path"], options["bedrock"], options["embedder"]
    )
    pipe = rag.Pipeline(options["index"], settings=settings)
    baseline = (
        stages.baseline(settings.get("baseline"), pipe.index, pipe.meter) if options["baseline"] else None
    )
    return run_answers(pipe, options, output, worst, as_json, baseline)


def _ms(result: Evaluation, quantile: str) -> str:
    return f"{1000 * result.seconds[quantile]:.0f}"


def _measure(
    questions: Sequence[Any], options: dict[str, Any], index: str, config: Path | None
) -> Evaluation:
    import rag
    from rag.cli.output import watch_steps
    from rag.evaluation.evaluate import evaluate as measure

    settings = query_settings(index, config, options["bedrock"], options["embedder"])
    if index != options["index"]:
        settings = _for_other_index(index, settings)
    # Nothing is generated: a model on AWS that the settings name is not even constructed.
    without = ("prompt", "generator", "cache", "review")
    kept = {name: value for name, value in settings.items() if name not in without}
    pipe = rag.Pipeline(index, settings=kept)
    selected = {name: options[name] for name in ("unit", "k", "copies", "where", "mode")}
    name = index if config is None else f"{index} with {config}"
    with watch_steps() as step:
        return measure(
            pipe, questions, budgets=_budgets(options["budgets"]), name=name, **selected,
            progress=lambda done, of: step(name, done, of),
        )  # fmt: skip


def _compare_prompts(names: str, as_json: bool, options: dict[str, Any]) -> int:
    import rag
    from rag.cli.output import show_table, watch_steps
    from rag.evaluation.variants import compare_prompts

    settings = measuring_settings(
        options["index"], options["config_path"], options["bedrock"], options["embedder"]
    )
    table = settings.get("prompt")
    given = table if isinstance(table, dict) else {}
    rest = {name: value for name, value in given.items() if name not in ("use", "variants")}
    pipes = [
        rag.Pipeline(options["index"], settings={**settings, "prompt": {"use": name.strip(), **rest}})
        for name in names.split(",")
    ]
    with watch_steps() as step:
        result = compare_prompts(
            pipes, options["questions"], where=options["where"], mode=options["mode"],
            progress=lambda done, of: step("questions", done, of),
        )  # fmt: skip
    if as_json:
        print_json(result.to_dict())
    else:
        for shown in result.tables():
            show_table(shown)
    return 0


def _for_other_index(index: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Let another index find its embedder itself, if that is local: the settings name the first index's."""
    from rag.config.registry import LOCAL
    from rag.index.storage.manifest import read_manifest

    local = read_manifest(Path(index)).embedder.name in LOCAL
    return {name: value for name, value in settings.items() if not local or name != "embedder"}


def _budgets(text: str) -> tuple[int, ...]:
    if text == "own":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--budgets is {text!r}: write numbers with commas, e.g. 1000,2000; or own"
        ) from None


def _show_worst(result: Evaluation, count: int, options: dict[str, Any]) -> None:
    from rag.cli.output import say

    low = [scored for scored in result.worst(count) if scored.values[result.headline] < 1]
    if not low:
        return
    say(f"\nthe worst by {result.headline}:")
    for scored in low:
        text = " ".join(scored.question.question.split())
        short = text if len(text) <= 70 else text[:69] + "…"
        say(f"  {scored.values[result.headline]:.2f}  {scored.question.id}: {short}")
    lost = [scored for scored in low if scored.lost][:_EXPLAINED]
    if lost:
        say("\nwhere they are lost:")
        for scored in lost:
            echo("  " + shlex.join(_explaining(result, scored, options)))  # to copy: not wrapped


def _explaining(result: Evaluation, scored: Any, options: dict[str, Any]) -> list[str]:
    """Return the command that shows where a question's first lost passage was lost."""
    words = ["rag", "explain", options["index"], scored.question.question, "--expect", scored.lost[0]]
    if scored.tokens and result.budgets:
        words += ["--budget", str(result.budgets[-1])]
        words += ["--unit", "tokens"] if result.unit == "tokens" else []
    values = {"where": scored.where, "mode": options["mode"], "embedder": options["embedder"],
             "config": options["config_path"]}  # fmt: skip
    for name, value in values.items():
        words += [f"--{name}", str(value)] if value else []
    return words + (["--bedrock"] if options["bedrock"] else [])


@click.command(short_help="Build and measure combinations of settings.")
@click.argument("source", metavar="SRC")
@click.argument("questions", metavar="QUESTIONS.jsonl")
@click.argument("folder", metavar="FOLDER")
@click.option("--set", "sets", multiple=True, required=True, metavar="STAGE.NAME=A,B,…",
              help="Values to try, the baseline first, e.g. chunker.max_tokens=48,64.")  # fmt: skip
@_measuring_options
@METADATA
@METADATA_FROM_PATH
def sweep(as_json: bool, sets: tuple[str, ...], config_path: Path | None, **options: Any) -> int:
    """Build and measure every combination of settings; write FOLDER/sweep.md, .json and .png.

    Each combination is compared with the first. A text is embedded once for all combinations. Run
    again after an interruption, a sweep continues where it stopped.
    """
    from rag.cli.output import say, show_table, show_warnings, watch_steps
    from rag.evaluation.sweep import sweep as run

    grid = _grid(sets)
    options["budgets"] = _budgets(options["budgets"])
    settings = settings_of(config_path, bedrock=False, embedder=None)
    with watch_steps() as step:
        result = run(**options, grid=grid, settings=settings, progress=step)
    if as_json:
        print_json(result.to_dict())
    else:
        show_table(result.table())
        say(f"see {options['folder']}/sweep.md and the files beside it", "dim")
    show_warnings(result.notes, result.quarantined)
    return QUARANTINED if result.quarantined else 0


def _grid(sets: Sequence[str]) -> dict[str, list[Any]]:
    grid: dict[str, list[Any]] = {}
    for text in sets:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise UsageError(f"--set {text}: write STAGE.NAME=A,B, e.g. chunker.max_tokens=48,64")
        grid.setdefault(name, []).extend(_value(value) for value in values.split(","))
    return grid


def _value(text: str) -> Any:
    """Read a number, true or false; anything else as a name."""
    try:
        return json.loads(text)
    except ValueError:
        return text


COMMANDS: tuple[click.Command, ...] = (evaluate, sweep)
