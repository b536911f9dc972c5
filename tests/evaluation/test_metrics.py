"""Metrics, compared with hand counts and with ir_measures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.evaluation import Span
from rag.evaluation.metrics import merged, overlap, ranking

spans = st.builds(
    lambda source, start, size: Span(source, start, start + size),
    st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 30),
)  # fmt: skip


def characters(items: list[Span]) -> set[tuple[str, int]]:
    return {(span.source, at) for span in items for at in range(span.start, span.end)}


def test_overlap_counted_by_hand() -> None:
    result = overlap([Span("a", 0, 100)], [Span("a", 50, 150), Span("b", 0, 100)])
    assert result == (0.5, 0.25, 50 / 250)


def test_empty_context() -> None:
    assert overlap([Span("a", 0, 10)], []) == (0.0, 0.0, 0.0)


def test_best_covered_copy_counts_once() -> None:
    span, copy = Span("a", 0, 40), Span("b", 10, 50)
    places = {span: (copy,)}
    assert overlap([span], [Span("b", 10, 30)], places) == (0.5, 1.0, 0.5)
    assert overlap([span], [Span("a", 0, 10), Span("b", 10, 50)], places).recall == 1.0
    assert overlap([span], [Span("b", 10, 30)]).recall == 0.0


def test_shared_copy_caps_precision_and_iou_at_one() -> None:
    one, two, copy = Span("a", 0, 40), Span("b", 0, 40), Span("c", 0, 40)
    assert overlap([one, two], [copy], {one: (two, copy), two: (one, copy)}) == (1.0, 1.0, 1.0)


@settings(deadline=None)
@given(st.lists(spans, min_size=1, max_size=6), st.lists(spans, max_size=6), spans)
def test_overlap_equals_that_of_character_sets(evidence: list[Span], context: list[Span], more: Span) -> None:
    wanted, held = characters(evidence), characters(context)
    result = overlap(evidence, context)
    assert result.recall == pytest.approx(len(wanted & held) / len(wanted))
    assert result.precision == pytest.approx(len(wanted & held) / len(held) if held else 0)
    assert result.iou == pytest.approx(len(wanted & held) / len(wanted | held))
    assert overlap(evidence, [*context, more]).recall >= result.recall
    assert overlap(evidence, [*context, *context]) == result
    assert characters(merged(evidence)) == wanted


@settings(deadline=None)
@given(
    st.lists(spans, min_size=1, max_size=4),
    st.lists(spans, max_size=4),
    st.lists(spans, max_size=3),
)
def test_copies_never_lower_recall(evidence: list[Span], context: list[Span], elsewhere: list[Span]) -> None:
    places = {
        span: tuple(Span("c", other.start, other.start + span.end - span.start) for other in elsewhere)
        for span in merged(evidence)
    }
    moved = [span._replace(source="c") for span in context]
    result = overlap(evidence, [*context, *moved], places)
    assert all(0 <= value <= 1 for value in result)
    assert result.recall >= overlap(evidence, context).recall


def test_ranking_counted_by_hand() -> None:
    result = ranking({"a": 2, "b": 1, "z": 1}, ["x", "b", "b", "a", "y"], k=3)
    # b at rank 2, a at rank 3; best: a, b, z
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert result.ndcg == pytest.approx(gained / best)
    assert (result.recall, result.mrr) == (2 / 3, 0.5)
    assert ranking({"a": 1, "b": 1}, ["a"], k=1) == (1.0, 1.0, 1.0)
    assert ranking({"a": 1}, ["x", "y"], k=10) == (0.0, 0.0, 0.0)


names = st.sampled_from("abcdefgh")


@settings(deadline=None)
@given(
    st.dictionaries(names, st.integers(1, 3), min_size=1),
    st.lists(names, unique=True, min_size=1),
    st.integers(1, 5),
)
def test_ranking_equals_ir_measures(gold: dict[str, int], ranked: list[str], k: int) -> None:
    ir = pytest.importorskip("ir_measures")
    qrels = [ir.Qrel("q", name, grade) for name, grade in gold.items()]
    scored = [ir.ScoredDoc("q", name, float(-rank)) for rank, name in enumerate(ranked)]
    wanted = ir.calc_aggregate([ir.nDCG @ k, ir.R @ k, ir.RR @ k], qrels, scored)
    result = ranking(gold, ranked, k)
    assert result.ndcg == pytest.approx(wanted[ir.nDCG @ k])
    assert result.mrr == pytest.approx(wanted[ir.RR @ k])
    # Theirs is of all gold documents, ours of what k places can hold.
    assert result.recall * min(len(gold), k) == pytest.approx(wanted[ir.R @ k] * len(gold))
