"""Assumptions on embeddings, reranking, guardrails, the lists of models, and batch jobs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rag.bedrock.storage.batch_jobs import ENDED
from rag.emulator.assumptions.assumption import Assumption, Untried, each, of, of_steps
from rag.emulator.assumptions.exchange import Exchange
from rag.emulator.catalog import by_profile_only

_TITAN, _MODEL = "Bedrock User Guide, Amazon Titan Text Embeddings V2", "botocore 1.44.5"
_COUNT = "x-amzn-bedrock-input-token-count"
_UNDER_WAY = ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping", *ENDED)


def _titan(exchange: Exchange) -> bool:
    return (
        exchange.operation == "InvokeModel" and exchange.succeeded and exchange.step == "embed"
        and "titan-embed-text-v2" in exchange.params["modelId"]
    )  # fmt: skip


def _titan_fields(exchange: Exchange) -> Iterator[str]:
    missing = [name for name in ("embedding", "embeddingsByType", "inputTextTokenCount")
               if name not in exchange.body]  # fmt: skip
    if missing:
        yield f"the reply has no {', '.join(missing)}"


def _titan_vector(exchange: Exchange) -> Iterator[str]:
    row, asked = exchange.body["embedding"], exchange.params["body"]["dimensions"]
    if len(row) != asked:
        yield f"{asked} dimensions were asked for, {len(row)} came"
    length = math.sqrt(sum(value * value for value in row))
    if abs(length - 1) > 0.01:
        yield f"a normalised vector has the length {length:.3f}"


def _titan_count(exchange: Exchange) -> Iterator[str]:
    header, count = exchange.headers.get(_COUNT), exchange.body["inputTextTokenCount"]
    if header is None:
        yield f"there is no header {_COUNT}"
    elif int(header) != count:
        yield f"{_COUNT} is {header}, inputTextTokenCount is {count}"


def _ranking(exchange: Exchange) -> Iterator[str]:
    results = exchange.body["results"]
    scores = [result["relevanceScore"] for result in results]
    if scores != sorted(scores, reverse=True):
        yield "results are not sorted by relevance"
    if not all(0 <= score <= 1 for score in scores):
        yield f"scores are not from 0 to 1, but from {min(scores)} to {max(scores)}"
    if sorted(result["index"] for result in results) != list(range(len(exchange.params["sources"]))):
        yield "not every source is ranked once"


def _guardrail(exchange: Exchange) -> Iterator[str]:
    missing = [name for name in ("usage", "action", "actionReason", "outputs", "assessments")
               if name not in exchange.body]  # fmt: skip
    if missing:
        yield f"the reply has no {', '.join(missing)}"
    if exchange.body.get("action") not in ("NONE", "GUARDRAIL_INTERVENED"):
        yield f"the action is {exchange.body.get('action')}"


def _profile_only(exchange: Exchange) -> Iterator[str]:
    rows = {row["modelId"]: row.get("inferenceTypesSupported", []) for row in exchange.body["modelSummaries"]}
    claude = {id: types for id, types in rows.items() if by_profile_only(id)}
    if not claude:
        raise Untried("the region lists no current Claude")
    for id, types in claude.items():
        if types != ["INFERENCE_PROFILE"]:
            yield f"{id} has the types {', '.join(types) or 'none'}"


def _profile_models(exchange: Exchange) -> Iterator[str]:
    for row in exchange.body["inferenceProfileSummaries"]:
        id, arns = row["inferenceProfileId"], [model["modelArn"] for model in row["models"]]
        if row["type"] == "SYSTEM_DEFINED" and not all(arn.endswith(id.partition(".")[2]) for arn in arns):
            yield f"the profile {id} has the models {', '.join(arns)}"


def _availability(exchange: Exchange) -> Iterator[str]:
    body: Any = exchange.body
    if body["authorizationStatus"] != "AUTHORIZED" or body["regionAvailability"] != "AVAILABLE":
        raise Untried("the account has no access to the model")
    if body["entitlementAvailability"] != "AVAILABLE":
        yield f"entitlementAvailability is {body['entitlementAvailability']}"
    if body["agreementAvailability"]["status"] != "AVAILABLE":
        yield f"agreementAvailability.status is {body['agreementAvailability']['status']}"


def _job(exchange: Exchange) -> Iterator[str]:
    if exchange.body["status"] not in _UNDER_WAY:
        yield f"the status is {exchange.body['status']}"


def _arn(exchange: Exchange) -> Iterator[str]:
    if ":model-invocation-job/" not in exchange.body["jobArn"]:
        yield "jobArn is not the ARN of a model-invocation-job"


OTHERS: tuple[Assumption, ...] = (
    Assumption("titan.fields", "A reply of Titan has embedding, embeddingsByType and inputTextTokenCount.",
               _TITAN, _titan, each(_titan_fields)),
    Assumption("titan.vector", "A vector of Titan has the dimensions asked for, and unit length.", _TITAN,
               _titan, each(_titan_vector)),
    Assumption("titan.count", f"The header {_COUNT} has the tokens that the body has.", _TITAN, _titan,
               each(_titan_count)),
    Assumption("rerank.results", "Every source is ranked once, best first, with scores from 0 to 1.", _MODEL,
               of("Rerank"), each(_ranking)),
    Assumption("guardrail.fields", "ApplyGuardrail returns usage, action, outputs and assessments.", _MODEL,
               of("ApplyGuardrail"), each(_guardrail)),
    Assumption("catalog.profile-only", "Claude from 3.7 on has the type INFERENCE_PROFILE alone.",
               "published replies of AWS", of("ListFoundationModels"), each(_profile_only)),
    Assumption("catalog.profiles", "A profile of AWS's has its prefix and the model's id as its id.",
               "Bedrock User Guide, Supported inference profiles", of("ListInferenceProfiles"),
               each(_profile_models)),
    Assumption("catalog.access", "A model that can be called is available in every respect.", _MODEL,
               of("GetFoundationModelAvailability"), each(_availability)),
    Assumption("batch.arn", "A batch job's ARN is one of a model-invocation-job.", _MODEL,
               of("CreateModelInvocationJob"), each(_arn)),
    Assumption("batch.status", "A batch job has one of the statuses that rag knows.", _MODEL,
               of_steps("batch"), lambda exchanges: each(_job)(
                   [one for one in exchanges if one.operation == "GetModelInvocationJob"])),
)  # fmt: skip
