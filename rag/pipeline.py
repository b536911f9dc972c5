"""The query path: retrieve -> trim -> assemble -> generate -> cite."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.config import stages
from rag.config.around import around
from rag.config.open import open_index
from rag.core.answers import Answer, Event, Step
from rag.core.errors import UsageError
from rag.core.passages import Context, Hit
from rag.core.retrieved import Retrieved
from rag.core.shown import Shows
from rag.generation.asking import asking
from rag.generation.begun import Begun
from rag.generation.citations import OnFail
from rag.generation.models import model_of
from rag.generation.question import Question
from rag.generation.timing import timed
from rag.generation.voice import label, voice
from rag.retrieval.adapter import as_hit_retriever
from rag.retrieval.explain import Explanation, explain
from rag.retrieval.search import HybridSearch
from rag.trimming.adapter import context_of
from rag.usage.collector import Collector
from rag.usage.tokens import room_chars

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from rag.answer_batches.report import AnswerReport
    from rag.conversation.chat import Chat


class Pipeline(Shows):
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
        Where calls are recorded, and the budget, as in ``rag.toml``; by default beside the index.
    prices : mapping, optional
        Prices of models, as in ``rag.toml``.
    settings : mapping, optional
        Settings for what is not passed here, as read from ``rag.toml`` (`rag.config.settings.read`).
    responses : mapping, str, bool, Path or ResponseCache, optional
        A cache of answers (`rag.response_cache`), as ``[cache.responses]`` in ``rag.toml``; True keeps them
        in the index's folder. By default none.
    review : mapping, str, bool, Path or ReviewQueue, optional
        Which answers go to a person (`rag.review`), as ``[review]`` in ``rag.toml``.
    receipts, telemetry : mapping, str, bool or Path, optional
        What keeps receipts of answers, and records of questions; tables of ``rag.toml``, too.
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
        responses: Any = None,
        review: Any = None,
        receipts: Any = None,
        telemetry: Any = None,
        on_unverified: OnFail = "flag",
        plain: bool = False,
    ) -> None:
        keywords = {"embedder": embedder, "retriever": retriever, "trimmer": trimmer, "prompt": prompt,
                    "generator": generator, "ledger": ledger, "prices": prices,
                    "responses": responses, "review": review, "receipts": receipts,
                    "telemetry": telemetry}  # fmt: skip
        chosen = {
            **(settings or {}),
            **{name: value for name, value in keywords.items() if value is not None},
        }
        self.settings = chosen
        self.index = open_index(index, chosen.get("embedder"), plain=plain, remote=chosen.get("remote"))
        self.retriever = stages.retriever(chosen.get("retriever"), self.index, plain=plain)
        self.generator = stages.generator(chosen.get("generator"), plain=plain)
        self.prompt, self._generator = stages.generation(chosen.get("prompt"), self.generator)
        self.trimmer = stages.trimmer(chosen.get("trimmer"), model_of(self.generator), plain=plain)
        self.meter = stages.meter(chosen.get("ledger"), chosen.get("prices"), Path(self.index.path))
        self.around = around(chosen, Path(self.index.path))
        self.responses, self.reviews = self.around.responses, self.around.reviews
        self.on_unverified = on_unverified
        self._retriever = as_hit_retriever(self.retriever)

    def ask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer:
        """Answer a question.

        Parameters
        ----------
        question : str
        tag : str, optional
            Recorded with the question's calls, to group them by; it changes no budget.
        tenant : str, optional
            Whose question it is: the response cache gives an answer to no other tenant.
        history : sequence of BaseMessage, optional
            The messages of the conversation before; `chat` keeps them.
        follow_up : callable, optional
            Makes the question one that stands on its own (`rag.conversation.follow_up`); by default
            without a model.
        schema : type or Mapping, optional
            Answer as data: a pydantic class, a dataclass, a TypedDict, ``list[Model]`` or a JSON Schema.
            `Answer.data` is the validated object, `Answer.fields` has the citations of each of its values.
        repairs : int, optional
            With `schema`, the most further calls after an invalid reply; 2 by default.
        tools : sequence of BaseTool or callable, optional
            What the model may call before it answers.
        max_turns : int, optional
            With `tools`, the most calls of the model; 8 by default.
        max_usd : float, optional
            With `tools`, the most that the calls may cost (`rag.generation.tool_loop.ToolReading`).
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

    def stream(
        self, question: str, *, tag: str | None = None, tenant: str | None = None, **options: Any
    ) -> Iterator[Event]:
        """Answer a question as events: context, text and citations as they come, then the answer.

        The options are those of `ask`.
        """
        collector = self._collector(tag)
        events = self._answer(question, collector, options)
        for each in self.around:
            events = each.through(self, question, options, collector, tenant, events)
        return collector.through(events)

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

    def begin(
        self, question: str, *, retrieved: Retrieved | None = None, tag: str | None = None, **options: Any
    ) -> Begun:
        """Retrieve, trim and assemble, without asking the model; `Begun.answer` does so later.

        Parameters
        ----------
        question : str
        retrieved : Retrieved, optional
            What was retrieved before, in place of a search: `Begun.retrieved`.
        tag, **options
            As for `ask`.
        """
        collector = self._collector(tag)
        return collector.run(self._begin, question, collector, options, retrieved)

    def batch(self, questions: Sequence[str | Mapping[str, Any]], **options: Any) -> AnswerReport:
        """Answer many questions by batch jobs on Amazon Bedrock, at half price, within hours.

        Parameters
        ----------
        questions : sequence of str, or of mapping
            With the keys ``question`` and, optionally, ``id`` and ``where``.
        s3, role_arn : str, optional
            Where the jobs' files go, and the role that Bedrock assumes; by default those of ``[batch]``.
        **options
            See `rag.answer_batches.batch.answer`.
        """
        from rag.answer_batches.batch import answer

        return answer(self, questions, **options)

    def as_tool(
        self, name: str = "search_documents", description: str | None = None, **options: Any
    ) -> BaseTool:
        """Return a LangChain tool for agents, which finds passages and numbers them for citations.

        Parameters
        ----------
        name, description : str, optional
            For the model.
        where : Where, str or dict, optional
            A filter that the model cannot widen.
        **options
            See `rag.agents.search_tool.search_tool`.
        """
        from rag.agents.search_tool import search_tool

        return search_tool(self, name, description, **options)

    async def aask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer:
        """Answer a question without blocking the event loop; see `ask`."""
        answer = None
        async with contextlib.aclosing(self.astream(question, tag=tag, **options)) as events:
            async for event in events:
                answer = event.value
        assert isinstance(answer, Answer)
        return answer

    def astream(
        self, question: str, *, tag: str | None = None, tenant: str | None = None, **options: Any
    ) -> AsyncGenerator[Event, None]:
        """Answer a question as events, without blocking the event loop; see `stream`.

        If the task is cancelled, or the iterator is closed, so is the model's reply: what came of it until
        then is billed, and recorded in the ledger.
        """
        collector = self._collector(tag)
        events = self._aanswer(question, collector, options)
        for each in self.around:
            events = each.athrough(self, question, options, collector, tenant, events)
        return collector.athrough(events)

    async def achat(self, history: Any = None, **options: Any) -> Chat:
        """Return a conversation without blocking the event loop, as reading a stored history may; see `chat`.

        Its questions are asked with `Chat.aask` and `Chat.astream`.
        """
        return await asyncio.to_thread(self.chat, history, **options)

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
        return Collector(meter, prompt=label(self.prompt), tag=meter.label)

    def _begin(
        self,
        question: str,
        collector: Collector,
        options: Mapping[str, Any],
        retrieved: Retrieved | None = None,
    ) -> Begun:
        """Retrieve, unless that was done before, trim and assemble."""
        given = dict(options)
        history, follow_up = given.pop("history", None), given.pop("follow_up", None)
        user, variables = given.pop("user", None), given.pop("variables", None)
        speaks = voice(self.prompt, self._generator, question, user, variables, history)
        steps = list(speaks.steps)
        how = asking(speaks.generator, given)
        of_retriever = self.retriever.where if isinstance(self.retriever, HybridSearch) else None
        filtered = given.get("where") is not None or of_retriever is not None
        search, assemble = question, None
        if history is not None:
            from rag.conversation.begin import begin

            search, assemble = begin(question, history, follow_up, speaks.prompt, steps)
        if retrieved is None:
            found: list[Step] = []
            context = self._context(search, found, **given)
            retrieved = Retrieved(context, tuple(found), collector.calls, collector.notes)
        else:
            collector.include(retrieved.calls, retrieved.notes)
            context = retrieved.context
        steps += retrieved.steps
        messages: Sequence[Any] = ()
        hits: Sequence[Hit] = context.hits
        end = None
        if assemble is not None:
            messages, hits, end = assemble(context)
        elif hits:
            with timed(steps, "assemble"):
                messages = speaks.prompt.messages(question, hits)
        reading = how.reading(search, context, hits, steps, self.on_unverified)
        about = Question(search, context.hits, hits, given.get("where"), steps=steps)
        return Begun(
            question, retrieved, messages, reading, about, how, speaks, collector, self.generator,
            self.trimmer, end, filtered,
        )  # fmt: skip

    def _answer(self, question: str, collector: Collector, options: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._begin(question, collector, options).events()

    async def _aanswer(
        self, question: str, collector: Collector, options: Mapping[str, Any]
    ) -> AsyncGenerator[Event, None]:
        begun = await asyncio.to_thread(self._begin, question, collector, options)
        async with contextlib.aclosing(begun.aevents()) as events:
            async for event in events:
                yield event

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
