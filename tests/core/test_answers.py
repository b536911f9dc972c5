"""Answers as JSON, and back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.answers import Answer, Cached, Step
from rag.core.calls import Call, Usage
from rag.core.citations import Citation, Field, Sentence, Support
from rag.core.passages import Candidate, Context, Hit

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
counts = st.integers(0, 1000)
numbers = st.floats(allow_nan=False, allow_infinity=False)
maybe_number = st.none() | numbers
paths = st.lists(texts, max_size=2).map(tuple)
breaks = st.lists(st.tuples(counts, paths), max_size=2).map(tuple)
metadata = st.dictionaries(
    texts, texts | st.integers() | numbers | st.booleans() | st.dates() | st.datetimes() | st.lists(texts, max_size=2), max_size=3
)  # fmt: skip
plain = st.dictionaries(texts, texts | st.integers() | numbers | st.booleans() | st.none(), max_size=2)
hits = st.builds(
    Hit, texts, counts, counts, texts, numbers, doc_id=texts, gap=st.none() | texts, page_start=st.none() | counts,
    page_breaks=st.lists(counts, max_size=2).map(tuple), section=paths, section_breaks=breaks, table_head=st.none() | texts,
    dense=maybe_number, placed=st.booleans(), metadata=metadata,
)  # fmt: skip
contexts = st.builds(
    Context, st.lists(hits, max_size=2).map(tuple), counts, counts, st.sampled_from(["chars", "tokens"]),
    st.lists(st.builds(Candidate, texts, counts, counts, maybe_number, numbers, texts), max_size=2).map(tuple),
)  # fmt: skip
usages = st.builds(Usage, counts, counts, counts, counts, maybe_number, counts)
citations = st.builds(
    Citation, counts, texts, counts, counts, texts, st.booleans(), st.none() | counts, st.none() | counts, paths,
    st.booleans(), breaks,
)  # fmt: skip
sentences = st.builds(Sentence, counts, counts, st.lists(counts, max_size=2).map(tuple), st.booleans(), texts)
answers = st.builds(
    Answer, texts, texts, st.booleans(), st.lists(citations, max_size=2).map(tuple), contexts, usages,
    st.lists(st.builds(Step, texts, numbers, plain), max_size=2).map(tuple), texts, texts, texts,
    st.none() | st.builds(Support, maybe_number, st.lists(sentences, max_size=2).map(tuple)), st.none() | texts,
    st.lists(texts, max_size=2).map(tuple), st.lists(st.builds(Call, texts, texts, usages, maybe_number), max_size=2).map(tuple),
    st.lists(plain, max_size=1).map(tuple), cached=st.none() | st.builds(Cached, texts, numbers, maybe_number, texts),
)  # fmt: skip


@settings(max_examples=60)
@given(answers)
def test_an_answer_is_the_same_after_json(answer: Answer) -> None:
    values: dict[str, Any] = json.loads(json.dumps(answer.to_dict()))
    again = Answer.from_dict(values)
    assert again == answer
    assert json.dumps(again.to_dict()) == json.dumps(answer.to_dict())  # to the type: 1 is not 1.0


def test_the_citations_of_fields_are_those_of_the_answer() -> None:
    one, two = (Citation(n, "a.md", n, n + 2, "28", verified=True) for n in (1, 2))
    context = Context((), 0, 4000, "chars")
    fields = (Field("days", 28, (two, one), True), Field("region", "EU", (), False, "it carries no citation"))
    answer = Answer("q", '{"days": 28, "region": "EU"}', True, (one, two), context, Usage(), (), "m", "p",
                    data={"days": 28, "region": "EU"}, fields=fields, review_id="01m8")  # fmt: skip
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
