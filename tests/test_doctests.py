"""The examples in docstrings run and show what they say, package by package, in a scratch folder."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag

#: Started as programs, or read by pytest alone.
LEFT_OUT = ("rag.__main__",)
ROOMS = sorted(each.name for each in pkgutil.iter_modules(rag.__path__))


def modules(room: str) -> Iterator[str]:
    """Yield the name of a room, and of every module below it."""
    name = f"rag.{room}"
    yield name
    package = importlib.import_module(name)
    for each in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
        yield each.name


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = finder.find(importlib.import_module("rag.core.text"))
    assert sum(len(each.examples) for each in found) >= 5


@pytest.mark.parametrize("room", [room for room in ROOMS if f"rag.{room}" not in LEFT_OUT])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_examples_in_docstrings_run(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed: list[str] = []
    for name in modules(room):
        module = importlib.import_module(name)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
        for test in doctest.DocTestFinder().find(module, name):
            report: list[str] = []
            if runner.run(test, out=report.append).failed:
                failed.append("".join(report))
    assert failed == [], "\n".join(failed)
