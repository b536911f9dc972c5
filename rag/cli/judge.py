"""``rag judge``: what a judge of answers is worth."""

from __future__ import annotations

from pathlib import Path

import click

from rag.cli.judging import cost_of, made_judge
from rag.cli.options import CONFIG, JSON, QUIET, names_of, print_json, settings_of
from rag.core.format import counted

_FILE = click.Path(path_type=Path)


@click.group(short_help="What a judge of answers is worth.")
def judge() -> None:
    """Judge answers by a chat model, and measure how far it agrees with people.

    `rag eval --answers --judge MODEL` uses it.
    """


@judge.command(short_help="Compare a judge with people, and find its biases.")
@click.argument("labels", metavar="LABELS.jsonl", type=_FILE)
@click.option("--judge", "model", required=True, metavar="MODEL", help="A chat model, e.g. sonnet.")
@click.option("--rubrics", metavar="A,B,…", help="By default those of the labels.")
@click.option("--votes", type=click.IntRange(1, 15), default=1, show_default=True, metavar="N",
              help="Votes for each verdict, an odd number.")  # fmt: skip
@click.option("--probes", type=click.IntRange(0), default=20, show_default=True, metavar="N",
              help="Answers judged again in other forms, to find biases; by rubric.")  # fmt: skip
@click.option("--min-kappa", type=click.FloatRange(0, 1), metavar="K", help="Exit 1 below this agreement.")
@click.option("--log", type=_FILE, metavar="FILE.jsonl", help="Keep verdicts, so that none is paid twice.")
@click.option("--index", metavar="INDEX", help="Record the calls in this index's ledger, within its budget.")
@CONFIG
@JSON
@QUIET
def calibrate(
    labels: Path, model: str, rubrics: str | None, votes: int, probes: int, min_kappa: float | None,
    log: Path | None, index: str | None, config_path: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Let a judge judge LABELS.jsonl, and print its agreement with people and its biases.

    A line is {"rubric", "question", "answer", "context": […], "reference", "label"}; the label is a score
    from 1 to 5, or true and false. Agreement is Cohen's kappa: weighted for scores.
    """
    from rag.cli.output import bar, say, show_table, show_warnings
    from rag.config import stages
    from rag.evaluation.judging.calibration import FEW, trusted
    from rag.evaluation.judging.calibration import calibrate as compare
    from rag.evaluation.judging.graders import Spending
    from rag.evaluation.judging.labels import read_labels

    rows = read_labels(labels)
    names = names_of(rubrics) or tuple(dict.fromkeys(each.rubric for each in rows))
    settings = settings_of(config_path, False, None)
    where = Path(index) if index else labels.absolute().parent
    spending = Spending(stages.meter(settings.get("ledger"), settings.get("prices"), where))
    judged = made_judge(model, names, votes, log, config_path)
    found = compare(judged, rows, spending=spending, probes=probes, progress=bar())
    problems = [] if min_kappa is None else trusted(found, list(found), min_kappa)
    notes = [
        f"{name}: {each.kappa.count} labels are few: the interval is wide"
        for name, each in found.items() if each.kappa.count < FEW
    ]  # fmt: skip
    notes += [
        f"{name}: {counted(each.failed, 'answer')} got no verdict"
        for name, each in found.items()
        if each.failed
    ]
    notes += [f"{name}: {each.unprobed} verdicts that look for biases failed"
              for name, each in found.items() if each.unprobed]  # fmt: skip
    if as_json:
        print_json({"rubrics": {name: each.to_dict() for name, each in found.items()},
                    "calls": len(spending.calls), "usd": spending.usd, "problems": problems})  # fmt: skip
    else:
        for each in found.values():
            for table in each.tables():
                show_table(table)
            for bias in each.found:
                say(f"{each.rubric}: {bias.name} bias: {bias.detail}", "bold yellow")
        if cost := cost_of(spending):
            say(cost, "dim")
        for line in problems:
            say(f"not good enough: {line}", "red")
    show_warnings(notes, ())
    return 1 if problems else 0


@judge.command(short_help="List the rubrics, or show one.")
@click.argument("name", required=False, metavar="[NAME]")
@JSON
def rubrics(name: str | None, as_json: bool) -> int:
    """List the rubrics, or show what one says."""
    from rag.cli.output import show_table
    from rag.cli.terminal import echo
    from rag.core.table import Table
    from rag.evaluation.judging.rubric import PAIRWISE, SHIPPED, rubric

    made = [rubric(each) for each in ([name] if name else (*SHIPPED, PAIRWISE))]
    if as_json:
        print_json([{"name": each.name, "version": each.version, "needs": list(each.needs),
                     "hash": each.hash, "text": each.text} for each in made])  # fmt: skip
    elif name:
        for line in made[0].text.splitlines():
            echo(line)
    else:
        rows = [(each.label, ", ".join(each.needs), each.text.partition("?")[0] + "?") for each in made]
        show_table(Table("rubrics of a judge", ("rubric", "needs", "question"), rows))
    return 0


COMMANDS: tuple[click.Command, ...] = (judge,)
