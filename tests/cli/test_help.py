"""Help fits into 80 columns, names every command under one section, and explains every option."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from rag.cli.main import cli, main

SECTIONS = ["Build:", "Ask:", "Measure:", "Maintain:", "Develop:"]


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def help_of(*path: str) -> str:
    done = CliRunner().invoke(cli, [*path, "--help"], prog_name="rag", terminal_width=80)
    assert done.exit_code == 0
    return done.stdout


def test_every_command_is_in_one_section() -> None:
    shown = help_of()
    lines = shown.splitlines()
    assert [line for line in lines if line in SECTIONS] == SECTIONS
    named = [line.split()[0] for line in lines[lines.index("Build:") :] if line.startswith("  ")]
    assert sorted(named) == sorted(cli.commands)
    assert "..." not in "".join(lines[1:]) and max(map(len, lines)) <= 80


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_a_commands_help_fits(path: tuple[str, ...]) -> None:
    shown = help_of(*path)
    assert shown.startswith(f"Usage: rag {' '.join(path)} ")
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize(("words", "at", "completed"), [
    ("rag ver", 1, "plain,verify\nplain,versions"), ("rag search ix q --mode h", 5, "plain,hybrid"),
    ("rag build corp", 2, "file,corp"), ("rag search ix q --nothing", 4, ""), ("rag push ix s3://b --qu", 4, "plain,--quiet"),
])  # fmt: skip
def test_the_tab_key_completes_names_choices_and_paths(
    words: str, at: int, completed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"_RAG_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["rag"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.strip() == completed
