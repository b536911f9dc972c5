"""A document's chunks, shown on its text."""

from __future__ import annotations

from langchain_core.documents import Document

from rag.chunking.cuts import Cuts
from tests.notebook.objects import markup


def cuts(text: str, *spans: tuple[int, int]) -> Cuts:
    chunks = tuple(Document(text[a:b], metadata={"start": a, "end": b}) for a, b in spans)
    return Cuts("leave.md", "Chunker", text, chunks)


def test_every_other_chunk_has_another_colour_and_a_number() -> None:
    html = cuts("head\nTake 28 days. Ask first.", (5, 18), (19, 29))._repr_html_()
    assert (
        '<span class="dim">head\n</span><small class="cut">1</small><mark class="odd">Take 28 days.</mark>'
        in html
    )
    assert ' <small class="cut">2</small><mark class="even">Ask first.</mark>' in html
    assert "2 chunks of 10 to 13 characters, 23 of 29 characters" in markup(html).text


def test_text_that_is_in_two_chunks_is_marked_as_such() -> None:
    shown = cuts("one two three", (0, 7), (4, 13))
    assert (
        '<small class="cut">2</small><mark class="even twice">two</mark><mark class="even"> three</mark>'
        in shown._repr_html_()
    )
    assert "13 of 13 characters, 3 of them twice" in " ".join(str(shown).split())


def test_the_text_names_the_first_chunks() -> None:
    lines = str(cuts("x" * 1500, *((n * 100, n * 100 + 100) for n in range(15)))).splitlines()
    assert lines[0] == "Chunker, leave.md: 15 chunks of 100 characters, 1,500 of 1,500 characters"
    assert lines[1].startswith("  1       0-100  xxx") and lines[12].startswith("  12  1100-1200  xxx")
    assert lines[13:] == ["  … 3 more chunks: cuts.chunks"]


def test_a_long_text_is_cut_and_says_so() -> None:
    html = cuts("x" * 9000, (0, 9000))._repr_html_()
    assert "… 3,000 more characters: .text[6000:]" in html and len(html) < 15_000


def test_nothing_is_cut_of_an_empty_text() -> None:
    assert str(cuts("")) == "Chunker, leave.md: no chunks of 0 characters"
    assert repr(cuts("")) == '<Cuts Chunker leave.md: "no chunks of 0 characters">'
