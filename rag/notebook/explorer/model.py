"""What the explorer knows and does, without a browser: settings in, results out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.core.answers import Answer, Step
from rag.core.errors import BudgetError, RagError, UsageError
from rag.core.format import dollars
from rag.core.passages import Context, Hit
from rag.core.retrieved import Retrieved
from rag.evaluation.golden_set import Span
from rag.notebook.explorer import filter_form, golden, views
from rag.notebook.explorer.compare import differences
from rag.notebook.explorer.messages import (
    Answering,
    Ask,
    Drop,
    Golden,
    Hello,
    Look,
    Message,
    Settings,
    Why,
    message_of,
    settings_of,
)
from rag.notebook.explorer.variants import Budgeted, Variants, free, price
from rag.usage.collector import Collector

Reply = dict[str, Any]


@dataclass(slots=True)
class Results:
    """What one side found.

    Attributes
    ----------
    serial : int
        Of the search; -1 before the first.
    where : str
        The filter, as a string; empty for none.
    """

    settings: Settings
    serial: int = -1
    where: str = ""
    hits: tuple[Hit, ...] = ()
    context: Context | None = None
    answer: Answer | None = None
    steps: tuple[Step, ...] = ()


class Explorer:
    """Searches, trims and answers as the settings of two sides say.

    Parameters
    ----------
    pipe : Pipeline
    golden : str or Path, optional
        Where questions are added as drafts.
    settings : Settings, optional
        Of side A at first.

    Examples
    --------
    >>> model = Explorer(rag.Pipeline("indexes/handbook"))                  # doctest: +SKIP
    >>> look = {"do": "look", "side": "A", "serial": 1, "settings": {"question": "SEV-1"}}
    >>> [reply["kind"] for reply in model.replies(look)]                    # doctest: +SKIP
    ['filter', 'hits', 'context']
    """

    def __init__(
        self, pipe: Any, *, golden: str | Path | None = None, settings: Settings | None = None
    ) -> None:
        self.pipe, self.index = pipe, pipe.index
        self.variants = Variants(pipe)
        self.golden = None if golden is None else Path(golden)
        self.first = settings or settings_of({})
        self.sides = {"A": Results(self.first)}

    def replies(self, message: Any) -> Iterator[Reply]:
        """Do what a message of the browser asks, and yield what to show, each as soon as it is there.

        A message that is wrong, or a stage that fails, is a reply of the kind ``"error"``, in one line.
        """
        side, serial, part = "A", -1, ""
        try:
            checked = message_of(message)
            side = getattr(checked, "side", "A")
            serial = getattr(checked, "serial", -1)
            part = checked.do
            for reply in self._done(checked):
                yield {"side": side, "serial": serial, **reply}
        except RagError as error:
            yield {"side": side, "serial": serial, "kind": "error", "part": part, "text": str(error)}
        except Exception as error:  # a stage of the user's: said in the page, as nothing reads this thread
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            yield {"side": side, "serial": serial, "kind": "error", "part": part, "text": text}

    def _done(self, message: Message) -> Iterator[Reply]:
        if isinstance(message, Hello):
            yield self.form()
        elif isinstance(message, Look):
            yield from self._look(message)
        elif isinstance(message, Drop):
            self.sides.pop(message.side, None)
        elif isinstance(message, Answering):
            yield from self._answer(self._results(message))
        elif isinstance(message, Ask):
            yield from self._ask(self._results(message))
        elif isinstance(message, Why):
            yield self._why(self._results(message), message)
        else:
            yield self._add(self._results(message), message)

    def form(self) -> Reply:
        """Return what the controls offer."""
        trimmer = self.pipe.trimmer
        models = self.variants.models
        retriever = self.pipe.retriever
        return {
            "kind": "form", "fields": filter_form.fields(self.index),
            "operators": {kind: [*map(list, ops)] for kind, ops in filter_form.OPERATORS.items()},
            "settings": self.first.model_dump(exclude={"rows"}),
            "rows": filter_form.rows_of(self.first.where, self.index.schema) if self.first.where else [],
            "budget": trimmer.budget if isinstance(trimmer, Budgeted) else None,
            "unit": trimmer.unit if isinstance(trimmer, Budgeted) else "chars",
            "weight": retriever.lexical_weight if self.variants.has_weight else None,
            "reranker": type(retriever.reranker).__name__ if self.variants.has_reranker else None,
            "modes": self.variants.has_weight, "model": type(models[0]).__name__ if models else None,
            "golden": None if self.golden is None else self.golden.name,
            "about": f"{self.index.path.name}: version {self.index.version:,}, {len(self.index):,} chunks",
        }  # fmt: skip

    # ------------------------------------------------------------------ searching

    def _look(self, message: Look) -> Iterator[Reply]:
        settings, begun = message.settings, time.perf_counter()
        where, rows = settings.where.strip(), None
        if settings.rows is not None:
            where = filter_form.string_of(settings.rows, self.index.schema)
        bound = self.index.check(where) if where else None
        if where and settings.rows is None:
            rows = filter_form.rows_of(bound.original, self.index.schema) if bound is not None else None
        matches = self.index.count(bound)
        yield {"kind": "filter", "where": where, "rows": rows if where else [], "matches": matches,
               "of": len(self.index), "form": settings.rows is not None}  # fmt: skip
        results = Results(settings, message.serial, where)
        if not settings.question.strip():
            self.sides[message.side] = results
            yield {"kind": "empty"}
            return
        pipe = self.variants.of(settings.lexical_weight, rerank=settings.rerank)
        paying = pipe if message.pay else free(pipe)
        try:
            results.hits = tuple(paying.retrieve(settings.question, **self._options(settings, bound)))
            taken = time.perf_counter() - begun
            self.sides[message.side] = results
            yield {"kind": "hits", "html": views.hits_html(results.hits, settings.question),
                   "text": views.found_text(results.hits, matches, len(self.index), taken)}  # fmt: skip
            results.context = Collector(paying.meter).run(
                paying.trim, settings.question, results.hits, budget=settings.budget,
                unit=settings.unit if settings.budget is not None else None,
            )  # fmt: skip
        except BudgetError:
            if message.pay:
                raise
            yield {
                "kind": "pay",
                "text": "This search calls a model that costs money: press Enter or Search.",
            }
            return
        results.steps = (Step("retrieve", taken, {"documents": len(results.hits)}),
                         Step("trim", time.perf_counter() - begun - taken))  # fmt: skip
        yield {"kind": "context", "html": views.context_html(results.context),
               "fates": views.fates(results.hits, results.context)}  # fmt: skip
        yield from self._difference()

    def _begun(self, pipe: Any, results: Results) -> Any:
        """Return the question with what was retrieved already."""
        assert results.context is not None
        retrieved = Retrieved(results.context, results.steps)
        return pipe.begin(results.settings.question, retrieved=retrieved, where=results.where or None)

    def _difference(self) -> Iterator[Reply]:
        if set(self.sides) != {"A", "B"}:
            return
        a, b = self.sides["A"], self.sides["B"]
        if not a.hits and not b.hits:
            return
        found = differences(a.hits, b.hits, a.context, b.context)
        yield {"kind": "difference", "A": list(found.a[: views.SHOWN]), "B": list(found.b[: views.SHOWN]),
               "text": found.summary}  # fmt: skip

    # ------------------------------------------------------------------ what is asked of results

    def _answer(self, results: Results) -> Iterator[Reply]:
        settings = results.settings
        pipe = free(self.variants.of(settings.lexical_weight, rerank=settings.rerank))
        if self.variants.models:
            yield self._price(results)
        results.answer = self._begun(pipe, results).answer()
        yield {"kind": "answer", "html": views.answer_html(results.answer), "paid": False}

    def _results(self, message: Answering | Ask | Why | Golden) -> Results:
        results = self.sides.get(message.side)
        if results is None or results.serial != message.serial or results.context is None:
            raise UsageError("the results have changed meanwhile: try again")
        return results

    def _price(self, results: Results) -> Reply:
        """Return what asking the paid model would cost; without a price there is no button."""
        settings = results.settings
        pipe = self.variants.of(settings.lexical_weight, rerank=settings.rerank, own=True)
        begun = self._begun(pipe, results)
        if not begun.messages:
            return {"kind": "price", "text": "", "why": "no passage is left to ask about"}
        try:
            about, most = price(pipe, begun.messages)
        except UsageError as error:
            return {"kind": "price", "text": "", "why": str(error)}
        name = type(self.variants.models[0]).__name__
        return {
            "kind": "price",
            "text": f"Ask {name}: about {dollars(about)}, at most {dollars(most)}",
            "why": "",
        }

    def _ask(self, results: Results) -> Iterator[Reply]:
        settings = results.settings
        if not self.variants.models:
            raise UsageError("the pipeline has no model that is paid for: its answer is shown already")
        pipe = self.variants.of(settings.lexical_weight, rerank=settings.rerank, own=True)
        begun = self._begun(pipe, results)
        if begun.messages:
            price(pipe, begun.messages)  # what has no price was not told, and is not asked
        results.answer = begun.answer()
        yield {"kind": "answer", "html": views.answer_html(results.answer), "paid": True}

    def _why(self, results: Results, message: Why) -> Reply:
        settings = results.settings
        if message.rank is not None:
            hit = self._hit(results, message.rank)
            expect = f"{hit.source}:{hit.start}-{hit.end}"
        else:
            expect = message.text
        pipe = free(self.variants.of(settings.lexical_weight, rerank=settings.rerank))
        try:
            told = pipe.explain(settings.question, expect, **self._options(settings, results.where or None))
        except BudgetError:  # it searches a dozen times: nobody was told what that would cost
            raise UsageError(
                "explaining would call a model that costs money: switch the reranker off"
            ) from None
        return {"kind": "why", "html": views.explanation_html(told), "rank": message.rank}

    def _add(self, results: Results, message: Golden) -> Reply:
        if self.golden is None:
            raise UsageError('no golden set is named: open it with rag.explore(index, golden="golden.jsonl")')
        evidence = [
            golden.evidence_of(self._hit(results, each.rank), each.quote) for each in message.evidence
        ]
        if not evidence and results.answer is not None:
            evidence = [
                (Span(each.source, each.start, each.end), each.text)
                for each in results.answer.citations if each.verified
            ]  # fmt: skip
        name = golden.add(self.golden, results.settings.question, evidence, where=results.where)
        spans = ", ".join(str(span) for span, _ in evidence)
        return {"kind": "golden", "text": f"{name} added to {self.golden.name} as a draft, with {spans}"}

    def _hit(self, results: Results, rank: int) -> Hit:
        if rank > len(results.hits):
            raise UsageError(f"there is no hit {rank:,}: there are {len(results.hits):,}")
        return results.hits[rank - 1]

    def _options(self, settings: Settings, where: Any) -> dict[str, Any]:
        """Return settings as the pipeline's options; what is not set is left to the pipeline."""
        mode = settings.mode if self.variants.has_weight else None
        unit = settings.unit if settings.budget is not None else None
        options = {"where": where, "k": settings.k, "mode": mode, "budget": settings.budget, "unit": unit}
        return {name: value for name, value in options.items() if value is not None}
