"""Which names ``rag.toml`` knows for each stage, and the class behind each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module, util
from typing import Any

from rag.core.errors import ConfigError, near_miss

#: The stages, in the order of the pipeline, and for each the names it knows. First is the default.
STAGES: dict[str, dict[str, str]] = {
    "loader": {"files": "rag.config.loader:Loader"},
    "chunker": {
        "semantic": "rag.chunking:SemanticChunker",
        "recursive": "rag.chunking:RecursiveChunker",
        "fixed": "rag.chunking:FixedChunker",
    },
    "embedder": {
        "local": "rag.embedding.local:LocalEmbeddings",
        "static": "rag.embedding.static:StaticEmbeddings",
        "titan": "rag.bedrock.embeddings.titan:TitanEmbeddings",
        "cohere": "rag.bedrock.embeddings.cohere:CohereEmbeddings",
        "nova": "rag.bedrock.embeddings.nova:NovaEmbeddings",
    },
    "retriever": {
        "hybrid": "rag.retrieval:HybridRetriever",
        "knowledge-base": "rag.bedrock.search.knowledge_base:KnowledgeBaseRetriever",
    },
    "trimmer": {"budget": "rag.trimming:BudgetTrimmer"},
    "prompt": {
        "answer-v1": "rag.generation.prompt:Prompt",
        "answer-native-v1": "rag.generation.prompt:Prompt",
    },
    "generator": {
        "local": "rag.generation.extractive:ExtractiveAnswerer",
        "claude": "rag.bedrock.chat.claude:ClaudeBedrock",
    },
}
#: The same stages without LangChain's interface, whose imports take longer than a search: what the command
#: line uses where nobody else sees them.
PLAIN: dict[str, dict[str, str]] = {
    "embedder": {
        "local": "rag.embedding.local_model:LocalModel",
        "static": "rag.embedding.static_model:StaticModel",
    },
    "retriever": {"hybrid": "rag.retrieval.search:HybridSearch"},
    "trimmer": {"budget": "rag.trimming.passage_trimmer:PassageTrimmer"},
    "generator": {"local": "rag.generation.quoting:Quoting"},
}
#: Names of what a retriever is made with.
PARTS = {"retriever's reranker": {"bedrock": "rag.bedrock.search.rerank:BedrockReranker"}}
#: What ``--bedrock`` stands for.
BEDROCK = {"embedder": "titan", "generator": "claude"}
#: Embedders that an index may choose by its name; others cost money or leave the machine.
LOCAL = ("local", "static")
#: Arguments that a stage is given by the pipeline, not by the user.
_GIVEN = {"chunker": ("embedder", "count_tokens"), "retriever": ("index",), "loader": ("path",)}
#: Arguments that are the pipeline's own to understand.
_ALSO = {"trimmer": ("calibration",), "generator": ("fallback",)}


def is_own(kind: str, value: Any) -> bool:
    """Tell whether a stage is one of `rag`'s own, by how it is given."""
    return value is None or (isinstance(value, str | Mapping) and split(kind, value)[0] in STAGES[kind])


def check(kind: str, value: Any) -> None:
    """Refuse a stage's wrong name or arguments without making it.

    Raises
    ------
    ConfigError
    """
    use, arguments = split(kind, value)
    factory = factory_of(kind, use)
    if factory is not None:
        refuse_unknown(factory, arguments, kind, use)


def split(kind: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of a stage that is set by a name or a mapping."""
    if value is None:
        value = {}
    arguments = {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None) or next(iter(STAGES[kind]))
    if not isinstance(use, str):
        raise ConfigError(f"use must be a name, not {use!r}")
    return use, arguments


def factory_of(kind: str, use: str, *, plain: bool = False) -> Callable[..., Any] | None:
    """Return what makes the stage; None for a string that LangChain resolves."""
    known = STAGES.get(kind) or PARTS.get(kind, {})
    known = {**known, **PLAIN.get(kind, {})} if plain else known
    module, colon, name = known.get(use, use).partition(":")
    if colon and name.isidentifier() and (use in known or _importable(module)):
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"cannot import the {kind} {use!r}: {error}") from None
        if not callable(found):
            raise ConfigError(f"the {kind} {use!r} is not a class or function")
        return found  # type: ignore[no-any-return]
    if kind == "prompt":
        from rag.generation.prompt import Prompt

        return lambda **arguments: Prompt(use, **arguments)
    if colon and kind in ("embedder", "generator"):
        return None
    hint = " (or module:Class" + (", or provider:model)" if kind in ("embedder", "generator") else ")")
    raise ConfigError(f"there is no {kind} {use!r}: {near_miss(use, known)}{hint}")


def _importable(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def parameters(factory: Callable[..., Any]) -> dict[str, Any] | None:
    """Return a factory's arguments; None where it takes any."""
    names = getattr(factory, "argument_names", None)
    if callable(names):
        return dict.fromkeys(names())
    fields = getattr(factory, "model_fields", None)
    if fields is not None:
        return dict(fields)
    found = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in found.values()):
        return None
    return {name: p for name, p in found.items() if p.kind is not p.VAR_POSITIONAL}


def refuse_unknown(factory: Callable[..., Any], arguments: Mapping[str, Any], kind: str, use: str) -> None:
    """Raise `ConfigError`, naming the near miss, for an argument that a stage does not have."""
    known = parameters(factory)
    if known is None:
        return
    known = {name: p for name, p in known.items() if name not in _GIVEN.get(kind, ())}
    known |= dict.fromkeys(_ALSO.get(kind, ()) if use in STAGES.get(kind, {}) else ())
    for name in arguments:
        if name not in known:
            raise ConfigError(f"the {kind} {use!r} has no argument {name!r}: {near_miss(name, known)}")
