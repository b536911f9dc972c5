"""The command line: ``rag COMMAND``; every family of commands has a file beside this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from rag import __version__
from rag.cli import (
    answer,
    build,
    chat,
    completion,
    cost,
    dashboard,
    deploy,
    doctor,
    emulator,
    evaluation,
    forget,
    gate,
    golden,
    guardrail,
    interrupts,
    judge,
    keys,
    knowledge_base,
    maintenance,
    mcp,
    models,
    observe,
    prompts,
    questions,
    review,
    serve,
    sweeps,
    transfer,
)
from rag.cli.help import fitting
from rag.cli.options import QUIET
from rag.cli.terminal import echo
from rag.core.errors import RagError


class Sections(click.Group):
    """A group whose help lists its commands by section, in the order in which they were added."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, title: str, commands: tuple[click.Command, ...]) -> None:
        """Add commands under a title."""
        for command in commands:
            self.add_command(command)
            self.sections.setdefault(title, []).append(str(command.name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, section by section."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, section by section."""
        width = max(map(len, self.commands))
        for title, names in self.sections.items():
            with formatter.section(title):
                rows = [(name.ljust(width), self.commands[name].get_short_help_str(60)) for name in names]
                formatter.write_dl(rows)


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rag")
def cli() -> None:
    """Build an index from documents, search it, and ask it questions.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with quarantined files, 4 refused by a gate,
    130 stopped with Ctrl-C.
    """


@click.command(short_help="Build the sample handbook's index and ask it.")
@click.option(
    "--index", default="indexes/handbook", show_default=True, metavar="INDEX", help="Where to build it."
)
@QUIET
def demo(index: str) -> int:
    """Build an index of the sample handbook and ask it three questions."""
    from rag.cli.demo import run

    run(index)
    return 0


_SECTIONS: Mapping[str, tuple[click.Command, ...]] = {
    "Build": (*build.COMMANDS, demo),
    "Ask": (*questions.COMMANDS, *chat.COMMANDS),
    "Measure": (
        *evaluation.COMMANDS,
        *sweeps.COMMANDS,
        *golden.COMMANDS,
        *gate.COMMANDS,
        *judge.COMMANDS,
        *cost.COMMANDS,
        *dashboard.COMMANDS,
        *review.COMMANDS,
        *answer.COMMANDS,
    ),
    "Serve": (*serve.COMMANDS, *mcp.COMMANDS, *keys.COMMANDS, *deploy.COMMANDS, *observe.COMMANDS),
    "Maintain": (
        *maintenance.COMMANDS,
        *transfer.COMMANDS,
        *forget.COMMANDS,
        *knowledge_base.COMMANDS,
        *doctor.COMMANDS,
        *models.COMMANDS,
    ),
    "Develop": (*prompts.COMMANDS, *guardrail.COMMANDS, *emulator.COMMANDS),
}
for _title, _commands in _SECTIONS.items():
    cli.add_section(_title, _commands)
fitting(cli)


def main() -> None:
    """Run the command line; print every error in one line that says what to do."""
    try:
        if completion.ASKED in os.environ:
            completion.prepare()
        code = cli.main(prog_name="rag", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())  # our own help
        sys.exit(2)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        where = f" (see `{context.command_path} --help`)" if context else ""
        _fail(f"{error.format_message()}{where}", 2)
    except RagError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail(interrupts.message(sys.argv[1:]), interrupts.CODE)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), 1)


def _fail(message: str, code: int) -> None:
    echo("rag: " + " ".join(message.split()), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
