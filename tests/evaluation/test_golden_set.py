"""Golden sets and the errors in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.core.errors import SourceError
from rag.evaluation import Question, Span, read


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
        (['{"id": 1, "question": "x", "evidence": []}'], "no question has evidence or gold: write"),
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
    rows = [{"id": 1, "question": "x", "gold": {"a": 2, "b": 0}, "answer": "left alone"},
            Question("2", "y", evidence=(Span("a", 0, 3),))]  # fmt: skip
    questions = read(rows)
    assert [question.id for question in questions] == ["1", "2"]
    assert questions[0].gold == {"a": 2.0}
    with pytest.raises(SourceError, match="question 2: the id '1' occurs twice"):
        read([rows[0], rows[0]])
    with pytest.raises(SourceError, match=r"cannot read .*nowhere.jsonl: No such file"):
        read(tmp_path / "nowhere.jsonl")
