"""A context is never over budget, joins neighbours, says nothing twice, and keeps every place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from rag.core.passages import Hit
from rag.embedding.static import StaticEmbeddings
from rag.trimming import BudgetTrimmer, relevance
from rag.trimming.relevance import cover

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
def test_a_context_fits_its_budget_and_reproduces_its_text(
    corpus, budget: int, unit: str, strategy: str
) -> None:
    texts, hits = corpus
    trimmer = BudgetTrimmer(budget=budget, unit=unit, strategy=strategy)
    documents = [h.to_document() for h in hits]
    passages, candidates = trimmer.trim(documents, "leave days")
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
    documents = BudgetTrimmer(**settings).compress_documents([h.to_document() for h in hits], "leave")
    return [Hit.from_document(document) for document in documents]


def test_the_best_are_taken_first_and_go_out_in_reading_order() -> None:
    hits = [
        hit(200, "third", 3.0),
        hit(100, "second", 5.0),
        hit(0, "first", 4.0),
        hit(0, "other", 9.0, source="z.md"),
    ]
    assert [h.text for h in trim(hits, budget=16)] == ["other", "first", "second"]
    assert [h.text for h in trim(hits, budget=12)] == ["other", "second"]


def test_neighbours_become_one_passage_with_the_white_space_between_them() -> None:
    hits = [
        hit(0, "One.", 2.0, "\n\n", page_start=1, page_end=1),
        hit(6, "Two.", 3.0, page_start=2, page_end=2),
    ]
    (passage,) = trim(hits, budget=100)
    assert (passage.text, passage.start, passage.end) == ("One.\n\nTwo.", 0, 10)
    assert (passage.page_start, passage.page_end, passage.page_breaks) == (1, 2, (6,))
    assert len(trim(hits, budget=9)) == 1  # the gap counts: only one of them fits


def test_what_was_already_said_is_left_out() -> None:
    hits = [hit(0, "Pay day is the 25th.", 3.0), hit(0, "Pay  day is the 25th.", 2.0, source="old.md")]
    assert [h.source for h in trim(hits, budget=500)] == ["a.md"]


def test_sentences_are_picked_out_of_long_chunks_by_meaning_and_words() -> None:
    text = (
        "The office has a kitchen. Annual leave is 28 days a year for all staff. Bicycles go in the basement."
    )
    (passage,) = trim([hit(50, text, 1.0)], budget=60, strategy="sentences", embedder=StaticEmbeddings())
    assert passage.text == "Annual leave is 28 days a year for all staff."
    assert passage.start == 50 + text.index("Annual")


HEAD = "| place | days |\n|---|---|\n"


def row(start: int, text: str, score: float, gap: str | None = None) -> Hit:
    return hit(start, text, score, gap, table_head=HEAD, table_head_start=100)


def test_a_row_brings_the_head_of_its_table_within_the_budget() -> None:
    below = 100 + len(HEAD)
    first, second = row(below, "| Lisbon | 28 |", 1.0, "\n"), row(below + 16, "| Oslo | 30 |", 9.0)
    both = trim([first, second], budget=500)
    assert [p.text for p in both] == [f"{HEAD}| Lisbon | 28 |\n| Oslo | 30 |"]
    assert (both[0].start, both[0].end) == (100, below + 29)
    apart = trim([second], budget=500)
    assert [(p.start, p.text) for p in apart] == [(100, HEAD.rstrip()), (below + 16, "| Oslo | 30 |")]
    assert trim([second], budget=len(HEAD) + 5) == []  # a row alone would not be understood
    assert sum(len(p.text) for p in trim([second], budget=len(HEAD) + 13)) <= len(HEAD) + 13


def test_a_head_that_a_candidate_holds_is_not_sent_twice() -> None:
    above = hit(90, f"Allowances {HEAD}".rstrip(), 0.5)
    assert above.end > 100
    found = trim([above, row(100 + len(HEAD) + 16, "| Oslo | 30 |", 9.0)], budget=500)
    assert sum(p.text.count("| place | days |") for p in found) == 1


def test_what_differs_by_a_number_or_a_not_is_no_repeat() -> None:
    texts = [
        "Staff in all our offices may carry over 5 days of leave into the next year.",
        "Staff in all our offices may carry over 8 days of leave into the next year.",
        "Staff in all our offices may not carry over 5 days of leave into the next year.",
    ]
    hits = [hit(0, text, 3.0 - n, source=f"{n}.md") for n, text in enumerate(texts)]
    assert sorted(h.source for h in trim(hits, budget=1000)) == ["0.md", "1.md", "2.md"]
    part = hit(0, "may carry over 5 days of leave", 1.0, source="part.md")
    found = BudgetTrimmer(budget=1000, strategy="chunks").trim(
        [h.to_document() for h in [*hits, part]], "leave"
    )
    assert [c.why for c in found[1]] == ["kept", "kept", "kept", "said already"]


def test_every_candidate_is_told_what_became_of_it() -> None:
    long = "Annual leave is 28 days a year for all staff. " + "The canteen has a piano and a view. " * 15
    hits = [hit(0, long.strip(), 2.0), hit(5, long[5:40], 1.0), hit(0, "x" * 900, 0.5, source="z.md")]
    trimmer = BudgetTrimmer(budget=120, embedder=StaticEmbeddings())
    passages, candidates = trimmer.trim([h.to_document() for h in hits], "how much annual leave")
    assert passages[0].text.startswith("Annual leave is 28 days")
    assert [c.why for c in candidates] == ["kept in part", "held by another candidate", "no room"]
    assert candidates[0].kept == 80 / 585  # two sentences; the gap between them is no candidate
    assert candidates[1].score is None


def test_the_word_that_is_meant_counts_as_well_as_the_word_that_was_asked() -> None:
    texts = ["The car is in the garage.", "The soup is in the bowl.", "The automobile needs fuel."]
    alone = cover(texts, [False] * 3, "automobile garage")
    near = cover(texts, [False] * 3, "automobile garage", StaticEmbeddings())
    assert alone.tolist() == [0.5, 0.0, 0.5]  # both words are in one text each: equal weights
    assert near[0] > 0.7 > near[2] >= 0.5 > near[1]
    assert cover(texts, [False] * 3, "the of").tolist() == [0.0, 0.0, 0.0]
    beside = cover(texts, [True, True, False], "automobile garage")
    assert beside.tolist() == [0.5, 0.6, 0.5]  # a neighbour's words count 0.6


def test_nothing_fits_or_nothing_is_there() -> None:
    assert trim([hit(0, "too long for it", 1.0)], budget=3) == []
    assert trim([], budget=3) == []


@pytest.mark.parametrize("strategy", ["passages", "sentences", "chunks"])
@pytest.mark.parametrize(("size", "overlap"), [(120, 40), (700, 200), (90, 89)])
def test_overlapping_candidates_lose_nothing(strategy: str, size: int, overlap: int) -> None:
    text = " ".join(f"Fact {n} of the handbook says {n * 7} and no more." for n in range(40))
    starts = range(0, len(text), size - overlap)
    hits = [hit(at, text[at : at + size].rstrip(), float(n % 7)) for n, at in enumerate(starts)]
    hits = [
        replace(h, start=h.start + len(h.text) - len(h.text.lstrip()), text=h.text.lstrip()) for h in hits
    ]
    found, _ = BudgetTrimmer(budget=100_000, strategy=strategy).trim([h.to_document() for h in hits], "x")
    held = {at for p in found for at in range(p.start, p.end)}
    assert {at for at, c in enumerate(text) if not c.isspace()} <= held
    assert all(text[p.start : p.end] == p.text for p in found)
    assert sum(len(p.text) for p in found) <= len(text)
    assert len(found) == 1 and found[0].text == text  # the pieces join again


def test_chunks_without_offsets_are_places_of_their_own() -> None:
    facts = ["Leave is 28 days.", "Pay day is the 25th.", "The canteen opens at noon."]
    documents = [Document(fact, metadata={"source": "a.pdf"}) for fact in facts] + [
        Document("No source at all.")
    ]
    kept = BudgetTrimmer(budget=500).compress_documents(documents, "leave")
    assert sorted(d.page_content for d in kept) == sorted([*facts, "No source at all."])


def test_signs_are_no_repeats() -> None:
    pairs = ("is >= 30", "is <= 30"), ("is 5", "is -5"), ("costs $50", "costs €50")
    for one, two in pairs:
        hits = [
            hit(0, f"The reading {end} at noon.", 1.0, source=name) for name, end in (("a", one), ("b", two))
        ]
        assert len(trim(hits, budget=500)) == 2


def test_what_is_no_row_brings_no_head_and_a_head_has_no_page_of_its_own() -> None:
    below = 100 + len(HEAD)
    assert [p.text for p in trim([row(below + 40, "Visitors park outside.", 2.0)], budget=500)] == [
        "Visitors park outside."
    ]
    paged = row(below + 40, "| Oslo | 30 |", 2.0)
    found = trim([replace(paged, page_start=7, page_end=7)], budget=500)
    assert [(p.text, p.page_start) for p in found] == [(HEAD.rstrip(), None), ("| Oslo | 30 |", 7)]


def test_keys_of_ours_with_values_of_other_types_are_the_users() -> None:
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
def test_scores_that_are_no_numbers_break_nothing(scores: list[float]) -> None:
    hits = [hit(0, f"Fact {n}.", score, source=f"{n}") for n, score in enumerate(scores)]
    assert len(trim(hits, budget=500)) == 3


def test_words_of_any_length_and_vectors_of_any_norm_give_a_cover_within_bounds() -> None:
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


def test_a_word_is_embedded_once_however_many_texts_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "_MOST_TEXTS", 3)
    monkeypatch.setattr(relevance, "_vocabularies", {})
    embedder = Counting()
    texts = [f"{word} leave in the office" for word in ("annual", "parental", "sick", "unpaid", "special")]
    for _ in range(3):
        for at in range(3):
            cover(texts[at : at + 3], [False] * 3, "parental leave", embedder)
    words = ["annual", "parental", "sick", "unpaid", "special", "leave", "office"]
    assert sorted(embedder.words) == sorted(words)


def test_threads_that_fill_a_vocabulary_again_and_again_get_the_same_covers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    questions = [f"{a} {b}" for a in ("annual", "backup", "audit") for b in ("leave", "region", "zebra")]
    texts = [f"{word} and {question}" for word in ("often", "seldom") for question in questions]

    def ask(question: str) -> list[float]:
        return cover(texts, [False] * len(texts), question, StaticEmbeddings()).tolist()

    expected = {question: ask(question) for question in questions}
    monkeypatch.setattr(relevance, "_MOST_WORDS", 9)
    monkeypatch.setattr(relevance, "_MOST_TEXTS", 5)
    with ThreadPoolExecutor(8) as pool:
        for question, found in zip(questions * 20, pool.map(ask, questions * 20), strict=True):
            assert found == expected[question]


def test_a_hit_goes_through_a_document_and_back_unchanged_whatever_numbers_it_has() -> None:
    whole = Hit(
        "a.md", 3, 7, "text", 1.5, "d", "c", " ", 2, 4, (5, 6), ("A", "B"), "| a |", 0, 0.5, 2.5, {"k": [1]}
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


def test_the_whole_of_a_hit_is_the_hit_and_pages_are_always_two() -> None:
    paged = Hit("a.pdf", 0, 9, "One. Two.", 1.0, page_start=1, page_end=2, page_breaks=(5,))
    assert paged.narrowed(0, 9) is paged
    assert [(part.page_start, part.page_end) for part in (paged.narrowed(0, 4), paged.narrowed(5, 9))] == [
        (1, 1), (2, 2),
    ]  # fmt: skip
    assert replace(paged, page_end=None).narrowed(0, 9).page_end == 2
    assert replace(paged, page_start=None).narrowed(0, 9).page_end is None
