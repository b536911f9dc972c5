"""``module:name`` is imported once for the whole project, with one-line errors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rag.core.errors import ConfigError, LoadError
from rag.core.imports import resolve


def test_functions_and_classes_are_imported() -> None:
    assert resolve("math:sqrt", "x") is math.sqrt
    assert resolve("pathlib:Path", "x") is Path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sqrt", "the hook: write \"module:name\", not 'sqrt'"),
        (":sqrt", "the hook: write \"module:name\", not ':sqrt'"),
        ("math:", "the hook: write \"module:name\", not 'math:'"),
        ("math:sqrt()", "the hook: write \"module:name\", not 'math:sqrt()'"),
        (
            "no_such_module:f",
            "the hook: cannot import 'no_such_module': ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("math:sqtr", "the hook: 'math' has no 'sqtr': did you mean 'sqrt'?"),
        ("math:pi", "the hook: 'math:pi' is neither a function nor a class"),
    ],
)
def test_a_wrong_name_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve(name, "the hook")
    assert str(error.value) == message


def test_a_module_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_hook.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=r"^x: cannot import 'broken_hook': ZeroDivisionError: division by zero$"
    ):
        resolve("broken_hook:f", "x")


def test_errors_of_rag_pass_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from rag.core.errors import LoadError\nraise LoadError('lacks a library', 'install it')\n"
    (tmp_path / "lacking_hook.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LoadError, match=r"^lacks a library: install it$"):
        resolve("lacking_hook:f", "x")
