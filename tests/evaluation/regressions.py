"""Twelve regressions of a pipeline over the sample handbook, and the metric by which a gate catches each.

python -m tests.evaluation.regressions    # the table of rag/evaluation/README.md
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

import rag
from rag.chunking.semantic import SemanticChunker
from rag.core.passages import Hit
from rag.evaluation.gate import Gate, gate
from rag.evaluation.gate_values import measure
from rag.evaluation.measured import Measured
from tests.evaluation.planted import Changed, Planted, Reversed, planted

#: Seconds that a reply of the slow model takes, and the most that the 95th percentile may be.
SLOW, MOST_SECONDS = 0.2, 0.15
_SEPARATOR = re.compile(r"^\|[\s:|-]+\|\n.*\n?", re.MULTILINE)


class CutsTables(SemanticChunker):
    """Ends a chunk behind the first row of a table, and forgets the rest of it."""

    def transform_documents(self, documents: Sequence[Document], **options: Any) -> list[Document]:
        kept = []
        for chunk in super().transform_documents(documents, **options):
            row = _SEPARATOR.search(chunk.page_content)
            if row is not None:
                end = chunk.metadata["start"] + row.end()
                chunk = Document(chunk.page_content[: row.end()], metadata={**chunk.metadata, "end": end})
            elif chunk.page_content.startswith("|"):
                continue
            kept.append(chunk)
        return kept


def _status(of: str, factor: float) -> Callable[[Hit], float]:
    return lambda hit: factor if hit.metadata.get("status") == of else 1.0


def _swapped(where: Any) -> Any:
    """A filter that asks for what is superseded where it should ask for what is current, and vice versa."""
    swap = {"'current'": "'superseded'", "'superseded'": "'current'"}
    return None if where is None else re.sub("|".join(swap), lambda each: swap[each[0]], where.to_string())


@dataclass(frozen=True)
class Regression:
    """Something that goes wrong.

    Attributes
    ----------
    caught : tuple of str
        Metrics whose test, or limit, must fail; others may fail, too.
    wrong, right : callable
        Return the pipeline with and without it.
    questions : callable
        Return the questions that are asked.
    """

    name: str
    caught: tuple[str, ...]
    wrong: Callable[[Planted], Any]
    right: Callable[[Planted], Any] = field(default=lambda each: each.pipe())
    questions: Callable[[Planted], list[dict[str, Any]]] = field(default=lambda each: each.questions)
    least: tuple[tuple[str, float], ...] = ()
    most: tuple[tuple[str, float], ...] = ()

    @property
    def metrics(self) -> list[str]:
        """What its gate looks at; of answers also how many are correct, as every gate should."""
        alone = len(self.caught) == 1 and self.caught[0].startswith("recall")
        return list(dict.fromkeys([*self.caught, *(() if alone else ("correct",))]))


REGRESSIONS = (
    Regression(
        "a stale policy ranks first", ("must_not_include", "cite_precision"),
        lambda each: each.pipe(retriever=Changed(index=each.index(), scored=_status("superseded", 3))),
        right=lambda each: each.pipe(retriever=Changed(index=each.index(), scored=_status("current", 2))),
        questions=lambda each: each.versioned,
        least=(("must_not_include", 0.9), ("cite_precision", 0.9)),
    ),
    Regression(
        "a filter is dropped", ("recall@4000", "correct"),
        lambda each: each.pipe(retriever=Changed(index=each.index(), filtered=lambda where: None)),
    ),
    Regression(
        "a chunker cuts tables", ("recall@4000",),
        lambda each: each.pipe(each.index("cut", chunker=CutsTables(embedder=None))),
    ),
    Regression(
        "a prompt without the rule to refuse", ("refused",),
        lambda each: each.pipe(prompt=rag.Prompt(
            system='Answer from the documents. Cite: <cite doc="N">exact words</cite>.', cite=False
        )),
    ),
    Regression("a budget too small", ("responded",), lambda each: each.pipe(trimmer={"budget": 800})),
    Regression(
        "a wrong embedder", ("recall@1000",),
        lambda each: each.pipe(rag.Index.open(each.index().path, embedder=Reversed())),
        questions=lambda each: [row for row in each.golden if row["evidence"]],
    ),
    Regression("citations off by one", ("supported", "cite_recall"), lambda each: each.pipe(model={"off_by": 1})),
    Regression(
        "a model that ignores the context", ("supported", "correct", "refused"),
        lambda each: each.pipe(model={"reads": False}),
    ),
    Regression(
        "numbers are changed", ("numbers", "supported"),
        lambda each: each.pipe(model={"change": lambda text: re.sub(r"\d+", lambda n: str(int(n[0]) + 1), text)}),
    ),
    Regression(
        "versions are mixed up", ("recall@4000", "cite_recall"), 
        lambda each: each.pipe(retriever=Changed(index=each.index(), filtered=_swapped)),
        questions=lambda each: [row for row in each.questions if "status ==" in row.get("where", "")],
    ),
    Regression(
        "the language is switched", ("language",),
        lambda each: each.pipe(model={
            "prefix": "Nach den Unterlagen gilt für alle, die das betrifft, was dort ist und nicht mehr: ",
            "change": lambda text: re.sub(r"\b(the|and|is|of|to|in|for|that|are)\b ?", "", text),
        }),
    ),
    Regression(
        "a slow model", ("seconds.p95",), lambda each: each.pipe(model={"seconds": SLOW}),
        questions=lambda each: each.questions[:20], most=(("seconds.p95", MOST_SECONDS),),
    ),
)  # fmt: skip


def measured(each: Regression, over: Planted, pipe: Any) -> Measured:
    """What a gate measures of a pipeline."""
    rows = each.questions(over)
    return measure(pipe, rows, each.metrics, name=each.name, parallel=1)


def judged(each: Regression, before: Measured, after: Measured) -> Gate:
    """The gate's outcome: its limits are held, and the other metrics are tested."""
    bounded = [name for name, _ in (*each.least, *each.most)]
    against = [name for name in each.metrics if name not in bounded]
    return gate(after, least=dict(each.least), most=dict(each.most), baseline=before, against=against)


def failed(outcome: Gate) -> set[str]:
    """The metrics because of which a gate fails."""
    return {each.metric for each in (*outcome.limits, *outcome.tests) if not each.passed}


def figures(outcome: Gate, metric: str) -> str:
    """How far a metric fell, and how surely; or what a limit says."""
    for limit in outcome.limits:
        if limit.metric == metric:
            return str(limit)
    test = next(each for each in outcome.tests if each.metric == metric)
    return f"{metric} -{test.loss.mean:.3f}, p {'< 0.001' if test.p < 0.001 else f'= {test.p:.3f}'}"


def main() -> None:
    """Print what catches each regression."""
    with tempfile.TemporaryDirectory() as folder:
        over = planted(Path(folder), every=1)
        print("| regression | questions | caught by |\n| --- | --- | --- |")
        for each in REGRESSIONS:
            before = measured(each, over, each.right(over))
            outcome = judged(each, before, measured(each, over, each.wrong(over)))
            same = judged(each, before, measured(each, over, each.right(over)))
            assert same.passed, (each.name, same.reasons)
            caught = [name for name in each.caught if name in failed(outcome)]
            assert caught == [*each.caught], (each.name, failed(outcome))
            print(
                f"| {each.name} | {len(before.questions)} | {'; '.join(figures(outcome, name) for name in caught)} |"
            )


if __name__ == "__main__":
    main()
