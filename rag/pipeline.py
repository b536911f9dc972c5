"""The query path: retrieve -> trim -> assemble -> generate -> cite."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag.config import stages
from rag.config.open import open_index
from rag.core.answers import Answer, Citation, Event, Step, Usage
from rag.core.errors import UsageError
from rag.core.passages import Context, Hit
from rag.generation import reply
from rag.generation.citations import OnFail, ReplyReader
from rag.generation.models import model_of
from rag.retrieval.adapter import as_hit_retriever
from rag.retrieval.explain import Explanation, explain
from rag.retrieval.search import HybridSearch
from rag.trimming.adapter import context_of
from rag.usage.collector import Collector
from rag.usage.tokens import TokenCounter, room_chars

#: The answer where no passage was found; no model is asked then.
NOTHING_FOUND = "Nothing was found in the index for this question and its filter."
#: The answer where a trimmer keeps no passage for another reason than its budget.
NOTHING_KEPT = "Passages were found, but none was sent to a model."


class Pipeline:
    """Answers questions from an index; every stage is a keyword.

    Parameters
    ----------
    index : Index, str or Path
        Another embedder does not change an index that is passed in: the pipeline searches a copy.
    embedder, retriever, trimmer, prompt, generator : optional
        An object with the stage's LangChain interface, a name (``"local"``, ``"claude"``,
        ``"openai:gpt-..."``, ``"module:Class"``), or a mapping of ``use`` and arguments, as in
        ``rag.toml``.
    ledger : mapping, str or Path, optional
        Where calls are recorded, and the budget, as in ``rag.toml``; by default in the index's folder,
        without a limit.
    prices : mapping, optional
        Prices of models, as in ``rag.toml``.
    settings : mapping, optional
        Settings for what is not passed here, as read from ``rag.toml`` (`rag.config.settings.read`).
    on_unverified : {"flag", "drop"}
        How to treat a citation whose quote is missing from the context or lacks a number that its
        sentence states.
    plain : bool
        Make `rag`'s own stages without LangChain's interface, whose imports take longer than a search;
        the command line does so.

    Examples
    --------
    >>> pipe = rag.Pipeline(rag.Index.open("indexes/handbook"))             # doctest: +SKIP
    >>> pipe.ask("How long do we keep CVs?", where="status == 'current'")    # doctest: +SKIP
    """

    def __init__(
        self,
        index: Any,
        *,
        embedder: Any = None,
        retriever: Any = None,
        trimmer: Any = None,
        prompt: Any = None,
        generator: Any = None,
        ledger: Any = None,
        prices: Any = None,
        settings: Mapping[str, Any] | None = None,
        on_unverified: OnFail = "flag",
        plain: bool = False,
    ) -> None:
        keywords = {"embedder": embedder, "retriever": retriever, "trimmer": trimmer, "prompt": prompt,
                    "generator": generator, "ledger": ledger, "prices": prices}  # fmt: skip
        chosen = {
            **(settings or {}),
            **{name: value for name, value in keywords.items() if value is not None},
        }
        self.index = open_index(index, chosen.get("embedder"), plain=plain)
        self.retriever = stages.retriever(chosen.get("retriever"), self.index, plain=plain)
        self.generator = stages.generator(chosen.get("generator"), plain=plain)
        self.prompt, self._generator = stages.generation(chosen.get("prompt"), self.generator)
        self.trimmer = stages.trimmer(chosen.get("trimmer"), model_of(self.generator), plain=plain)
        self.meter = stages.meter(chosen.get("ledger"), chosen.get("prices"), Path(self.index.path))
        self.on_unverified = on_unverified
        self._retriever = as_hit_retriever(self.retriever)

    def ask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer:
        """Answer a question.

        Parameters
        ----------
        question : str
        tag : str, optional
            Recorded with the question's calls, to group them by; it changes no budget.
        **options
            Those of `context`.
        """
        answer = None
        for event in self.stream(question, tag=tag, **options):
            answer = event.value
        assert isinstance(answer, Answer)
        return answer

    def stream(self, question: str, *, tag: str | None = None, **options: Any) -> Iterator[Event]:
        """Answer a question as events: context, text and citations as they come, then the answer."""
        collector = self._collector(tag)
        return collector.through(self._answer(question, collector, options))

    def context(self, question: str, **options: Any) -> Context:
        """Return what would be sent to the model.

        Parameters
        ----------
        question : str
        where : Where, str or dict, optional
            A filter in any notation.
        k : int, optional
            How many passages to retrieve.
        mode : {"hybrid", "dense", "lexical"}, optional
        budget : int, optional
            The most that the context may hold, in `unit`.
        unit : {"chars", "tokens"}, optional
        """
        return self._collector().run(self._context, question, [], **options)

    def retrieve(self, question: str, **options: Any) -> list[Hit]:
        """Return the retriever's passages, best first: the first half of `context`, with its options."""
        limits = {name: options.pop(name, None) for name in ("budget", "unit")}
        trimmer = stages.limited(self.trimmer, **limits)
        return self._collector().run(self._retrieve, question, trimmer, **options)

    def trim(
        self, question: str, hits: Sequence[Hit], *, budget: int | None = None, unit: str | None = None
    ) -> Context:
        """Return what of the passages would be sent to the model: the second half of `context`."""
        return context_of(stages.limited(self.trimmer, budget, unit), hits, question)

    def explain(self, question: str, expect: str, **options: Any) -> Explanation:
        """Find the stage at which a passage was lost, and what would have kept it.

        Parameters
        ----------
        question : str
        expect : str
            Words of the passage, a source, or ``source:start-end``.
        **options
            Those of `context`.
        """
        return explain(self, question, expect, **options)

    # ------------------------------------------------------------------ one question

    def _collector(self, tag: str | None = None) -> Collector:
        meter = self.meter if tag is None else self.meter.tagged(tag)
        return Collector(meter, prompt=self.prompt.name)

    def _answer(self, question: str, collector: Collector, options: Mapping[str, Any]) -> Iterator[Event]:
        steps: list[Step] = []
        context = self._context(question, steps, **options)
        found = steps[0].detail["documents"]
        yield Event("context", context)
        if not context.hits:
            text, why = _nothing_sent(context, found, filtered=self._filtered(options))
            yield Event("text", text)
            yield Event("answer", Answer(
                question=question, text=text, answered=False, citations=(), context=context,
                usage=Usage(cost_usd=0.0), trace=tuple(steps), generator="none: there was nothing to read",
                prompt=self.prompt.name, stop_reason="nothing_found", notes=(why, *collector.notes),
                calls=collector.calls,
            ))  # fmt: skip
            return
        with _timed(steps, "assemble"):
            messages = self.prompt.messages(question, context.hits)
        reader = ReplyReader(context.hits, self.on_unverified, question)
        pieces: list[Any] = []
        with _timed(steps, "generate") as detail:
            started = time.perf_counter()
            for piece in self._generator.stream(messages):
                pieces.append(piece)
                for part in reply.parts(piece):
                    if part:
                        detail.setdefault("first_token_s", round(time.perf_counter() - started, 4))
                    yield from _events(_read(reader, part))
        with _timed(steps, "cite"):
            rest = list(reader.close())
        yield from _events(rest)
        message = reply.whole(pieces)
        calls = collector.calls
        usage = next((call.usage for call in reversed(calls) if call.purpose == "generate"), Usage())
        if isinstance(counter := getattr(self.trimmer, "count_tokens", None), TokenCounter):
            counter.learn(reply.texts(messages), usage)
        end = reply.ending(message, self.generator)  # may raise: a malformed reply is paid for, too
        tool_calls = reply.tool_calls(message)
        doubts = () if end.withheld or tool_calls else reader.notes
        yield Event("answer", Answer(
            question=question, text=reader.text, answered=reader.answered and not end.withheld,
            citations=tuple(reader.citations), context=context, usage=usage, trace=tuple(steps),
            generator=reply.speaker(self.generator, message), prompt=self.prompt.name,
            stop_reason=end.reason, guardrail=end.guardrail,
            support=None if end.withheld else reader.support,
            notes=(*collector.notes, *end.notes, *doubts), calls=calls, tool_calls=tool_calls,
        ))  # fmt: skip

    def _filtered(self, options: Mapping[str, Any]) -> bool:
        own = self.retriever.where if isinstance(self.retriever, HybridSearch) else None
        return options.get("where") is not None or own is not None

    def _context(
        self,
        question: str,
        steps: list[Step],
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        budget: int | None = None,
        unit: str | None = None,
    ) -> Context:
        trimmer = stages.limited(self.trimmer, budget, unit)
        with _timed(steps, "retrieve") as detail:
            hits = self._retrieve(question, trimmer, where=where, k=k, mode=mode)
            detail["documents"] = len(hits)
        with _timed(steps, "trim") as detail:
            context = context_of(trimmer, hits, question)
            detail["passages"], detail["used"] = len(context.hits), context.used
        return context

    def _retrieve(
        self, question: str, trimmer: Any, *, where: Any = None, k: int | None = None, mode: str | None = None
    ) -> list[Hit]:
        if not question.strip():
            raise UsageError("the question is empty: write one")
        budget = getattr(trimmer, "budget", None)
        room = None if budget is None else room_chars(budget, getattr(trimmer, "unit", "chars"))
        return list(self._retriever.hits(question, where=where, k=k, mode=mode, room_chars=room))


