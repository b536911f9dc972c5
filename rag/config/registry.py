"""Map the names that ``rag.toml`` knows to the classes behind them, stage by stage."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import util
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from rag.bedrock.models import SHORT_NAMES
from rag.core.errors import ConfigError, near_miss
from rag.core.imports import resolve

#: The stages, in the order of the pipeline, and the names of each. The first is the default.
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
        "router": "rag.generation.router:Router",
    },
}
#: The tiers of a router that names none: current models on Bedrock, by the profiles that every region can
#: call.
TIERS = {"small": SHORT_NAMES["haiku"], "default": SHORT_NAMES["sonnet"], "large": SHORT_NAMES["opus"]}
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
#: Names of what a retriever is constructed with.
PARTS = {
    "retriever's reranker": {"bedrock": "rag.bedrock.search.rerank:BedrockReranker"},
    "baseline": {"knowledge-base": "rag.bedrock.search.knowledge_base_answers:KnowledgeBaseAnswers"},
    "response cache": {
        "sqlite": "rag.response_cache.sqlite_store:SqliteStore",
        "redis": "rag.response_cache.redis_store:RedisStore",
        "dynamodb": "rag.bedrock.storage.response_table:ResponseTable",
    },
    "review queue": {
        "sqlite": "rag.review.sqlite_store:SqliteReviews",
        "dynamodb": "rag.bedrock.storage.review_table:ReviewTable",
    },
}
#: What ``--bedrock`` stands for.
BEDROCK = {"embedder": "titan", "generator": "claude"}
#: Embedders that an index may choose by its name; others cost money or leave the machine.
LOCAL = ("local", "static")
#: Arguments that the pipeline passes to a stage, so that the user cannot.
_FROM_PIPELINE = {
    "chunker": ("embedder", "count_tokens"),
    "retriever": ("index",),
    "loader": ("path",),
    "baseline": ("index", "meter"),
}
#: Arguments that the pipeline reads before it makes the stage (`rag.config.stages`).
_FOR_PIPELINE = {"trimmer": ("calibration",), "generator": ("fallback",), "prompt": ("variants",)}


@runtime_checkable
class NamesArguments(Protocol):
    """A class whose constructor passes arguments on, and so lists all their names itself."""

    def argument_names(self) -> Iterable[str]:
        """Return the names of all arguments."""


def is_builtin(kind: str, value: Any) -> bool:
    """Tell whether a setting names one of `rag`'s stages."""
    return value is None or (isinstance(value, str | Mapping) and split(kind, value)[0] in STAGES[kind])


def check(kind: str, value: Any) -> None:
    """Check a stage's name and arguments without making the stage.

    Raises
    ------
    ConfigError
        The name, or the name of an argument, is unknown.
    """
    use, arguments = split(kind, value)
    factory = factory_of(kind, use)
    if factory is not None:
        refuse_unknown(factory, arguments, kind, use)


def modules(settings: Mapping[str, Any], *, plain: bool = False) -> list[str]:
    """Return the modules of `rag`'s own stages with which settings answer questions.

    Parameters
    ----------
    settings : mapping
        As passed to a pipeline.
    plain : bool
        See `PLAIN`.

    Examples
    --------
    >>> modules({"embedder": "static", "generator": {"use": "claude"}}, plain=True)[::4]
    ['rag.embedding.static_model', 'rag.bedrock.chat.claude']
    """
    found = []
    for kind in ("embedder", "retriever", "trimmer", "prompt", "generator"):
        value = settings.get(kind)
        if is_builtin(kind, value):
            known = {**STAGES[kind], **(PLAIN.get(kind, {}) if plain else {})}
            use, _ = split(kind, value)
            found.append(known[use].partition(":")[0])
    # Imported when the model is loaded.
    return (
        [*found, "rag.embedding.onnx_runtime"] if PLAIN["embedder"]["local"].startswith(found[0]) else found
    )


def split(kind: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Split a stage's setting, a name or a mapping, into name and arguments."""
    if value is None:
        value = {}
    arguments = {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None) or next(iter(STAGES[kind]))
    if not isinstance(use, str):
        raise ConfigError(f"use must be a name, not {use!r}")
    return use, arguments


def on_bedrock(value: Any) -> Any:
    """Return a generator's setting; the id of a model on Bedrock becomes ``claude`` with that model."""
    is_id = isinstance(value, str) and re.search(r"(^|[./])(anthropic|amazon)\.", value)
    return {"use": "claude", "model": value} if is_id else value


def factory_of(kind: str, use: str, *, plain: bool = False) -> Callable[..., Any] | None:
    """Return the class or function behind a name; None for a string that LangChain resolves."""
    known = STAGES.get(kind) or PARTS.get(kind, {})
    known = {**known, **PLAIN.get(kind, {})} if plain else known
    module, colon, name = known.get(use, use).partition(":")
    if colon and name.isidentifier() and (use in known or _importable(module)):
        return resolve(known.get(use, use), f"the {kind} {use!r}")
    if kind == "prompt":
        make = resolve(STAGES[kind]["answer-v1"], "the prompt")
        return functools.partial(make, use)
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
    """Return a factory's parameters by name; None where it takes any.

    Examples
    --------
    >>> def make(size, *rest, unit="chars"): ...
    >>> list(parameters(make))
    ['size', 'unit']
    """
    if isinstance(factory, NamesArguments):
        return dict.fromkeys(factory.argument_names())
    if isinstance(factory, type) and issubclass(factory, BaseModel):
        return dict(factory.model_fields)
    named = inspect.signature(factory).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values()):
        return None
    return {
        name: parameter for name, parameter in named.items()
        if parameter.kind is not parameter.VAR_POSITIONAL
    }  # fmt: skip


def refuse_unknown(
    factory: Callable[..., Any],
    arguments: Mapping[str, Any],
    kind: str,
    use: str,
    also: Iterable[str] = (),
) -> None:
    """Refuse arguments that a stage does not have, nor are in `also`.

    Raises
    ------
    ConfigError
        It names the near miss.
    """
    named = parameters(factory)
    if named is None:
        return
    known = {*named, *also} - set(_FROM_PIPELINE.get(kind, ()))
    if use in STAGES.get(kind, {}):
        known |= set(_FOR_PIPELINE.get(kind, ()))
    for name in arguments:
        if name not in known:
            raise ConfigError(f"the {kind} {use!r} has no argument {name!r}: {near_miss(name, known)}")
