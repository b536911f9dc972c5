"""``rag eval --models … --prompts …``: answer with several configurations, and say which one to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.judging import Grading
from rag.cli.options import Command, names_of, print_json, replacing, with_options
from rag.cli.output import bar, say, show_table, show_warnings, warn
from rag.cli.query_settings import query_settings
from rag.cli.reporting import explain_words, refuse_no_folder, write_report
from rag.cli.terminal import echo, json_text
from rag.core.errors import UsageError
from rag.core.format import counted, shortened

if TYPE_CHECKING:
    from rag.evaluation.answers_compared import AnswersCompared
    from rag.evaluation.configurations import Configuration
    from rag.evaluation.learn_routes import Learned


def quality_options(command: Command) -> Command:
    """Add the options that say which configuration is best, and which is as good."""
    return with_options(command, [
        click.option("--metric", default="correct", show_default=True, metavar="NAME",
                     help="The quality that decides, e.g. correct or cite_recall."),
        click.option("--margin", type=float, default=0.02, show_default=True, metavar="SHARE",
                     help="How much worse than the best the cheapest may be."),
    ])  # fmt: skip


def comparing_options(command: Command) -> Command:
    """Add the options of comparing configurations by their answers."""
    return with_options(quality_options(command), [
        click.option("--models", metavar="NAME=MODEL,…",
                     help="Answer with each of these: haiku, sonnet, opus, a model's id, local, openai:…"),
        click.option("--prompts", metavar="A,B,…", help="Answer with each of these prompts."),
        click.option("--plan", is_flag=True, help="Price the answers without asking for any."),
        click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png",
                     help="Draw quality against dollars."),
        click.option("--rule", type=click.Path(path_type=Path), metavar="FILE.toml",
                     help="Learn which model should answer what; write it for `rag ask --config`."),
    ])  # fmt: skip


def run(options: Mapping[str, Any], output: Path | None, worst: int, as_json: bool) -> int:
    """Measure and show configurations; with ``--plan`` what they will cost."""
    from rag.evaluation.compare_answers import check
    from rag.evaluation.configurations import configurations, named_models
    from rag.evaluation.judging.graders import metric_names
    from rag.evaluation.reports.compared import report

    refuse_no_folder(output, options["plot"], options["rule"], options["report"])
    settings = query_settings(
        options["index"], options["config_path"], options["bedrock"], options["embedder"]
    )
    models = named_models(options["models"]) if options["models"] else {}
    made = configurations(settings, models, names_of(options["prompts"]))
    if options["rule"] is not None and len(models) < 2:
        raise UsageError("--rule chooses among models: give two or more, with --models")
    pipes = _pipelines(options["index"], made)
    grading = Grading(options, next(iter(pipes.values())).meter)
    check(options["metric"], options["margin"], metric_names(grading.graders))
    if options["plan"]:
        if options["report"] is not None:
            raise UsageError("--plan asks for no answer, of which --report could tell: leave out one of them")
        return _plan(pipes, options, grading, as_json)
    _refuse_too_late(pipes, options)
    compared = _compare(pipes, options, grading)
    pairs = grading.compared(compared.evaluations[0], compared.evaluations[1:], bar())
    learned = _learn(compared, made) if options["rule"] is not None else None
    if output is not None:
        _write_questions(output, compared)
    first = compared.evaluations[0]
    write_report(
        options["report"], next(iter(pipes.values())).index, [each.question for each in first.questions],
        partial(report, compared, index=options["index"], options=explain_words(options),
                tables=[each.table() for each in pairs]),
    )  # fmt: skip
    if options["plot"] is not None:
        _draw(options["plot"], compared)
    if as_json:
        rule = {} if learned is None else {"rule": learned.to_dict()}
        beside = {"pairs": [each.to_dict() for each in pairs]} if pairs else {}
        print_json({**compared.to_dict(questions=False), **beside, **rule})
    else:
        show(compared, worst, log=options["log"])
        for each in pairs:
            show_table(each.table())
        if grading.cost:
            say(grading.cost, "dim")
    code = 0 if learned is None else _show_rule(learned, made, compared, options["rule"], as_json)
    show_warnings((*compared.notes, *(note for each in pairs for note in each.notes)), ())
    return code


def _refuse_too_late(pipes: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse what would fail once all is paid for: a rule without prices, a picture without matplotlib."""
    from rag.core.extras import require
    from rag.evaluation.answer_prices import unpriced

    if options["plot"] is not None:
        require("matplotlib.figure", extra="plots")
    if options["rule"] is not None:
        for name, pipe in pipes.items():
            if lacking := unpriced(pipe):
                raise UsageError(f"--rule needs prices, and {name} has none: {lacking[0]}")


def _pipelines(index: str, made: Sequence[Configuration]) -> dict[str, Any]:
    """Return a pipeline for each configuration, over one open index.

    Answers do not come from a response cache, which would cost nothing and take no time, nor do they go to
    a person.
    """
    from rag.config.open import Index
    from rag.pipeline import Pipeline

    first = made[0].settings
    opened = Index.open(index, embedder=first.get("embedder"), remote=first.get("remote"))
    left_out = ("embedder", "cache", "review")
    return {
        each.name or index: Pipeline(
            opened, settings={name: value for name, value in each.settings.items() if name not in left_out}
        )
        for each in made
    }


