"""What the stages of ``rag.toml`` call on AWS, read from their settings; nothing is called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rag.bedrock.control.permissions import Use
from rag.config import deploy, registry, stages

_EMBEDDERS = ("titan", "cohere", "nova")


def uses(settings: Mapping[str, Any]) -> tuple[Use, ...]:
    """Return what a pipeline calls on AWS, each once.

    Parameters
    ----------
    settings : mapping
        As `rag.config.settings.read` returns them.

    Examples
    --------
    >>> [use.name for use in uses({"embedder": "titan", "generator": "local"})]
    ['amazon.titan-embed-text-v2:0']
    """
    found = [
        *_embedder(settings.get("embedder")), *_generator("generator", settings.get("generator")),
        *_retriever(settings.get("retriever")), *_batch(settings), *_responses(settings.get("cache")),
        *_deployed(settings.get("deploy")), *_recorded(settings.get("telemetry")),
    ]  # fmt: skip
    return tuple(dict.fromkeys(found))


def _split(kind: str, value: Any) -> tuple[str, Mapping[str, Any]]:
    return registry.split(kind, value) if value is None or isinstance(value, str | Mapping) else ("", {})


def _embedder(value: Any) -> Iterator[Use]:
    use, arguments = _split("embedder", value)
    if use in _EMBEDDERS:
        embedder = stages.stage("embedder", value)  # calls nothing until it embeds
        body = json.dumps(embedder.request_body("a"))
        yield Use("embed", "embedder", embedder.model, region=arguments.get("region"), body=body)


def _generator(stage: str, value: Any) -> Iterator[Use]:
    use, arguments = _split("generator", registry.on_bedrock(value))
    if use == "claude":
        yield from _claude(stage, arguments)
    elif use == "router":
        tiers = arguments.get("tiers", registry.TIERS)
        for name, tier in tiers.items() if isinstance(tiers, Mapping) else ():
            yield from _generator(f"{stage}'s tier {name}", tier)
        classify = arguments.get("classify")
        model = classify.get("model") if isinstance(classify, Mapping) else classify
        if isinstance(model, str | Mapping):
            yield from _generator(f"{stage}'s classifier", model)
    for number, other in enumerate(arguments.get("fallback") or (), 1):
        yield from _generator(f"{stage}'s fallback {number}", other)


def _claude(stage: str, arguments: Mapping[str, Any]) -> Iterator[Use]:
    from rag.bedrock.chat.claude import MODEL

    model = str(arguments.get("model") or arguments.get("model_id") or MODEL)
    base = arguments.get("base_model") or arguments.get("base_model_id")
    region = arguments.get("region") or arguments.get("region_name")
    yield Use("chat", stage, model, base, region)
    guardrail = arguments.get("guardrail")
    if guardrail is not None:
        from rag.bedrock.chat.guardrails import guardrail_config

        config = guardrail_config(guardrail)
        name = f"{config['guardrailIdentifier']}:{config['guardrailVersion']}"
        yield Use("guardrail", stage, name, region=region)


def _retriever(value: Any) -> Iterator[Use]:
    use, arguments = _split("retriever", value)
    if use == "knowledge-base":
        name = str(arguments.get("knowledge_base_id", ""))
        yield Use("retrieve", "retriever", name, region=arguments.get("region"))
    reranker = arguments.get("reranker")
    table = {"use": reranker} if isinstance(reranker, str) else reranker
    if isinstance(table, Mapping) and table.get("use") == "bedrock":
        from rag.bedrock.search.rerank import BedrockReranker

        model = table.get("model") or BedrockReranker.model_fields["model"].default
        yield Use("rerank", "retriever's reranker", str(model), region=table.get("region"))


def _batch(settings: Mapping[str, Any]) -> Iterator[Use]:
    value = settings.get("batch")
    if value is None:
        return
    from rag.bedrock.storage import batch_settings

    batch = batch_settings.settings(value)
    called = (*_embedder(settings.get("embedder")), *_generator("generator", settings.get("generator")))
    models: list[str | None] = [use.name for use in called if use.kind in ("embed", "chat")]
    for model in (models or [None]) if batch.s3 else ():
        yield Use("batch", "batch", batch.s3, model, batch.region or None, batch.role_arn)


def _responses(value: Any) -> Iterator[Use]:
    table = value.get("responses") if isinstance(value, Mapping) else None
    if isinstance(table, Mapping) and table.get("use") == "dynamodb":
        yield Use("table", "cache.responses", str(table.get("table", "")), region=table.get("region"))


def _deployed(value: Any) -> Iterator[Use]:
    if value is None:
        return
    made = deploy.settings(value)
    if made.index.startswith("s3://"):
        yield Use("index", "deploy", made.index)
    yield Use("log", "deploy", made.name)


def _recorded(value: Any) -> Iterator[Use]:
    if isinstance(value, Mapping) and value.get("cloudwatch"):
        region = value.get("cloudwatch_region") or None
        yield Use("records", "telemetry", str(value["cloudwatch"]), region=region)
