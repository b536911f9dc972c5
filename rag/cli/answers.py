"""``rag eval --answers``: ask a golden set, and show what is right of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import Command, names_of, print_json, replacing, with_options
from rag.cli.terminal import echo, json_text

if TYPE_CHECKING:
    from rag.evaluation.answers import AnswersEvaluation

#: Most faults that are shown of one answer.
_FAULTS = 3


def answer_options(command: Command) -> Command:
    """Add the options of measuring answers."""
    return with_options(command, [
        click.option("--answers", is_flag=True, help="Answer the questions, and check the answers."),
        click.option("--log", type=click.Path(path_type=Path), metavar="FILE.jsonl",
                     help="Where answers are kept, so that none is asked for twice."),
        click.option("--tags", metavar="A,B,…", help="Only the questions that have one of these tags."),
        click.option("--parallel", type=click.IntRange(min=1), default=4, show_default="4", metavar="N",
                     help="Questions that are asked at the same time."),
    ])  # fmt: skip


def measure(pipe: Any, options: dict[str, Any]) -> AnswersEvaluation:
    """Ask the questions of a command's options, and return the measured answers."""
    from rag.cli.output import watch_steps
    from rag.evaluation.answers import evaluate_answers

    index = options["index"]
    with watch_steps() as step:
        results = evaluate_answers(
            {index: pipe}, options["questions"], where=options["where"], mode=options["mode"],
            tags=names_of(options["tags"]), log=options["log"], parallel=options["parallel"],
            progress=lambda done, of: step("questions", done, of),
        )  # fmt: skip
    return results[index]


def run(pipe: Any, options: dict[str, Any], output: Path | None, worst: int, as_json: bool) -> int:
    """Measure and show answers."""
    from rag.cli.output import say, show_table, show_warnings

    result = measure(pipe, options)
    if output is not None:
        with replacing(output) as sink:
            for scored in result.questions:
                sink.write(json_text(scored.to_dict()) + "\n")
    low = result.worst(worst)
    if as_json:
        print_json({**result.to_dict(questions=False), "worst": [each.to_dict() for each in low]})
    else:
        show_table(result.table())
        if result.again:
            say(f"{result.again} answers were in {options['log']} already", "dim")
        if low:
            say(f"\nanswers with faults ({sum(not each.correct for each in result.questions)} not correct):")
        for scored in low:
            text = " ".join(scored.question.question.split())
            echo(f"  {scored.question.id}: {text if len(text) <= 70 else text[:69] + '…'}")
            for fault in scored.faults[:_FAULTS]:
                echo(f"    {fault}")
    show_warnings(result.notes, ())
    return 0