def _asked(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "where": options["where"], "mode": options["mode"], "tags": names_of(options["tags"]),
        "log": options["log"],
    }  # fmt: skip


def _plan(pipes: Mapping[str, Any], options: Mapping[str, Any], grading: Grading, as_json: bool) -> int:
    from rag.evaluation.answer_plan import plan_answers, table, total
    from rag.evaluation.golden_set import read
    from rag.evaluation.judging.plan import plan_judge

    plans = plan_answers(pipes, options["questions"], **_asked(options), progress=bar())
    if grading.judge is not None:
        asked = read(options["questions"], tags=names_of(options["tags"]))
        pipe = next(iter(pipes.values()))
        judging = plan_judge(
            grading.judge, asked, pipe.meter.prices, trimmer=pipe.trimmer, systems=len(pipes),
            labels=grading.labels, pairs=len(pipes) - 1 if grading.pairs else 0,
        )  # fmt: skip
        plans = (*plans, judging)
    if as_json:
        print_json({"configurations": [each.to_dict() for each in plans], "usd": total(plans),
                    "most_usd": total(plans, most=True)})  # fmt: skip
    else:
        show_table(table(plans))
    notes = dict.fromkeys(note for each in plans for note in each.notes)
    limit, most = next(iter(pipes.values())).meter.budget.stop_usd, total(plans, most=True)
    if limit is not None and most is not None and most > limit:
        notes["at most this is above stop_usd in [ledger]: what is above is refused"] = None
    show_warnings(tuple(notes), ())
    return 0


def _compare(pipes: Mapping[str, Any], options: Mapping[str, Any], grading: Grading) -> AnswersCompared:
    from rag.evaluation.compare_answers import compare_answers

    with telling_of(options["log"]):
        grading.calibrate(bar())
        return compare_answers(
            pipes, options["questions"], **_asked(options), metric=options["metric"],
            margin=options["margin"], parallel=options["parallel"],
            graders=grading.graders,
            progress=bar(),
        )  # fmt: skip


@contextmanager
def telling_of(log: Path | None) -> Iterator[None]:
    """Say where the answers are, if it is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        if log is not None and log.exists():
            warn(f"the answers so far are in {log}: the same command goes on from there")
        raise


def show(compared: AnswersCompared, worst: int, log: Path | None) -> None:
    """Print the tables, the choice, and questions that the configurations answer differently."""
    for table in compared.tables():
        show_table(table)
    for line in compared.verdict():
        say(line)
    again = sum(each.again for each in compared.evaluations)
    if again:
        say(f"{counted(again, 'answer')} from {log}, not asked again", "dim")
    rows = compared.disagreements()
    if not rows or not worst:
        return
    say(f"\nquestions that they answer differently ({len(rows)}):")
    texts = {each.question.id: each.question.question for each in compared.evaluations[0].questions}
    for name, values in rows[:worst]:
        shown = ", ".join(f"{value:.2f} {each}" for each, value in values.items())
        echo(f"  {name}: {shortened(texts[name], 70)}")
        echo(f"    {shown}")


def _write_questions(output: Path, compared: AnswersCompared) -> None:
    """Write a line for each question, with what each configuration answered."""
    by_name = {each.name: {one.question.id: one for one in each.questions} for each in compared.evaluations}
    with replacing(output) as sink:
        for one in compared.evaluations[0].questions:
            answers = {name: each[one.question.id].to_dict() for name, each in by_name.items()}
            row = {"id": one.question.id, "question": one.question.question, "answers": answers}
            sink.write(json_text(row) + "\n")


def _draw(path: Path, compared: AnswersCompared) -> None:
    from rag.evaluation.pareto import Point, draw

    points = [
        Point(each.name, each.metrics[compared.metric], each.metrics["usd"])
        for each in compared.evaluations if "usd" in each.metrics
    ]  # fmt: skip
    if not points:
        warn(f"{path} was not drawn: no configuration has a known price")
        return
    draw(path, points, metric=compared.metric, chosen=compared.cheapest)


def _learn(compared: AnswersCompared, made: Sequence[Configuration]) -> Learned:
    """Learn from the models with the prompt of the best configuration."""
    from rag.evaluation.learn_routes import learn

    prompt = next(each.prompt for each in made if each.name == compared.best)
    evaluations = {each.model: compared[each.name] for each in made if each.prompt == prompt}
    return learn(evaluations, compared.metric, compared.margin)


def _show_rule(
    learned: Learned, made: Sequence[Configuration], compared: AnswersCompared, path: Path, as_json: bool
) -> int:
    """Print the routing rule, and write it if it keeps the quality; return the exit code."""
    best = next(each for each in made if each.name == compared.best)
    if not as_json:
        say()
        for line in learned.lines():
            say(line)
        show_table(learned.table())
    if not learned.keeps:
        echo(f"rag: {path} was not written: the rule loses too much on held-out questions", err=True)
        return 1
    generators = {each.model: each.settings["generator"] for each in made}
    text = learned.toml(best.settings, generators)
    with replacing(path) as sink:
        sink.write(text)
    if not as_json:
        say(f"written: rag ask INDEX QUERY --config {path}", "dim")
    return 0
