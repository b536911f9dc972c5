"""A context is never over budget, joins neighbours, says nothing twice, and keeps every place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from rag.core.passages import Hit, joined
from rag.embedding.static import StaticEmbeddings
from rag.trimming import BudgetTrimmer, coverage
from rag.trimming.coverage import cover

SENTENCES = ["Anyone may declare a SEV-1. ", "Pay day is the 25th of a month. ", "# Leave\n\n", "Staff take 28 days. ",
             "Backups run nightly, and restores are tested.\n\n", "x" * 40 + " ", "東京の休暇は二十日です。"]  # fmt: skip


@st.composite
def corpora(draw: st.DrawFn) -> tuple[dict[str, str], list[Hit]]:
    """Documents, and hits that are slices of them: neighbours with their gaps, in any order."""
    texts = {
        name: "".join(draw(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=12)))
        for name in draw(st.sets(st.sampled_from(["a.md", "b.md", "c.md"]), min_size=1))
    }
    hits = []
    for name, text in texts.items():
        cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)) | {0, len(text)})
        for start, end in zip(cuts, cuts[1:], strict=False):
            piece = text[start:end]
            inner = piece.rstrip()
            if inner:
                score = draw(st.floats(-3, 9))
                hits.append(Hit(name, start, start + len(inner), inner, score, gap=piece[len(inner) :]))
    return texts, draw(st.permutations(hits))


@settings(max_examples=200, deadline=None)
@given(
    corpora(),
    st.integers(1, 300),
    st.sampled_from(["chars", "tokens"]),
    st.sampled_from(["passages", "chunks", "sentences"]),
)
def test_budget_and_slices(corpus, budget: int, unit: str, strategy: str) -> None:
    """A context fits its budget, and its passages are disjoint slices of their documents."""
    texts, hits = corpus
    trimmer = BudgetTrimmer(budget=budget, unit=unit, strategy=strategy)
    documents = [h.to_document() for h in hits]
    passages, candidates = trimmer.trim(hits, "leave days")
    assert [p.to_document() for p in passages] == trimmer.compress_documents(documents, "leave days")
    assert [(c.source, c.start, c.end) for c in candidates] == [(h.source, h.start, h.end) for h in hits]
    for hit, candidate in zip(hits, candidates, strict=True):
        inside = any(p.source == hit.source and p.start < hit.end and hit.start < p.end for p in passages)
        assert (candidate.kept > 0) <= inside
        assert (candidate.why == "kept") == (candidate.kept == 1) or candidate.why == "kept"
    assert sum(trimmer.size(hit.text) for hit in passages) <= budget
    for hit in passages:
        assert texts[hit.source][hit.start : hit.end] == hit.text
    for one in passages:
        assert not any(
            o is not one and o.source == one.source and o.start < one.end and one.start < o.end
            for o in passages
        )


def hit(start: int, text: str, score: float, gap: str | None = None, source: str = "a.md", **more) -> Hit:
    return Hit(source, start, start + len(text), text, score, gap=gap, **more)


def trim(hits: list[Hit], **settings) -> list[Hit]:
    return BudgetTrimmer(**settings).trim(hits, "leave")[0]


def test_order() -> None:
    """The best are taken first, and sent in reading order."""
    hits = [
        hit(200, "third", 3.0),
        hit(100, "second", 5.0),
        hit(0, "first", 4.0),
        hit(0, "other", 9.0, source="z.md"),
    ]
    assert [h.text for h in trim(hits, budget=16)] == ["other", "first", "second"]
    assert [h.text for h in trim(hits, budget=12)] == ["other", "second"]


def test_neighbours() -> None:
    """Neighbours become one passage with the white space between them."""
    hits = [
        hit(0, "One.", 2.0, "\n\n", page_start=1, page_end=1),
        hit(6, "Two.", 3.0, page_start=2, page_end=2),
    ]
    (passage,) = trim(hits, budget=100)
    assert (passage.text, passage.start, passage.end) == ("One.\n\nTwo.", 0, 10)
    assert (passage.page_start, passage.page_end, passage.page_breaks) == (1, 2, (6,))
    assert len(trim(hits, budget=9)) == 1  # the gap counts: only one of them fits


def test_repeats() -> None:
    """Repeated text is left out."""
    hits = [hit(0, "Pay day is the 25th.", 3.0), hit(0, "Pay  day is the 25th.", 2.0, source="old.md")]
    assert [h.source for h in trim(hits, budget=500)] == ["a.md"]


def test_sentences_of_long_chunks() -> None:
    """Sentences are picked out of long chunks by meaning and words."""
    text = (
        "The office has a kitchen. Annual leave is 28 days a year for all staff. Bicycles go in the basement."
    )
    (passage,) = trim([hit(50, text, 1.0)], budget=60, strategy="sentences", embedder=StaticEmbeddings())
    assert passage.text == "Annual leave is 28 days a year for all staff."
    assert passage.start == 50 + text.index("Annual")


HEAD = "| place | days |\n|---|---|\n"


def row(start: int, text: str, score: float, gap: str | None = None) -> Hit:
    return hit(start, text, score, gap, table_head=HEAD, table_head_start=100)


def test_table_head() -> None:
    """A row brings the head of its table, within the budget."""
    below = 100 + len(HEAD)
    first, second = row(below, "| Lisbon | 28 |", 1.0, "\n"), row(below + 16, "| Oslo | 30 |", 9.0)
    both = trim([first, second], budget=500)
    assert [p.text for p in both] == [f"{HEAD}| Lisbon | 28 |\n| Oslo | 30 |"]
    assert (both[0].start, both[0].end) == (100, below + 29)
    apart = trim([second], budget=500)
    assert [(p.start, p.text) for p in apart] == [(100, HEAD.rstrip()), (below + 16, "| Oslo | 30 |")]
    assert trim([second], budget=len(HEAD) + 5) == []  # a row alone would not be understood
    assert sum(len(p.text) for p in trim([second], budget=len(HEAD) + 13)) <= len(HEAD) + 13


def test_held_table_head() -> None:
    """A head that a candidate holds is not sent twice."""
    above = hit(90, f"Allowances {HEAD}".rstrip(), 0.5)
    assert above.end > 100
    found = trim([above, row(100 + len(HEAD) + 16, "| Oslo | 30 |", 9.0)], budget=500)
    assert sum(p.text.count("| place | days |") for p in found) == 1


def test_near_repeats() -> None:
    """A text that differs by a number or a "not" is no repeat."""
    texts = [
        "Staff in all our offices may carry over 5 days of leave into the next year.",
        "Staff in all our offices may carry over 8 days of leave into the next year.",
        "Staff in all our offices may not carry over 5 days of leave into the next year.",
    ]
    hits = [hit(0, text, 3.0 - n, source=f"{n}.md") for n, text in enumerate(texts)]
    assert sorted(h.source for h in trim(hits, budget=1000)) == ["0.md", "1.md", "2.md"]
    part = hit(0, "may carry over 5 days of leave", 1.0, source="part.md")
    _, candidates = BudgetTrimmer(budget=1000, strategy="chunks").trim([*hits, part], "leave")
    assert [c.why for c in candidates] == ["kept", "kept", "kept", "said already"]


def test_candidates() -> None:
    """What became of every candidate is known."""
    long = "Annual leave is 28 days a year for all staff. " + "The canteen has a piano and a view. " * 15
    hits = [hit(0, long.strip(), 2.0), hit(5, long[5:40], 1.0), hit(0, "x" * 900, 0.5, source="z.md")]
    trimmer = BudgetTrimmer(budget=120, embedder=StaticEmbeddings())
    passages, candidates = trimmer.trim(hits, "how much annual leave")
    assert passages[0].text.startswith("Annual leave is 28 days")
    assert [c.why for c in candidates] == ["kept in part", "held by another candidate", "no room"]
    assert candidates[0].kept == 80 / 585  # two sentences; the gap between them is no candidate
    assert candidates[1].score is None


def test_cover() -> None:
    """A word of the same meaning counts as well as the word itself."""
    texts = ["The car is in the garage.", "The soup is in the bowl.", "The automobile needs fuel."]
    alone = cover(texts, [False] * 3, "automobile garage")
    near = cover(texts, [False] * 3, "automobile garage", StaticEmbeddings())
    assert alone.tolist() == [0.5, 0.0, 0.5]  # both words are in one text each: equal weights
    assert near[0] > 0.7 > near[2] >= 0.5 > near[1]
    assert cover(texts, [False] * 3, "the of").tolist() == [0.0, 0.0, 0.0]
    beside = cover(texts, [True, True, False], "automobile garage")
    assert beside.tolist() == [0.5, 0.6, 0.5]  # a neighbour's words count 0.6


def test_nothing_fits() -> None:
    """Nothing that fits, or no candidates, is no passage."""
    assert trim([hit(0, "too long for it", 1.0)], budget=3) == []
    assert trim([], budget=3) == []


@pytest.mark.parametrize("strategy", ["passages", "sentences", "chunks"])
@pytest.mark.parametrize(("size", "overlap"), [(120, 40), (700, 200), (90, 89)])
def test_overlaps(strategy: str, size: int, overlap: int) -> None:
    """Overlapping candidates lose nothing."""
    text = " ".join(f"Fact {n} of the handbook says {n * 7} and no more." for n in range(40))
    starts = range(0, len(text), size - overlap)
    hits = [hit(at, text[at : at + size].rstrip(), float(n % 7)) for n, at in enumerate(starts)]
    hits = [
        replace(h, start=h.start + len(h.text) - len(h.text.lstrip()), text=h.text.lstrip()) for h in hits
    ]
    found, _ = BudgetTrimmer(budget=100_000, strategy=strategy).trim(hits, "x")
    held = {at for p in found for at in range(p.start, p.end)}
    assert {at for at, c in enumerate(text) if not c.isspace()} <= held
    assert all(text[p.start : p.end] == p.text for p in found)
    assert sum(len(p.text) for p in found) <= len(text)
    assert len(found) == 1 and found[0].text == text  # the pieces join again


def test_unplaced() -> None:
    """Chunks without offsets are documents of their own."""
    facts = ["Leave is 28 days.", "Pay day is the 25th.", "The canteen opens at noon."]
    documents = [Document(fact, metadata={"source": "a.pdf"}) for fact in facts] + [
        Document("No source at all.")
    ]
    kept = BudgetTrimmer(budget=500).compress_documents(documents, "leave")
    assert sorted(d.page_content for d in kept) == sorted([*facts, "No source at all."])
    assert not any("start" in d.metadata or "end" in d.metadata for d in kept)


def test_documents_and_hits() -> None:
    """Documents, with and without offsets, are trimmed as the hits that they become."""
    text = "Leave is 28 days. The canteen opens at noon. Leave is asked for in advance. " * 3
    documents = [
        Document(text, metadata={"source": "a.pdf", "score": 1.0}),
        hit(5, "Ask for leave.", 2.0).to_document(),
    ]
    trimmer = BudgetTrimmer(budget=60, strategy="sentences")
    hits = [Hit.from_document(document) for document in documents]
    passages, _ = trimmer.trim(hits, "leave")
    assert [p.to_document() for p in passages] == trimmer.compress_documents(documents, "leave")
    assert {p.source: p.placed for p in passages} == {"a.pdf": False, "a.md": True}


def test_sections() -> None:
    """A passage of several chunks has the section of each, and a part of one only its own."""
    one = hit(0, "Leave is 28 days for all of us.", 1.0, "\n\n", section=("Leave",))
    two = hit(33, "Pay is on the 25th of a month.", 1.0, section=("Pay",))
    (both,) = trim([two, one], budget=100)
    assert (both.section, both.section_breaks) == (("Leave",), ((33, ("Pay",)),))
    assert both.place == "a.md, Leave; Pay"
    whole = joined([one, two])
    (part,) = trim([replace(whole, score=1.0)], budget=35, strategy="sentences")
    assert (part.text, part.section, part.section_breaks) == (
        "Leave is 28 days for all of us.",
        ("Leave",),
        (),
    )
    (other,) = BudgetTrimmer(budget=35, strategy="sentences").trim([whole], "pay")[0]
    assert (other.text, other.section, other.section_breaks) == (
        "Pay is on the 25th of a month.",
        ("Pay",),
        (),
    )


def test_signs() -> None:
    """Texts that differ by a sign are no repeats."""
    pairs = ("is >= 30", "is <= 30"), ("is 5", "is -5"), ("costs $50", "costs €50")
    for one, two in pairs:
        hits = [
            hit(0, f"The reading {end} at noon.", 1.0, source=name) for name, end in (("a", one), ("b", two))
        ]
        assert len(trim(hits, budget=500)) == 2


def test_no_row() -> None:
    """Text that is no row brings no head, and a head has no page."""
    below = 100 + len(HEAD)
    assert [p.text for p in trim([row(below + 40, "Visitors park outside.", 2.0)], budget=500)] == [
        "Visitors park outside."
    ]
    paged = row(below + 40, "| Oslo | 30 |", 2.0)
    found = trim([replace(paged, page_start=7, page_end=7)], budget=500)
    assert [(p.text, p.page_start) for p in found] == [(HEAD.rstrip(), None), ("| Oslo | 30 |", 7)]


def test_foreign_keys() -> None:
    """A reserved key whose value has another type is the user's."""
    odd = {"source": 7, "score": [1], "start": "00:10", "section": "Intro", "page_start": "3", "page_breaks": "x",
           "table_head": 1, "gap": 0}  # fmt: skip
    found = Hit.from_document(Document("Text.", metadata=odd))
    assert (found.source, found.score, found.start, found.section) == ("7", 0.0, 0, ("Intro",))
    assert (found.page_start, found.page_breaks, found.table_head, found.gap) == (None, (), None, None)
    kept = {"score": [1], "start": "00:10", "page_start": "3", "page_breaks": "x", "table_head": 1, "gap": 0}
    assert found.metadata == kept
    assert (
        BudgetTrimmer(budget=50).compress_documents([Document("Text.", metadata=odd)], "x")[0].page_content
        == "Text."
    )


