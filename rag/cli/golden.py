"""``rag golden``: golden sets."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import CONFIG, EMBEDDER, JSON, QUIET, print_json, replacing
from rag.cli.query_settings import query_settings
from rag.cli.terminal import echo, json_text
from rag.core.errors import UsageError
from rag.core.format import counted
from rag.core.progress import Progress

if TYPE_CHECKING:
    from rag.evaluation.drafting.suggest import Suggestions


@click.group(short_help="Check golden sets, draft their questions.")
def golden() -> None:
    """Check golden sets, and draft their questions (rag/evaluation/README.md)."""


@golden.command(short_help="Print the JSON Schema of a golden set's lines.")
def schema() -> int:
    """Print the JSON Schema of a golden set's lines."""
    from rag.evaluation.golden_set import json_schema

    print_json(json_schema())
    return 0


@golden.command(short_help="Find contradictions, duplicates, stale evidence and leaks.")
@click.argument("questions", metavar="FILE.jsonl")
@click.argument("index", metavar="[INDEX]", required=False)
@click.option("--held-out", metavar="FILE2.jsonl", help="Questions on which nothing is chosen: find leaks.")
@JSON
def check(questions: str, index: str | None, held_out: str | None, as_json: bool) -> int:
    """Find what is wrong with the golden set FILE.jsonl; exit with 1 if there are errors.

    Contradictions and questions that are asked twice; with INDEX, evidence that no longer stands in its
    documents, and filters that do not fit; with --held-out, questions and evidence in both files.
    """
    from rag.cli.output import say
    from rag.evaluation.golden_check import check as run

    result = run(questions, index, held_out)
    if as_json:
        print_json(result.to_dict())
    else:
        for finding in result.findings:
            echo(str(finding))
        say(result.summary, "" if not result.errors else "bold yellow")
    return 1 if result.errors else 0


@golden.command(short_help="Draft questions with evidence, for a person to accept.")
@click.argument("index", metavar="INDEX")
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="The most drafts.")  # fmt: skip
@click.option("--generator", metavar="NAME",
              help="A chat model that writes them, e.g. claude; paid for.  [default: rules]")  # fmt: skip
@click.option("--from-log", type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Draft what users asked: one of each group of questions that ask the same.")  # fmt: skip
@click.option("--against", metavar="FILE.jsonl", help="A golden set whose questions are not drafted again.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Where to write them.  [default: standard output]")  # fmt: skip
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Another choice of passages."
)
@EMBEDDER
@CONFIG
@QUIET
def suggest(index: str, output: Path | None, **options: Any) -> int:
    """Draft questions on the documents of INDEX, with evidence and answer; they count once accepted.

    Each is found by the default retrieval, and is answered by one document alone. `rag golden accept`
    accepts drafts; until then no measurement takes them.
    """
    from rag.cli.output import show_warnings, warn
    from rag.core.format import dollars

    if output is not None and output.exists():
        raise UsageError(f"{output} exists: write to another file, or delete it")
    if output is None:
        found = _suggestions(index, **options)
        for draft in found:
            click.echo(json_text(draft.row()))
    else:
        found = _written(index, output, options)
    paid = [call.usage.cost_usd or 0.0 for call in found.calls]
    if any(paid):
        warn(f"{counted(len(paid), 'call')}, {dollars(sum(paid))}")
    show_warnings(found.notes, ())
    return 0


def _written(index: str, output: Path, options: dict[str, Any]) -> Suggestions:
    """Write drafts into a file as they come, then list them."""
    from rag.cli.output import bar, say

    drafts = []
    with replacing(output) as sink:
        found = _suggestions(index, **options, progress=bar())
        for draft in found:
            sink.write(json_text(draft.row()) + "\n")
            sink.flush()  # what was paid for is kept, whatever comes
            drafts.append(draft)
    for draft in drafts:
        echo(f"{draft.id}  {draft.question}")
    say(f"{counted(len(drafts), 'draft')} in {output}: accept the good ones: rag golden accept {output} ID …")
    return found


def _suggestions(
    index: str,
    *,
    count: int,
    generator: str | None,
    from_log: Path | None,
    against: str | None,
    seed: int,
    embedder: str | None,
    config_path: Path | None,
    progress: Progress | None = None,
) -> Suggestions:
    import rag
    from rag.evaluation.drafting.from_log import suggest_from_log
    from rag.evaluation.drafting.suggest import suggest as run

    settings = query_settings(index, config_path, False, embedder, generator or "local")
    pipe = rag.Pipeline(index, settings=settings)
    if from_log is not None:
        return suggest_from_log(pipe, from_log, count, against=against, progress=progress)
    model = None if generator in (None, "local") else pipe.generator
    return run(pipe, count, model=model, against=against, seed=seed, progress=progress)


@golden.command(short_help="Accept drafts: they are measured from then on.")
@click.argument("questions", metavar="FILE.jsonl")
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option("--by", metavar="NAME", help="Who accepts them.  [default: the name you are logged in with]")
def accept(questions: str, ids: tuple[str, ...], by: str | None) -> int:
    """Accept the drafts with these ids in FILE.jsonl, and write into them who did, and when."""
    from rag.cli.output import say
    from rag.evaluation.golden_accept import accept as run

    run(questions, ids, by if by is not None else _user())
    say(f"{questions}: {len({*ids})} accepted")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("who accepts is not known: give --by NAME") from None


COMMANDS: tuple[click.Command, ...] = (golden,)