def _nothing_sent(context: Context, found: int, *, filtered: bool) -> tuple[str, str]:
    """Return the answer where no passage is sent to a model, and why there is none."""
    if not found:
        hint = "is the filter right?" if filtered else "ask in other words, or add documents"
        return NOTHING_FOUND, f"nothing in the index fits: {hint}"
    if not any(candidate.why == "no room" for candidate in context.candidates):
        reasons = f" ({context.fates})" if context.fates else ""
        return NOTHING_KEPT, f"the trimmer kept none of {found} passages{reasons}: check the trimmer"
    budget, unit = context.budget, context.unit
    shortest = min(candidate.end - candidate.start for candidate in context.candidates)
    return f"No passage fits the budget of {budget} {unit}.", (
        f"no passage fits the budget of {budget} {unit}: the shortest of {found} has {shortest} characters; "
        "raise the budget"
    )


def _read(reader: ReplyReader, part: str | reply.Quoted) -> Iterator[str | Citation]:
    if isinstance(part, str):
        yield from reader.feed(part)
    else:
        yield from reader.cite(part.quote, part.document)


def _events(pieces: Iterable[str | Citation]) -> Iterator[Event]:
    for piece in pieces:
        yield Event("citation" if isinstance(piece, Citation) else "text", piece)


@contextmanager
def _timed(steps: list[Step], name: str) -> Iterator[dict[str, Any]]:
    detail: dict[str, Any] = {}
    started = time.perf_counter()
    try:
        yield detail
    finally:
        steps.append(Step(name, time.perf_counter() - started, detail))
