"""Answers of RetrieveAndGenerate: a knowledge base that also writes, to compare a pipeline with."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from rag.bedrock.runtime.agent_runtime import AgentRuntime
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.search.cited_reply import CitedReply
from rag.bedrock.search.generation_limits import (
    CITING,
    MAX_CHARS,
    MAX_RESULTS,
    MAX_TEMPLATE,
    PASSAGES,
)
from rag.bedrock.search.knowledge_base import KnowledgeBaseRetriever
from rag.bedrock.search.passage_locator import IndexedDocuments
from rag.core.answers import Answer, Event, Step
from rag.core.calls import Usage
from rag.core.errors import GenerationError
from rag.usage import model_ids
from rag.usage.collector import Collector, paid_call
from rag.usage.meter import Meter
from rag.usage.prices import ANSWER as PURPOSE

#: Under this name in ``[prices]``, with the id behind it or alone, is what a question costs.
PRICE = "knowledge-base"


class KnowledgeBaseAnswers(AgentRuntime):
    """Answers questions by RetrieveAndGenerate, with the face of a pipeline that evaluations need.

    The service retrieves, writes the prompt and asks the model; `ask` returns its text as an `Answer` with
    citations of the same kind as a pipeline's. A passage that the service cites is located in `index`,
    narrowed to the sentences that bear the citing sentence out, and verified as any other quote
    (`rag.generation.citations`); one that the index does not hold counts as no evidence.

    The reply tells neither tokens nor dollars: what a question costs is unknown, unless ``[prices]`` has
    ``"knowledge-base/ID"`` or ``"knowledge-base"`` with ``per_query``. A budget with ``stop_usd`` refuses
    questions without that price.

    Parameters
    ----------
    knowledge_base_id : str
    model : str
        A model's id, an inference profile's id or ARN, or a model's ARN.
    index : Index
        An index of the same documents, to locate passages and check filters.
    k : int
        Passages that the model reads, at most 100; by default the service's choice of 5.
    mode, where, prefix, dates, managed
        As in `rag.bedrock.search.knowledge_base.KnowledgeBaseRetriever`.
    reranker : str, optional
        A reranking model's id or ARN: it chooses among the `k` passages.
    reranked : int, optional
        How many of them it leaves.
    template : str, optional
        The prompt template of generation, at most 4,000 characters. It must hold ``$search_results$``;
        without ``$output_format_instructions$`` the service cites nothing.
    max_tokens, temperature : optional
        Of the model's reply.
    guardrail : str, optional
        ``"ID:VERSION"``.
    meter : Meter, optional
        Records calls and asks the budget, as a pipeline's.
    region, endpoint_url, timeout_s, retry, client
        As in `rag.bedrock.runtime.agent_runtime.AgentRuntime`.

    Examples
    --------
    >>> base = KnowledgeBaseAnswers(knowledge_base_id="ABCDEFGHIJ", index=index)        # doctest: +SKIP
    >>> evaluate_answers({"pipeline": pipe, "base": base}, "golden.jsonl")              # doctest: +SKIP
    """

    knowledge_base_id: str
    model: str = "global.anthropic.claude-sonnet-5-5"
    index: IndexedDocuments = Field(exclude=True)
    k: int = Field(default=5, ge=1, le=MAX_RESULTS)
    mode: Literal["hybrid", "dense"] | None = None
    where: Any = None
    prefix: str = ""
    dates: Literal["text", "day"] = "text"
    managed: bool = False
    reranker: str | None = None
    reranked: int | None = Field(default=None, ge=1, le=MAX_RESULTS)
    template: str | None = Field(default=None, min_length=1, max_length=MAX_TEMPLATE)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=1)
    guardrail: str | None = Field(default=None, pattern="^[a-z0-9]+:([1-9][0-9]{0,7}|DRAFT)$")
    meter: Meter | None = Field(default=None, exclude=True)
    timeout_s: float = Field(default=120.0, gt=0)

    _retriever: KnowledgeBaseRetriever = PrivateAttr()

    @model_validator(mode="after")
    def _fits(self) -> KnowledgeBaseAnswers:
        if self.template is not None and PASSAGES not in self.template:
            raise ValueError(
                f"the template lacks {PASSAGES}, so that the model would see no passages: add it"
            )
        if self.reranked is not None and self.reranker is None:
            raise ValueError("reranked goes with a reranker: name its model")
        shared = ("knowledge_base_id", "index", "mode", "where", "prefix", "dates", "managed")
        self._retriever = KnowledgeBaseRetriever(**{name: getattr(self, name) for name in shared})
        return self

    @property
    def name(self) -> str:
        """What stands for it in reports, the ledger and ``[prices]``."""
        return f"{PRICE}/{self.knowledge_base_id}"

    def ask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer:
        """Answer a question.

        Parameters
        ----------
        question : str
            At most 1,000 characters.
        tag : str, optional
            Recorded with the call.
        where, mode : optional
            As in `Pipeline.ask`.

        Raises
        ------
        GenerationError
            The question is too long, asks for what the service cannot do, or the call failed.
        WhereError
            The filter cannot be read, or Knowledge Bases cannot express it.
        BudgetError
            The call must not be made.
        """
        return self._collected(question, tag, self._whole, options)[0]

    def stream(self, question: str, *, tag: str | None = None, **options: Any) -> Iterator[Event]:
        """Answer a question as events, as they come: text and citations, then the answer.

        Raises
        ------
        GenerationError, WhereError, BudgetError
            As `ask`.
        """
        collector = self._collector(tag)
        yield from collector.through(self._events(question, collector, options))

    def chat(self) -> KnowledgeBaseChat:
        """Return a conversation, which the service keeps."""
        return KnowledgeBaseChat(self)

    # ------------------------------------------------------------------ one question

    def _collector(self, tag: str | None) -> Collector:
        meter = self.meter if tag is None or self.meter is None else self.meter.tagged(tag)
        return Collector(meter, prompt=self.name, tag=tag or "")

    def _collected(
        self, question: str, tag: str | None, do: Callable[..., Any], options: Mapping[str, Any]
    ) -> tuple[Answer, str]:
        collector = self._collector(tag)
        started = time.perf_counter()
        reading, session = collector.run(do, question, **options)
        return self._answer(question, reading, started, collector), session

    def _whole(self, question: str, **options: Any) -> tuple[CitedReply, str]:
        """Ask for a whole reply; return it read, and the id of its session."""
        request = self.request(question, **options)
        with self._paid() as call:
            reply = self._retried(
                functools.partial(self._client().retrieve_and_generate, **request), self.name, _ADVICE,
                error=GenerationError,
            )  # fmt: skip
            call.usage = call.query_usage(1) or Usage()
        reading = CitedReply(self._retriever, question)
        reading.whole(reply)
        return reading, str(reply.get("sessionId", ""))

    def _events(self, question: str, collector: Collector, options: Mapping[str, Any]) -> Iterator[Event]:
        request = self.request(question, **options)
        started, reading = time.perf_counter(), CitedReply(self._retriever, question)
        retry = self.retry or Retry(deadline_s=self.timeout_s)

        def call() -> Iterator[Mapping[str, Any]]:
            stream = self._client().retrieve_and_generate_stream(**request)["stream"]
            try:
                yield from stream
            finally:  # a reader that leaves ends the connection
                stream.close()

        with self._paid() as paid:
            for event in retry.stream(call, model=self.name, shown=lambda event: "output" in event):
                paid.usage = paid.query_usage(1) or Usage()
                yield from reading.take(event)
        yield from reading.close()
        yield Event("answer", self._answer(question, reading, started, collector))

    def _paid(self) -> Any:
        return paid_call(self.name, PURPOSE, documents=1, base=PRICE)

    def _answer(self, question: str, reading: CitedReply, started: float, collector: Collector) -> Answer:
        if reading.unplaced:
            collector.note(
                f"{reading.unplaced} cited passages are not in the index verbatim: they are cited without a "
                "place; was the index built from the same documents?"
            )
        if self.template is not None and CITING not in self.template:
            collector.note(f"the template lacks {CITING}, so the service cites nothing")
        step = Step("retrieve and generate", time.perf_counter() - started)
        usage = sum((call.usage for call in collector.calls), Usage())
        return reading.answer(
            question=question, generator=f"{self.model} by RetrieveAndGenerate", prompt=self.name,
            usage=usage, trace=(step,), calls=collector.calls, notes=collector.notes,
        )  # fmt: skip

    def request(
        self, question: str, *, where: Any = None, mode: str | None = None, session: str = "", **options: Any
    ) -> dict[str, Any]:
        """Return the request for a question.

        Raises
        ------
        GenerationError, WhereError
            As `ask`.
        """
        if options:
            raise GenerationError(
                f"RetrieveAndGenerate takes no {', '.join(options)}: a knowledge base answers in text alone",
                elsewhere=False, strike=False,
            )  # fmt: skip
        if not question.strip() or len(question) > MAX_CHARS:
            raise GenerationError(
                f"the question has {len(question)} characters: RetrieveAndGenerate takes 1 to {MAX_CHARS}; "
                "shorten it, or ask a pipeline over the knowledge base as its retriever",
                elsewhere=False, strike=False,
            )  # fmt: skip
        search = {"numberOfResults": self.k, **self._retriever.search(where, mode)}
        if self.reranker is not None:
            count = {"numberOfRerankedResults": self.reranked} if self.reranked else {}
            search["rerankingConfiguration"] = {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {"modelArn": self._arn(self.reranker)}, **count,
                },
            }  # fmt: skip
        generation = self._generation()
        return {
            "input": {"text": question},
            "retrieveAndGenerateConfiguration": {
                "type": "KNOWLEDGE_BASE",
                "knowledgeBaseConfiguration": {
                    "knowledgeBaseId": self.knowledge_base_id.rsplit("/", 1)[-1],
                    "modelArn": self._arn(self.model),
                    "retrievalConfiguration": {self._retriever.kind: search},
                    **({"generationConfiguration": generation} if generation else {}),
                },
            },
            **({"sessionId": session} if session else {}),
        }

    def _generation(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if self.template is not None:
            out["promptTemplate"] = {"textPromptTemplate": self.template}
        inference = {"maxTokens": self.max_tokens, "temperature": self.temperature}
        if given := {name: value for name, value in inference.items() if value is not None}:
            out["inferenceConfig"] = {"textInferenceConfig": given}
        if self.guardrail is not None:
            number, _, version = self.guardrail.partition(":")
            out["guardrailConfiguration"] = {"guardrailId": number, "guardrailVersion": version}
        return out

    def _arn(self, model: str) -> str:
        """Return a model's ARN; an inference profile's id is taken as it is, as its ARN holds the account."""
        if model.startswith("arn:") or model_ids.split(model)[0]:
            return model
        meta = self._client().meta
        return f"arn:{meta.partition}:bedrock:{meta.region_name}::foundation-model/{model}"


class KnowledgeBaseChat:
    """A conversation with a knowledge base; the service keeps what was said (``sessionId``)."""

    def __init__(self, base: KnowledgeBaseAnswers) -> None:
        self._base, self._session = base, ""

    def ask(self, question: str, *, tag: str | None = None, **options: Any) -> Answer:
        """Answer a question; see `KnowledgeBaseAnswers.ask`."""
        given = {**options, **({"session": self._session} if self._session else {})}
        answer, self._session = self._base._collected(question, tag, self._base._whole, given)
        return answer


_ADVICE = {
    "AccessDeniedException": "allow bedrock:RetrieveAndGenerate, and bedrock:Retrieve on the knowledge base, "
    "and bedrock:InvokeModel on the model",
    "ResourceNotFoundException": "check knowledge_base_id and the region",
    "ValidationException": "check knowledge_base_id, the filter, and model (of an inference profile, its "
    "ARN); not every vector store has mode hybrid, startswith or contains",
}  # fmt: skip
