"""The query path: retrieve -> trim -> assemble -> generate -> cite."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.config import stages
from rag.config.open import open_index
from rag.core.answers import Answer, Event, Step, Usage
from rag.core.errors import UsageError
from rag.core.passages import Context, Hit
from rag.generation import reply
from rag.generation.citations import OnFail
from rag.generation.models import model_of
from rag.generation.reading import Reading, timed
from rag.generation.voice import Voice, label, voice
from rag.retrieval.adapter import as_hit_retriever
from rag.retrieval.explain import Explanation, explain
from rag.trimming.adapter import context_of
from rag.usage.collector import Collector
from rag.usage.tokens import TokenCounter, room_chars

if TYPE_CHECKING:
    from rag.conversation.chat import Chat
    from rag.conversation.follow_up import FollowUp

#: The answer where no passage was found; no model is asked then.
NOTHING_FOUND = "Nothing was found in the index for this question and its filter."


@dataclass(frozen=True, slots=True)
class _Begun:
    """A question whose reply is awaited.

    Attributes
    ----------
    messages : sequence of messages
        Empty where nothing was found: no model is asked then.
    voice : Voice
        The prompt and the generator of this question.
    end : callable or None
        Takes the reply and the answer, to add them to the conversation.
    """

    context: Context
    messages: Sequence[Any]
    reading: Reading
    voice: Voice
    end: Callable[[Any, Answer], None] | None = None


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
        history : sequence of BaseMessage, optional
            The messages of the conversation before; `chat` keeps them.
        follow_up : callable, optional
            Makes the question one that stands on its own (`rag.conversation.follow_up`); by default
            without a model.
        user : str, optional
            Where the prompt has variants, who asks: each user always gets the same one. Without it the
            question decides, of a conversation the first one.
        variables : mapping, optional
            Values of the prompt's variables.
        **options
            Those of `context`.
        """
        answer = None
        for event in self.stream(question, tag=tag, **options):
            answer = event.value
        assert isinstance(answer, Answer)
        return answer

    def stream(self, question: str, *, tag: str | None = None, **options: Any) -> Iterator[Event]:
        """Answer a question as events: context, text and citations as they come, then the answer.

        The options are those of `ask`.
        """
        collector = self._collector(tag)
        return collector.through(self._answer(question, collector, options))

    def chat(self, history: Any = None, **options: Any) -> Chat:
        """Return a conversation, whose questions may build on those before them.

        Parameters
        ----------
        history : BaseChatMessageHistory or sequence of BaseMessage, optional
            Where its turns are stored; what it holds already is continued.
        **options
            See `rag.conversation.chat.Chat`.
        """
        from rag.conversation.chat import Chat

        return Chat(self, history, **options)

    async def aask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer:
        """Answer a question without blocking the event loop; see `ask`."""
        answer = None
        async with contextlib.aclosing(self.astream(question, tag=tag, **options)) as events:
            async for event in events:
                answer = event.value
        assert isinstance(answer, Answer)
        return answer

    async def astream(
        self, question: str, *, tag: str | None = None, **options: Any
    ) -> AsyncGenerator[Event, None]:
        """Answer a question as events, without blocking the event loop; see `stream`.

        If the task is cancelled, or the iterator is closed, so is the model's reply: what came of it until
        then is billed, and recorded in the ledger.
        """
        collector = self._collector(tag)
        async with contextlib.aclosing(collector.athrough(self._aanswer(question, collector, options))) as it:
            async for event in it:
                yield event

    async def aretrieve(self, question: str, **options: Any) -> list[Hit]:
        """Return the retriever's passages, best first, without blocking the event loop; see `retrieve`."""
        return await asyncio.to_thread(self.retrieve, question, **options)

    async def acontext(self, question: str, **options: Any) -> Context:
        """Return what would be sent to the model, without blocking the event loop; see `context`."""
        return await asyncio.to_thread(self.context, question, **options)

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
        return Collector(meter, prompt=label(self.prompt))

    def _begin(
        self,
        question: str,
        steps: list[Step],
        *,
        history: Any = None,
        follow_up: FollowUp | None = None,
        user: str | None = None,
        variables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> _Begun:
        """Retrieve, trim and assemble."""
        speaks = voice(self.prompt, self._generator, question, user, variables, history)
        steps += speaks.steps
        if history is None:
            context = self._context(question, steps, **options)
            messages: Sequence[Any] = ()
            if context.hits:
                with timed(steps, "assemble"):
                    messages = speaks.prompt.messages(question, context.hits)
            reading = Reading(question, context, context.hits, steps, self.on_unverified)
            return _Begun(context, messages, reading, speaks)
        from rag.conversation.begin import begin

        search, assemble = begin(question, history, follow_up, speaks.prompt, steps)
        context = self._context(search, steps, **options)
        messages, hits, end = assemble(context)
        reading = Reading(search, context, hits, steps, self.on_unverified)
        return _Begun(context, messages, reading, speaks, end)

    def _answer(self, question: str, collector: Collector, options: Mapping[str, Any]) -> Iterator[Event]:
        begun = self._begin(question, [], **options)
        yield Event("context", begun.context)
        if begun.messages:
            for piece in begun.voice.generator.stream(begun.messages):
                yield from begun.reading.feed(piece)
        yield from self._end(question, begun, collector)

    async def _aanswer(
        self, question: str, collector: Collector, options: Mapping[str, Any]
    ) -> AsyncGenerator[Event, None]:
        begun = await asyncio.to_thread(self._begin, question, [], **options)
        yield Event("context", begun.context)
        if begun.messages:
            async with contextlib.aclosing(begun.voice.generator.astream(begun.messages)) as pieces:
                async for piece in pieces:
                    for event in begun.reading.feed(piece):
                        yield event
        for event in self._end(question, begun, collector):
            yield event

    def _end(self, question: str, begun: _Begun, collector: Collector) -> Iterator[Event]:
        """Yield the rest of the text and citations, then the answer."""
        reading = begun.reading
        if begun.messages:
            yield from reading.close()
            calls = collector.calls
            usage = next((call.usage for call in reversed(calls) if call.purpose == "generate"), Usage())
            if isinstance(counter := getattr(self.trimmer, "count_tokens", None), TokenCounter):
                counter.learn(reply.texts(begun.messages), usage)
            # May raise: a malformed reply is paid for, too.
            answer = reading.answer(self.generator, self.prompt.name, usage)
        else:
            yield Event("text", NOTHING_FOUND)
            answer = self._nothing(question, begun.context, reading.steps)
        answer = replace(
            answer, question=question, prompt=begun.voice.name, prompt_hash=begun.voice.hash,
            calls=collector.calls, notes=(*collector.notes, *answer.notes),
        )  # fmt: skip
        if begun.end is not None:
            begun.end(reading.message, answer)
        yield Event("answer", answer)

    def _nothing(self, question: str, context: Context, steps: Sequence[Step]) -> Answer:
        """Answer a question for which nothing was found, without a model: it could only guess."""
        return Answer(
            question=question, text=NOTHING_FOUND, answered=False, citations=(), context=context,
            usage=Usage(cost_usd=0.0), trace=tuple(steps), generator="none: there was nothing to read",
            prompt=self.prompt.name, stop_reason="nothing_found",
            notes=("nothing in the index fits: is the filter right?",),
        )  # fmt: skip

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
        with timed(steps, "retrieve") as detail:
            hits = self._retrieve(question, trimmer, where=where, k=k, mode=mode)
            detail["documents"] = len(hits)
        with timed(steps, "trim") as detail:
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
