"""``rag review``: the answers that a person should look at."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from rag.cli.options import JSON, print_json, replacing, reporting
from rag.cli.review_decisions import COMMANDS as DECISIONS
from rag.cli.review_queue import STATES, item_options, open_queue, queue_options, seconds, selected
from rag.cli.terminal import json_text, on_one_line
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.core.answers import Answer
    from rag.review.records import Item

_STATE = click.option(
    "--state", type=click.Choice([*STATES, "any"]), default="open", show_default=True, metavar="STATE",
    help="open, approved, corrected, rejected, or any.",
)  # fmt: skip


@click.group(short_help="Review answers: list, show, approve, correct, reject.")
def review() -> None:
    """Review the answers that [review] in rag.toml sends to a person."""


@review.command("list")
@queue_options
@item_options
@_STATE
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="Most items, the newest first.")  # fmt: skip
@JSON
def list_(
    index: Path | None, config_path: Path | None, state: str, limit: int, as_json: bool, **options: Any
) -> int:
    """List items, newest first."""
    from rag.cli.output import say, show_table
    from rag.core.format import shortened, utc_text
    from rag.core.table import Table

    queue = open_queue(index, config_path)
    with reporting("review queue"):
        found = list(islice(selected(queue, None if state == "any" else state, **options), limit + 1))
    items = found[:limit]
    if as_json:
        print_json([item.to_dict() for item in items])
        return 0
    if not items:
        say(f"{queue.desk.store.place}: no {'' if state == 'any' else f'{state} '}items")
        return 0
    rows = [
        (item.id, utc_text(item.at), item.state, ", ".join(each.name for each in item.reasons),
         item.tag or "-", shortened(item.question, 70))
        for item in items
    ]  # fmt: skip
    more = f", and more: --limit {2 * limit}" if len(found) > limit else ""
    caption = on_one_line(f"{queue.desk.store.place}: {counted(len(items), 'item')}{more}")
    show_table(Table(caption, ("id", "queued", "state", "reasons", "tag", "question"), rows))
    return 0


@review.command("show", short_help="Show an item with all that belongs to it.")
@queue_options
@click.argument("item", metavar="ID")
@click.option("--html", "page_path", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a page for a browser that needs no other file.")  # fmt: skip
@JSON
def show(
    index: Path | None, config_path: Path | None, item: str, page_path: Path | None, as_json: bool
) -> int:
    """Show an item: question, answer with citations, passages, reasons, decisions."""
    from rag.cli.output import say

    desk = open_queue(index, config_path).desk
    with reporting("review queue"):
        found, answer = desk.item(item), replace(desk.answer(item), review_id="")
    if page_path is not None:
        from rag.review.page import page

        with replacing(page_path) as sink:
            sink.write(page(found, answer))
        say(f"{page_path} written")
    elif as_json:
        print_json({**found.to_dict(), "answer": answer.to_dict()})
    else:
        _show(found, answer)
    return 0


@review.command("stats")
@queue_options
@item_options
@click.option("--by", "group", default="reason", show_default=True, metavar="NAME",
              type=click.Choice(["reason", "model", "tier", "prompt", "tag", "index", "reviewer"]),
              help="reason, model, tier, prompt, tag, index or reviewer.")  # fmt: skip
@JSON
def stats(index: Path | None, config_path: Path | None, group: str, as_json: bool, **options: Any) -> int:
    """Show how reviewers decided: shares, with intervals of 95 %.

    Only the reason "sample" says something about all answers; the others pick those that look bad.
    """
    from rag.cli.output import say, show_table
    from rag.review.statistics import By, decided, table

    queue, by = open_queue(index, config_path), cast(By, group)
    with reporting("review queue"):
        groups = decided(selected(queue, None, **options), by)
    if as_json:
        print_json([each.to_dict() for each in groups])
    elif groups:
        show_table(table(groups, by))
    else:
        say(f"{queue.desk.store.place}: no items")
    return 0


@review.command("export", short_help="Write decided items as golden questions.")
@queue_options
@item_options
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE.jsonl",
              help="Where to write.  [default: standard output]")  # fmt: skip
def export(index: Path | None, config_path: Path | None, output: Path | None, **options: Any) -> int:
    """Write approved and corrected items as golden questions, for `rag eval`; rejected ones are left out."""
    from rag.cli.output import say, show_warnings
    from rag.review.golden import golden_rows

    queue = open_queue(index, config_path)
    with reporting("review queue"):
        rows, notes = golden_rows(queue.desk, selected(queue, None, **options))
    lines = [json_text(row) + "\n" for row in reversed(rows)]
    if output is None:
        click.echo("".join(lines), nl=False)
    else:
        with replacing(output) as sink:
            sink.writelines(lines)
        say(f"{output}: {counted(len(rows), 'question')}")
    show_warnings(notes if rows else (*notes, "nothing was exported: no item is approved or corrected"), ())
    return 0


@review.command("prune")
@queue_options
@click.option("--before", metavar="DATE|Nd", help="Also items queued before a day, or before the last N.")
@click.option(
    "--state", type=click.Choice(STATES), metavar="STATE", help="With --before: in this state only."
)
def prune(index: Path | None, config_path: Path | None, before: str | None, state: str | None) -> int:
    """Erase items that have expired, and with --before old ones."""
    from rag.cli.output import say
    from rag.core.errors import UsageError

    if state is not None and before is None:
        raise UsageError("--state needs --before")
    desk = open_queue(index, config_path).desk
    with reporting("review queue"):
        count = desk.store.prune()
        if before is not None:
            count += desk.forget(before=seconds(before, "--before"), state=cast(Any, state))
    say(f"{desk.store.place}: {counted(count, 'item')} erased")
    return 0


@review.command("forget", short_help="Erase items that hold a document or words.")
@queue_options
@click.option(
    "--source", metavar="SOURCE", help="Items that were sent or cite this document; * for any text."
)
@click.option("--where-like", "text", metavar="TEXT", help="Items that hold these words anywhere.")
def forget(index: Path | None, config_path: Path | None, source: str | None, text: str | None) -> int:
    """Erase items that quote a document, or that hold some words; both must hold if both are given."""
    from rag.cli.output import say
    from rag.core.errors import UsageError

    if source is None and not (text or "").strip():
        raise UsageError("say what to erase: --source SOURCE or --where-like TEXT")
    desk = open_queue(index, config_path).desk
    with reporting("review queue"):
        count = desk.forget(source=source, text=text)
    say(f"{desk.store.place}: {counted(count, 'item')} erased")
    return 0


for _command in DECISIONS:
    review.add_command(_command)


def _show(item: Item, answer: Answer) -> None:
    from rag.cli.output import say, show_answer, show_context
    from rag.core.format import dollars, utc_text

    def line(name: str, value: object) -> None:
        if value not in ("", None):
            say(on_one_line(f"{name}: {value}"))

    line(item.id, f"{item.state}, queued {utc_text(item.at)}")
    line("reasons", "; ".join(map(str, item.reasons)))
    line("question", item.question)
    line("searched as", item.search if item.search != item.question else "")
    line("filter", item.where)
    for name in ("tenant", "tag", "user"):
        line(name, getattr(item, name))
    line("index", item.index + ("" if item.version is None else f", version {item.version}"))
    line("model", f"{item.model}{f', tier {item.tier}' if item.tier else ''}")
    line("cost", None if item.cost_usd is None else dollars(item.cost_usd))
    say()
    show_answer(answer)
    say("\npassages:")
    show_context(answer.context)
    for decision in item.decisions:
        line("decision", decision)
        if decision.answer:
            say(decision.answer)
        for each in decision.citations:
            line(f"[{each.number}]", f'{each.place}: "{each.text}"')


COMMANDS: tuple[click.Command, ...] = (review,)
