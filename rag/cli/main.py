"""The command line: ``rag build | plan | search | …``; each other family has a file beside this one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag import __version__
from rag.cli import batch as batches
from rag.cli import cost, emulator, evaluation, maintenance
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
from rag.core.errors import RagError, SourceError, UsageError

if TYPE_CHECKING:
    from rag.building.report import BuildPlan, BuildReport
    from rag.core.answers import Answer
    from rag.core.passages import Hit

Command = Callable[..., Any]


def _build_options(command: Command) -> Command:
    for option in reversed([
        click.argument("source", metavar="SRC"), click.argument("index", metavar="INDEX"),
        EMBEDDER, BEDROCK, CONFIG,
        METADATA, METADATA_FROM_PATH,
        click.option("--include", multiple=True, metavar="GLOB", help="Read only these files."),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Leave these files out."),
        click.option("--ocr", metavar="NAME", help="Read scanned pages: tesseract, or MODULE:FUNCTION."),
        click.option("--cache", metavar="FILE", help="The embedding cache; by default INDEX/cache.sqlite."),
        click.option("--rebuild", is_flag=True, help="Start empty, e.g. to change the embedder."),
        click.option("--retry", is_flag=True, help="Read quarantined files again."), JSON,
    ]):  # fmt: skip
        command = option(command)
    return command


def _query_options(command: Command) -> Command:
    for option in reversed([
        click.argument("index", metavar="INDEX"),
        click.argument("question", metavar="QUERY", required=False),
        click.option("-k", type=click.IntRange(min=1), help="How many chunks to retrieve."),
        click.option("--where", metavar="FILTER", help="E.g. \"year >= 2024 and 'gdpr' in tags\"."),
        click.option("--mode", type=click.Choice(["hybrid", "dense", "lexical"])),
        click.option("--questions", type=click.Path(path_type=Path), metavar="FILE.jsonl",
                     help='Many questions: {"id", "question", "where"?} a line.'),
        click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
                     help="Where to write the results of --questions."),
        EMBEDDER, BEDROCK, CONFIG, JSON,
    ]):  # fmt: skip
        command = option(command)
    return command


def _budget_options(command: Command) -> Command:
    command = click.option("--unit", type=click.Choice(["chars", "tokens"]))(command)
    return click.option(
        "--budget",
        type=click.IntRange(min=1),
        metavar="N",
        help="Most characters or tokens to send.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rag")
def cli() -> None:
    """Build an index from documents, search it, and ask it questions.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with quarantined files.
    """


@cli.command()
@_build_options
@batches.building
def build(as_json: bool, batch: str | None, role_arn: str | None, no_wait: bool, **options: Any) -> int:
    """Build or update INDEX from the files in SRC; only what changed is embedded."""
    import rag
    from rag.cli.output import show_report, show_warnings, watch

    path = options["config_path"]
    jobs = batches.chosen(options["index"], batch, role_arn, path)
    arguments = _build_arguments(options)
    if jobs is not None:
        return batches.build(arguments, jobs, path, wait=not no_wait, as_json=as_json)
    with watch() as progress:
        report: BuildReport = rag.build(**arguments, progress=progress)
    if as_json:
        print_json(report.to_dict())
    else:
        show_report(report)
    show_warnings(report.notes, report.quarantined)
    return QUARANTINED if report.quarantined else 0


@cli.command()
@_build_options
@batches.BATCH
def plan(as_json: bool, batch: str | None, **options: Any) -> int:
    """Say what `build` would do, and what it would cost, without doing it."""
    import rag
    from rag.cli.output import show_plan, show_warnings

    found: BuildPlan = rag.plan(**_build_arguments(options))
    if batch is not None:
        batches.plan(found, as_json)
    elif as_json:
        print_json(found.to_dict())
    else:
        show_plan(found)
    show_warnings(_stale(found.cost_usd), found.quarantined)
    return QUARANTINED if found.quarantined else 0


def _stale(cost_usd: float) -> tuple[str, ...]:
    """Return what to say of prices that are no longer fresh."""
    if not cost_usd:
        return ()
    from rag.usage.prices import stale

    said = stale()
    return (said,) if said else ()


def _build_arguments(options: dict[str, Any]) -> dict[str, Any]:
    settings = settings_of(options.pop("config_path"), options.pop("bedrock"), options.pop("embedder"))
    stages: dict[str, Any] = {
        name: settings[name]
        for name in ("loader", "chunker", "embedder", "cache", "ledger", "prices")
        if name in settings
    }
    chosen = {name: value for name in ("include", "exclude", "ocr") if (value := options.pop(name))}
    if chosen:
        own = stages.get("loader", {})
        stages["loader"] = {**({"use": own} if isinstance(own, str) else own), **chosen}
    return {**options, **stages, **({"cache": options["cache"]} if options["cache"] else {})}


@cli.command()
@_query_options
def search(**options: Any) -> int:
    """Find the chunks of INDEX that fit QUERY best."""
    from rag.cli.output import show_hits, show_warnings

    pipe, as_json, each = _query(options, _Retrieval)
    retriever = pipe.retriever
    if getattr(retriever, "reranker", None) is not None:
        show_warnings(("these hits are not reranked: `rag context` shows what the reranker picks",), ())

    def run(question: str, asked: dict[str, Any]) -> Any:
        from rag.retrieval.search import HybridSearch

        if not isinstance(retriever, HybridSearch):
            raise UsageError("rag search needs rag's own retriever: leave [retriever] use out")
        chosen = {**asked, "k": asked["k"] or 8, "mode": asked["mode"] or retriever.mode}
        return pipe.index.search(question, **chosen, lexical_weight=retriever.lexical_weight)

    return each(
        run, lambda hits: {"hits": _rows(hits)},
        (lambda hits: print_json({"plan": str(hits.plan), "hits": [hit.to_dict() for hit in hits]}))
        if as_json else show_hits,
    )  # fmt: skip


@cli.command()
@_query_options
@_budget_options
def context(budget: int | None, unit: str | None, **options: Any) -> int:
    """Show the context that would be sent for QUERY, within --budget."""
    from rag.cli.output import show_context

    pipe, as_json, each = _query(options)
    return each(
        lambda question, asked: pipe.context(question, **asked, budget=budget, unit=unit),
        lambda found: {"hits": _rows(found.hits), "used": found.used},
        (lambda found: print_json(found.to_dict())) if as_json else show_context,
    )


@cli.command()
@_query_options
@_budget_options
@click.option(
    "--expect", required=True, metavar="TEXT|SOURCE[:START-END]", help="The passage that is missed."
)
def explain(budget: int | None, unit: str | None, expect: str, **options: Any) -> int:
    """Say at which stage a passage that QUERY should find was lost, and what would have kept it."""
    from rag.cli.output import show_explanation

    pipe, as_json, each = _query(options)
    return each(
        lambda question, asked: pipe.explain(question, expect, **asked, budget=budget, unit=unit),
        lambda found: found.to_dict(),
        (lambda found: print_json(found.to_dict())) if as_json else show_explanation,
    )


@cli.command()
@_query_options
@_budget_options
@click.option("--generator", metavar="NAME", help="local, claude, MODULE:CLASS, or provider:model.")
def ask(budget: int | None, unit: str | None, **options: Any) -> int:
    """Answer QUERY from INDEX, with citations."""
    from rag.cli.output import show_answer

    pipe, as_json, each = _query(options)

    def row(answer: Answer) -> dict[str, Any]:
        return {
            "answer": answer.text, "answered": answer.answered, "supported": answer.supported,
            "stop_reason": answer.stop_reason, "notes": list(answer.notes),
            "citations": [citation.to_dict() for citation in answer.citations],
            "hits": _rows(answer.context.hits),
        }  # fmt: skip

    return each(
        lambda question, asked: pipe.ask(question, **asked, budget=budget, unit=unit), row,
        (lambda answer: print_json(answer.to_dict())) if as_json else show_answer,
    )  # fmt: skip


@cli.command()
@click.argument("index", metavar="INDEX")
@JSON
def info(index: str, as_json: bool) -> int:
    """Show what INDEX holds, and how it was built."""
    import rag
    from rag.cli.output import show_info

    found = rag.Index.open(index).info()
    if as_json:
        print_json(found)
    else:
        show_info(found)
    return 0


@cli.command()
@click.option("--index", default="indexes/handbook", show_default=True, metavar="INDEX")
def demo(index: str) -> int:
    """Build an index of the sample handbook and ask it three questions."""
    from rag.cli.demo import run

    run(index)
    return 0


for _module in (batches, emulator, cost, evaluation, maintenance):
    for _command in _module.COMMANDS:
        cli.add_command(_command)


# ---------------------------------------------------------------------- questions


class _Retrieval:
    """An index and its retriever: all that a search needs, and quicker to import than a pipeline."""

    def __init__(self, index: str, settings: dict[str, Any]) -> None:
        from rag.config import stages
        from rag.config.open import open_index

        self.index = open_index(index, settings.get("embedder"), plain=True)
        self.retriever = stages.retriever(settings.get("retriever"), self.index, plain=True)


def _pipeline(index: str, settings: dict[str, Any]) -> Any:
    from rag.pipeline import Pipeline

    return Pipeline(index, settings=settings, plain=True)


def _query(
    options: dict[str, Any], opened: Callable[[str, dict[str, Any]], Any] = _pipeline
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
    asked = {"where": options["where"], "k": options["k"], "mode": options["mode"]}
    pipe = opened(options["index"], settings)

    def each(run: Command, row: Command, show: Command) -> int:
        if question is not None:
            show(run(question, asked))
            return 0
        items = [  # what is wrong with one is said before another is paid for
            (item, _both(pipe.index, asked["where"], item.get("where"), item["id"]))
            for item in _read_questions(questions)
        ]
        with replacing(output) as sink:
            for item, where in items:
                found = run(item["question"], {**asked, "where": where})
                sink.write(json.dumps({"id": item["id"], **row(found)}, ensure_ascii=False) + "\n")
        return 0

    return pipe, options["as_json"], each


def _both(index: Any, given: Any, own: Any, name: Any) -> Any:
    try:
        return index.both(given, own)
    except RagError as error:
        raise type(error)(f"question {name!r}: {error}") from None


def _read_questions(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            if "id" not in item or not isinstance(item["question"], str):
                raise KeyError("question")
        except (ValueError, KeyError, TypeError):
            raise SourceError(
                f'{path}, line {number}: write {{"id": …, "question": "…"}}, "where" if needed'
            ) from None
        yield item


def _rows(hits: Any) -> list[dict[str, Any]]:
    def row(hit: Hit) -> dict[str, Any]:
        return {
            "source": hit.source, "start": hit.start, "end": hit.end,
            "page_start": hit.page_start, "page_end": hit.page_end,
            "score": hit.score, "text": hit.text,
        }  # fmt: skip

    return [row(hit) for hit in hits]


def main() -> None:
    """Run the command line; every error is one line that says what to do."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" (see `{context.command_path} --help`)" if context else ""
        _fail(f"{error.format_message()}{where}", 2)
    except RagError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted: run the same command again; what a build has embedded so far is kept", 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 1)


def _fail(message: str, code: int) -> None:
    click.echo("rag: " + " ".join(message.split()), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
