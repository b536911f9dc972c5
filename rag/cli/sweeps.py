"""``rag sweep``: build and measure combinations of settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rag.cli.answers import answer_options
from rag.cli.comparing import quality_options, show, telling_of
from rag.cli.options import (
    METADATA,
    METADATA_FROM_PATH,
    QUARANTINED,
    budgets_of,
    measuring_options,
    names_of,
    print_json,
    settings_of,
)
from rag.core.errors import UsageError


@click.command(short_help="Build and measure combinations of settings.")
@click.argument("source", metavar="SRC")
@click.argument("questions", metavar="QUESTIONS.jsonl")
@click.argument("folder", metavar="FOLDER")
@click.option("--set", "sets", multiple=True, required=True, metavar="STAGE.NAME=A,B,…",
              help="Values to try, the baseline first, e.g. chunker.max_tokens=48,64.")  # fmt: skip
@measuring_options
@answer_options
@quality_options
@METADATA
@METADATA_FROM_PATH
def sweep(
    as_json: bool, sets: tuple[str, ...], config_path: Path | None, answers: bool, **options: Any
) -> int:
    """Build and measure every combination of settings; write FOLDER/sweep.md, .json and .png.

    Each combination is compared with the first. A text is embedded once for all combinations. Run
    again after an interruption, a sweep continues where it stopped.

    With --answers the questions are answered, and paid for, with each combination, so that prompt.use,
    generator.model, generator.rules and trimmer.budget can be tried, too. A list of tables is written as
    JSON: generator.rules=[],[{"when":{"question_words_below":12},"tier":"small"}].
    """
    from rag.cli.output import bar

    grid = _grid(sets)
    settings = settings_of(config_path, bedrock=False, embedder=None)
    return (_answers if answers else _contexts)(grid, settings, options, as_json, bar())


def _contexts(
    grid: dict[str, list[Any]],
    settings: dict[str, Any],
    options: dict[str, Any],
    as_json: bool,
    progress: Any,
) -> int:
    from rag.cli.output import say, show_table, show_warnings
    from rag.evaluation.sweep import sweep as run

    names = ("source", "questions", "folder", "unit", "k", "copies", "metadata", "metadata_from_path")
    result = run(
        **{name: options[name] for name in names}, budgets=budgets_of(options["budgets"]), grid=grid,
        settings=settings, progress=progress,
    )  # fmt: skip
    if as_json:
        print_json(result.to_dict())
    else:
        show_table(result.table())
        say(f"see {options['folder']}/sweep.md and the files beside it", "dim")
    show_warnings(result.notes, result.quarantined)
    return QUARANTINED if result.quarantined else 0


def _answers(
    grid: dict[str, list[Any]],
    settings: dict[str, Any],
    options: dict[str, Any],
    as_json: bool,
    progress: Any,
) -> int:
    from rag.cli.output import say, show_warnings
    from rag.evaluation.answer_sweep import LOG, sweep_answers

    names = ("source", "questions", "folder", "metric", "margin", "log", "parallel", "metadata",
             "metadata_from_path")  # fmt: skip
    log = options["log"] or Path(options["folder"]) / LOG
    with telling_of(log):
        result = sweep_answers(
            **{name: options[name] for name in names}, tags=names_of(options["tags"]), grid=grid,
            settings=settings, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(result.to_dict())
    else:
        show(result.compared, 0, log=log)
        say(f"see {options['folder']}/sweep.md and the files beside it", "dim")
    show_warnings(result.notes, result.quarantined)
    return QUARANTINED if result.quarantined else 0


def _grid(sets: Sequence[str]) -> dict[str, list[Any]]:
    grid: dict[str, list[Any]] = {}
    for text in sets:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise UsageError(f"--set {text}: write STAGE.NAME=A,B, e.g. chunker.max_tokens=48,64")
        grid.setdefault(name, []).extend(_value(value) for value in _split(values))
    return grid


def _split(text: str) -> list[str]:
    """Split values at the commas that are in no brackets and no quotes of JSON.

    Examples
    --------
    >>> _split('a,[{"b": [1, 2]}],c')
    ['a', '[{"b": [1, 2]}]', 'c']
    """
    parts, depth, quoted, before = [""], 0, False, ""
    for mark in text:
        quoted ^= mark == '"' and before != "\\" and depth > 0
        depth += 0 if quoted else (mark in "[{") - (mark in "]}")
        if mark == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += mark
        before = mark
    return parts


def _value(text: str) -> Any:
    """Read a number, true or false; anything else as a name."""
    try:
        return json.loads(text)
    except ValueError:
        return text


COMMANDS: tuple[click.Command, ...] = (sweep,)
