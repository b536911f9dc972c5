"""Sentences are spans that hold every character; terms and folding keep their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.text import fold, sentences, terms

TEXTS = st.text(alphabet=st.sampled_from(list("abcDEF .!?\n\t-#|>`1239“”’éß東京。،\f\r\u00a0")), max_size=300)


def pieces(text: str) -> list[str]:
    return [text[a:b] for a, b in sentences(text)]


@given(TEXTS)
def test_sentences_are_disjoint_in_order_and_hold_every_character_that_is_not_white_space(text: str) -> None:
    spans = sentences(text)
    assert all(a < b for a, b in spans)
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:], strict=False))
    assert "".join("".join(pieces(text)).split()) == "".join(text.split())
    assert all(piece == piece.strip() for piece in pieces(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Okonkwo decides. See v2.1.", ["Dr. Okonkwo decides.", "See v2.1."]),
        ("It costs 3.50 EUR. Pay now!", ["It costs 3.50 EUR.", "Pay now!"]),
        ("Ask, e.g. Ann. Or Bob?", ["Ask, e.g. Ann.", "Or Bob?"]),
        ("One line\nwrapped here. Next.", ["One line\nwrapped here.", "Next."]),
        ("- first item\n- second item", ["- first item", "- second item"]),
        ("# Title\nBody text.", ["# Title", "Body text."]),
        ("| a | b |\n| 1 | 2 |", ["| a | b |", "| 1 | 2 |"]),
        ("今日は雨。明日は晴れ。", ["今日は雨。", "明日は晴れ。"]),
        ("«Non.» Elle part.", ["«Non.» Elle part."]),
        ('He said "Go." She went.', ['He said "Go."', "She went."]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_terms_are_stemmed_without_stop_words_and_pair_unspaced_scripts() -> None:
    assert terms("Who declares the SEV-1 incidents?") == ["declar", "sev", "1", "incid"]
    assert terms("東京都") == ["東京", "京都"]
    assert terms("Kelvara's customers’ data") == ["kelvara", "custom", "data"]


@given(TEXTS)
def test_folding_keeps_where_each_character_came_from(text: str) -> None:
    folded, origin = fold(text)
    assert len(origin) == len(folded) + 1
    assert origin == sorted(origin)
    for character, at in zip(folded, origin, strict=False):
        assert character == " " if text[at].isspace() else fold(text[at])[0] == character
