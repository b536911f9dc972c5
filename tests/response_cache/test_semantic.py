"""Similar questions: off by default, never across what differs in a fact, and measured before they are used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.response_cache.semantic import MOST, Pair, calibrate, same_facts, upper_bound
from tests.command import run
from tests.response_cache.test_answers import LEAVE

SAME = [
    ("How many days of annual leave do staff in Europe take?", "How many days of annual leave do staff take in Europe?"),
    ("Who may declare a SEV-1 incident?", "Who is it that may declare a SEV-1 incident?"),
    ("What is the leave of staff in America?", "What leave do staff in America have?"),
]  # fmt: skip
DIFFERENT = [
    ("How many days of annual leave do staff in Europe take?", "How many days of annual leave do staff in America take?"),
    ("Who may declare a SEV-1 incident?", "Who may declare a SEV-2 incident?"),
    ("What is the leave of staff in America?", "What is the notice period of staff in America?"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b"),
    [("Is it kept for 7 days?", "Is it kept for 14 days?"), ("Is it allowed?", "Is it not allowed?"),
     ("Does it apply in Europe?", "Does it apply in America?"), ("What must I do before I leave?", "What must I do after I leave?"),
     ("Who approves it?", "When is it approved?"), ("the SEV-1 process", "the SEV-2 process"), ("May I?", "Mayn't I?"),
     ("Amazon pays how much?", "Google pays how much?"), ("What is the minimum?", "What is the maximum?")],
)  # fmt: skip
def test_questions_that_differ_in_a_fact_are_never_the_same(a: str, b: str) -> None:
    assert not same_facts(a, b) and not same_facts(b, a)


def test_the_order_of_words_decides_no_fact() -> None:
    assert same_facts("How long is leave in the US in 2024?", "In the US, how long is leave in 2024?")
    assert all(same_facts(a, b) for a, b in SAME)


def similar(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    return {"path": tmp_path / "responses.sqlite", "semantic": 0.8, **settings}


def test_a_similar_question_gets_the_answer_and_is_told_so(pipe: Any, tmp_path: Path, calls: Any) -> None:
    (first, second), _, _ = SAME
    assert pipe().ask(first).cached is None and pipe().ask(second).cached is None  # off by default
    asking = pipe(responses=similar(tmp_path / "on"))
    one, other = asking.ask(first), asking.ask(second)
    assert (other.cached.kind, other.cached.question, other.question) == ("similar", first, second)
    assert other.notes[-1] == f"the answer to a similar question: {first!r}" and other.text == one.text
    assert len(calls()) == 3


def test_a_similar_question_with_another_option_is_another_question(
    pipe: Any, tmp_path: Path, calls: Any
) -> None:
    asking = pipe(responses=similar(tmp_path))
    (first, second), _, _ = SAME
    asking.ask(first)
    for options in ({"where": "region == 'eu'"}, {"k": 2}, {"tenant": "b"}, {"history": []}):
        assert asking.ask(second, **options).cached is None
    assert asking.ask(DIFFERENT[0][1]).cached is None
    assert asking.chat().ask(second).cached is None
    assert len(calls()) == 7


def test_only_the_newest_questions_are_compared(pipe: Any, tmp_path: Path) -> None:
    from rag.response_cache.entry import Entry
    from rag.response_cache.key import parts_of
    from rag.response_cache.semantic import Neighbours

    asking = pipe(responses=similar(tmp_path))
    answer = asking.ask(LEAVE)
    near = Neighbours(asking.responses.store, 0.9, 60, lambda question: [1.0, float(len(question))])
    parts = parts_of(asking, "", {})
    for number in range(MOST + 5):
        near.add(parts, "a" * (number + 1), Entry(str(number), answer, [], {}, 0.0, None, ""))
    assert near.nearest(parts, "a") != "0" and len(near._read(parts)) == MOST


def vector_of(cosines: dict[str, float]) -> Any:
    return lambda text: [cosines.get(text, 1.0), (1 - cosines.get(text, 1.0) ** 2) ** 0.5]


def test_the_threshold_lies_above_the_last_pair_that_may_not_hit() -> None:
    cosines = {"ba": 0.99, "bb": 0.95, "bc": 0.80, "ca": 0.97, "cb": 0.90, "cc": 0.5}
    pairs = [Pair("a", name, name[0] == "b") for name in cosines]
    strict = calibrate(pairs, vector_of(cosines))
    assert (strict.hits, strict.same, strict.false_hits, strict.different) == (1, 3, 0, 3)
    assert 0.97 < strict.threshold <= 0.9701 and strict.false_hit_rate == 0
    assert strict.false_hit_bound == pytest.approx(1 - 0.05 ** (1 / 3))
    loose = calibrate(pairs, vector_of(cosines), most_false=0.34)
    assert (loose.hits, loose.false_hits) == (2, 1) and 0.90 < loose.threshold <= 0.9001
    with pytest.raises(ValueError, match="pairs of both kinds"):
        calibrate(pairs[:3], vector_of(cosines))


@pytest.mark.parametrize(("count", "of", "bound"), [(0, 100, 0.0295), (5, 100, 0.1023), (3, 3, 1.0)])
def test_the_bound_is_that_of_clopper_and_pearson(count: int, of: int, bound: float) -> None:
    assert upper_bound(count, of) == pytest.approx(bound, abs=1e-4)


def test_the_command_measures_labelled_pairs(folder: Path, tmp_path: Path) -> None:
    rows = [
        {"a": a, "b": b, "same": same} for pairs, same in ((SAME, True), (DIFFERENT, False)) for a, b in pairs
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shown = run("cache", "responses", "calibrate", folder / "ix", tmp_path / "pairs.jsonl").stdout
    assert (
        shown.startswith("semantic = 0.")
        and "0 of 3 with two (0.0%; with 95 % confidence at most 63.2%)" in shown
    )
    (tmp_path / "pairs.jsonl").write_text('{"a": "x", "b": "y", "same": 1}')
    done = run("cache", "responses", "calibrate", folder / "ix", tmp_path / "pairs.jsonl", code=2)
    assert 'line 1: write {"a": "…", "b": "…", "same": true or false}' in done.stderr


def test_the_command_shows_and_clears_a_cache(folder: Path, tmp_path: Path) -> None:
    import shutil

    ix = tmp_path / "ix"
    shutil.copytree(folder / "ix", ix)
    assert run("cache", "responses", "info", ix).stdout.endswith(
        "responses.sqlite: 0 entries, 0.0 MB of at most 500 MB\n"
    )
    (tmp_path / "rag.toml").write_text("[cache.responses]\nmax_mb = 10\n")
    for _ in range(2):
        answered = run("ask", ix, LEAVE, cwd=tmp_path).stdout
    assert "from the response cache, " in answered
    assert run("cache", "responses", "info", ix, "--json", cwd=tmp_path).stdout.count('"entries": 2')
    assert run("cache", "responses", "clear", ix, cwd=tmp_path).stdout.endswith("2 entries deleted\n")
    assert "from the response cache" not in run("ask", ix, LEAVE, cwd=tmp_path).stdout
    assert "name an INDEX" in run("cache", "responses", "info", cwd=tmp_path, code=2).stderr
    (tmp_path / "rag.toml").write_text('[cache.responses]\nuse = "redis"\nurl = "unix:///nowhere.sock"\n')
    if rag.core.extras.installed("redis"):
        assert (
            "cannot be used (ConnectionError"
            in run("cache", "responses", "info", cwd=tmp_path, code=1).stderr
        )
