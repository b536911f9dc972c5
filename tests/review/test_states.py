"""States and their transitions, by every sequence of reviewers that hypothesis thinks of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.errors import ReviewConflictError
from rag.core.ids import begins_at, new_id
from rag.review.records import NEXT, STATES, Decision, Item
from rag.review.sqlite_store import SqliteReviews
from rag.review.store import Selection
from tests.review.items import added, answer_of, item_of

#: A reviewer's step: what to decide, and how many decisions ago the item was looked at.
STEPS = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 2), st.sampled_from("abc")), max_size=12)


@settings(max_examples=30)
@given(STEPS)
def test_a_store_takes_exactly_the_decisions_that_a_model_of_it_takes(
    steps: list[tuple[Any, int, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteReviews(Path(folder) / "s.sqlite")
        id = added(store).id
        expected: list[Decision] = []
        for number, (state, ago, by) in enumerate(steps):
            decision = Decision(state, by, float(number))
            now = expected[-1].state if expected else "open"
            allowed = (now == "open") != (state == "open") and ago == 0
            try:
                store.decide(id, decision, len(expected) - ago)
                assert allowed
                expected.append(decision)
            except ReviewConflictError:
                assert not allowed
            kept = store.get(id)
            assert kept is not None and kept.decisions == tuple(expected)
            assert [item.id for item in store.items(_in(kept))] == [id]
        store.close()


def _in(item: Item) -> Any:
    return Selection(state=item.state)


def test_a_decided_item_must_be_opened_first() -> None:
    assert NEXT["open"] == ("approved", "corrected", "rejected")
    item = item_of(answer_of())
    for state in NEXT["open"]:
        decided = item.after(Decision(state, "ana", 0.0))
        assert NEXT[state] == ("open",) and decided.last is not None and item.last is None
        for other in NEXT["open"]:
            with pytest.raises(ReviewConflictError, match=f"was {state} by ana at 1970-01-01 00:00 UTC"):
                decided.after(Decision(other, "bo", 1.0))


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=20))
def test_ids_sort_by_time_and_are_never_the_same(times: list[float]) -> None:
    ids = [new_id(at) for at in times]
    assert len(set(ids)) == len(ids) and {len(id) for id in ids} == {26}
    assert all(id.startswith(begins_at(at)) for id, at in zip(ids, times, strict=True))
    first, last = min(times), max(times)
    if int(first * 1000) < int(last * 1000):
        assert new_id(first) < begins_at(last) < new_id(last)
