"""Hits keep the sections and pages of every span, however they are joined and narrowed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from rag.core.passages import Candidate, Context, Hit, joined

PATHS = [(), ("Leave",), ("Leave", "Paid"), ("Leave", "Sick"), ("Pay",)]


@st.composite
def runs(draw: st.DrawFn) -> list[Hit]:
    """Chunks that stand side by side in a document, with sections that may come back."""
    pieces, at = [], draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 6))):
        text, gap = (
            draw(st.sampled_from(["One.", "Two words.", "x"])),
            draw(st.sampled_from(["", " ", "\n\n"])),
        )
        section = draw(st.sampled_from(PATHS))
        pieces.append(Hit("a.md", at, at + len(text), text, 1.0, gap=gap, section=section))
        at += len(text) + len(gap)
    return pieces


def holder(pieces: list[Hit], at: int) -> Hit:
    """The chunk that holds an offset, the gap behind it included."""
    return next(piece for piece in reversed(pieces) if piece.start <= at)


@settings(deadline=None)
@given(runs(), st.data())
def test_sections_of_narrowed_joins(pieces: list[Hit], data: st.DataObject) -> None:
    """For every offset, the section of the narrowed hit is that of the chunk that held it."""
    whole = joined(pieces)
    for at in range(whole.start, whole.end):
        assert whole.section_at(at) == whole.narrowed(at, whole.end).section == holder(pieces, at).section
    start = data.draw(st.integers(whole.start, whole.end - 1))
    end = data.draw(st.integers(start + 1, whole.end))
    part = whole.narrowed(start, end)
    assert [part.section_at(at) for at in range(start, end)] == [
        whole.section_at(at) for at in range(start, end)
    ]
    assert all(start < at < end for at, _ in part.section_breaks)


@settings(deadline=None)
@given(runs(), st.integers(1, 5))
def test_joins_of_joins(pieces: list[Hit], cut: int) -> None:
    """Pieces joined in two steps are the pieces joined in one."""
    parts = [part for part in (pieces[:cut], pieces[cut:]) if part]
    assert joined([joined(part) for part in parts]) == replace(joined(pieces), chunk_id="")


@settings(deadline=None)
@given(runs(), st.booleans())
def test_document_round_trip(pieces: list[Hit], placed: bool) -> None:
    """A hit over several sections comes back from a document, and from its metadata as JSON."""
    whole = joined(pieces)
    if not placed:
        whole = replace(joined([replace(p, start=p.start - pieces[0].start, end=p.end - pieces[0].start)
                                for p in pieces]), placed=False)  # fmt: skip
    document = whole.to_document()
    assert ("start" in document.metadata, "end" in document.metadata) == (placed, placed)
    assert Hit.from_document(document) == whole
    again = Document(document.page_content, metadata=json.loads(json.dumps(document.metadata)))
    assert Hit.from_document(again) == whole
    assert json.loads(json.dumps(whole.to_dict()))["section_breaks"] == [
        [at, list(path)] for at, path in whole.section_breaks
    ]


@pytest.mark.parametrize(
    "odd", ["x", [1], [[1]], [["1", ["A"]]], [[1, "A"]], [[1, [2]]], {"1": ["A"]}, [[True, ["A"]], [2]]]
)
def test_foreign_section_breaks(odd: object) -> None:
    """A value of another form under our key is the user's."""
    hit = Hit.from_document(Document("Text.", metadata={"section_breaks": odd}))
    assert (hit.section_breaks, hit.metadata) == ((), {"section_breaks": odd})


@pytest.mark.parametrize(("sections", "place"), [
    ([("Paid time off",), ("Parental leave",)], "a.md, Paid time off; Parental leave"),
    ([("Leave", "Paid"), ("Leave", "Sick"), ("Leave", "Paid")], "a.md, Leave > Paid; Sick"),
    ([("Leave",), ("Leave", "Sick")], "a.md, Leave; Leave > Sick"),
    ([("H", "Leave"), ("H", "Leave", "Sick"), ("H", "Pay")], "a.md, H > Leave; Leave > Sick; Pay"),
    ([(), ("Leave",)], "a.md, Leave"),
    ([("Leave", "Paid"), ("Leave", "Paid")], "a.md, Leave > Paid"),
    ([(), ()], "a.md"),
])  # fmt: skip
def test_place(sections: list[tuple[str, ...]], place: str) -> None:
    """A place names every section once, and the headings above all of them once."""
    pieces = [Hit("a.md", 2 * n, 2 * n + 1, "x", 1.0, gap=" ", section=s) for n, s in enumerate(sections)]
    assert joined(pieces).place == place


def test_placed() -> None:
    """A document without offsets is not placed; one with LangChain's start_index is."""
    bare = Hit.from_document(Document("Text.", metadata={"source": "a.md"}))
    indexed = Hit.from_document(Document("Text.", metadata={"start_index": 7}))
    assert (bare.placed, bare.start, bare.end) == (False, 0, 5)
    assert (indexed.placed, indexed.start, indexed.end) == (True, 7, 12)
    assert bare.narrowed(1, 3).placed is False


def test_fates() -> None:
    """A context counts what became of its candidates, most frequent first."""
    hit = Hit("a.md", 0, 4, "Text", 1.0)
    why = ["kept", "no room", "kept"]
    candidates = tuple(Candidate("a.md", 0, 4, 1.0, 0.0, each) for each in why)
    assert Context((hit,), 4, 9, "chars", candidates).fates == "of 3 candidates 2 kept, 1 no room"
    assert Context((hit,), 4, 9, "chars").fates == ""
    assert Context((hit,), 4, 9, "chars").size == "4 of 9 chars in 1 passages"
