"""Terminals of 40 to 120 columns: no line is wider, no word is cut, and nothing is left out."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

import rag
from rag.cli import main, output
from rag.cli.main import cli
from rag.notebook.wrapping import folded, tabled
from tests.conftest import HANDBOOK

WIDTHS = (40, 60, 80, 120)
QUESTION = "How many weeks of parental leave do I get?"


class Screen(io.StringIO):
    """Standard output or error as a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command in this process and return what it prints in a terminal of so many columns, or in a pipe."""

    def run(words: list[str], width: int | None) -> str:
        out, err = Screen(terminal=width is not None), Screen(terminal=width is not None)
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        monkeypatch.setattr("sys.argv", ["rag", *words])
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")
        for name in ("_OUT", "_ERR"):  # as a command that starts here has them
            made = output._SafeConsole(stderr=name == "_ERR", highlight=False)
            monkeypatch.setattr(output, name, made)
        with pytest.raises(SystemExit):
            main.main()
        text = out.getvalue() + err.getvalue()
        # Bars that are gone again.
        text = re.sub(r"\x1b\[\?25l.*?\x1b\[\?25h(\r?\x1b\[1A\x1b\[2K)*", "", text, flags=re.S)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)

    return run


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    rows = [
        {
            "id": "leave",
            "question": QUESTION,
            "gold": ["people/leave-policy-us.html"],
            "must_include": ["18 weeks"],
        },
        {"id": "cv", "question": "How long do we keep CVs?", "gold": ["nothing-of-this-name.md"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


COMMANDS = [
    ["info", "INDEX"], ["versions", "INDEX"], ["verify", "INDEX"], ["quarantine", "INDEX"], ["cost", "INDEX"],
    ["cache", "info", "INDEX"], ["plan", HANDBOOK, "INDEX"], ["search", "INDEX", QUESTION, "-k", "3"],
    ["context", "INDEX", QUESTION], ["ask", "INDEX", QUESTION, "--where", "region == 'us'"],
    ["explain", "INDEX", QUESTION, "--expect", "words that stand nowhere"],
    ["eval", "INDEX", "GOLDEN"], ["eval", "INDEX", "GOLDEN", "--answers"],
    ["search", "INDEX", QUESTION, "--where", "yaer == 3"], ["ask", "INDEX"], ["build", "nowhere/at/all", "INDEX"],
    ["doctor"],
]  # fmt: skip


def words_of(text: str) -> list[str]:
    """Return the words of an output, times and sizes aside, which differ from run to run."""
    return re.sub(r"\d[\d.,]*", "0", text).split()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(map(str, words[:3:2])))
def test_every_output_fits_and_is_whole(
    shown: Callable[..., str], handbook_index: rag.Index, questions: Path, words: list[object]
) -> None:
    places = {"INDEX": handbook_index.path, "GOLDEN": questions}
    named = [str(places.get(str(word), word)) for word in words]
    piped = shown(named, None)
    assert piped
    for width in WIDTHS if words[0] not in ("ask", "eval", "context", "doctor") else (40, 80):
        text = shown(named, width)
        for line in text.splitlines():
            assert cell_len(line) <= width or " " not in line.strip(), (width, line)
        if words[0] != "eval" or width >= 80:
            assert words_of(text) == words_of(piped), width
        else:  # a table's rows are lists, or its cells stand on several lines: the same words in another order
            assert {*words_of(text.replace(":", " "))} >= {*words_of(piped.replace(":", " "))}, width


def paths(group: click.Group = cli, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield above
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from paths(command, (*above, name))
        else:
            yield (*above, name)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_help_fits_and_is_whole(shown: Callable[..., str], width: int) -> None:
    for path in paths():
        text = shown([*path, "--help"], width)
        assert [line for line in text.splitlines() if cell_len(line) > width and " " in line.strip()] == [], (
            path
        )
        assert text.split() == shown([*path, "--help"], 80).split(), path


@pytest.mark.parametrize(
    "text", ["", "a", "rag: " + "word " * 60, "  x-very-long-word " * 9, "東京都の休暇" * 30, "a\n\n  b c"]
)
@pytest.mark.parametrize("width", [5, 20, 40])
def test_a_text_is_wrapped_between_words(text: str, width: int) -> None:
    lines = folded(text, width, 2).split("\n")
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert cell_len(line) <= width or " " not in line.strip()
    assert folded(text, None) == text


HEAD = ("configuration", "recall", "dollars", "seconds (median)")
ROWS = [
    ("generator.model=haiku trimmer.budget=2000", "0.776 [0.71, 0.83]", "$0.0123", "1.2"), ("baseline", "", "$1.00", "3.4"),
]  # fmt: skip


def test_a_table_that_fits_stays_as_it_is() -> None:
    assert tabled(HEAD, ROWS, 200) == tabled(HEAD, ROWS, None)
    assert tabled(HEAD, ROWS, None)[2] == f"  {'baseline':43}{'':20}$1.00    3.4"


def test_a_table_that_is_too_wide_wraps_its_cells() -> None:
    assert tabled(HEAD, ROWS, 70) == [
        "  configuration                recall         dollars  seconds",
        "                                                       (median)",
        "  generator.model=haiku        0.776 [0.71,   $0.0123  1.2",
        "  trimmer.budget=2000          0.83]",
        "  baseline                                    $1.00    3.4",
    ]


def test_a_table_that_cannot_be_wrapped_becomes_a_list() -> None:
    assert tabled(HEAD, ROWS, 40) == [
        "  generator.model=haiku", "    trimmer.budget=2000", "    recall: 0.776 [0.71, 0.83]", "    dollars: $0.0123",
        "    seconds (median): 1.2", "  baseline", "    dollars: $1.00", "    seconds (median): 3.4",
    ]  # fmt: skip
