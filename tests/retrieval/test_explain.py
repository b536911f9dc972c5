"""`rag explain`: the stage at which a passage was lost is true, and so is the advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import UsageError
from tests.command import run

LEAVE = "All regular US employees who become parents may take 18 weeks of parental leave at full pay."
QUESTION = "How many weeks of parental leave do I get?"


@pytest.fixture(scope="module")
def pipe(handbook_index: rag.Index) -> rag.Pipeline:
    return rag.Pipeline(handbook_index)


def test_a_passage_in_the_context_is_kept(pipe: rag.Pipeline) -> None:
    found = pipe.explain(QUESTION, LEAVE)
    assert (found.stage, found.kept) == ("kept", 1.0)
    assert found.chunks[0].source == "people/leave-policy-us.html"
    assert found.ranks["hybrid"] and found.matched == len(pipe.index)


def test_words_are_found_whatever_their_case_and_lines_and_across_chunks(pipe: rag.Pipeline) -> None:
    assert pipe.explain(QUESTION, LEAVE.upper().replace(" ", "\n  ")).stage == "kept"
    hits = sorted(
        pipe.index.scan(rag.field("source") == "people/leave-policy-us.html"), key=lambda hit: hit.start
    )
    one, two = next(
        (a, b) for a, b in zip(hits, hits[1:], strict=False) if a.gap and b.start == a.end + len(a.gap)
    )
    across = f"{one.text[-30:]} {two.text[:30]}"
    found = pipe.explain(QUESTION, across)
    assert [hit.chunk_id for hit in found.chunks] == [one.chunk_id, two.chunk_id]


def test_the_part_of_the_filter_that_leaves_it_out_is_named_with_the_value(pipe: rag.Pipeline) -> None:
    found = pipe.explain(QUESTION, LEAVE, where="status == 'current' and region == 'emea'")
    assert found.stage == "filter"
    assert found.said == "the filter leaves people/leave-policy-us.html out: region is 'us'"
    assert found.advice == ("without region == 'emea'",)
    assert pipe.explain(QUESTION, LEAVE, where="status == 'current'").stage == "kept"


@pytest.mark.parametrize(
    ("own", "of_question", "advice"),
    [
        ("region == 'emea'", None, ("without region == 'emea'",)),
        ({"region": "emea"}, "status == 'current'", ("without region == 'emea'",)),
        (rag.field("region").isin(["emea"]), rag.field("region") == "us", None),
        ("status == 'current'", {"region": "emea"}, ("without region == 'emea'",)),
        ("region == 'emea'", "region == 'apac'", ("without region == 'emea'", "without region == 'apac'")),
    ],
)
def test_a_filter_of_the_retriever_counts_as_the_questions_does(
    handbook_index: rag.Index, own: Any, of_question: Any, advice: tuple[str, ...] | None
) -> None:
    pipe = rag.Pipeline(handbook_index, retriever=rag.HybridRetriever(index=handbook_index, where=own))
    found = pipe.explain(QUESTION, LEAVE, where=of_question)
    assert found.stage == "filter"
    assert "region is 'us'" in found.said
    assert advice is None or found.advice == advice


def test_ranks_are_among_what_the_retrievers_filter_leaves(handbook_index: rag.Index) -> None:
    pipe = rag.Pipeline(handbook_index, retriever={"where": "region == 'us'"})
    found = pipe.explain(QUESTION, LEAVE)
    assert (found.stage, found.matched) == ("kept", handbook_index.count("region == 'us'"))


def test_a_filter_of_a_vector_stores_retriever_counts(pipe: rag.Pipeline) -> None:
    store = rag.FaissStore(pipe.index.embedder, pipe.index.path)
    own = store.as_retriever(search_kwargs={"filter": {"region": "emea"}, "k": 5})
    found = rag.Pipeline(pipe.index, retriever=own).explain(QUESTION, LEAVE)
    assert (found.stage, found.advice) == ("filter", ("without region == 'emea'",))


def test_a_rank_behind_k_is_told_and_that_k_would_have_kept_it(pipe: rag.Pipeline) -> None:
    found = pipe.explain("What is the weather like?", LEAVE, k=3, budget=20_000)
    assert found.stage == "retriever"
    rank = found.ranks["hybrid"]
    assert rank and rank > 3 and f"rank {rank} of {len(pipe.index)} (hybrid)" in found.said
    assert found.advice[0] == f"-k {rank}"
    assert pipe.explain("What is the weather like?", LEAVE, k=rank, budget=10**7).stage == "kept"


def test_a_mode_that_ranks_it_higher_is_named(pipe: rag.Pipeline, golden: list[dict]) -> None:
    named = 0
    for row in golden[::4]:
        for span in row["evidence"][:1]:
            expect = f"{span['source']}:{span['start']}-{span['end']}"
            for mode in ("dense", "lexical"):
                found = pipe.explain(row["question"], expect, k=4, mode=mode, budget=10**7)
                for advice in found.advice if found.stage == "retriever" else ():
                    if advice.startswith("--mode"):
                        better = advice.split()[1]
                        assert f"(rank {found.ranks[better]})" in advice
                        named += 1
                        assert found.ranks[better] <= 4 < (found.ranks[mode] or 10**6)
    assert named >= 3


def test_a_budget_that_cut_it_is_told_and_one_that_would_not_have(pipe: rag.Pipeline) -> None:
    found = pipe.explain("parental leave", LEAVE, budget=60)
    assert (found.stage, found.kept) == ("trimmer", 0.0)
    assert found.said == "it was retrieved, and cut by the budget of 60 chars"
    budget = int(found.advice[0].removeprefix("--budget "))
    assert pipe.explain("parental leave", LEAVE, budget=budget).stage == "kept"
    assert pipe.explain("parental leave", LEAVE, budget=budget * 4 // 5).stage == "trimmer"


def test_sources_and_spans_can_be_expected(pipe: rag.Pipeline) -> None:
    source = "people/leave-policy-us.html"
    assert pipe.explain(QUESTION, source).stage == "kept"
    hit = pipe.explain(QUESTION, LEAVE).chunks[0]
    found = pipe.explain(QUESTION, f"{source}:{hit.start}-{hit.end}")
    assert [chunk.chunk_id for chunk in found.chunks] == [hit.chunk_id]
    assert (
        pipe.explain(QUESTION, f"{source}:9000000-9000001").said
        == f"no chunk of {source} holds these characters"
    )


def test_what_is_not_in_the_index_is_told_with_what_to_do(pipe: rag.Pipeline, tmp_path: Path) -> None:
    found = pipe.explain(QUESTION, "people/leave-policy-uss.html")
    assert found.stage == "not loaded"
    assert found.advice[-1] == "if a file is meant: did you mean 'people/leave-policy-us.html'?"
    assert pipe.explain(QUESTION, "words that no document says").stage == "not loaded"
    root = tmp_path / "docs"
    root.mkdir()
    (root / "a.md").write_text("Words.")
    (root / "b.json").write_text("{")
    rag.build(root, tmp_path / "ix", embedder="static")
    found = rag.Pipeline(tmp_path / "ix").explain("words", "b.json")
    assert (found.stage, found.said) == (
        "quarantined",
        "b.json is in quarantine: it is not JSON (Expecting property name enclosed in double quotes, line 1)",
    )
    with pytest.raises(UsageError, match="nothing is expected"):
        pipe.explain(QUESTION, " ")


def test_every_advice_about_the_golden_evidence_is_true(pipe: rag.Pipeline, golden: list[dict]) -> None:
    stages = set()
    for row in golden[::9]:
        for span in row["evidence"][:1]:
            expect = f"{span['source']}:{span['start']}-{span['end']}"
            found = pipe.explain(row["question"], expect, k=8, budget=600)
            stages.add(found.stage)
            if found.stage == "retriever" and found.advice[0].startswith("-k"):
                k = int(found.advice[0][3:])
                assert pipe.explain(row["question"], expect, k=k, budget=10**7).stage == "kept"
            if found.stage == "trimmer" and found.advice:
                budget = int(found.advice[0].removeprefix("--budget "))
                assert pipe.explain(row["question"], expect, k=8, budget=budget).stage == "kept"
    assert {"kept", "retriever", "trimmer"} <= stages


def test_the_command_prints_it_and_json(handbook_index: rag.Index) -> None:
    path = handbook_index.path
    shown = run("explain", path, QUESTION, "--expect", LEAVE).stdout
    assert shown.startswith("kept: it is in the context\n  ranks: dense ")
    row = json.loads(
        run("explain", path, "parental leave", "--expect", LEAVE, "--budget", 60, "--json").stdout
    )
    assert row["stage"] == "trimmer" and row["advice"][0].startswith("--budget ")
    assert "Missing option '--expect'" in run("explain", path, QUESTION, code=2).stderr


def test_a_passage_that_another_one_says_already_is_told_so(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("# Leave\n\nStaff take 28 days of leave in a year.")
    rag.build(tmp_path, tmp_path / "ix", embedder="static")
    pipe = rag.Pipeline(tmp_path / "ix")
    held = pipe.context("days of leave").hits[0].source
    other = "b.md" if held == "a.md" else "a.md"
    found = pipe.explain("days of leave", other)
    assert (found.stage, found.advice) == ("trimmer", ())
    assert found.said == "it was retrieved, and left out as other passages of the context say it already"
