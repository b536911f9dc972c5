"""Questions of a log: personal data masked, grouped, and drafted one for each group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rag
from rag.core import personal_data
from rag.core.errors import SourceError
from rag.core.personal_data import masked
from rag.evaluation.drafting.clusters import clusters
from rag.evaluation.drafting.from_log import grouped, read_log, suggest_from_log
from rag.evaluation.golden_check import check
from tests.evaluation.conftest import docs, write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail ann.lee+x@mail.example.co.uk.", "mail [e-mail]."),
        ("IBAN DE89370400440532013000?", "IBAN [IBAN]?"),
        ("IBAN DE88370400440532013000?", "IBAN DE88370400440532013000?"),  # its checksum is wrong
        ("card 4111 1111 1111 1111 and 4111-1111-1111-1112", "card [card] and 4111-1111-1111-1112"),
        ("ring +45 86 12 34 56 or (030) 123456", "ring [phone] or [phone]"),
        ("ring 555-010-4477 or 0800 123 4567", "ring [phone] or [phone]"),
        ("INC-2024-007 took 5 h 36 min on 2024-03-01", "INC-2024-007 took 5 h 36 min on 2024-03-01"),
        ("order 123456789, 40,000 readings, 10.0.0.1", "order 123456789, 40,000 readings, 10.0.0.1"),
        ("between 08:30 and 15:45, 21 CFR Part 11", "between 08:30 and 15:45, 21 CFR Part 11"),
    ],
)
def test_personal_data_is_masked_and_other_numbers_stay(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_names_are_masked_where_an_analyzer_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def __init__(self, start: int, end: int) -> None:
            self.start, self.end = start, end

    class Analyzer:
        def analyze(self, text: str, entities: list[str], language: str) -> list[Found]:
            assert (entities, language) == (["PERSON"], "en")
            return [Found(0, 3), Found(8, 11)]

    assert masked("Ann and Bob are ill") == "Ann and Bob are ill"
    monkeypatch.setattr(personal_data, "name_analyzer", Analyzer)
    assert masked("Ann and Bob are ill") == "[name] and [name] are ill"


def naive(vectors: np.ndarray, weights: list[int], least: float) -> set[frozenset[int]]:
    """Average linkage as it is defined: compare all pairs before each merge."""
    groups = [[number] for number in range(len(vectors))]

    def mean(a: list[int], b: list[int]) -> float:
        wa, wb = ([weights[n] for n in group] for group in (a, b))
        return float(np.average([np.average(vectors[b] @ vectors[n], weights=wb) for n in a], weights=wa))

    while len(groups) > 1:
        pairs = [(mean(a, b), i, j) for i, a in enumerate(groups) for j, b in enumerate(groups[:i])]
        best, i, j = max(pairs)
        if best < least:
            break
        groups[j] += groups.pop(i)
    return {frozenset(group) for group in groups}


@pytest.mark.parametrize("seed", range(8))
def test_clusters_are_those_of_average_linkage(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(24, 3)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weights = random.integers(1, 5, 24).tolist()
    for least in (0.5, 0.9):
        assert {frozenset(group) for group in clusters(rows, weights, least)} == naive(rows, weights, least)


def test_clusters_of_few() -> None:
    assert clusters(np.zeros((0, 3), np.float32), []) == []
    assert clusters(np.ones((1, 1), np.float32), [2]) == [[0]]


LOG = [
    "How many days of annual leave do I have?", "how many days of annual leave do I have",
    "How many annual leave days do I have each year?", "When is pay day?", "When is pay day?", "when is pay day",
    "When's pay day?", "What is the wifi password of ann@example.com?",
]  # fmt: skip


def test_groups_have_their_most_central_question_and_their_count() -> None:
    found = grouped([masked(text) for text in LOG])
    assert [(each.question, each.count) for each in found] == [
        ("When is pay day?", 4),
        ("How many days of annual leave do I have?", 3),
        ("What is the wifi password of [e-mail]?", 1),
    ]
    assert found[0].others == ("When's pay day?",)
    assert found[1].others == ("How many annual leave days do I have each year?",)


@pytest.fixture
def pipe(tmp_path: Path) -> rag.Pipeline:
    return docs(
        tmp_path, leave="# Annual leave\n\nYou have 28 days of annual leave in each calendar year.\n",
        pay="# Pay\n\nPay day is the 25th of each month.\n",
    )  # fmt: skip


def test_each_group_becomes_a_draft_with_what_the_pipeline_cites(pipe: rag.Pipeline, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [{"question": text, "user": "u1"} for text in LOG])
    rows = [each.row() for each in suggest_from_log(pipe, log)]
    assert [(row["question"], row["count"], row["tags"]) for row in rows[:2]] == [
        ("When is pay day?", 4, ["log"]), ("How many days of annual leave do I have?", 3, ["log"]),
    ]  # fmt: skip
    assert rows[0]["evidence"][0]["quote"] == "Pay day is the 25th of each month."
    assert rows[0]["also_asked"] == ["When's pay day?"]
    assert rows[1]["answer"] == "You have 28 days of annual leave in each calendar year."
    assert all(row["draft"] for row in rows)
    assert check([row for row in rows if "evidence" in row], pipe.index).errors == ()
    unanswered = [row for row in rows if row["tags"] == ["unanswered", "log"]]
    assert ["evidence" in row or "answer" in row for row in unanswered] == [False] * len(unanswered)
    assert "u1" not in str(rows) and "ann@" not in str(rows)


def test_the_most_frequent_come_first_and_known_questions_are_left_out(
    pipe: rag.Pipeline, tmp_path: Path
) -> None:
    log = write(tmp_path / "log.jsonl", [{"question": text} for text in LOG])
    known = [{"id": 1, "question": "when is PAY DAY", "gold": ["pay.md"]}]
    found = suggest_from_log(pipe, log, 1, against=known)
    assert [each.question for each in found] == ["How many days of annual leave do I have?"]
    assert found.dropped["asked already"] == 1 and found.notes == ()


def test_what_is_not_answered_says_so(pipe: rag.Pipeline, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [{"question": "Who painted the mural in the lobby of the museum?"}])
    (draft,) = suggest_from_log(pipe, log)
    row = draft.row()
    assert (row["tags"], row["draft"], row["count"]) == (["unanswered", "log"], True, 1)
    assert "evidence" not in row and "answerable" not in row


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 has no question"),
        ('{"q": "x"}', "line 1 has no question"),
        ('{"question": " "}', "line 1 has no question"),
        ("", "is empty: write a line"),
    ],
)
def test_a_log_that_is_none_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        read_log(path)
    with pytest.raises(SourceError, match="cannot read"):
        read_log(tmp_path / "nowhere.jsonl")
