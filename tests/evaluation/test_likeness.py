"""Questions that ask the same."""

from __future__ import annotations

from rag.evaluation.likeness import Texts, plain

QUESTIONS = (
    "How many days of annual leave do staff in Europe have?",
    "how many days of annual leave do staff in Europe have",
    "How many annual leave days does staff in Europe get?",
    "Who may declare a SEV-1?",
    "How long were passwords valid in 2022?",
    "How long were passwords valid in 2024?",
)


def test_equal_and_similar_questions_are_pairs() -> None:
    pairs = {(pair.first, pair.second): pair for pair in Texts(QUESTIONS).pairs()}
    assert set(pairs) == {(0, 1), (0, 2), (1, 2)}
    assert pairs[0, 1].equal and pairs[0, 1].cosine == 1.0
    near = pairs[0, 2]
    assert not near.equal and 0.8 <= near.cosine < 1 and 0.5 <= near.terms <= 1


def test_questions_with_other_numbers_are_other_questions() -> None:
    one, other = Texts(QUESTIONS[4:5]), Texts(QUESTIONS[5:])
    assert float((one.vectors @ other.vectors.T)[0, 0]) > 0.9
    assert list(one.pairs(other)) == []


def test_pairs_with_other_questions() -> None:
    pairs = list(Texts(QUESTIONS[:1]).pairs(Texts(QUESTIONS[1:])))
    assert [(pair.first, pair.second, pair.equal) for pair in pairs] == [(0, 0, True), (0, 1, False)]


def test_equal_questions_are_found_however_an_embedder_sees_them() -> None:
    class Blind:
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[float(at == number) for at in range(len(texts))] for number in range(len(texts))]

    pairs = list(Texts(["Why?!", "why", "How?"], Blind()).pairs())
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1)]


def test_no_questions_have_no_pairs() -> None:
    assert list(Texts([]).pairs()) == [] == list(Texts([]).pairs(Texts(["Why?"])))
    assert plain("What's  THIS?") == "what's this"


def test_texts_grow() -> None:
    asked = Texts([])
    for number, question in enumerate(QUESTIONS[:4]):
        one = Texts([question])
        assert len(list(one.pairs(asked))) == (0, 1, 2, 0)[number]
        asked.add(one)
    assert asked.texts == QUESTIONS[:4]
    assert asked.vectors.shape == (4, 384)
