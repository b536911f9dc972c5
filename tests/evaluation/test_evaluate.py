"""`rag eval`: numbers that a pencil confirms, equal to the reference scorers', with honest uncertainty."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

import rag
from rag.core.errors import SourceError, UsageError, WhereError
from rag.core.passages import Hit
from rag.evaluation import Question, Span, compare, evaluate, read
from rag.evaluation.corpus import assemble, copies
from rag.evaluation.metrics import merged, overlap, ranking
from rag.evaluation.statistics import estimate, holm, randomization_test
from tests.cli.test_main import error_of, run
from tests.conftest import HANDBOOK

# ---------------------------------------------------------------------- metrics

spans = st.builds(
    lambda source, start, size: Span(source, start, start + size),
    st.sampled_from("ab"), st.integers(0, 60), st.integers(1, 30),
)  # fmt: skip


def characters(items: list[Span]) -> set[tuple[str, int]]:
    return {(span.source, at) for span in items for at in range(span.start, span.end)}


def test_half_of_the_evidence_in_a_context_four_times_as_long() -> None:
    found = overlap([Span("a", 0, 100)], [Span("a", 50, 150), Span("b", 0, 100)])
    assert found == (0.5, 0.25, 50 / 250)


def test_an_empty_context_has_no_evidence() -> None:
    assert overlap([Span("a", 0, 10)], []) == (0.0, 0.0, 0.0)


def test_the_best_covered_copy_counts_once() -> None:
    span, copy = Span("a", 0, 40), Span("b", 10, 50)
    places = {span: (copy,)}
    assert overlap([span], [Span("b", 10, 30)], places) == (0.5, 1.0, 0.5)
    assert overlap([span], [Span("a", 0, 10), Span("b", 10, 50)], places).recall == 1.0
    assert overlap([span], [Span("b", 10, 30)]).recall == 0.0


def test_two_spans_that_share_a_copy_leave_precision_and_iou_at_one() -> None:
    one, two, copy = Span("a", 0, 40), Span("b", 0, 40), Span("c", 0, 40)
    assert overlap([one, two], [copy], {one: (two, copy), two: (one, copy)}) == (1.0, 1.0, 1.0)


@given(st.lists(spans, min_size=1, max_size=6), st.lists(spans, max_size=6), spans)
def test_overlap_is_that_of_sets_of_characters_and_recall_never_falls(
    evidence: list[Span], context: list[Span], more: Span
) -> None:
    wanted, held = characters(evidence), characters(context)
    found = overlap(evidence, context)
    assert found.recall == pytest.approx(len(wanted & held) / len(wanted))
    assert found.precision == pytest.approx(len(wanted & held) / len(held) if held else 0)
    assert found.iou == pytest.approx(len(wanted & held) / len(wanted | held))
    assert overlap(evidence, [*context, more]).recall >= found.recall
    assert overlap(evidence, [*context, *context]) == found
    assert characters(merged(evidence)) == wanted


@given(
    st.lists(spans, min_size=1, max_size=4),
    st.lists(spans, max_size=4),
    st.lists(spans, max_size=3),
)
def test_copies_never_lower_recall_and_no_value_leaves_its_range(
    evidence: list[Span], context: list[Span], elsewhere: list[Span]
) -> None:
    places = {
        span: tuple(Span("c", other.start, other.start + span.end - span.start) for other in elsewhere)
        for span in merged(evidence)
    }
    moved = [span._replace(source="c") for span in context]
    found = overlap(evidence, [*context, *moved], places)
    assert all(0 <= value <= 1 for value in found)
    assert found.recall >= overlap(evidence, context).recall


def test_a_ranking_scored_by_hand() -> None:
    found = ranking({"a": 2, "b": 1, "z": 1}, ["x", "b", "b", "a", "y"], k=3)
    # b at rank 2, a at rank 3; best: a, b, z
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert found.ndcg == pytest.approx(gained / best)
    assert (found.recall, found.mrr) == (2 / 3, 0.5)
    assert ranking({"a": 1, "b": 1}, ["a"], k=1) == (1.0, 1.0, 1.0)
    assert ranking({"a": 1}, ["x", "y"], k=10) == (0.0, 0.0, 0.0)


names = st.sampled_from("abcdefgh")


@given(
    st.dictionaries(names, st.integers(1, 3), min_size=1),
    st.lists(names, unique=True, min_size=1),
    st.integers(1, 5),
)
def test_rankings_score_as_ir_measures_does(gold: dict[str, int], ranked: list[str], k: int) -> None:
    ir = pytest.importorskip("ir_measures")
    qrels = [ir.Qrel("q", name, grade) for name, grade in gold.items()]
    scored = [ir.ScoredDoc("q", name, float(-rank)) for rank, name in enumerate(ranked)]
    wanted = ir.calc_aggregate([ir.nDCG @ k, ir.R @ k, ir.RR @ k], qrels, scored)
    found = ranking(gold, ranked, k)
    assert found.ndcg == pytest.approx(wanted[ir.nDCG @ k])
    assert found.mrr == pytest.approx(wanted[ir.RR @ k])
    # Theirs is of all gold documents, ours of what k places can hold.
    assert found.recall * min(len(gold), k) == pytest.approx(wanted[ir.R @ k] * len(gold))


# ---------------------------------------------------------------------- statistics


def test_an_interval_is_that_of_scipys_percentile_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(5).beta(2, 1, 120)
    found = estimate(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=1)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.005)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.005)
    assert estimate(values) == found
    one = estimate([0.25])
    assert (one.mean, one.low, one.high, one.count) == (0.25, 0.25, 0.25, 1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_an_interval_holds_its_mean_and_stays_within_the_values(values: list[float]) -> None:
    found = estimate(values)
    assert found.low <= found.mean <= found.high
    assert min(values) - 1e-9 <= found.low and found.high <= max(values) + 1e-9


def test_p_values_counted_by_hand() -> None:
    # Of the 8 sign changes of (.5, .25, .25), only all plus and all minus reach a sum of 1.
    assert randomization_test([0.5, 0.25, 0.25]) == 2 / 8
    # The sums of (.5, .25, -.25) are 0 twice, 1, -1, and .5 or -.5 four times: all but the zeros.
    assert randomization_test([0.5, 0.25, -0.25]) == 6 / 8
    assert randomization_test([0.0, 0.0, 0.5]) == 1.0
    assert randomization_test([0.0, 0.0]) == 1.0


@pytest.mark.parametrize("count", [9, 60])
def test_p_values_are_scipys(count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(count)
    for shift in (0.0, 0.1, 0.3):
        given = rng.normal(shift, 0.5, count).round(2)
        theirs = stats.permutation_test(
            (given, np.zeros(count)), lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples", vectorized=True, n_resamples=20_000, rng=1,
        ).pvalue  # fmt: skip
        assert randomization_test(given) == pytest.approx(theirs, abs=0.02 if count > 13 else 1e-9)


def test_p_values_are_corrected_for_their_number_and_keep_their_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


# ---------------------------------------------------------------------- golden sets


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{"], "line 1 is not JSON"),
        (["[1]"], "line 1 is no object"),
        (['{"question": "x"}'], "line 1 has no id"),
        (['{"id": true, "question": "x"}'], "line 1 has no id"),
        (['{"id": 1, "question": " "}'], "line 1 has no question"),
        (['{"id": 1, "question": "x", "evidnce": []}'], "a key 'evidnce': did you mean 'evidence'?"),
        (['{"id": 1, "question": "x", "gold": ["a"]}', "", '{"id": "1", "question": "y"}'],
         "line 3: the id '1' is there twice"),
        (['{"id": 1, "question": "x", "evidence": {}}'], "line 1: evidence is no list"),
        (['{"id": 1, "question": "x", "evidence": [{"source": "a", "start": 1}]}'], "is no span: write"),
        (['{"id": 1, "question": "x", "evidence": [{"source": "a", "start": 1, "end": 2.5}]}'], "is no span"),
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
def test_every_fault_of_a_golden_set_names_the_file_the_line_and_what_to_write(
    lines: list[str], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(SourceError) as error:
        read(path)
    assert says in str(error.value)
    assert "golden.jsonl" in str(error.value)


def test_questions_can_be_given_as_rows_and_grades_of_0_are_no_gold(tmp_path: Path) -> None:
    rows = [{"id": 1, "question": "x", "gold": {"a": 2, "b": 0}, "answer": "left alone"},
            Question("2", "y", evidence=(Span("a", 0, 3),))]  # fmt: skip
    found = read(rows)
    assert [question.id for question in found] == ["1", "2"]
    assert found[0].gold == {"a": 2.0}
    with pytest.raises(SourceError, match="question 2: the id '1' is there twice"):
        read([rows[0], rows[0]])
    with pytest.raises(SourceError, match=r"cannot read .*nowhere.jsonl: No such file"):
        read(tmp_path / "nowhere.jsonl")


# ---------------------------------------------------------------------- evaluating


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> rag.Pipeline:
    """The handbook in plain, overlapping chunks: fast to build, and with gaps that are not known."""
    path = tmp_path_factory.mktemp("evaluation") / "ix"
    rag.build(HANDBOOK, path, embedder="static", chunker={"use": "recursive", "max_tokens": 96})
    return rag.Pipeline(path)


@pytest.fixture(scope="module")
def few(golden: list[dict]) -> list[dict]:
    rows = golden[::6]
    assert any("where" in row for row in rows) and any(not row["evidence"] for row in rows)
    return rows


@pytest.fixture(scope="module")
def found(pipe: rag.Pipeline, few: list[dict]):
    return evaluate(pipe, few, budgets=(1000, 4000))


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scorer(shared: Path, name: str, *arguments: object) -> dict:
    done = subprocess.run(
        [sys.executable, str(shared / "bench" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def test_unanswerable_questions_are_left_out_and_counted(found, few: list[dict]) -> None:
    answerable = [row for row in few if row["evidence"]]
    assert [scored.question.id for scored in found.questions] == [row["id"] for row in answerable]
    assert found.unanswerable == len(few) - len(answerable) > 0
    assert found.metrics["recall@1000"].count == len(answerable)
    assert found.headline == "recall"
    assert found.notes == ()


def test_means_are_those_of_the_questions_and_recall_that_of_the_budgets(found) -> None:
    for name, metric in found.metrics.items():
        assert metric.mean == pytest.approx(np.mean([scored.values[name] for scored in found.questions]))
        assert 0 <= metric.low <= metric.mean <= metric.high <= 1
    for scored in found.questions:
        values = scored.values
        assert values["recall"] == pytest.approx((values["recall@1000"] + values["recall@4000"]) / 2)
        assert scored.tokens[0] <= scored.tokens[1]
    assert found.metrics["recall@1000"].mean < found.metrics["recall@4000"].mean
    assert 0 < found.seconds["p50"] <= found.seconds["p95"]


def test_a_budgets_context_is_the_pipelines_own(pipe: rag.Pipeline, found) -> None:
    for scored in found.questions[::5]:
        question = scored.question
        context = pipe.context(question.question, where=question.where, budget=1000)
        held = [Span(hit.source, hit.start, hit.end) for hit in context.hits]
        assert scored.values["recall@1000"] == overlap(question.evidence, held).recall


@pytest.mark.parametrize(
    ("chunker", "where"), [("recursive", None), ("semantic", "startswith(source, 'again/')")]
)
def test_evidence_scores_are_those_of_the_reference_with_copies_and_without(
    chunker: str,
    where: str | None,
    golden: list[dict],
    handbook_texts: dict[str, str],
    shared: Path,
    tmp_path: Path,
) -> None:
    texts = {name: text for name, text in handbook_texts.items() if name.startswith("people/")}
    # Every other document is there twice, under another heading, so that the copies matter.
    texts |= {f"again/{n}.md": f"# Again\n\n{text}" for n, text in enumerate(list(texts.values())[::2])}
    rows = [
        row for row in golden
        if row["evidence"] and all(span["source"] in texts for span in row["evidence"])
    ]  # fmt: skip
    rows = [{name: value for name, value in row.items() if name != "where"} for row in rows]
    documents = [Document(text, metadata={"source": name}) for name, text in texts.items()]
    rag.build(documents, tmp_path / "ix", embedder="static", chunker=chunker)
    pipe = rag.Pipeline(tmp_path / "ix")
    for name, text in texts.items():
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    questions = write(tmp_path / "q.jsonl", rows)
    alone = evaluate(pipe, rows, budgets=(1000, 4000), where=where)
    either = evaluate(pipe, rows, budgets=(1000, 4000), where=where, copies=True)
    gained = either.metrics["recall"].mean - alone.metrics["recall"].mean
    assert gained > 0 if where else gained >= 0
    for budget in (1000, 4000):
        contexts = tmp_path / f"{budget}.jsonl"
        options = ("--questions", questions, "--output", contexts, "--budget", budget)
        run("context", pipe.index.path, *options, *(("--where", where) if where else ()))
        for ours, arguments in ((alone, ()), (either, ("--corpus", tmp_path / "corpus"))):
            theirs = scorer(shared, "score_evidence.py", questions, contexts, *arguments)
            assert theirs["questions"] == ours.metrics["recall"].count >= 30
            for metric in ("recall", "precision", "iou"):
                assert round(ours.metrics[f"{metric}@{budget}"].mean, 4) == theirs[metric]


def test_ranking_scores_are_those_of_the_reference(
    pipe: rag.Pipeline, few: list[dict], shared: Path, tmp_path: Path
) -> None:
    rows = [
        {"id": row["id"], "question": row["question"], "gold": [span["source"] for span in row["evidence"]]}
        for row in few if row["evidence"]
    ]  # fmt: skip
    rows[0]["gold"] = sorted({record.source for record in pipe.index.sources})[:12]
    found = evaluate(pipe, rows, k=5)
    ranked = [
        {"id": row["id"], "hits": [{"source": document.metadata["source"]}
                                   for document in pipe.retrieve(row["question"])]}
        for row in rows
    ]  # fmt: skip
    theirs = scorer(shared, "score_ranking.py", write(tmp_path / "g.jsonl", rows),
                    write(tmp_path / "s.jsonl", ranked), "--k", 5)  # fmt: skip
    assert found.headline == "ndcg@5"
    for ours, name in (("ndcg@5", "ndcg@5"), ("source_recall@5", "recall@5"), ("mrr@5", "mrr@5")):
        assert round(found.metrics[ours].mean, 4) == theirs[name]
    assert set(found.questions[0].lost) <= set(rows[0]["gold"])


def docs(tmp_path: Path, **texts: str) -> rag.Pipeline:
    for name, text in texts.items():
        path = tmp_path / "docs" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    return rag.Pipeline(tmp_path / "ix")


LEAVE = "Staff in Europe take 28 days of annual leave each year."


def test_a_verbatim_copy_serves_as_well_if_asked_for(tmp_path: Path) -> None:
    pipe = docs(tmp_path, a=f"# A\n\n{LEAVE}\n", b=f"# Rules\n\nNo dogs.\n\n{LEAVE}\n")
    row = {"id": 1, "question": "annual leave", "evidence": [{"source": "a.md", "start": 5, "end": 60}],
           "where": "source == 'b.md'"}  # fmt: skip
    assert evaluate(pipe, [row]).metrics["recall"].mean == 0.0
    assert evaluate(pipe, [row], copies=True).metrics["recall"].mean == 1.0
    places, unknown = copies(pipe.index, read([row]))
    assert places == {Span("a.md", 5, 60): (Span("b.md", 19, 74),)}
    assert unknown == 0


def test_documents_are_put_together_from_their_chunks_as_far_as_is_known() -> None:
    def hit(start: int, text: str, gap: str | None = None) -> Hit:
        return Hit("a", start, start + len(text), text, 0.0, gap=gap)

    assert assemble([hit(6, "two"), hit(0, "one. ", " ")]) == {"a": [(0, "one.  two")]}
    assert assemble([hit(0, "one"), hit(9, "two")]) == {"a": [(0, "one"), (9, "two")]}
    assert assemble([hit(0, "abcdef"), hit(2, "cd"), hit(4, "efgh"), hit(8, "i")]) == {
        "a": [(0, "abcdefghi")]
    }


def test_the_texts_of_an_index_are_those_of_its_documents(
    pipe: rag.Pipeline, handbook_index: rag.Index, handbook_texts: dict[str, str]
) -> None:
    for index in (pipe.index, handbook_index):
        found = assemble(index.scan())
        assert found.keys() == handbook_texts.keys()
        for source, pieces in found.items():
            for start, text in pieces:
                assert handbook_texts[source][start : start + len(text)] == text
            ends = [start + len(text) for start, text in pieces]
            assert all(end <= start for end, (start, _) in zip(ends, pieces[1:], strict=False))


def test_what_can_never_be_found_is_noted(tmp_path: Path) -> None:
    pipe = docs(tmp_path, leave=LEAVE)
    rows = [
        {"id": 1, "question": "leave", "evidence": [{"source": "leave.md", "start": 50, "end": 99}]},
        {"id": 2, "question": "leave", "gold": ["leav.md", "leave.md"]},
    ]
    absent, beyond, *rest = evaluate(pipe, rows, k=1).notes
    assert absent == (
        "1 sources of the golden set are not in the index and can never be found, e.g. leav.md; "
        "did you mean 'leave.md'?"
    )
    assert beyond.startswith(
        "1 evidence spans end behind the last chunk of their document, e.g. leave.md:50-99: it ends at 55"
    )
    assert rest == []


def test_a_wrong_filter_names_its_question_before_anything_is_asked(tmp_path: Path) -> None:
    pipe = docs(tmp_path, leave=LEAVE)
    rows = [{"id": "q7", "question": "leave", "gold": ["leave.md"], "where": "pagestart == 1"}]
    with pytest.raises(WhereError, match=r"question 'q7': .*did you mean 'page_start'"):
        evaluate(pipe, rows)


def test_settings_that_cannot_be_are_refused(pipe: rag.Pipeline, few: list[dict]) -> None:
    for wrong in ({"k": 0}, {"budgets": (0,)}, {"unit": "words"}):
        with pytest.raises(UsageError):
            evaluate(pipe, few, **wrong)


def test_a_trimmer_without_a_budget_is_measured_as_it_is(pipe: rag.Pipeline, few: list[dict]) -> None:
    from langchain_core.documents import BaseDocumentCompressor

    class First(BaseDocumentCompressor):
        def compress_documents(self, documents, query, callbacks=None):
            return documents[:1]

    own = rag.Pipeline(pipe.index, trimmer=First())
    found = evaluate(own, few[:4], budgets=())
    assert set(found.metrics) == {"recall", "precision", "iou"}
    with pytest.raises(UsageError, match="takes no budget"):
        evaluate(own, few[:4])


# ---------------------------------------------------------------------- comparing


def test_a_comparison_with_itself_is_nothing(found) -> None:
    same = compare(found, found)
    assert set(same.differences) == set(found.metrics)
    for each in same.differences.values():
        assert (each.mean, each.low, each.high, each.p) == (0.0, 0.0, 0.0, 1.0)
    assert same.notes == ()


def test_a_paired_difference_counted_by_hand(tmp_path: Path) -> None:
    pipe = docs(tmp_path, a="# Leave\n\nTake 28 days of leave.", b="# Pay\n\nPaid on the 25th of the month.")
    rows = [
        {"id": 1, "question": "leave", "gold": ["a.md"]},
        {"id": 2, "question": "pay", "gold": ["b.md"]},
        {"id": 3, "question": "leave and days", "gold": ["a.md"]},
    ]
    right = evaluate(pipe, rows, name="right")
    # Under a filter that leaves a.md out, the first and the third question find nothing.
    wrong = evaluate(pipe, rows, name="wrong", where="source == 'b.md'")
    difference = compare(right, wrong).differences["mrr@10"]
    # 1, 0 and 1: of the four sign changes of the two that differ, two are as far from 0.
    assert (difference.mean, difference.p, difference.count) == (pytest.approx(2 / 3), 0.5, 3)
    assert compare(wrong, right).differences["mrr@10"].mean == pytest.approx(-2 / 3)
    assert (difference.low, difference.high) == (0.0, 1.0)


def test_only_shared_questions_are_compared_and_the_rest_is_told(pipe: rag.Pipeline, few: list[dict]) -> None:
    rows = [row for row in few if row["evidence"]][:6]
    altered = [*rows[1:4], {**rows[4], "question": "something else"}]
    a = evaluate(pipe, rows, name="a", budgets=(1000,))
    b = evaluate(pipe, altered, name="b", budgets=(1000, 2000))
    found = compare(a, b)
    assert set(found.differences) == {"recall@1000", "precision@1000", "iou@1000"}
    assert found.differences["recall@1000"].count == 3
    assert found.notes == (
        "2 questions are only in a: left out",
        "1 questions have one id, and another text, filter, evidence or gold in each: left out",
    )
    with pytest.raises(UsageError, match="share no question or no metric"):
        compare(evaluate(pipe, rows[:1]), b)
    with pytest.raises(UsageError, match=r"unit='chars', .* unit='tokens'"):
        compare(a, evaluate(pipe, rows, unit="tokens", budgets=(1000,)))


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def questions(few: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("questions") / "few.jsonl", few)


def test_the_command_shows_tables_the_worst_and_how_they_were_lost(
    pipe: rag.Pipeline, questions: Path, found
) -> None:
    path = pipe.index.path
    shown = run("eval", path, questions, "--budgets", "1000,4000").stdout
    lines = shown.splitlines()
    count = len(found.questions)
    assert lines[0] == (
        f"{path}: evidence of {count} questions ({found.unanswerable} without an answer are left out)"
    )
    assert lines[2].split()[:4] == ["1000", *str(found.metrics["recall@1000"]).split()]
    command = next(line.strip() for line in lines if line.startswith("  rag explain "))
    explained = run(*shlex.split(command)[1:]).stdout
    assert explained.split(":")[0] in ("retriever", "trimmer", "filter", "not loaded")


def test_the_command_prints_json_and_writes_each_question(
    pipe: rag.Pipeline, questions: Path, found, tmp_path: Path
) -> None:
    output = tmp_path / "each.jsonl"
    done = run("eval", pipe.index.path, questions, "--budgets", "1000,4000", "--json", "--output", output)
    row = json.loads(done.stdout)
    assert row["metrics"]["recall@1000"]["mean"] == found.metrics["recall@1000"].mean
    assert row["metrics"]["recall"]["count"] == len(found.questions)
    each = [json.loads(line) for line in output.read_text().splitlines()]
    assert [item["id"] for item in each] == [scored.question.id for scored in found.questions]
    assert each[3]["values"] == dict(found.questions[3].values)
    assert len(row["worst"]) == 5


def test_the_command_compares_with_another_index_and_with_other_settings(
    pipe: rag.Pipeline, questions: Path, tmp_path: Path
) -> None:
    path = pipe.index.path
    done = run("eval", path, questions, "--budgets", 1000, "--against", path, "--json")
    same = json.loads(done.stdout)["comparison"]["differences"]["recall@1000"]
    assert (same["mean"], same["p"]) == (0.0, 1.0)
    settings = tmp_path / "other.toml"
    settings.write_text('[retriever]\nk = 1\n[generator]\nuse = "claude"\n')
    shown = run("eval", path, questions, "--budgets", 1000, "--against-config", settings).stdout
    assert f"{path} against {path} with {settings} (above 0: {path} is better)" in shown


def test_rankings_are_shown_for_gold_documents(pipe: rag.Pipeline, tmp_path: Path) -> None:
    rows = [{"id": 1, "question": "parental leave in the US", "gold": ["people/leave-policy-us.html"]}]
    shown = run("eval", pipe.index.path, write(tmp_path / "g.jsonl", rows), "-k", 3).stdout
    assert "nDCG@3" in shown and "recall@3" in shown and "MRR@3" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["INDEX", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["nowhere", "QUESTIONS"], "there is no index in nowhere"),
        (["INDEX", "QUESTIONS", "--budgets", "1k"], "--budgets is '1k': write numbers with commas"),
        (["INDEX", "QUESTIONS", "--budgets", "0"], "at least 1"),
        (["INDEX", "QUESTIONS", "--against", "nowhere"], "there is no index in nowhere"),
        (["INDEX", "QUESTIONS", "--against", "x", "--against-config", "y"], "give either --against or"),
        (["INDEX", "QUESTIONS", "--where", "yeer == 1"], "did you mean 'year'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    pipe: rag.Pipeline, questions: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    names = {"INDEX": str(pipe.index.path), "QUESTIONS": str(questions)}
    assert says in error_of("eval", *(names.get(a, a) for a in arguments), code=2, cwd=tmp_path)


def test_a_notebook_shows_tables_with_every_value_escaped(pipe: rag.Pipeline, few: list[dict]) -> None:
    found = evaluate(pipe, few[:6], budgets=(1000,), name="<b>")
    assert "&lt;b&gt;: evidence of" in found._repr_html_()
    assert "<b>" not in compare(found, found)._repr_html_()
