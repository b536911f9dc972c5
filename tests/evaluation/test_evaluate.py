"""`evaluate`: values equal to the reference scorers', and notes on what limits them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

import rag
from rag.core.errors import UsageError, WhereError
from rag.evaluation import Span, evaluate
from rag.evaluation.evaluate import retrieved
from rag.evaluation.metrics import overlap
from tests.cli.test_main import run
from tests.evaluation.conftest import LEAVE, docs, write


def scorer(shared: Path, name: str, *arguments: object) -> dict:
    done = subprocess.run(
        [sys.executable, str(shared / "bench" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def test_unanswerable_questions_are_counted(evaluation, few: list[dict]) -> None:
    answerable = [row for row in few if row["evidence"]]
    assert [scored.question.id for scored in evaluation.questions] == [row["id"] for row in answerable]
    assert evaluation.unanswerable == len(few) - len(answerable) > 0
    assert evaluation.metrics["recall@1000"].count == len(answerable)
    assert evaluation.headline == "recall"
    assert evaluation.notes == ()


def test_means_over_questions_and_budgets(evaluation) -> None:
    for name, metric in evaluation.metrics.items():
        assert metric.mean == pytest.approx(np.mean([scored.values[name] for scored in evaluation.questions]))
        assert 0 <= metric.low <= metric.mean <= metric.high <= 1
    for scored in evaluation.questions:
        values = scored.values
        assert values["recall"] == pytest.approx((values["recall@1000"] + values["recall@4000"]) / 2)
        assert scored.tokens[0] <= scored.tokens[1]
    assert evaluation.metrics["recall@1000"].mean < evaluation.metrics["recall@4000"].mean
    assert 0 < evaluation.seconds["p50"] <= evaluation.seconds["p95"]


def test_contexts_are_the_pipelines(pipe: rag.Pipeline, evaluation) -> None:
    for scored in evaluation.questions[::5]:
        question = scored.question
        context = pipe.context(question.question, where=question.where, budget=1000)
        held = [Span(hit.source, hit.start, hit.end) for hit in context.hits]
        assert scored.values["recall@1000"] == overlap(question.evidence, held).recall


@pytest.mark.parametrize(
    ("chunker", "where"), [("recursive", None), ("semantic", "startswith(source, 'again/')")]
)
def test_evidence_scores_equal_the_reference(
    chunker: str,
    where: str | None,
    golden: list[dict],
    handbook_texts: dict[str, str],
    shared: Path,
    tmp_path: Path,
) -> None:
    texts = {name: text for name, text in handbook_texts.items() if name.startswith("people/")}
    # Every second document occurs twice, with another heading, so that copies matter.
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


def test_ranking_scores_equal_the_reference(
    pipe: rag.Pipeline, few: list[dict], shared: Path, tmp_path: Path
) -> None:
    rows = [
        {"id": row["id"], "question": row["question"], "gold": [span["source"] for span in row["evidence"]]}
        for row in few if row["evidence"]
    ]  # fmt: skip
    rows[0]["gold"] = sorted({record.source for record in pipe.index.sources})[:12]
    evaluation = evaluate(pipe, rows, k=5)
    ranked = [
        {"id": row["id"], "hits": [{"source": hit.source} for hit in retrieved(pipe, row["question"])]}
        for row in rows
    ]  # fmt: skip
    theirs = scorer(shared, "score_ranking.py", write(tmp_path / "g.jsonl", rows),
                    write(tmp_path / "s.jsonl", ranked), "--k", 5)  # fmt: skip
    assert evaluation.headline == "ndcg@5"
    for ours, name in (("ndcg@5", "ndcg@5"), ("source_recall@5", "recall@5"), ("mrr@5", "mrr@5")):
        assert round(evaluation.metrics[ours].mean, 4) == theirs[name]
    assert set(evaluation.questions[0].lost) <= set(rows[0]["gold"])


def test_unreachable_evidence_is_noted(tmp_path: Path) -> None:
    pipe = docs(tmp_path, leave=LEAVE)
    rows = [
        {"id": 1, "question": "leave", "evidence": [{"source": "leave.md", "start": 50, "end": 99}]},
        {"id": 2, "question": "leave", "gold": ["leav.md", "leave.md"]},
    ]
    absent, beyond, *rest = evaluate(pipe, rows, k=1).notes
    assert absent == (
        "1 sources of the golden set are not in the index, so nothing can find them, e.g. leav.md; "
        "did you mean 'leave.md'?"
    )
    assert beyond.startswith(
        "1 evidence spans end after the last chunk of their document, e.g. leave.md:50-99: that chunk ends at 55"
    )
    assert rest == []


def test_wrong_filter_names_its_question(tmp_path: Path) -> None:
    pipe = docs(tmp_path, leave=LEAVE)
    rows = [{"id": "q7", "question": "leave", "gold": ["leave.md"], "where": "pagestart == 1"}]
    with pytest.raises(WhereError, match=r"question 'q7': .*did you mean 'page_start'"):
        evaluate(pipe, rows)


def test_invalid_settings_are_refused(pipe: rag.Pipeline, few: list[dict]) -> None:
    for wrong in ({"k": 0}, {"budgets": (0,)}, {"unit": "words"}):
        with pytest.raises(UsageError):
            evaluate(pipe, few, **wrong)


def test_trimmer_without_budget(pipe: rag.Pipeline, few: list[dict]) -> None:
    from langchain_core.documents import BaseDocumentCompressor

    class First(BaseDocumentCompressor):
        def compress_documents(self, documents, query, callbacks=None):
            return documents[:1]

    other = rag.Pipeline(pipe.index, trimmer=First())
    evaluation = evaluate(other, few[:4], budgets=())
    assert set(evaluation.metrics) == {"recall", "precision", "iou"}
    with pytest.raises(UsageError, match="takes no budget"):
        evaluate(other, few[:4])
