"""Settings written as TOML are read back as the same values."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.toml_text import toml_text

# Not halves of pairs, which are no text.
TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
SIMPLE = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.dates()
VALUE = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
TABLES = st.dictionaries(TEXT, VALUE | st.dictionaries(TEXT, VALUE, max_size=4), max_size=4)


@given(TABLES)
def test_what_is_written_is_read_back(settings: dict) -> None:
    assert tomllib.loads(toml_text(settings)) == settings


def test_a_router_is_written_as_people_write_it() -> None:
    settings = {
        "embedder": "static", "prompt": None,
        "generator": {
            "use": "router", "otherwise": "large model", "fallback": None,
            "tiers": {"small": "local", "large model": {"use": "claude", "max_tokens": 800}},
            "rules": [{"when": {"question_words_below": 12, "best_score_at_least": 0.5}, "tier": "small"}],
        },
    }  # fmt: skip
    assert toml_text(settings).splitlines() == [
        'embedder = "static"', "", "[generator]", 'use = "router"', 'otherwise = "large model"', "",
        "[generator.tiers]", 'small = "local"', '"large model" = {use = "claude", max_tokens = 800}', "",
        "[[generator.rules]]", "when = {question_words_below = 12, best_score_at_least = 0.5}",
        'tier = "small"',
    ]  # fmt: skip


def test_paths_dates_and_infinity() -> None:
    settings = {"ledger": {"path": Path("a/b.sqlite"), "day": dt.date(2026, 11, 26), "most": float("inf")}}
    read = tomllib.loads(toml_text(settings))["ledger"]
    assert read == {"path": "a/b.sqlite", "day": dt.date(2026, 11, 26), "most": float("inf")}


def test_an_object_has_no_form() -> None:
    with pytest.raises(TypeError, match="has no form in TOML"):
        toml_text({"generator": {"model": object()}})
