"""The examples of every README run, in the order of the page: blocks of Python, and command lines of `rag`.

In `make test` the arguments of most command lines are read, and the lines of README.md run; in `make soak` all.
"""

from __future__ import annotations

import ast
import inspect
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import rag
from rag.cli.main import cli
from rag.emulator import Emulator
from tests import command
from tests.conftest import ROOT
from tests.examples import exceptions
from tests.examples.page import Example, examples
from tests.examples.world import aws, furnish
from tests.scale import scale

PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted(
        [*ROOT.glob("*.md"), ROOT / "notebooks" / "README.md", *(ROOT / "rag").rglob("README.md")]
    )
    if any(examples(path))
]


@pytest.fixture
def emulator(moto: str) -> Iterator[Emulator]:
    with aws(moto) as made:
        yield made


@pytest.fixture
def place(
    handbook_index: rag.Index, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    furnish(tmp_path, handbook_index.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.soak
@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_run(name: str, place: Path, emulator: Emulator) -> None:
    names: dict[str, Any] = {"__name__": "example", "rag": rag}
    exec(exceptions.BEFORE.get(name, ""), names)
    for example in examples(ROOT / name):
        # A command takes a second: in `make test` those of the first page are run, in `make soak` all.
        parsed = example.kind == "command" and not scale(name == "README.md", True)
        if parsed or (name, example.name) in exceptions.NOT_RUN:
            check(example)
        elif example.kind == "python":
            run_python(name, example, names, emulator)
        else:
            run_command(name, example, place, names)


def check(example: Example) -> None:
    """Compile Python; of a command read the arguments."""
    if example.kind == "python":
        ast.parse(example.text)
    else:
        read_arguments(example.words)


def read_arguments(words: list[str]) -> None:
    group: click.Command = cli
    context = click.Context(cli)
    while isinstance(group, click.Group):
        name, found, words = group.resolve_command(context, words)
        assert found is not None
        group, context = found, click.Context(found, parent=context, info_name=name)
    group.make_context(group.name, list(words), parent=context.parent)


def run_python(page: str, example: Example, names: dict[str, Any], emulator: Emulator) -> None:
    # Lines are those of the page, so that an error says where it stands.
    text = example.text
    for word, own in exceptions.PLACES.get(page, {}).items():
        text = text if own.startswith("=") else text.replace(word, own)
    code = compile("\n" * (example.line - 1) + text, str(ROOT / page), "exec")
    exec(code, names)
    for test in [
        names[each.name]
        for each in ast.parse(example.text).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    ]:
        if list(inspect.signature(test).parameters) == ["bedrock_emulator"]:
            emulator.problems.clear()
            test(emulator)


def run_command(page: str, example: Example, place: Path, names: dict[str, Any]) -> None:
    words = exceptions.INSTEAD.get((page, example.name), (None,))[0]
    words = example.words if words is None else shlex.split(words)[1:]
    own = exceptions.PLACES.get(page, {})
    words = [_own(own.get(word, word), names) for word in words]
    done = command.run(*words, code=exceptions.CODES.get((page, example.name), (0,))[0], cwd=place)
    if example.output:
        (place / example.output).write_text(done.stdout, encoding="utf-8")


def _own(word: str, names: dict[str, Any]) -> str:
    """What stands for a word: itself, or after "=" what the page's Python has made."""
    return str(eval(word[1:], names)) if word.startswith("=") else word


def test_exceptions_are_of_examples_that_are_there() -> None:
    there = {(page, example.name) for page in PAGES for example in examples(ROOT / page)}
    named = {*exceptions.NOT_RUN, *exceptions.INSTEAD, *exceptions.CODES}
    assert named - there == set()
    assert {*exceptions.BEFORE, *exceptions.PLACES} <= set(PAGES)
