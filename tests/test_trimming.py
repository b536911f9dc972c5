"""A context is never over budget, joins neighbours, says nothing twice, and keeps every place."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.embedding.static import StaticEmbeddings
from rag.records import Hit
from rag.trimming import BudgetTrimmer

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
    st.sampled_from(["chunks", "sentences"]),
)
def test_a_context_fits_its_budget_and_reproduces_its_text(
    corpus, budget: int, unit: str, strategy: str
) -> None:
    texts, hits = corpus
    trimmer = BudgetTrimmer(budget=budget, unit=unit, strategy=strategy)
    passages = [
        Hit.from_document(d)
        for d in trimmer.compress_documents([h.to_document() for h in hits], "leave days")
    ]
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


def test_nothing_fits_or_nothing_is_there() -> None:
    assert trim([hit(0, "too long for it", 1.0)], budget=3) == []
    assert trim([], budget=3) == []