@pytest.mark.parametrize(
    "scores", [[float("nan"), 1.0, float("inf")], [1e308, 1.5e308, -1e308], [float("nan")] * 3]
)
def test_odd_scores(scores: list[float]) -> None:
    """Scores that are no finite numbers break nothing."""
    hits = [hit(0, f"Fact {n}.", score, source=f"{n}") for n, score in enumerate(scores)]
    assert len(trim(hits, budget=500)) == 3


def test_cover_bounds() -> None:
    """Words of any length and vectors of any norm give a cover within bounds."""

    class Loud(StaticEmbeddings):
        fingerprint = "loud/1"

        def vectors(self, texts):
            return 100 * super().vectors(texts)

    texts = ["bananas ripen quickly", "parental leave", "f" * 100_000, ""]
    found = cover(texts, [False] * 4, "parental leave weeks", Loud())
    assert found.tolist() == pytest.approx(
        cover(texts, [False] * 4, "parental leave weeks", StaticEmbeddings()).tolist()
    )
    assert found[1] > 0.5 > found[0] and found[2] == found[3] == 0


class Counting(StaticEmbeddings):
    """Counts the words that it is asked for."""

    fingerprint = "counting/1"

    def __init__(self) -> None:
        self.words: list[str] = []

    def vectors(self, texts):
        self.words += texts
        return super().vectors(texts)


