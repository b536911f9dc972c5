"""What each feature sends to Bedrock, word for word, in ``golden_requests/<feature>.json``.

``pytest tests/test_golden_requests.py --update-golden`` writes the files anew; look at what changed.
A feature is one line of `FEATURES`: its name, and what makes it send its requests.
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import BaseModel, Field

import rag
from rag.bedrock.chat.claude import MODEL
from rag.bedrock.control.account import identity
from rag.bedrock.control.catalog import Catalog
from rag.bedrock.control.guardrails import GuardrailControl
from rag.bedrock.control.permissions import Place as Called
from rag.bedrock.control.probes import probes
from rag.bedrock.control.quotas import quotas
from rag.bedrock.embeddings.cohere import CohereEmbeddings
from rag.bedrock.embeddings.nova import NovaEmbeddings
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.bedrock.guardrails.parse import parse
from rag.bedrock.guardrails.plan import apply, plan
from rag.bedrock.guardrails.runtime import BedrockGuardrail
from rag.bedrock.guardrails.units import Block
from rag.bedrock.knowledge_bases.bucket import Place
from rag.bedrock.knowledge_bases.control import KnowledgeBases
from rag.bedrock.knowledge_bases.settings import settings as base_settings
from rag.bedrock.search.knowledge_base import KnowledgeBaseRetriever
from rag.bedrock.search.knowledge_base_answers import KnowledgeBaseAnswers
from rag.bedrock.search.rerank import BedrockReranker
from rag.bedrock.storage.batch_jobs import BatchJobs
from rag.config.bedrock_uses import uses
from rag.emulator import Emulator
from rag.emulator.recording import VOLATILE, request_row
from rag.emulator.redacting import Redactor
from rag.generation.fallback import Fallback
from rag.generation.prompt import Prompt
from rag.usage.ledger import Ledger
from rag.usage.meter import Meter
from rag.usage.prices import BUILT_IN

FOLDER = Path(__file__).with_suffix("")
GUARDRAIL = Path(__file__).with_name("support_guardrail.toml")
KNOWLEDGE_BASE = "ABCDEFGHIJ"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"  # cites no search results
HAIKU_4_5 = "anthropic.claude-haiku-4-5-20251001-v1:0"  # langchain_aws counts the tokens of this one
QUESTION = "How many days of leave are there?"
DOCUMENTS = [
    Document(
        "Staff in Europe take 28 days of annual leave.",
        metadata={"source": "leave.md", "start": 0, "end": 45, "title": "Leave", "section": ["Leave"]},
    ),
    Document(
        "Staff in the United States take 22 days.",
        metadata={"source": "leave.pdf", "start": 10, "end": 50, "page_start": 3, "page_end": 4},
    ),
]
EARLIER = [HumanMessage("Is there leave?"), AIMessage("There is."), HumanMessage(QUESTION)]


class Leave(BaseModel):
    """Days of leave."""

    days: int = Field(ge=0, le=366)
    where: str


def lookup(place: str) -> str:
    """Look up the leave of a place."""
    return place


def asked(form: Any = "text", documents: list[Document] = DOCUMENTS) -> list[BaseMessage]:
    """Messages with a short system prompt: those that ship may change, and are in two files alone."""
    return Prompt("short", system="Answer from the documents.", form=form, cite=False)(QUESTION, documents)


def claude(**options: Any) -> rag.ClaudeBedrock:
    return rag.ClaudeBedrock(**{"max_tokens": 500, **options})


def stream(model: Any, messages: list[BaseMessage]) -> None:
    for _ in model.stream(messages):
        pass


def structured(model: str, emulator: Emulator) -> None:
    emulator.behaviour.reply = '{"days": 28, "where": "Europe"}'
    emulator.behaviour.tool_input = {"days": 28, "where": "Europe"}
    claude(model=model).with_structured_output(Leave).invoke(asked())


def repaired(emulator: Emulator) -> None:
    def reply(request: Any) -> str:
        first = len(request.params["messages"]) == 1
        return json.dumps({"days": 400 if first else 28, "where": "Europe"})

    emulator.behaviour.reply = reply
    claude().with_structured_output(Leave).invoke(asked())


def index(emulator: Emulator) -> str:
    """The index of the emulator's knowledge base."""
    return str(emulator.knowledge_bases[KNOWLEDGE_BASE])


