"""Records as tables of pandas, which nothing else needs."""

from __future__ import annotations

import sys

import pytest

from rag.core.errors import MissingExtraError
from rag.core.frames import frame


def test_rows_become_a_table_with_what_they_lack_missing() -> None:
    made = frame([{"a": 1, "b": "x"}, {"a": 2}])
    assert made.to_dict("list")["a"] == [1, 2]
    assert made["b"].isna().tolist() == [False, True]


def test_no_rows_keep_the_columns() -> None:
    assert list(frame([], ("a", "b")).columns) == ["a", "b"]


def test_without_pandas_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError) as error:
        frame([])
    assert str(error.value).count("\n") == 0
    assert "pip install 'bedrock-rag[notebook]'" in str(error.value)