def test_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word is embedded once, however many texts hold it."""
    monkeypatch.setattr(coverage, "_MOST_TEXTS", 3)
    monkeypatch.setattr(coverage, "_vocabularies", {})
    embedder = Counting()
    texts = [f"{word} leave in the office" for word in ("annual", "parental", "sick", "unpaid", "special")]
    for _ in range(3):
        for at in range(3):
            cover(texts[at : at + 3], [False] * 3, "parental leave", embedder)
    words = ["annual", "parental", "sick", "unpaid", "special", "leave", "office"]
    assert sorted(embedder.words) == sorted(words)


def test_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads that fill a vocabulary again and again get the same covers."""
    questions = [f"{a} {b}" for a in ("annual", "backup", "audit") for b in ("leave", "region", "zebra")]
    texts = [f"{word} and {question}" for word in ("often", "seldom") for question in questions]

    def ask(question: str) -> list[float]:
        return cover(texts, [False] * len(texts), question, StaticEmbeddings()).tolist()

    expected = {question: ask(question) for question in questions}
    monkeypatch.setattr(coverage, "_MOST_WORDS", 9)
    monkeypatch.setattr(coverage, "_MOST_TEXTS", 5)
    with ThreadPoolExecutor(8) as pool:
        for question, found in zip(questions * 20, pool.map(ask, questions * 20), strict=True):
            assert found == expected[question]


