"""Completion by the Tab key in bash, zsh and fish: commands, options, choices, and else files."""

from __future__ import annotations

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

#: The variable by which a shell asks for completions, as click derives it from the program's name.
ASKED = "_RAG_COMPLETE"


class _OrFiles(ShellComplete):
    """Leaves what is neither a command, an option nor a choice to the shell: indexes and files are paths."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what a word may become."""
        found = super().get_completions(args, incomplete)
        return found if found or incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]


class _Bash(_OrFiles, BashComplete):
    """Bash, from 4.4 on."""


class _Zsh(_OrFiles, ZshComplete):
    """Zsh."""


class _Fish(_OrFiles, FishComplete):
    """Fish."""


def prepare() -> None:
    """Let these complete, in place of click's own."""
    for kind in (_Bash, _Zsh, _Fish):
        add_completion_class(kind)
