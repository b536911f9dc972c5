"""Runs of bytes: what is found, what is not, and the same as by comparing every place."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.erasure.runs import _BLOCK, RUN, SHORTEST, Runs

TEXT = "Jane Doe earned 71,300 dollars in the year that she left the company.\nShe said “so”."


def test_a_run_is_found_wherever_it_stands() -> None:
    runs = Runs([TEXT])
    piece = TEXT.encode()[7 : 7 + RUN]
    for at in (*range(60), _BLOCK - 50, _BLOCK - 24, _BLOCK - 1, _BLOCK):
        assert runs.find(bytes(at) + piece + b"\0" * 30) == at
    assert runs.find(piece[1:] + b"\0" * 30) is None


def test_a_text_is_found_as_json_has_it() -> None:
    runs = Runs([TEXT])
    for data in (json.dumps([TEXT]), json.dumps([TEXT], ensure_ascii=False)):
        around = data[data.index("year") - 4 : data.index("so") + 8]
        assert runs.find(around.encode()) is not None, data
    assert runs.in_value({"a": [1, {"b": TEXT[3:60]}]}) and runs.in_value([{TEXT: None}])
    assert not runs.in_value({"a": [TEXT[:30], TEXT[30:60]]})  # two texts are no run together


def test_runs_that_others_have_are_no_trace() -> None:
    footer = "This document is confidential and belongs to Kelvara Instruments Ltd of Rotterdam."
    runs = Runs([TEXT + footer], [f"Another text. {footer}"])
    assert runs.find(footer.encode()) is None
    assert runs.find((TEXT[-30:] + footer[:30]).encode()) == 0
    assert not Runs([footer], [f"Another text. {footer}"])


def test_a_short_text_is_searched_as_a_whole_and_a_tiny_one_not_at_all() -> None:
    runs = Runs(["Jane Doe, 71,300", "Jane"])
    assert runs.find(b"x" * 13 + b"Jane Doe, 71,300") == 13
    assert runs.find(b"Jane Doe, 71,30") is None and runs.unsearched == 1
    assert not Runs(["Jane Doe, 71,300"], ["She is Jane Doe, 71,300 a year."])


def test_a_stream_is_searched_across_its_pieces() -> None:
    data = b"\0" * 1000 + TEXT.encode() + b"\0" * 1000
    for size in (1, 7, 40, 999, 1030):
        assert Runs([TEXT]).in_stream(data[at : at + size] for at in range(0, len(data), size))
    assert not Runs([TEXT]).in_stream([data[:1000], data[1060:]])


WORDS = st.lists(
    st.sampled_from(["ab", "abc ", "é", "\n", "leave ", "of 28 days. ", '"', "x" * 20]), max_size=60
)


@settings(max_examples=200)
@given(st.lists(WORDS.map("".join), min_size=1, max_size=3), WORDS.map("".join), st.integers(0, 1 << 30))
def test_what_is_found_is_what_a_comparison_of_every_place_finds(
    texts: list[str], other: str, seed: int
) -> None:
    chance = random.Random(seed)
    runs = Runs(texts, [other])

    def forms(text: str) -> set[bytes]:
        ascii_form = json.dumps(text)[1:-1].encode()
        return {text.encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode(), ascii_form}

    wanted = set[bytes]()
    for form in (form for text in texts for form in forms(text)):
        if len(form) >= RUN:
            wanted |= {form[at : at + RUN] for at in range(len(form) - RUN + 1)}
        elif len(form) >= SHORTEST:
            wanted.add(form)
    wanted = {piece for piece in wanted if not any(piece in form for form in forms(other))}
    source = chance.choice([*texts, other]).encode()
    at = chance.randrange(len(source) + 1)
    data = chance.randbytes(chance.randrange(60)) + source[at : at + chance.randrange(30, 120)] + b"\0" * 9
    assert (runs.find(data) is not None) == any(piece in data for piece in wanted)
