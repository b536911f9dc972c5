"""Golden sets and the errors in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from rag.core.errors import SourceError, UsageError
from rag.evaluation import Question, Span, read
from rag.evaluation.golden_set import json_schema


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["{"], "line 1 is not JSON"),
        (["[1]"], "line 1 is not an object"),
        (['{"question": "x"}'], "line 1 has no id"),
        (['{"id": true, "question": "x"}'], "line 1 has no id"),
        (['{"id": 1, "question": " "}'], "line 1 has no question"),
        (['{"id": 1, "question": "x", "evidnce": []}'], "a key 'evidnce': did you mean 'evidence'?"),
        (['{"id": 1, "question": "x", "gold": ["a"]}', "", '{"id": "1", "question": "y"}'],
         "line 3: the id '1' occurs twice"),
        (['{"id": 1, "question": "x", "evidence": {}}'], "line 1: evidence is not a list"),
        (['{"id": 1, "question": "x", "evidence": [{"source": "a", "start": 1}]}'], "is not a span: write"),
        (['{"id": 1, "question": "x", "evidence": [{"source": "a", "start": 1, "end": 2.5}]}'], "is not a span"),
        (['{"id": 1, "question": "x", "evidence": [{"source": "a", "start": 5, "end": 5}]}'],
         "line 1: the evidence a:5-5 is empty: write 0 <= start < end"),
        (['{"id": 1, "question": "x", "evidence": [{"source": "a", "start": -1, "end": 5}]}'], "is empty"),
        (['{"id": 1, "question": "x", "gold": "a"}'], "line 1: gold is wrong"),
        (['{"id": 1, "question": "x", "gold": [1]}'], "line 1: gold is wrong"),
        (['{"id": 1, "question": "x", "gold": {"a": -1}}'], "the grade of a is -1: write a number"),
        (['{"id": 1, "question": "x", "where": 3, "gold": ["a"]}'], "where is 3: write a filter"),
        (['{"id": 1, "question": "x", "evidence": []}'], "no question has evidence, gold or an answer: write"),
        (['{"id": 1, "question": "x", "must_incude": ["a"]}'], "did you mean 'must_include'?"),
        (['{"id": 1, "question": "x", "regex": "("}'], "line 1: regex: '(' is no regular expression"),
        (['{"id": 1, "question": "x", "numbers": [{"value": 1, "tolerance": -1}]}'], "line 1's numbers is"),
        (['{"id": 1, "question": "x", "cites": [{"source": "a", "start": 4}]}'], "write both start and end"),
        (['{"id": 1, "question": "x", "weight": 0}'], "line 1's weight is"),
        (['{"id": 1, "question": "x", "answerable": "no"}'], "line 1's answerable is"),
        ([], "there are no questions"),
    ],
)  # fmt: skip
def test_error_names_file_line_and_remedy(lines: list[str], expected: str, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(SourceError) as error:
        read(path)
    assert expected in str(error.value)
    assert "golden.jsonl" in str(error.value)


def test_rows_instead_of_a_file(tmp_path: Path) -> None:
    rows = [{"id": 1, "question": "x", "gold": {"a": 2, "b": 0}, "other": "left alone"},
            Question("2", "y", evidence=(Span("a", 0, 3),))]  # fmt: skip
    questions = read(rows)
    assert [question.id for question in questions] == ["1", "2"]
    assert questions[0].gold == {"a": 2.0}
    with pytest.raises(SourceError, match="question 2: the id '1' occurs twice"):
        read([rows[0], rows[0]])
    with pytest.raises(SourceError, match=r"cannot read .*nowhere.jsonl: No such file"):
        read(tmp_path / "nowhere.jsonl")


LINE = {
    "id": 1, "question": "x", "where": "year >= 2024", "evidence": [{"source": "a.md", "start": 0, "end": 3}],
    "gold": ["a.md"], "answer": "28 days", "must_include": ["28", ["days", "d"]], "must_not_include": "30",
    "regex": ["2[0-9]"], "numbers": [28, {"value": 5, "unit": "%", "tolerance": 0.5}],
    "schema": {"type": "object"}, "cites": ["a.md", {"source": "b.md", "start": 1, "end": 2}],
    "answerable": True, "criteria": "short", "tags": ["hr"], "weight": 2, "turns": ["And then?"], "draft": False,
    "accepted_by": "Ann", "accepted_at": "2026-03-01T09:30:00Z",
}  # fmt: skip


def test_all_keys_of_an_answer_are_read() -> None:
    (question,) = read([LINE])
    expected = question.expected
    assert expected.must_include == (("28",), ("days", "d")) and expected.must_not_include == ("30",)
    assert [str(each) for each in expected.numbers] == ["28", "5 % ± 0.5"]
    assert [(each.source, each.start) for each in expected.cites] == [("a.md", None), ("b.md", 1)]
    assert (expected.answer_schema, expected.weight, expected.turns) == (
        {"type": "object"},
        2.0,
        ("And then?",),
    )


def test_what_is_answerable() -> None:
    rows = [{"gold": ["a"]}, {"answer": "28"}, {}, {"gold": ["a"], "answerable": False}, {"answer": ""},
            {"answerable": True}]  # fmt: skip
    questions = read([{"id": at, "question": "x", **row} for at, row in enumerate(rows)])
    assert [question.answerable for question in questions] == [True, True, False, False, False, True]
    assert [question.located for question in questions] == [True, False, False, True, False, False]


def test_drafts_are_left_out() -> None:
    rows = [
        {"id": 1, "question": "x", "gold": ["a"]},
        {"id": 2, "question": "y", "answer": "z", "draft": True},
    ]
    assert [question.id for question in read(rows)] == ["1"]
    assert [question.id for question in read(rows, drafts=True)] == ["1", "2"]


def test_the_schema_describes_what_is_read() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert not list(validator.iter_errors(LINE))
    for key, wrong in {
        "id": True, "question": " ", "evidence": [{"source": "a"}], "gold": {"a": -1}, "regex": [1],
        "numbers": ["x"], "cites": [{}], "answerable": "no", "weight": 0, "must_include": [[1]],
    }.items():  # fmt: skip
        assert list(validator.iter_errors({**LINE, key: wrong})), key
        with pytest.raises(SourceError):
            read([{**LINE, key: wrong}])
    assert set(schema["properties"]) == {*LINE}


def test_questions_are_selected_by_tags() -> None:
    rows = [
        {"id": n, "question": "How long?", "gold": ["leave.md"], "tags": tags}
        for n, tags in enumerate([["legal"], ["people", "date"], []])
    ]
    assert [each.id for each in read(rows, tags=["date", "legal"])] == ["0", "1"]
    assert [each.id for each in read(rows)] == ["0", "1", "2"]
    with pytest.raises(UsageError, match="no question has one of the tags finance"):
        read(rows, tags=["finance"])