def test_round_trip() -> None:
    """A hit goes through a document and back unchanged, whatever its number types."""
    whole = Hit(
        "a.md",
        3,
        7,
        "text",
        1.5,
        "d",
        "c",
        " ",
        2,
        4,
        (5, 6),
        ("A", "B"),
        ((5, ("C",)),),
        "| a |",
        0,
        0.5,
        2.5,
        metadata={"k": [1]},
    )
    assert Hit.from_document(whole.to_document()) == whole
    assert Hit.from_document(hit(0, "Bare.", 0.0).to_document()) == hit(0, "Bare.", 0.0)
    odd = {
        "source": "a.pdf",
        "page_start": np.int64(2),
        "score": np.float32(0.5),
        "page_breaks": [np.int64(4)],
    }
    found = Hit.from_document(Document("A text.", metadata=odd))
    assert (found.page_start, found.score, found.page_breaks) == (2, 0.5, (4,))
    assert found.to_document().metadata["page_start"] == 2


def test_narrowed_pages() -> None:
    """The whole of a hit is the hit; a page range has two ends."""
    paged = Hit("a.pdf", 0, 9, "One. Two.", 1.0, page_start=1, page_end=2, page_breaks=(5,))
    assert paged.narrowed(0, 9) is paged
    assert [(part.page_start, part.page_end) for part in (paged.narrowed(0, 4), paged.narrowed(5, 9))] == [
        (1, 1), (2, 2),
    ]  # fmt: skip
    assert replace(paged, page_end=None).narrowed(0, 9).page_end == 2
    assert replace(paged, page_start=None).narrowed(0, 9).page_end is None
