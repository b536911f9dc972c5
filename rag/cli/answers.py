"""``rag eval --answers``: ask a golden set, and show what is right of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.judging import Grading, judge_options
from rag.cli.options import Command, names_of, print_json, replacing, with_options
from rag.cli.reporting import explain_words, refuse_no_folder, write_report
from rag.cli.terminal import echo, json_text
from rag.core.errors import UsageError
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.evaluation.answers import AnswersEvaluation

#: Most faults that are shown of one answer.
_FAULTS = 3


def answer_options(command: Command) -> Command:
    """Add the options of measuring answers."""
    return with_options(judge_options(command), [
        click.option("--answers", is_flag=True, help="Answer the questions, and check the answers."),
        click.option("--log", type=click.Path(path_type=Path), metavar="FILE.jsonl",
                     help="Where answers are kept, so that none is asked for twice."),
        click.option("--baseline", is_flag=True,
                     help="Let the system of [baseline] answer, too, and compare."),
        click.option("--pairs", is_flag=True,
                     help="Let the judge compare two systems' answers side by side, in both orders."),
        click.option("--tags", metavar="A,B,…", help="Only the questions that have one of these tags."),
        click.option("--parallel", type=click.IntRange(min=1), default=4, show_default="4", metavar="N",
                     help="Questions that are asked at the same time."),
    ])  # fmt: skip


def measure(
    pipes: Mapping[str, Any], options: dict[str, Any], grading: Grading
) -> dict[str, AnswersEvaluation]:
    """Ask systems the questions of a command's options, and return the measured answers of each."""
    from rag.cli.output import bar
    from rag.evaluation.answers import evaluate_answers

    grading.calibrate(bar())
    return evaluate_answers(
        pipes, options["questions"], where=options["where"], mode=options["mode"],
        tags=names_of(options["tags"]), log=options["log"], parallel=options["parallel"],
        graders=grading.graders, progress=bar(),
    )  # fmt: skip


def run(
    pipe: Any, options: dict[str, Any], output: Path | None, worst: int, as_json: bool, baseline: Any = None
) -> int:
    """Measure and show answers, and those of a baseline beside them."""
    from rag.cli.output import bar, say, show_table, show_warnings
    from rag.evaluation.compare_answers import against
    from rag.evaluation.reports.answers import report

    refuse_no_folder(output, options["report"])
    index = options["index"]
    if options["pairs"] and baseline is None:
        raise UsageError("--pairs compares two systems: add --baseline, or --models or --prompts")
    grading = Grading(options, pipe.meter)
    pipes = {index: pipe} if baseline is None else {index: pipe, "baseline": baseline}
    results = measure(pipes, options, grading)
    result, other = results[index], results.get("baseline")
    pairs = [] if other is None else grading.compared(result, [other], bar())
    comparison = None if other is None else against(result, other)
    if output is not None:
        with replacing(output) as sink:
            for scored in result.questions:
                sink.write(json_text(scored.to_dict()) + "\n")
    write_report(
        options["report"], pipe.index, [each.question for each in result.questions],
        partial(report, result, other=other, comparison=comparison, index=index,
                options=explain_words(options), tables=[each.table() for each in pairs]),
    )  # fmt: skip
    low = result.worst(worst)
    if as_json:
        more: dict[str, Any] = {}
        if other is not None and comparison is not None:
            more = {"baseline": other.to_dict(questions=False), "comparison": comparison.to_dict()}
        if pairs:
            more["pairs"] = [each.to_dict() for each in pairs]
        print_json({**result.to_dict(questions=False), "worst": [each.to_dict() for each in low], **more})
    else:
        show_table(result.table())
        if other is not None and comparison is not None:
            show_table(other.table())
            caption = f"{comparison.a} minus {comparison.b}"
            show_table(replace(comparison.table(), caption=caption))
        for each in pairs:
            show_table(each.table())
        if result.again:
            say(f"{counted(result.again, 'answer')} from {options['log']}, not asked again", "dim")
        if low:
            say(f"\nanswers with faults ({sum(not each.correct for each in result.questions)} not correct):")
        for scored in low:
            text = " ".join(scored.question.question.split())
            echo(f"  {scored.question.id}: {text if len(text) <= 70 else text[:69] + '…'}")
            for fault in scored.faults[:_FAULTS]:
                echo(f"    {fault}")
        if grading.cost:
            say(grading.cost, "dim")
    show_warnings((*result.notes, *(note for each in pairs for note in each.notes)), ())
    return 0
