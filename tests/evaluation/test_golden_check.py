"""What a check of a golden set finds, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import SourceError
from rag.evaluation.golden_check import GoldenCheck, check
from tests.evaluation.conftest import docs, write

LEAVE = "Staff in Europe take 28 days of annual leave."
PAY = "Pay day is the 25th of each month."


@pytest.fixture
def pipe(tmp_path: Path) -> rag.Pipeline:
    return docs(tmp_path, leave=f"---\nregion: eu\n---\n# Leave\n\n{LEAVE}\n", pay=f"# Pay\n\n{PAY}\n")


def line(number: int = 1, **keys: Any) -> dict[str, Any]:
    return {"id": f"q{number}", "question": f"What about topic number {number}?", **keys}


def found(*rows: dict[str, Any], index: Any = None, **options: Any) -> list[tuple[str, str, str]]:
    result = check(list(rows), index, **options)
    return [(each.severity, each.kind, each.what) for each in result.findings]


def span(pipe: rag.Pipeline, text: str) -> dict[str, Any]:
    hit = next(hit for hit in pipe.index.scan() if text in hit.text)
    at = hit.start + hit.text.index(text)
    return {"source": hit.source, "start": at, "end": at + len(text), "quote": text}


@pytest.mark.parametrize(
    ("keys", "severity", "what"),
    [
        ({"answerable": False, "gold": ["a"]}, "error", "it is not answerable and has gold"),
        ({"answerable": False, "answer": "28 days"}, "error",
         "it is not answerable and has an answer that does not deny"),
        ({"answerable": False, "numbers": [28]}, "warning",
         "it is not answerable: numbers are checked of no answer"),
        ({"answerable": True}, "warning", "it is answerable, but neither evidence, gold nor an answer says how"),
        ({"answer": "28 days", "numbers": [30]}, "error", "its own answer fails numbers: it lacks 30"),
        ({"answer": "28 days", "must_include": ["weeks"]}, "error",
         "its own answer fails must_include: it lacks 'weeks'"),
        ({"answer": "28, not 30", "must_not_include": ["30"]}, "error",
         "its own answer fails must_not_include: it says '30'"),
        ({"answer": "28", "regex": ["^no"]}, "error", "its own answer fails regex: no match of ['^no']"),
        ({"gold": ["a"], "must_include": [["28 days", "4 weeks"]], "must_not_include": ["days"]}, "warning",
         "must_not_include forbids 'days', which is in must_include's '28 days'"),
        ({"gold": ["a"], "must_include": ["28 days"], "must_not_include": ["DAYS"]}, "error",
         "must_not_include forbids 'DAYS', which is in must_include's '28 days'"),
        ({"gold": ["a"], "numbers": [{"value": 28, "unit": "days"}], "must_not_include": ["28 days"]}, "error",
         "must_not_include forbids '28 days', which states the expected 28 days"),
        ({"gold": ["a"], "schema": {"type": "text"}}, "error", "its schema is no JSON Schema"),
        ({"evidence": [{"source": "a", "start": 0, "end": 9, "quote": "24 days"}], "numbers": [28]}, "warning",
         "its evidence does not state 28"),
        ({"evidence": [{"source": "a", "start": 0, "end": 9}], "gold": ["b"]}, "warning",
         "it has evidence in a, which is not among its gold documents"),
    ],
)  # fmt: skip
def test_contradictions(keys: dict[str, Any], severity: str, what: str) -> None:
    ((level, kind, said),) = found(line(**keys))
    assert (level, kind) == (severity, "contradiction")
    assert said.startswith(what)


def test_what_agrees_is_left_alone() -> None:
    rows = [
        line(1, answerable=False, answer="The documents do not hold one."),
        line(2, answer="28 days", numbers=[{"value": 4, "unit": "weeks"}]),
        line(3, answer='{"days": 28}', schema={"type": "object"}),
        line(4, gold=["a"], draft=True),
        line(5, evidence=[{"source": "a", "start": 0, "end": 9}], gold=["a"], numbers=[28]),
    ]
    result = check(rows)
    assert result.findings == ()
    assert (result.questions, result.unanswerable, result.drafts) == (5, 1, 1)
    assert result.summary == "the questions: 5 questions (1 without an answer, 1 draft): 0 errors, 0 warnings"


def test_invalid_lines_are_findings_and_the_rest_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text('{"id": 1, "question": "x", "gold": ["a"]}\n\n{\n{"id": 1, "question": "y", "gold": ["a"]}\n'
                    '{"id": "z", "question": " "}\n')  # fmt: skip
    result = check(path)
    assert [(each.line, each.id, each.kind) for each in result.findings] == [
        (3, "", "invalid"), (4, "1", "invalid"), (5, "z", "invalid"),
    ]  # fmt: skip
    assert result.findings[0].what.startswith("is not JSON")
    assert result.findings[1].what == "the id is that of line 1, too"
    assert (result.findings[2].what, result.findings[2].advice) == (
        "has no question",
        'write "question": "…"',
    )
    path.write_text("\n")
    with pytest.raises(SourceError, match="there are no questions"):
        check(path)
    with pytest.raises(SourceError, match="cannot read"):
        check(tmp_path / "nowhere.jsonl")


def test_questions_that_are_asked_twice() -> None:
    leave = "How many days of annual leave do staff in Europe have?"
    rows = [
        line(1, gold=["a"]) | {"question": leave},
        line(2, gold=["a"]) | {"question": leave.upper()},
        line(3, gold=["a"]) | {"question": "How many annual leave days does staff in Europe get?"},
        line(4, gold=["a"], where="region == 'us'") | {"question": leave},
        line(5, gold=["a"], turns=["And?"]) | {"question": leave},
    ]
    result = check(rows)
    assert [(each.severity, each.id) for each in result.findings] == [
        ("error", "q2"), ("warning", "q3"), ("warning", "q3"),
    ]  # fmt: skip
    assert result.findings[0].what == "it asks what line 1 (q1) asks"
    assert result.findings[1].what.startswith("it asks nearly what line 1 (q1) asks (cosine 0.")


def test_evidence_that_no_longer_stands_in_the_documents(pipe: rag.Pipeline) -> None:
    right = span(pipe, LEAVE)
    moved = {**right, "start": right["start"] + 3, "end": right["end"] + 3}
    elsewhere = {"source": "leave.md", "start": 2, "end": 2 + len(PAY), "quote": PAY}
    gone = {**right, "quote": "Staff in Asia take 24 days."}
    rows = [
        line(1, evidence=[right]),
        line(2, evidence=[moved]),
        line(3, evidence=[elsewhere]),
        line(4, evidence=[gone]),
        line(5, evidence=[{"source": "laeve.md", "start": 0, "end": 9}]),
        line(6, evidence=[{"source": "pay.md", "start": 0, "end": 9_999}]),
        line(7, gold=["nowhere.md"]),
        line(8, answer="28", cites=["nothing.md"]),
        line(9, evidence=[{**right, "quote": LEAVE.upper().replace(" ", "\n")}]),
    ]
    result = check(rows, pipe.index)
    assert {each.severity for each in result.findings} == {"error"}
    assert {each.kind for each in result.findings} == {"evidence"}
    by_id = {each.id: each for each in result.findings}
    assert set(by_id) == {"q2", "q3", "q4", "q5", "q6", "q7", "q8"}
    now = f"the quote stands at start {right['start']}, end {right['end']} now: write these"
    assert by_id["q2"].advice == now
    pay = span(pipe, PAY)
    assert by_id["q3"].advice == (
        f"the quote stands at source pay.md, start {pay['start']}, end {pay['end']} now: write these"
    )
    assert by_id["q4"].what.endswith(f"is now {LEAVE!r}, not its quote")
    assert by_id["q4"].advice.startswith("the quote stands in no document of the index")
    assert by_id["q5"].advice == "did you mean 'leave.md'?"
    assert "ends after the last chunk of the document" in by_id["q6"].what
    assert by_id["q6"].advice == "choose the evidence anew, and keep its text beside it as quote"
    assert by_id["q7"].what == "gold names nowhere.md, which is not in the index"
    assert by_id["q8"].what == "cites names nothing.md, which is not in the index"


def test_numbers_are_looked_up_in_the_index_where_no_quote_is_kept(pipe: rag.Pipeline) -> None:
    right = {name: value for name, value in span(pipe, LEAVE).items() if name != "quote"}
    assert found(line(evidence=[right], numbers=[30]), index=pipe.index) == [
        ("warning", "contradiction", "its evidence does not state 30")
    ]
    assert found(line(evidence=[right], numbers=[{"value": 28, "unit": "days"}]), index=pipe.index) == []


def test_filters_that_do_not_fit(pipe: rag.Pipeline) -> None:
    right = span(pipe, LEAVE)
    rows = [
        line(1, evidence=[right], where="region == 'eu'"),
        line(2, evidence=[right], where="regoin == 'eu'"),
        line(3, evidence=[right], where="region == 'us'"),
        line(4, evidence=[right], where="source == 'pay.md'"),
        line(5, gold=["leave.md"], where="region =="),
        line(6, answerable=False, where="region == 'eu'"),
    ]
    result = check(rows, str(pipe.index.path))
    assert {each.id: each.what.split(":")[0] for each in result.findings} == {
        "q2": "its filter is wrong", "q3": "no document passes its filter",
        "q4": "its filter leaves out leave.md, in which its answer stands", "q5": "its filter is wrong",
    }  # fmt: skip
    assert "did you mean 'region'?" in next(each.what for each in result.findings if each.id == "q2")
    assert [each.id for each in check(rows).findings] == ["q5"]  # without an index only the form is known


def test_leaks_between_the_halves(tmp_path: Path) -> None:
    def at(start: int, end: int) -> list[dict[str, Any]]:
        return [{"source": "a.md", "start": start, "end": end}]

    leave = "How many days of annual leave do staff in Europe have?"
    dev = [
        line(1, evidence=at(0, 50)) | {"question": leave},
        line(2, evidence=at(100, 150)) | {"question": "Who may declare a SEV-1?"},
    ]
    held_out = [
        line(3, evidence=at(0, 50)) | {"question": leave.lower()},
        line(4, evidence=at(200, 250)) | {"question": "How many annual leave days does staff in Europe get?"},
        line(5, evidence=at(140, 190)) | {"question": "When is a status update due?"},
        line(6, evidence=at(150, 160)) | {"question": "How are badges returned?"},
    ]
    one, other = write(tmp_path / "dev.jsonl", dev), write(tmp_path / "held_out.jsonl", held_out)
    result = check(one, held_out=other)
    leaks = [each for each in result.findings if each.kind == "leak"]
    assert [(each.severity, each.id, Path(each.file).name) for each in leaks] == [
        ("error", "q3", "held_out.jsonl"), ("error", "q5", "held_out.jsonl"),
        ("warning", "q4", "held_out.jsonl"),
    ]  # fmt: skip
    assert leaks[0].what == f"it asks what {one}, line 1 (q1) asks"
    assert leaks[1].what == f"its evidence a.md:140-190 is evidence of {one}, line 2 (q2), too"
    assert result.questions == 2
    assert any(each.kind == "duplicate" and each.file == str(other) for each in result.findings)


def test_the_result_as_values_and_as_a_table() -> None:
    result = check([line(1, answer="28", numbers=[30]), line(2, answerable=True)])
    assert isinstance(result, GoldenCheck)
    assert [each.id for each in result.errors] == ["q1"]
    values = result.to_dict()
    assert (values["questions"], values["errors"], len(values["findings"])) == (2, 1, 2)
    assert values["findings"][0] == {
        "severity": "error", "kind": "contradiction", "file": "", "line": 1, "id": "q1",
        "what": "its own answer fails numbers: it lacks 30", "advice": "correct the answer or numbers",
    }  # fmt: skip
    assert result.table().rows[0][:4] == ("error", "contradiction", "1", "q1")
    assert "it lacks 30" in result._repr_html_()
