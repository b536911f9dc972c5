"""Records are read back from JSON as they were, and what is no record is an error, whatever it is."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.client.records import ReplyError, misfit, record
from rag.core.answers import Answer, Event, ToolUse
from rag.core.citations import Citation
from rag.core.passages import Candidate, Context, Hit
from rag.retrieval.explain import Explanation

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NUMBER = st.integers(0, 10**9)
SCORE = st.floats(allow_nan=False, allow_infinity=False)
SECTION = st.lists(TEXT, max_size=3).map(tuple)
BREAKS = st.lists(st.tuples(NUMBER, SECTION), max_size=2).map(tuple)
VALUE = st.one_of(
    TEXT, NUMBER, SCORE, st.booleans(), st.dates(), st.datetimes(timezones=st.just(dt.UTC)), st.lists(TEXT, max_size=2)
)  # fmt: skip
HITS = st.builds(
    Hit, source=TEXT, start=NUMBER, end=NUMBER, text=TEXT, score=SCORE, doc_id=TEXT, chunk_id=TEXT,
    gap=st.none() | TEXT, page_start=st.none() | NUMBER, page_end=st.none() | NUMBER,
    page_breaks=st.lists(NUMBER, max_size=2).map(tuple), section=SECTION, section_breaks=BREAKS,
    table_head=st.none() | TEXT, table_head_start=st.none() | NUMBER, dense=st.none() | SCORE,
    lexical=st.none() | SCORE, placed=st.booleans(), metadata=st.dictionaries(TEXT, VALUE, max_size=3),
)  # fmt: skip
CANDIDATES = st.builds(Candidate, TEXT, NUMBER, NUMBER, st.none() | SCORE, SCORE, TEXT)
CONTEXTS = st.builds(
    Context, st.lists(HITS, max_size=2).map(tuple), NUMBER, NUMBER, st.sampled_from(["chars", "tokens"]),
    st.lists(CANDIDATES, max_size=2).map(tuple),
)  # fmt: skip
CITATIONS = st.builds(
    Citation, NUMBER, TEXT, NUMBER, NUMBER, TEXT, st.booleans(), st.none() | NUMBER, st.none() | NUMBER, SECTION,
    st.booleans(), BREAKS,
)  # fmt: skip
EXPLANATIONS = st.builds(
    Explanation, TEXT, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple), st.lists(HITS, max_size=2).map(tuple),
    st.dictionaries(st.sampled_from(["dense", "lexical", "hybrid"]), st.none() | NUMBER), NUMBER, SCORE,
)  # fmt: skip
READ: dict[type, Callable[[Any], Any]] = {
    Hit: Hit.from_dict, Context: Context.from_dict, Citation: Citation.from_dict, Explanation: Explanation.from_dict,
}  # fmt: skip


@given(st.one_of(HITS, CONTEXTS, CITATIONS, EXPLANATIONS))
def test_records_are_read_back(value: Any) -> None:
    read = record(READ[type(value)], json.loads(json.dumps(value.to_dict())))
    assert read == value and type(read) is type(value)
    assert json.dumps(read.to_dict()) == json.dumps(value.to_dict())


@given(
    st.one_of(
        st.builds(Event, st.just("context"), CONTEXTS), st.builds(Event, st.just("citation"), CITATIONS)
    )
)
def test_events_are_read_back(event: Event) -> None:
    assert Event.from_plain(event.kind, json.loads(json.dumps(event.value.to_dict()))) == event


def test_events_of_other_kinds() -> None:
    assert Event.from_plain("text", "Staff") == Event("text", "Staff")
    assert Event.from_plain("data", {"days": 28}) == Event("data", {"days": 28})
    used = ToolUse("search", {"query": "leave"}, "28 days")
    plain = {"name": "search", "args": {"query": "leave"}, "output": "28 days", "error": False}
    assert Event.from_plain("tool", plain) == Event("tool", used)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_a_value_anywhere_that_does_not_fit_is_an_error_or_fits(data: st.DataObject) -> None:
    """Whatever a server puts in the place of a value, what is returned shows itself and has its types."""
    plain = json.loads(json.dumps(data.draw(CONTEXTS).to_dict()))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(plain)
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(ANYTHING)
    try:
        read = record(Context.from_dict, plain)
    except ReplyError:
        return
    assert misfit(read) == ""
    assert all(isinstance(hit.text, str) and isinstance(hit.start, int) for hit in read.hits)
    assert "cannot be displayed" not in f"{read} {read!r}"


@given(ANYTHING)
def test_anything_is_no_answer(value: Any) -> None:
    with pytest.raises(ReplyError):
        record(Answer.from_dict, value)


def test_true_is_no_number() -> None:
    assert misfit(Hit("a.md", 0, 4, "Text", True)) == "score of Hit"
    assert misfit(Context((Hit("a.md", 0, "4", "Text", 1.0),), 0, 0, "chars")) == "hits of Context"  # type: ignore[arg-type]
    assert misfit(Hit("a.md", 0, 4, "Text", 1.0, section_breaks=((3, "x"),))) == "section_breaks of Hit"  # type: ignore[arg-type]
    assert misfit("text") == ""
