"""``rag eval``: measure contexts and answers on a golden set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.answers import answer_options
from rag.cli.answers import run as run_answers
from rag.cli.comparing import comparing_options
from rag.cli.comparing import run as compare
from rag.cli.options import (
    BEDROCK,
    EMBEDDER,
    MODE,
    budgets_of,
    measuring_options,
    print_json,
    replacing,
)
from rag.cli.query_settings import measuring_settings, query_settings
from rag.cli.reporting import explain_words, refuse_no_folder, write_report
from rag.cli.terminal import echo, json_text
from rag.core.errors import UsageError
from rag.core.progress import within

if TYPE_CHECKING:
    from rag.evaluation.evaluate import Evaluation

#: Most lost passages for which a ready command line is shown.
_EXPLAINED = 3


@click.command("eval", short_help="Measure how much evidence reaches the contexts.")
@click.argument("index", metavar="INDEX")
@click.argument("questions", metavar="QUESTIONS.jsonl")
@measuring_options
@MODE
@click.option("--where", metavar="FILTER", help="Combined with each question's filter.")
@EMBEDDER
@BEDROCK
@click.option("--against", metavar="INDEX2", help="Compare with another index.")
@click.option("--against-config", type=click.Path(path_type=Path), metavar="FILE",
              help="Compare with other settings.")  # fmt: skip
@answer_options
@comparing_options
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Where to write each question's values.")  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE.html",
              help="Write a report: one file, to be read in a browser.")  # fmt: skip
@click.option("--worst", type=click.IntRange(min=0), default=5, show_default="5", metavar="N",
              help="How many of the worst questions to show.")  # fmt: skip
def evaluate(
    as_json: bool, output: Path | None, worst: int, answers: bool, **options: Any
) -> int:  # fmt: skip
    """Measure how much of the evidence for QUESTIONS.jsonl is in the contexts from INDEX.

    A question is {"id", "question", "where"?, "evidence": [{"source", "start", "end"}]} and/or
    "gold": [SOURCE, …]. The intervals hold 95 % of the means over resampled questions.

    With --answers every question is answered, and paid for, and the answer is checked against the keys of
    `rag golden schema`; with --models and --prompts it is with each of them, and the answers are compared.
    """
    several = bool(options["models"] or options["prompts"])
    if not (answers or several) and (options["plan"] or options["rule"] or options["plot"]):
        raise UsageError("--plan, --plot and --rule are about answers: add --answers, --models or --prompts")
    if answers or several:
        if options["against"] or options["against_config"]:
            raise UsageError("--against compares contexts: compare answers with --models and --prompts")
        if several or options["plan"] or options["rule"] or options["plot"]:
            if options["baseline"]:
                raise UsageError("--baseline goes with --answers alone: leave out --models and --prompts")
            return compare(options, output, worst, as_json)
        return _answers(options, output, worst, as_json)
    if options["baseline"]:
        raise UsageError("--baseline compares answers: give --answers")
    if options["judge"] or options["grade"]:
        raise UsageError("--judge and --grade are about answers: add --answers")
    import rag
    from rag.cli.output import say, show_table, show_warnings
    from rag.evaluation.compare import compare as compare_contexts
    from rag.evaluation.golden_set import read
    from rag.evaluation.reports.contexts import report

    refuse_no_folder(output, options["report"])
    if options["against"] and options["against_config"]:
        raise UsageError("give either --against or --against-config")
    questions = read(options["questions"])
    result = _measure(questions, options, options["index"], options["config_path"])
    other, comparison = None, None
    if options["against"] or options["against_config"]:
        index, config = options["against"] or options["index"], options["config_path"]
        other = _measure(questions, options, index, options["against_config"] or config)
        comparison = compare_contexts(result, other)
    if output is not None:
        with replacing(output) as sink:
            for scored in result.questions:
                sink.write(json_text(scored.to_dict()) + "\n")
    if options["report"] is not None:
        write_report(
            options["report"], rag.Index.open(options["index"]), questions,
            partial(report, result, other=other, comparison=comparison, index=options["index"],
                    options=_words(result, options)),
        )  # fmt: skip
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
    from rag.cli.output import bar
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
    return measure(
        pipe, questions, budgets=budgets_of(options["budgets"]), name=name, **selected,
        progress=within(bar(), name),
    )  # fmt: skip


def _for_other_index(index: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Let another index find its embedder itself, if that is local: the settings name the first index's."""
    from rag.config.registry import LOCAL
    from rag.index.storage.manifest import read_manifest

    local = read_manifest(Path(index)).embedder.name in LOCAL
    return {name: value for name, value in settings.items() if not local or name != "embedder"}


def _show_worst(result: Evaluation, count: int, options: dict[str, Any]) -> None:
    from rag.cli.output import say
    from rag.evaluation.explaining import explain_command

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
        for scored in lost:  # to copy: not wrapped
            asked, words = scored.question.question, _words(result, options)
            echo("  " + explain_command(options["index"], asked, scored.lost[0], scored.where, words))


def _words(result: Evaluation, options: dict[str, Any]) -> list[str]:
    """Return the options of ``rag explain``: the largest budget, and the way that was measured."""
    budget = ["--budget", str(result.budgets[-1])] if result.budgets else []
    unit = ["--unit", "tokens"] if budget and result.unit == "tokens" else []
    return [*budget, *unit, *explain_words(options)]


COMMANDS: tuple[click.Command, ...] = (evaluate,)
