"""``rag chat``: a conversation in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rag.cli.options import BEDROCK, CONFIG, EMBEDDER, INDEX
from rag.cli.query_settings import query_settings
from rag.cli.terminal import width_of
from rag.core.errors import RagError
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.conversation.chat import Chat
    from rag.core.answers import Answer

_HELP = """/where FILTER  ask only of what matches; /where alone lifts the filter
/sources       the passages and citations of the last answer
/cost          what the conversation has cost
/new           begin anew
/quit          leave, as Ctrl-D does"""


@click.command(short_help="Talk with INDEX; a question may build on the last.")
@INDEX
@click.option("--where", metavar="FILTER", help="E.g. \"year >= 2024 and 'gdpr' in tags\".")
@click.option("--generator", metavar="NAME", help="local, claude, MODULE:CLASS, provider:model.")
@click.option("--tag", metavar="LABEL", help="Recorded with the calls; see `rag cost --by tag`.")
@EMBEDDER
@BEDROCK
@CONFIG
def chat(
    index: str,
    where: str | None,
    generator: str | None,
    tag: str | None,
    embedder: str | None,
    bedrock: bool,
    config_path: Path | None,
) -> int:
    """Talk with INDEX: each question may build on those before it.

    Lines that begin with / are commands: /where FILTER, /sources, /cost, /new, /help, /quit.
    """
    from rag.pipeline import Pipeline

    settings = query_settings(index, config_path, bedrock, embedder, generator)
    pipe = Pipeline(index, settings=settings)
    if where is not None:
        pipe.index.check(where)
    _talk(pipe.chat(where=where, tag=tag), pipe.index.check, terminal=sys.stdin.isatty())
    return 0


def _talk(conversation: Chat, check: Callable[[str], object], *, terminal: bool) -> None:
    """Read questions until there are no more; an error ends a question, not the conversation."""
    from rag.cli.output import say, warn

    answers: list[Answer] = []
    if terminal:
        say("Ask a question; /help lists the commands, /quit or Ctrl-D leaves.", "dim")
        import readline  # noqa: F401  # lines can be edited and repeated once it is imported
    while (line := _line(terminal)) is not None:
        try:
            if not line.startswith("/"):
                if line:
                    answers.append(_answered(conversation, line))
            elif not _command(conversation, answers, line, check):
                return
        except RagError as error:
            warn(f"rag: {' '.join(str(error).split())}")
        except KeyboardInterrupt:  # of the answer under way
            warn("\nstopped: this question is not part of the conversation")


def _line(terminal: bool) -> str | None:
    try:
        return input("\n> " if terminal else "").strip()
    except EOFError:
        return None


def _answered(conversation: Chat, question: str) -> Answer:
    from rag.cli.output import say, show_warnings
    from rag.notebook.streaming import write_text

    answer = write_text(conversation.stream(question), sys.stdout.write, width_of(sys.stdout))
    for citation in answer.citations:
        mark = f"[{citation.number}{'?' if citation.verdict else ''}]"
        say(f"{mark} {citation.place if citation.verified else citation.verdict}", "cyan")
    show_warnings(answer.remarks, ())
    return answer


def _command(conversation: Chat, answers: list[Answer], line: str, check: Callable[[str], object]) -> bool:
    """Carry out a command; return whether the conversation goes on."""
    from rag.cli.output import say, show_answer, warn

    name, _, rest = line.partition(" ")
    if name in ("/quit", "/exit"):
        return False
    if name == "/where":
        if rest.strip():
            check(rest)
        conversation.where = rest.strip() or None
        say(f"filter: {conversation.where or 'none'}", "dim")
    elif name == "/sources":
        if not answers:
            say("nothing was asked yet", "dim")
            return True
        show_answer(answers[-1])
        for hit in answers[-1].context.hits:
            say(f"  {hit.place}", "dim")
    elif name == "/cost":
        _show_cost(answers)
    elif name == "/new":
        conversation.clear()
        answers.clear()
        say("a new conversation", "dim")
    else:
        if name != "/help":
            warn(f"there is no command {name}")
        say(_HELP, "dim")
    return True


def _show_cost(answers: list[Answer]) -> None:
    from rag.cli.output import cost_of, say

    calls = [call for answer in answers for call in answer.calls]
    usages = [call.usage for call in calls]
    known = sum(usage.cost_usd or 0.0 for usage in usages)
    unknown = sum(usage.cost_usd is None for usage in usages)
    read = sum(usage.cache_read_input_tokens for usage in usages)
    written = sum(usage.cache_write_input_tokens for usage in usages)
    say(
        f"{counted(len(answers), 'answer')}, {counted(len(calls), 'call')}: "
        f"{counted(sum(u.input_tokens for u in usages), 'token')} in, "
        f"{sum(u.output_tokens for u in usages):,} out, {read:,} read from and {written:,} written to the "
        f"prompt cache; {cost_of(known)}"
        + (f", and {counted(unknown, 'call')} without a known price" if unknown else "")
    )


COMMANDS: tuple[click.Command, ...] = (chat,)
