"""``rag search | context | explain | ask``: one question, or a file of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.jobs import ASK_IN_BATCH, NO_WAIT, ROLE_ARN, selected
from rag.cli.options import (
    BEDROCK,
    CONFIG,
    EMBEDDER,
    INDEX,
    JSON,
    MODE,
    QUIET,
    UNIT,
    Command,
    answer_row,
    hit_rows,
    print_json,
    replacing,
    with_options,
)
from rag.cli.query_settings import query_settings
from rag.cli.schema import SCHEMA, fields_of, read_schema, show_data
from rag.cli.terminal import json_text
from rag.core.errors import RagError, SourceError, UsageError
from rag.core.json_lines import read_json_lines
from rag.core.progress import tracked

if TYPE_CHECKING:
    from rag.bedrock.storage.batch_settings import BatchSettings
    from rag.core.answers import Answer

#: A line of a file of questions.
_LINE = '{"id": …, "question": "…"}, "where" if needed'


def _question_options(command: Command) -> Command:
    return with_options(command, [
        INDEX,
        click.argument("question", metavar="QUERY", required=False),
        click.option("-k", type=click.IntRange(min=1), metavar="N", help="How many chunks to retrieve."),
        click.option("--where", metavar="FILTER", help="E.g. \"year >= 2024 and 'gdpr' in tags\"."),
        MODE,
        click.option("--questions", type=click.Path(path_type=Path), metavar="FILE.jsonl",
                     help='In place of QUERY: {"id", "question", "where"?} lines.'),
        click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
                     help="Where to write the results of --questions."),
        click.option("--version", type=int, metavar="N", help="Another version than the current one."),
        EMBEDDER, BEDROCK, CONFIG, JSON, QUIET,
    ])  # fmt: skip


def _budget_options(command: Command) -> Command:
    return with_options(command, [
        click.option("--budget", type=click.IntRange(min=1), metavar="N", help="Largest context to send."),
        UNIT,
    ])  # fmt: skip


@click.command(short_help="Find the chunks of INDEX that match QUERY best.")
@_question_options
def search(**options: Any) -> int:
    """Find the chunks of INDEX that match QUERY best."""
    from rag.cli.output import show_hits, show_warnings

    pipe, as_json, answer_all = _open(options, _Retrieval)
    retriever = pipe.retriever
    if getattr(retriever, "reranker", None) is not None:
        show_warnings(("these hits are not reranked: `rag context` shows what the reranker picks",), ())

    def run(question: str, query: dict[str, Any]) -> Any:
        from rag.retrieval.search import HybridSearch

        if not isinstance(retriever, HybridSearch):
            raise UsageError("rag search needs rag's retriever: leave `use` out of [retriever]")
        query = {**query, "k": query["k"] or 8, "mode": query["mode"] or retriever.mode}
        return pipe.index.search(question, **query, lexical_weight=retriever.lexical_weight)

    return answer_all(
        run, lambda hits: {"hits": hit_rows(hits)},
        (lambda hits: print_json(hits.to_dict()))
        if as_json else show_hits,
    )  # fmt: skip


@click.command(short_help="Show the context that would be sent for QUERY.")
@_question_options
@_budget_options
def context(budget: int | None, unit: str | None, **options: Any) -> int:
    """Show the context that would be sent for QUERY, within --budget."""
    from rag.cli.output import show_context

    pipe, as_json, answer_all = _open(options)
    return answer_all(
        lambda question, query: pipe.context(question, **query, budget=budget, unit=unit),
        lambda context: {"hits": hit_rows(context.hits), "used": context.used},
        (lambda context: print_json(context.to_dict())) if as_json else show_context,
    )


@click.command(short_help="Show where a passage was lost.")
@_question_options
@_budget_options
@click.option("--expect", required=True, metavar="PASSAGE", help="Lost passage: TEXT, or SOURCE[:START-END].")
def explain(budget: int | None, unit: str | None, expect: str, **options: Any) -> int:
    """Show at which stage a passage that QUERY should find was lost, and what would have kept it."""
    from rag.cli.output import show_explanation

    pipe, as_json, answer_all = _open(options)
    return answer_all(
        lambda question, query: pipe.explain(question, expect, **query, budget=budget, unit=unit),
        lambda explanation: explanation.to_dict(),
        (lambda explanation: print_json(explanation.to_dict())) if as_json else show_explanation,
    )


@click.command(short_help="Answer QUERY from INDEX, with citations.")
@_question_options
@_budget_options
@click.option("--generator", metavar="NAME", help="local, claude, MODULE:CLASS, provider:model.")
@click.option("--tag", metavar="LABEL", help="Recorded with the calls; see `rag cost --by tag`.")
@SCHEMA
@ASK_IN_BATCH
@ROLE_ARN
@NO_WAIT
@click.option("--on-demand", is_flag=True, help="With --batch: ask what no job takes at full price.")
def ask(
    budget: int | None,
    unit: str | None,
    tag: str | None,
    schema: str | None,
    batch: str | None,
    role_arn: str | None,
    no_wait: bool,
    on_demand: bool,
    **options: Any,
) -> int:
    """Answer QUERY from INDEX, with citations."""
    from rag.cli.output import show_answer

    config = options["config_path"]
    jobs = selected(batch, role_arn, config, {"--no-wait": no_wait, "--on-demand": on_demand})
    if jobs is not None and options["questions"] is None:
        raise UsageError("--batch answers a file: give --questions FILE.jsonl and --output FILE.jsonl")
    form = read_schema(schema)
    pipe, as_json, answer_all = _open(options)
    if jobs is not None:
        return _ask_by_jobs(
            pipe, options, jobs, config=config, wait=not no_wait, on_demand=on_demand, schema=form,
            budget=budget, unit=unit, tag=tag,
        )  # fmt: skip

    def row(answer: Answer) -> dict[str, Any]:
        more = {} if form is None else {"data": json.loads(answer.text), "fields": fields_of(answer)}
        return {**answer_row(answer), **more}

    show = show_answer if form is None else show_data
    return answer_all(
        lambda question, query: pipe.ask(question, **query, budget=budget, unit=unit, tag=tag, schema=form),
        row, (lambda answer: print_json(answer.to_dict())) if as_json else show,
    )  # fmt: skip


def _ask_by_jobs(pipe: Any, options: dict[str, Any], jobs: BatchSettings, **more: Any) -> int:
    """Answer a file of questions by batch jobs."""
    from rag.answer_batches.questions import Item
    from rag.cli.answer_batch import ask_by_jobs

    if options["questions"] is None:
        raise UsageError(
            "--batch answers a file of questions: give --questions FILE.jsonl and --output FILE.jsonl"
        )
    items = [
        Item(item["id"], item["question"], None if where is None else where.to_string())
        for item, where in _items(pipe.index, options)
    ]
    return ask_by_jobs(
        pipe, items, jobs, questions=options["questions"], output=options["output"], k=options["k"],
        mode=options["mode"], **more,
    )  # fmt: skip


class _Retrieval:
    """An index and its retriever: all that a search needs, and faster to import than a pipeline."""

    def __init__(self, index: str, settings: dict[str, Any]) -> None:
        from rag.config import stages
        from rag.config.open import open_index

        self.index = open_index(index, settings.get("embedder"), plain=True, remote=settings.get("remote"))
        self.retriever = stages.retriever(settings.get("retriever"), self.index, plain=True)


def _pipeline(index: str, settings: dict[str, Any]) -> Any:
    from rag.pipeline import Pipeline

    return Pipeline(index, settings=settings, plain=True)


def _open(
    options: dict[str, Any], open_: Callable[[str, dict[str, Any]], Any] = _pipeline
) -> tuple[Any, bool, Callable[..., int]]:
    """Open what answers questions; return it, --json, and what runs one question or a file of them."""
    settings = query_settings(
        options["index"], options["config_path"], options["bedrock"], options["embedder"],
        options.get("generator"),
    )  # fmt: skip
    question, questions, output = options["question"], options["questions"], options["output"]
    if (question is None) == (questions is None):
        raise UsageError("give either a QUERY or --questions FILE.jsonl")
    if (questions is None) != (output is None):
        raise UsageError("--questions and --output go together")
    if output is not None and options["as_json"]:
        raise UsageError("--json is for one QUERY; --output is JSON already")
    query = {"where": options["where"], "k": options["k"], "mode": options["mode"]}
    pipe = open_(_version(options, settings), settings)

    def answer_all(run: Command, row: Command, show: Command) -> int:
        if question is not None:
            show(run(question, query))
            return 0
        items = list(_items(pipe.index, options))  # checked before the first question costs anything
        from rag.cli.output import bar

        with replacing(output) as sink:
            for item, where in tracked(bar(), "questions", items, "question"):
                result = run(item["question"], {**query, "where": where})
                sink.write(json_text({"id": item["id"], **row(result)}) + "\n")
        return 0

    return pipe, options["as_json"], answer_all


def _version(options: dict[str, Any], settings: dict[str, Any]) -> Any:
    """Return the index's path, or the version of it that is asked for."""
    if options["version"] is None:
        return options["index"]
    from rag.config.open import Index

    return Index.open(options["index"], version=options["version"], plain=True, remote=settings.get("remote"))


def _items(index: Any, options: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the questions of a file, each with its filter and the command line's, combined."""
    path = options["questions"]
    for place, item in _read_questions(path):
        try:
            yield item, index.both(options["where"], item.get("where"))
        except RagError as error:
            raise type(error)(f"{place}, question {item['id']!r}: {error}") from None


def _read_questions(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the questions of a file, each with its place for messages."""
    for place, item in read_json_lines(path, _LINE):
        text = item.get("question") if isinstance(item, dict) else None
        if not isinstance(text, str) or not text.strip() or "id" not in item:
            raise SourceError(f"{place}: write {_LINE}")
        yield place, item


COMMANDS: tuple[click.Command, ...] = (search, context, ask, explain)
