"""Help that fits a terminal of any width; below 60 columns names stand above what they mean."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import click
from click.formatting import iter_rows, measure_table

from rag.notebook.wrapping import folded

#: The widest that help is; the least width at which names and their meanings stand side by side.
_MOST, _BESIDE = 80, 60
#: Characters of a first sentence in a list of commands, which click would cut.
_WHOLE = 200


class Formatter(click.HelpFormatter):
    """Writes help without cutting a word."""

    def write_text(self, text: str) -> None:
        """Write paragraphs, wrapped."""
        paragraphs = [" ".join(part.split()) for part in text.replace("\b", "").split("\n\n")]
        blank = " " * self.current_indent
        self.write("\n\n".join(folded(blank + each, self.width) for each in paragraphs) + "\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how a command is called."""
        prefix = "Usage: " if prefix is None else prefix
        self.write(folded(f"{' ' * self.current_indent}{prefix}{prog} {args}", self.width, 7) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names and their meanings in two columns, or in a narrow terminal below each other."""
        rows, blank = list(rows), " " * self.current_indent
        wide = min(measure_table(rows)[0], col_max) + col_spacing
        for name, meaning in iter_rows(rows, 2):
            if self.width < _BESIDE:
                self.write(folded(blank + name.rstrip(), self.width, 4) + "\n")
                self.write(folded(f"{blank}    {meaning}", self.width) + "\n" if meaning else "")
                continue
            first, room = f"{blank}{name}", self.width - self.current_indent - wide
            lines = folded(meaning, room).split("\n")
            if len(name) > wide - col_spacing:
                self.write(f"{first}\n")
            else:
                self.write(f"{first:<{self.current_indent + wide}}{lines.pop(0)}".rstrip() + "\n")
            self.write("".join(f"{' ' * (self.current_indent + wide)}{line}\n" for line in lines if line))


class Context(click.Context):
    """A context whose help is as wide as the terminal."""

    formatter_class = Formatter

    def make_formatter(self) -> click.HelpFormatter:
        """Return what writes help, as wide as the terminal, or as a caller asks for."""
        width = self.terminal_width or shutil.get_terminal_size().columns
        return Formatter(width=max(min(width, _MOST) - (0 if self.terminal_width else 2), 20))


def fitting(command: click.Command) -> None:
    """Let a command's help, and that of its own commands, fit the terminal."""
    command.context_class = Context
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        each.short_help = each.short_help or each.get_short_help_str(_WHOLE)
        fitting(each)
