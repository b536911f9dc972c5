"""The query path: retrieve -> trim -> assemble -> generate -> cite."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.config import registry
from rag.config.open import Index
from rag.core.answers import Answer, Call, Citation, Event, Step, Usage
from rag.core.errors import GenerationError, RagError, UsageError
from rag.core.passages import Context, Hit
from rag.generation import reply as replies
from rag.generation.citations import OnFail, ReplyReader
from rag.generation.prompt_adapter import adapt
from rag.retrieval.explain import Explanation, explain
from rag.usage.tokens import room_chars

#: What is answered where no passage was found; no model is asked then.
NOTHING_FOUND = "Nothing was found in the index for this question and its filter."


class Pipeline:
    """Answers questions from an index; every stage is a keyword.

    Parameters
    ----------
    index : Index, str or Path
    embedder, retriever, trimmer, prompt, generator : optional
        An object with the stage's LangChain interface, a name (``"local"``, ``"claude"``,
        ``"openai:gpt-..."``, ``"module:Class"``), or a mapping of ``use`` and arguments, as in
        ``rag.toml``.
    ledger : mapping, str or Path, optional
        Where calls are written down, and the budget, as in ``rag.toml``; by default in the index's
        folder, without a limit.
    settings : mapping, optional
        What is not given, as read from ``rag.toml`` (`rag.config.registry.read`).
    on_unverified : {"flag", "drop"}
        What becomes of a citation whose quote does not stand in the context, or does not have the
        numbers of the sentence that cites it.

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
        settings: Mapping[str, Any] | None = None,
        on_unverified: OnFail = "flag",
    ) -> None:
        given = {"embedder": embedder, "retriever": retriever, "trimmer": trimmer,
                 "prompt": prompt, "generator": generator, "ledger": ledger}  # fmt: skip
        chosen = {**(settings or {}), **{k: v for k, v in given.items() if v is not None}}
        chosen = {k: v for k, v in chosen.items() if v is not None}
        if isinstance(index, str | Path):
            index = Index.open(index, embedder=chosen.get("embedder"))
        elif "embedder" in chosen:
            index.embedder = registry.stage("embedder", chosen["embedder"])
        self.index = index
        self.retriever = registry.stage("retriever", chosen.get("retriever"), index=index)
        self.generator = registry.generator(chosen.get("generator"))
        self.prompt = adapt(registry.prompt(chosen.get("prompt"), self.generator))
        self.trimmer = registry.trimmer(chosen.get("trimmer"), self.generator)
        self.meter = registry.meter(chosen.get("ledger"), Path(getattr(index, "path", ".")))
        self.on_unverified = on_unverified

    def context(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        budget: int | None = None,
        unit: str | None = None,
    ) -> Context:
        """Return what would be sent to the model."""
        return self._context(question, [], where=where, k=k, mode=mode, budget=budget, unit=unit)[0]

    def retrieve(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        budget: int | None = None,
        unit: str | None = None,
    ) -> list[Document]:
        """Return what the retriever finds, best first; the first half of `context`."""
        trimmer = _limited(self.trimmer, budget, unit)
        return self._retrieve(question, trimmer, where=where, k=k, mode=mode)

    def trim(
        self,
        question: str,
        documents: Sequence[Document],
        *,
        budget: int | None = None,
        unit: str | None = None,
    ) -> Context:
        """Return what of the documents would be sent to the model; the second half of `context`."""
        return self._trim(question, documents, _limited(self.trimmer, budget, unit))[0]

    def explain(self, question: str, expect: str, **options: Any) -> Explanation:
        """Say at which stage a passage was lost, and what would have kept it; see `rag.retrieval.explain`.

        `expect` is words of the passage, a source, or ``source:start-end``; the options are those of
        `context`.
        """
        return explain(self, question, expect, **options)

    def ask(self, question: str, **options: Any) -> Answer:
        """Answer a question; the options are those of `context`."""
        answer = None
        for event in self.stream(question, **options):
            answer = event.value
        assert isinstance(answer, Answer)
        return answer

    def stream(self, question: str, **options: Any) -> Iterator[Event]:
        """Answer a question as events: context, text and citations as they come, then the answer."""
        steps: list[Step] = []
        context, documents = self._context(question, steps, **options)
        yield Event("context", context)
        if not documents:
            yield from self._nothing(question, context, steps)
            return
        with _timed(steps, "assemble"):
            messages = self.prompt.messages(question, context.hits)
        sent = replies.sent(messages)
        reader = ReplyReader(context.hits, self.on_unverified, question)
        seen: list[BaseMessage] = []
        with self._paid(), _timed(steps, "generate") as detail:
            warned = self._checked(sent)
            started = time.perf_counter()
            for piece in _reply(self.generator, messages):
                seen.append(piece)
                for part in replies.parts(piece):
                    if part:
                        detail.setdefault("first_token_s", round(time.perf_counter() - started, 4))
                    yield from _events(_read(reader, part))
        with _timed(steps, "cite"):
            rest = list(reader.close())
        yield from _events(rest)
        whole = _sum(seen)
        usage = replies.usage(self.generator, whole)
        replies.learn(getattr(self.trimmer, "count_tokens", None), sent, usage)
        calls = (*self._spent(), Call(replies.made_by(self.generator, whole), "generate", usage))
        unkept = self.meter.after(calls, prompt=self._prompt_name)
        end = replies.ending(whole, self.generator)  # may raise: a malformed reply is paid for, too
        told = replies.told(getattr(self.retriever, "reranker", None))
        tools = tuple(getattr(whole, "tool_calls", ()))
        doubts = () if end.withheld or tools else reader.notes
        yield Event("answer", Answer(
            question=question, text=reader.text, answered=reader.answered and not end.withheld,
            citations=tuple(reader.citations), context=context, usage=usage, trace=tuple(steps),
            generator=replies.speaker(self.generator, whole), prompt=self._prompt_name,
            stop_reason=end.reason, guardrail=end.guardrail,
            support=None if end.withheld else reader.support,
            notes=tuple(note for note in (warned, *told, *end.notes, *doubts, unkept) if note), calls=calls,
            tool_calls=tools,
        ))  # fmt: skip

    def _nothing(self, question: str, context: Context, steps: list[Step]) -> Iterator[Event]:
        """Answer a question for which nothing was found, without a model: it could only guess."""
        calls = tuple(self._spent())
        unkept = self.meter.after(calls)
        yield Event("text", NOTHING_FOUND)
        yield Event("answer", Answer(
            question=question, text=NOTHING_FOUND, answered=False, citations=(), context=context,
            usage=Usage(cost_usd=0.0), trace=tuple(steps), generator="none: there was nothing to read",
            prompt=self._prompt_name, stop_reason="nothing_found",
            notes=tuple(note for note in ("nothing in the index fits: is the filter right?", unkept) if note),
            calls=calls,
        ))  # fmt: skip

    @property
    def _prompt_name(self) -> str:
        return self.prompt.name

    def _checked(self, sent: Sequence[str]) -> str | None:
        """Ask the budget before the model is asked; return what it warns of."""
        if not self.meter.budget.limits:
            return None
        return self.meter.before(*replies.most(self.generator, sent))

    @contextmanager
    def _paid(self) -> Iterator[None]:
        """Write down what the question's other calls cost where the model gives no answer."""
        try:
            yield
        except BaseException:
            self.meter.after(self._spent())
            raise

    def _spent(self) -> Iterator[Call]:
        """Yield what the question's other calls cost."""
        yield from replies.spent(getattr(self.index, "embedder", None), "embed")
        yield from replies.spent(getattr(self.retriever, "reranker", None), "rerank")

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
    ) -> tuple[Context, Sequence[Document]]:
        trimmer = _limited(self.trimmer, budget, unit)
        with _timed(steps, "retrieve") as detail:
            found = self._retrieve(question, trimmer, where=where, k=k, mode=mode)
            detail["documents"] = len(found)
        with _timed(steps, "trim") as detail:
            context, kept = self._trim(question, found, trimmer)
            detail["passages"], detail["used"] = len(kept), context.used
        return context, kept

    def _retrieve(self, question: str, trimmer: Any, **options: Any) -> list[Document]:
        if not question.strip():
            raise UsageError("the question is empty: write one")
        asked = _accepted(self.retriever, options)
        budget = getattr(trimmer, "budget", None)
        if budget is not None and "room_chars" in _parameters(self.retriever):
            asked["room_chars"] = room_chars(budget, getattr(trimmer, "unit", "chars"))
        found: list[Document] = self.retriever.invoke(question, **asked)
        return found

    def _trim(
        self, question: str, found: Sequence[Document], trimmer: Any
    ) -> tuple[Context, Sequence[Document]]:
        trim = getattr(trimmer, "trim", None)
        if callable(trim):  # one that says what became of each candidate
            passages, candidates = trim(found, question)
            kept: Sequence[Document] = [hit.to_document() for hit in passages]
        else:
            kept, candidates = trimmer.compress_documents(found, question), []
            passages = [Hit.from_document(document) for document in kept]
        size = getattr(trimmer, "size", len)
        used = sum(size(hit.text) for hit in passages)
        budget, measure = getattr(trimmer, "budget", used), getattr(trimmer, "unit", "chars")
        return Context(tuple(passages), used, budget, measure, tuple(candidates)), kept


