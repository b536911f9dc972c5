"""``rag review approve | correct | reject | reopen``."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.options import Command, reporting, with_options
from rag.cli.review_queue import Queue, open_queue, queue_options
from rag.core.errors import SourceError, UsageError

if TYPE_CHECKING:
    from rag.core.citations import Citation
    from rag.review.records import Item


def _decision_options(command: Command) -> Command:
    return with_options(queue_options(command), [
        click.argument("item", metavar="ID"),
        click.option("--by", metavar="NAME", help="Who decides.  [default: your name on this machine]"),
        click.option("--comment", default="", metavar="TEXT", help="Kept with the decision."),
    ])  # fmt: skip


@click.command()
@_decision_options
def approve(item: str, index: Path | None, config_path: Path | None, **options: Any) -> int:
    """Decide that an answer is right as it is."""
    return _decide(index, config_path, options, lambda queue, by: queue.desk.approve(item, **by))


@click.command()
@_decision_options
@click.option("--answer", metavar="TEXT", help="The right answer; [n] keeps that citation of the first one.")
@click.option("--file", "path", metavar="FILE", help="The right answer from a file; - for standard input.")
@click.option("--cites", multiple=True, metavar="SOURCE#START-END",
              help="A further citation; or SOURCE#WORDS that stand there once.")  # fmt: skip
@click.option("--unanswerable", is_flag=True, help="The documents do not answer the question.")
def correct(
    item: str,
    index: Path | None,
    config_path: Path | None,
    answer: str | None,
    path: str | None,
    cites: tuple[str, ...],
    unanswerable: bool,
    **options: Any,
) -> int:
    """Give the right answer in place of a wrong one.

    Each --cites is looked up in the version of the index that was asked, and numbered on from the first
    answer's citations. What the answer is to rest on must be there, word for word.
    """
    if (answer is None) == (path is None):
        raise UsageError("give the right answer with either --answer TEXT or --file FILE")
    text = answer if answer is not None else _read(str(path))

    def decide(queue: Queue, by: dict[str, Any]) -> Item:
        citations = _looked_up(queue, item, cites)
        return queue.desk.correct(item, text, citations=citations, answerable=not unanswerable, **by)

    return _decide(index, config_path, options, decide)


@click.command()
@_decision_options
def reject(item: str, index: Path | None, config_path: Path | None, **options: Any) -> int:
    """Decide that an answer is wrong; --comment says why."""
    if not options["comment"].strip():
        raise UsageError("say what is wrong with the answer: --comment TEXT")
    return _decide(index, config_path, options, lambda queue, by: queue.desk.reject(item, **by))


@click.command(short_help="Open a decided item again.")
@_decision_options
def reopen(item: str, index: Path | None, config_path: Path | None, **options: Any) -> int:
    """Open a decided item again; what was decided stays in its history."""
    return _decide(index, config_path, options, lambda queue, by: queue.desk.reopen(item, **by))


def _decide(
    index: Path | None,
    config_path: Path | None,
    options: dict[str, Any],
    decide: Callable[[Queue, dict[str, Any]], Item],
) -> int:
    from rag.cli.output import say
    from rag.cli.terminal import on_one_line

    by = {"by": options["by"] or _name(), "comment": options["comment"]}
    queue = open_queue(index, config_path)
    with reporting("review queue"):
        item = decide(queue, by)
    say(on_one_line(f"{item.id}: {item.decisions[-1]}"))
    if item.state == "corrected" and item.decisions[-1].answerable and not item.decisions[-1].citations:
        from rag.cli.output import show_warnings

        show_warnings(
            ("the corrected answer cites nothing: its golden question has no evidence; add --cites",), ()
        )
    return 0


def _looked_up(queue: Queue, item: str, places: Sequence[str]) -> list[Citation]:
    from rag.index.index import Index
    from rag.review.citing import cited

    if not places:
        return []
    found, answer = queue.desk.item(item), queue.desk.answer(item)
    if queue.index is None:
        raise UsageError(f"--cites is looked up in the index {found.index}: name its folder with --index")
    index = Index.open(queue.index, version=found.version)
    return [cited(index, place, found, answer) for place in places]


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SourceError(f"cannot read {path}: {reason}") from None


def _name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        raise UsageError("this machine does not know your name: say who decides with --by NAME") from None


COMMANDS: tuple[click.Command, ...] = (approve, correct, reject, reopen)