def answers_as_data(model: str, emulator: Emulator) -> None:
    quote = {"field": "days", "document": 1, "quote": "28 days"}

    def reply(request: Any) -> dict[str, Any]:
        first = len(request.params["messages"]) == 1
        return {"data": {"days": 400 if first else 28, "where": "Europe"}, "quotes": [quote], "missing": ""}

    emulator.behaviour.reply = lambda request: json.dumps(reply(request))
    emulator.behaviour.tool_input = reply
    prompt = Prompt(
        "short", system="Answer from the documents.", form=claude(model=model).context_form, cite=False
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = {"path": f"{folder}/ledger.sqlite"}
        pipe = rag.Pipeline(index(emulator), generator=claude(model=model), prompt=prompt, ledger=ledger)
        pipe.ask(QUESTION, schema=Leave)


def calls_tools(emulator: Emulator) -> None:
    emulator.behaviour.tool_input = {"place": "Europe"}
    with tempfile.TemporaryDirectory() as folder:
        ledger = {"path": f"{folder}/ledger.sqlite"}
        prompt = Prompt("short", system="Answer from the documents.", cite=False)
        pipe = rag.Pipeline(index(emulator), generator=claude(), prompt=prompt, ledger=ledger)
        pipe.ask(f"{QUESTION} Call the tool lookup.", tools=[lookup])


def falls_back(emulator: Emulator) -> None:
    emulator.fail_next("AccessDeniedException")
    Fallback(models=[claude(), claude(model=HAIKU_3)]).invoke(asked())


def starts_a_job(emulator: Emulator) -> None:
    BatchJobs("s3://work/jobs").start(
        "rag-0123456789ab", "rag-0123456789abcdef", model="amazon.titan-embed-text-v2:0",
        role_arn="arn:aws:iam::123456789012:role/rag-batch", timeout_hours=24,
    )  # fmt: skip


def starts_a_job_of_answers(emulator: Emulator) -> None:
    BatchJobs("s3://work/jobs").start(
        "rag-0123456789ab", "rag-0123456789abcdef", model=MODEL, invocation="Converse",
        role_arn="arn:aws:iam::123456789012:role/rag-batch", timeout_hours=24,
    )  # fmt: skip


def record_of_a_job(emulator: Emulator) -> None:
    """Call Converse with what a record holds, which shows all of it, and that it is valid."""
    model = claude(guardrail="gr1a2b3c:2", prompt_cache="1h", cache_minimum=0, service_tier="flex")
    record = model.batch_record(asked("guarded"))
    boto3.client("bedrock-runtime").converse(modelId=MODEL, **record)


def creates_a_base(emulator: Emulator, **options: Any) -> str:
    """A knowledge base with its vector store and data source, of which nothing is there before."""
    emulator.bases, emulator.vector_buckets = type(emulator.bases)(), type(emulator.vector_buckets)()
    emulator.job_s = 0
    chosen = base_settings(name="handbook", role_arn="arn:aws:iam::123456789012:role/kb", **options)
    return KnowledgeBases(poll_s=0.01).create(chosen, Place("handbook", "docs/")).id


def looks_at_a_base(emulator: Emulator) -> None:
    made, bases = creates_a_base(emulator), KnowledgeBases(poll_s=0.01)
    bases.show(made)
    bases.delete(made)


def syncs_a_base(emulator: Emulator) -> None:
    """Start a job, look at it once, and find it again as one that is under way."""
    made, bases = creates_a_base(emulator), KnowledgeBases()
    emulator.job_s = 60
    source = bases.show(made).sources[0].id
    job, _ = bases._started(made, source)
    bases._job(made, source, job.id)
    assert bases._started(made, source) == (bases._job(made, source, job.id), True)


def answers(emulator: Emulator, **options: Any) -> KnowledgeBaseAnswers:
    return KnowledgeBaseAnswers(
        knowledge_base_id=KNOWLEDGE_BASE, index=rag.Index.open(index(emulator)), **options
    )


def streams_an_answer(emulator: Emulator) -> None:
    for _ in answers(emulator).stream(QUESTION):
        pass


def counts_tokens(emulator: Emulator) -> None:
    claude(model=HAIKU_4_5).get_num_tokens_from_messages(asked())


def applies_a_guardrail(emulator: Emulator) -> None:
    meter = Meter(Ledger(Path(tempfile.gettempdir()) / "none" / "ledger.sqlite"))
    BedrockGuardrail("gr1a2b3c", "2", {}, meter).apply("OUTPUT", [
        Block("Leave is 28 days.", ("grounding_source",)), Block("How long is leave?", ("query",)),
        Block("28 days.", ("guard_content",)),
    ])  # fmt: skip


def makes_guardrails(emulator: Emulator) -> None:
    """A new guardrail, its change, and nothing where nothing changed; every kind of entry once."""
    control, table = GuardrailControl(), tomllib.loads(GUARDRAIL.read_text(encoding="utf-8"))
    for changed in ({}, {"filters": {"hate": "low"}, "tags": {"team": "desk"}}, {"filters": {"hate": "low"}}):
        settings = parse({**table, **changed}, "support.toml", "support")
        apply(settings, plan(settings, control), control)


def smallest_calls(emulator: Emulator) -> None:
    """The calls with which `rag doctor --bedrock` tries permissions."""
    settings = {
        "embedder": "titan", "generator": {"use": "claude", "guardrail": "gr1a2b3c:2"},
        "retriever": {"reranker": "bedrock"}, "batch": {"s3": "s3://work/jobs"},
    }  # fmt: skip
    for probe in probes(uses(settings), BUILT_IN, lambda use: Called("us-east-1")):
        probe.call()


FEATURES: dict[str, Callable[[Emulator], Any]] = {
    "titan": lambda _: TitanEmbeddings(256).embed_documents(["Annual leave."]),
    "titan_binary": lambda _: TitanEmbeddings(1024, embedding_type="binary").embed_query("leave?"),
    "titan_512_not_normalised": lambda _: TitanEmbeddings(512, normalize=False).embed_query("leave?"),
    "cohere_documents": lambda _: CohereEmbeddings(1024).embed_documents(["Annual leave.", "Sickness."]),
    "cohere_question": lambda _: CohereEmbeddings(256).embed_query("leave?"),
    "nova_document": lambda _: NovaEmbeddings(1024).embed_documents(["Annual leave."]),
    "nova_question": lambda _: NovaEmbeddings(256).embed_query("leave?"),
    "converse": lambda _: claude().invoke(Prompt()(QUESTION, DOCUMENTS)),
    "converse_stream": lambda _: stream(claude(), asked()),
    "conversation": lambda _: claude(model=HAIKU_4_5, temperature=0.5, stop_sequences=["END"]).invoke(
        [*asked()[:1], *EARLIER]
    ),
    "no_documents": lambda _: claude().invoke(asked(documents=[])),
    "inference_profile_arn": lambda _: claude(
        model="arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcd1234",
        base_model=MODEL,
    ).invoke(asked()),
    "search_results": lambda _: stream(claude(), Prompt("answer-native-v1")(QUESTION, DOCUMENTS)),
    "guardrail_with_qualifiers": lambda _: stream(claude(guardrail="gr1a2b3c:2"), asked("guarded")),
    "cache_point_5m": lambda _: claude(prompt_cache="5m", cache_minimum=0).invoke(asked()),
    "cache_points_1h": lambda _: (
        claude(prompt_cache="1h", cache_minimum=0).bind_tools([lookup]).invoke([*asked()[:1], *EARLIER])
    ),
    "tools": lambda _: claude().bind_tools([lookup]).invoke(asked()),
    "tool_forced": lambda _: claude(model=HAIKU_3).bind_tools([lookup], tool_choice="lookup").invoke(asked()),
    "structured_by_output_config": lambda emulator: structured(MODEL, emulator),
    "structured_by_tool": lambda emulator: structured(HAIKU_3, emulator),
    "structured_repaired": repaired,
    "data_by_output_config": lambda emulator: answers_as_data(MODEL, emulator),
    "data_by_tool": lambda emulator: answers_as_data(HAIKU_3, emulator),
    "tool_loop": calls_tools,
    "request_metadata": lambda _: claude(request_metadata={"team": "hr"}).invoke(asked()),
    "service_tier": lambda _: claude(service_tier="flex", performance_config={"latency": "standard"}).invoke(
        asked()
    ),
    "fallback": falls_back,
    "rerank": lambda _: BedrockReranker().compress_documents(DOCUMENTS, QUESTION),
    "rerank_cohere": lambda _: BedrockReranker(model="cohere.rerank-v3-5:0", top=1).compress_documents(
        DOCUMENTS, QUESTION
    ),
    "retrieve": lambda _: KnowledgeBaseRetriever(knowledge_base_id=KNOWLEDGE_BASE, k=3).invoke(QUESTION),
    "retrieve_filtered": lambda _: KnowledgeBaseRetriever(
        knowledge_base_id=KNOWLEDGE_BASE, k=3, mode="hybrid", where="year >= 2024"
    ).invoke(QUESTION, where=(rag.field("region") == "eu") & rag.field("tags").list_contains("hr")),
    "retrieve_by_day": lambda _: KnowledgeBaseRetriever(
        knowledge_base_id=KNOWLEDGE_BASE, k=3, dates="day", where="valid_from >= date('2024-01-01')"
    ).invoke(QUESTION),
    "retrieve_and_generate": lambda emulator: answers(
        emulator,
        k=8,
        mode="hybrid",
        where="year >= 2024",
        reranker="cohere.rerank-v3-5:0",
        reranked=4,
        template="Answer from $search_results$ $output_format_instructions$",
        max_tokens=400,
        temperature=0.0,
        guardrail="gr1a2b3c:2",
    ).ask(QUESTION),
    "retrieve_and_generate_stream": streams_an_answer,
    "knowledge_base_s3_vectors": creates_a_base,
    "knowledge_base_opensearch": lambda emulator: creates_a_base(
        emulator,
        store="opensearch-serverless",
        dimensions=512,
        chunking="hierarchical",
        collection_arn="arn:aws:aoss:us-east-1:123456789012:collection/abc123",
    ),
    "knowledge_base_deleted": looks_at_a_base,
    "knowledge_base_sync": syncs_a_base,
    "batch_job": starts_a_job,
    "batch_job_of_answers": starts_a_job_of_answers,
    "batch_record": record_of_a_job,
    "count_tokens": counts_tokens,
    "apply_guardrail": applies_a_guardrail,
    "guardrails": makes_guardrails,
    "list_models": lambda _: Catalog().models(),
    "list_profiles": lambda _: Catalog().profiles(),
    "model_access": lambda _: Catalog().access(MODEL.partition(".")[2]),
    "get_model": lambda _: boto3.client("bedrock").get_foundation_model(
        modelIdentifier=MODEL.partition(".")[2]
    ),
    "caller_identity": lambda _: identity(),
    "service_quotas": lambda _: quotas(),
    "smallest_calls": smallest_calls,
}


def sent(emulator: Emulator, feature: str) -> str:
    """Let a feature send its requests; return them as canonical JSON."""
    before = len(emulator.requests)
    FEATURES[feature](emulator)
    redactor = Redactor()
    found = [
        {
            "call": f"{request.method} {redactor.text(request.path)}",
            "volatile": sorted(VOLATILE & set(request.params)),
            **request_row(request, redactor),
        }
        for request in emulator.requests[before:]
    ]
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
