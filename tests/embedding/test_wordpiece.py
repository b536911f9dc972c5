"""Our tokenizer gives the ids of the `tokenizers` library."""

from __future__ import annotations

import random
import re
import unicodedata
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rag.embedding import wordpiece
from rag.embedding.wordpiece import MODELS, token_ids
from tests import scale


@lru_cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODELS / "minilm" / "tokenizer.json"))


def reference(texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer().encode_batch_fast(texts, add_special_tokens=False)]


@given(st.lists(st.text(), max_size=4))
@settings(max_examples=300)
def test_any_text_has_the_tokenizers_ids(texts: list[str]) -> None:
    assert token_ids(texts) == reference(texts)


@given(
    st.lists(
        st.text(alphabet=st.sampled_from(" \t\n\rab'_-.#[]0159\xa0–—‘’“”…•«»é€K"), max_size=40), max_size=4
    )
)
@settings(max_examples=500)
def test_usual_signs_have_the_tokenizers_ids(texts: list[str]) -> None:
    assert token_ids(texts) == reference(texts)


def test_words_of_the_handbook_have_the_tokenizers_ids(handbook_texts: dict[str, str]) -> None:
    texts = [line for text in handbook_texts.values() for line in re.split(r"(?<=[.!?])\s", text)]
    assert token_ids(texts) == reference(texts)


@pytest.mark.slow
@pytest.mark.soak
def test_every_character_of_unicode_has_the_tokenizers_ids() -> None:
    """Those below U+3000 and every eighth beyond; all of Unicode, unassigned ones too, in the long form."""
    characters = [chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000]
    if not scale.SOAK:
        assigned = [c for c in characters if unicodedata.category(c) not in ("Cn", "Co")]
        characters = [c for n, c in enumerate(assigned) if c < "\u3000" or n % 8 == 0]
    for at in range(0, len(characters), 1 << 15):
        texts = [f"a{c}b {c}" for c in characters[at : at + (1 << 15)]]
        assert token_ids(texts) == reference(texts)


def test_half_a_surrogate_pair_is_removed() -> None:
    assert token_ids(["a\ud800b \udfff"]) == token_ids(["ab"])


def test_special_tokens_long_words_and_every_latin_character() -> None:
    chance = random.Random(4)
    texts = [
        "[MASK] a [CLS]",
        "[mask]",
        "a" * 100,
        "a" * 101,
        "x" * 5000,
        "##ing",
        "",
        " ",
        "don't stop",
        "\x00a\x7fb\x0bc",
    ]
    texts += ["".join(chance.choices([chr(c) for c in range(256)], k=30)) for _ in range(2000)]
    assert token_ids(texts) == reference(texts)


def test_a_texts_ids_are_the_same_when_it_is_remembered_and_after_many_others() -> None:
    text = "Who declares a SEV-1?"
    first = token_ids([text, "é " + text])
    assert token_ids([text, "é " + text]) == first
    token_ids([f"text {n}" for n in range(wordpiece._MOST_RECENT + 5)])
    assert len(wordpiece._RECENT) <= wordpiece._MOST_RECENT
    assert token_ids([text, "é " + text]) == first
