"""Which drafts are kept: those that retrieval finds, that one document answers, and that are new."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import rag
from rag.core.errors import SourceError, UsageError
from rag.evaluation.drafting.filtering import spread
from rag.evaluation.drafting.suggest import suggest
from rag.evaluation.golden_check import check
from rag.evaluation.likeness import Texts
from tests.evaluation.conftest import docs

EU = "Employees in Europe have 28 days of annual leave."
US = "Employees in America have 22 days of annual leave."


def test_items_come_in_turns_from_documents_and_groups() -> None:
    items = [("a", n) for n in "xxxyz"] + [("b", n) for n in "xx"] + [("c", "x")]
    order = spread(items, 3, lambda each: each[0], lambda each: (each[1],))
    assert sorted(order) == sorted(items)
    assert {each[0] for each in order[:3]} == {"a", "b", "c"}
    assert {each[1] for each in order if each[0] == "a"} == set("xyz")
    of_a = [each[1] for each in order if each[0] == "a"]
    assert set(of_a[:3]) == set("xyz")
    assert order == spread(items, 3, lambda each: each[0], lambda each: (each[1],))
    late = spread(items, 3, lambda each: each[0], lambda each: (each[1],), lambda each: int(each[1] == "x"))
    assert [each[1] for each in late if each[0] == "a"][2:] == ["x", "x", "x"]


def test_a_question_that_another_document_answers_too_names_its_own(tmp_path: Path) -> None:
    pipe = docs(
        tmp_path,
        old="---\ntitle: Backup rules of 2021\n---\n# Backup rules\n\nBackups are kept for 90 days in the vault.\n",
        new="---\ntitle: Backup rules of 2024\n---\n# Backup rules\n\nBackups are kept for 30 days in the vault.\n",
    )
    questions = {each.question for each in suggest(pipe, 5) if each.kind == "number"}
    assert questions == {
        "For how many days are backups kept in the vault, according to “Backup rules of 2021”?",
        "For how many days are backups kept in the vault, according to “Backup rules of 2024”?",
    }


def test_what_two_documents_answer_alike_is_left_out(tmp_path: Path) -> None:
    same = "# Backup rules\n\nBackups are kept for 90 days in the vault.\n"
    found = suggest(docs(tmp_path, one=same, two=same), 5)
    assert list(found) == []
    # The trimmer sends one of both passages: the question of the other one does not find it.
    assert found.dropped == Counter({"that another document answers": 1, "that retrieval does not find": 1})
    assert found.notes == (
        "0 of 5 drafts; left out: 1 that another document answers, 1 that retrieval does not find",
    )


def test_what_retrieval_does_not_find_is_left_out(tmp_path: Path) -> None:
    pipe = docs(tmp_path, one=f"# Leave\n\n{EU}\n")
    pipe.trimmer.budget = 20  # the evidence has no room
    found = suggest(pipe, 5)
    assert list(found) == [] and found.dropped["that retrieval does not find"] == 1


def test_known_questions_are_not_drafted_again(tmp_path: Path) -> None:
    pipe = docs(tmp_path, leave=f"# Leave\n\n{EU}\n", pay="# Pay\n\nReceipts are kept for ten years.\n")
    every = [each.question for each in suggest(pipe, 5)]
    assert sorted(every) == [
        "For how many years are receipts kept?",
        "How many days of annual leave do employees in Europe have?",
    ]
    known = [
        {"id": 1, "question": "how many days of annual leave do employees in europe have", "gold": ["a"]}
    ]
    found = suggest(pipe, 5, against=known)
    assert [each.question for each in found] == ["For how many years are receipts kept?"]
    assert found.dropped == Counter({"asked already": 1})
    with pytest.raises(SourceError, match="cannot read"):
        suggest(pipe, 5, against="nowhere.jsonl")


def test_wrong_counts_and_empty_documents(tmp_path: Path) -> None:
    pipe = docs(tmp_path, one="# Nothing\n\nTo be written.\n")
    with pytest.raises(UsageError, match="count is 0: set it to 1 or more"):
        suggest(pipe, 0)
    found = suggest(pipe, 3)
    assert list(found) == []
    assert found.notes == ("0 of 3 drafts; there is no more to ask about",)


def test_drafts_of_the_handbook(handbook_index: rag.Index, golden: list[dict]) -> None:
    pipe = rag.Pipeline(handbook_index)
    drafts = list(suggest(pipe, 8, against=golden))
    assert [each.question for each in drafts] == [each.question for each in suggest(pipe, 8, against=golden)]
    assert len(drafts) == 8
    assert len({each.span.source for each in drafts if each.span}) == 8
    assert len({each.kind for each in drafts}) >= 2
    rows = [each.row() for each in drafts]
    result = check(rows, handbook_index)
    assert (result.errors, result.drafts) == ((), 8)
    texts = Texts([each.question for each in drafts])
    assert list(texts.pairs()) == []
    assert list(texts.pairs(Texts([row["question"] for row in golden]))) == []
    other = {each.question for each in suggest(pipe, 3, seed=1)}
    assert not other <= {each.question for each in drafts}
