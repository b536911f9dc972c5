"""The code in the guide runs, and its settings are read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.config.settings import read
from rag.review.settings import REASONS, split

GUIDE = (Path(rag.__file__).parent / "review" / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_code_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "indexes").mkdir()
    (tmp_path / "indexes" / "handbook").symlink_to(folder / "ix")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    code = block("python").replace('{"refused": True, ', '{"path": "reviews.sqlite", "refused": True, ')
    exec(code, names)
    item = names["desk"].item(names["answer"].review_id)
    assert (item.state, item.last.by, item.tag, item.user) == ("approved", "ana", "desk", "u7")


def test_the_settings_are_read(tmp_path: Path) -> None:
    table = tomllib.loads(block("toml").replace("mymodule:risky", "tests.review.test_reasons:risky"))[
        "review"
    ]
    assert set(REASONS) < set(table)
    _, settings, _ = split(table)
    assert (settings.confidence, settings.share, settings.ttl_days) == (0.7, 0.05, 90)
    (tmp_path / "rag.toml").write_text(block("toml").replace("mymodule:risky", "builtins:bool"))
    assert read(tmp_path / "rag.toml")["review"]["sample"] == 0.05