def _accepted(retriever: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; refuse one that a foreign retriever would ignore."""
    wanted = {name: value for name, value in options.items() if value is not None}
    known = _parameters(retriever)
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"the retriever {type(retriever).__name__} does not take {name}=: set it in the "
                "retriever itself"
            )
    return wanted


def _parameters(retriever: Any) -> Mapping[str, Any]:
    own = getattr(retriever, "_get_relevant_documents", None)
    return {} if own is None else inspect.signature(own).parameters


def _limited(trimmer: Any, budget: int | None, unit: str | None) -> Any:
    changes = {k: v for k, v in (("budget", budget), ("unit", unit)) if v is not None}
    if not changes:
        return trimmer
    fields = getattr(type(trimmer), "model_fields", {})
    if not set(changes) <= set(fields):
        raise UsageError(f"the trimmer {type(trimmer).__name__} takes no budget: leave it out")
    return registry.checked(type(trimmer), {**{n: getattr(trimmer, n) for n in fields}, **changes}, "trimmer")


def _reply(generator: Any, messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    try:
        for piece in generator.stream(list(messages)):
            yield piece if isinstance(piece, BaseMessage) else AIMessageChunk(content=str(piece))
    except RagError:
        raise
    except Exception as error:
        raise GenerationError(replies.explain(error, generator)) from error


def _sum(pieces: Sequence[BaseMessage]) -> Any:
    """Return the pieces of a reply as one; at once, as one by one takes time quadratic in them."""
    chunks: list[Any] = [piece for piece in pieces if isinstance(piece, AIMessageChunk)]
    if chunks:
        return chunks[0] + chunks[1:]
    return pieces[-1] if pieces else None


def _read(reader: ReplyReader, part: str | replies.Quoted) -> Iterator[str | Citation]:
    if isinstance(part, str):
        yield from reader.feed(part)
    else:
        yield from reader.cite(part.quote, part.document)


def _events(pieces: Any) -> Iterator[Event]:
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
