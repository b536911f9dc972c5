"""What the reranker reads: every passage once, neighbours together, within the model's limits."""

from __future__ import annotations

import numpy as np

from rag.embedding.wordpiece import token_ids
from tests.benchmarks.reranking.sequences import RUN, Passage, runs, sequences, standard

QUESTION = "How much leave do staff take?"


def passages(*texts: str, gap: int = 1, section: tuple[str, ...] = ("Leave",)) -> list[Passage]:
    out, start = [], 0
    for text in texts:
        out.append(Passage("a.md", start, start + len(text), text, section))
        start += len(text) + gap
    return out


def test_neighbours_are_read_as_one_text_under_their_heading() -> None:
    first, second = passages("Staff take 28 days.", "Unused days expire.")
    [read] = sequences(QUESTION, [second, first])  # in the order of the document, not of the hits
    asked, heading = token_ids([QUESTION, "Leave"])
    assert read.ids[read.question] == asked
    assert read.ids[read.passages_start :][: len(heading)] == heading
    assert {number: read.ids[span] for number, span in read.spans} == {
        1: token_ids([first.text])[0], 0: token_ids([second.text])[0],
    }  # fmt: skip


def test_others_are_read_apart() -> None:
    one, two = passages("Staff take 28 days.", "Unused days expire.")
    for other in (
        two._replace(source="b.md"),
        two._replace(start=90, end=109),
        two._replace(section=("Pay",)),
    ):
        assert runs([one, other], [5, 5]) == [[0], [1]]


def test_a_run_ends_before_it_is_too_long() -> None:
    some = passages(*["Staff take 28 days."] * 5)
    assert runs(some, [RUN // 2] * 5) == [[0, 1], [2, 3], [4]]


def test_a_passage_is_cut_to_the_longest_run_and_one_without_words_is_still_read() -> None:
    long, empty = passages("day " * 500, "", gap=9)
    spans = dict(span for read in sequences(QUESTION, [long, empty]) for span in read.spans)
    assert spans[0].stop - spans[0].start == RUN
    assert spans[1].stop - spans[1].start == 1


def test_scores_are_in_deviations_of_the_first_ones() -> None:
    assert np.allclose(standard([3.0, 1.0]), [1.0, -1.0])
    assert standard([2.0, 2.0]).tolist() == [0.0, 0.0]
