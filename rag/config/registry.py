"""Names to stages: ``rag.toml``, keyword arguments and the index's manifest end up here.

A stage is given as an object, as a name, or as a mapping of ``use`` and its arguments::

    [embedder]
    use = "static"            # a name below, "module:Class", or a string for init_embeddings

    [trimmer]
    budget = 6000             # without use: the default stage, with this argument
    calibration = "tokens.json"     # keeps what replies teach of the model's tokens

    [retriever]
    reranker = "bedrock"      # or "module:make", which returns a LangChain compressor; or with arguments

    [generator]
    use = "claude"            # a name below, "module:Class", or a string for init_chat_model
    model = "global.anthropic.claude-sonnet-5-5"
    fallback = ["global.anthropic.claude-haiku-5-5", "local"]   # asked in turn where it fails

    [cache]                   # of embeddings: one file for several indexes, if you wish
    path = "indexes/cache.sqlite"
    max_mb = 8000

    [ledger]                  # of what calls cost; by default INDEX/ledger.sqlite, without a limit
    path = "indexes/ledger.sqlite"
    warn_usd = 5
    stop_usd = 20
    per = "day"
    tag = "support-desk"

    [batch]                   # of building at half price, with --batch
    s3 = "s3://bucket/prefix"
    role_arn = "arn:aws:iam::111122223333:role/rag-batch"
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from rag.config.settings_errors import Table, located
from rag.core import embedders
from rag.core.errors import ConfigError, RagError, StoreMismatchError, near_miss
from rag.generation.prompt import SHIPPED, Form
from rag.generation.reply import describe, model_of
from rag.usage import budget as budgets
from rag.usage.tokens import TokenCounter

#: The stages, in the order of the pipeline, and for each the names it knows. First is the default.
STAGES: dict[str, dict[str, str]] = {
    "loader": {"files": "rag.config.open:Loader"},
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
#: Names of what a retriever is made with.
PARTS = {"retriever's reranker": {"bedrock": "rag.bedrock.search.rerank:BedrockReranker"}}
#: Settings of the embedding cache: its file (by default in the index's folder), and its largest size.
CACHE = {"path": None, "max_mb": 8000}
#: What ``--bedrock`` stands for.
BEDROCK = {"embedder": "titan", "generator": "claude"}
#: Embedders that an index may choose by its name; others cost money or leave the machine.
LOCAL = ("local", "static")
#: Arguments that a stage is given by the pipeline, not by the user.
_GIVEN = {"chunker": ("embedder", "count_tokens"), "retriever": ("index",), "loader": ("path",)}
#: Arguments that are the pipeline's own to understand.
_ALSO = {"trimmer": ("calibration",), "generator": ("fallback",)}
#: Tables of ``rag.toml`` that are no stages.
_TABLES = ("cache", "ledger", "batch")


def is_own(kind: str, value: Any) -> bool:
    """Tell whether a stage is one of `rag`'s own, by how it is given."""
    return value is None or (isinstance(value, str | Mapping) and _split(kind, value)[0] in STAGES[kind])


def check_embedder(embedder: Embeddings, fingerprint: str, path: str) -> None:
    """Refuse an embedder that is not the one an index was built with.

    Raises
    ------
    StoreMismatchError
    """
    own = embedders.fingerprint(embedder)
    if own != fingerprint:
        raise StoreMismatchError(
            f"{path} was built with {fingerprint}, not with {own}: use that embedder, or build "
            "again with --rebuild"
        )


def read(path: Path | None) -> dict[str, Any]:
    """Read ``rag.toml``; with no path the one in the working directory, if there is one.

    Raises
    ------
    ConfigError
        It is missing, not TOML, or names a stage, a stage's name or an argument that there is not.
    """
    if path is None:
        path = Path("rag.toml")
        if not path.exists():
            return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for name, value in settings.items():
        if name not in (*STAGES, *_TABLES):
            raise ConfigError(f"{path} has a table [{name}]: {near_miss(name, (*STAGES, *_TABLES))}")
        if not isinstance(value, dict | str):
            raise ConfigError(f"{path}: {name} must be a table or a name, not {value!r}")
        try:
            if name == "cache":
                cache(value)
            elif name == "ledger":
                budgets.settings(value)
            elif name == "batch":
                from rag.bedrock.storage import batch_jobs

                batch_jobs.settings({"s3": value} if isinstance(value, str) else value)
            else:
                check(name, value)
        except ConfigError as error:
            raise ConfigError(f"{path}, [{name}]: {error}") from None
    return {
        name: Table(value, f"{path}, [{name}]") if isinstance(value, dict) else value
        for name, value in settings.items()
    }


def cache(value: Any) -> tuple[Path | None, int]:
    """Return the embedding cache's file (None: the index's own) and its largest size in bytes.

    Parameters
    ----------
    value : str, Path, mapping or None
        A path, or settings as in `CACHE`.

    Raises
    ------
    ConfigError
        There is no such setting, or it has another type.
    """
    given = dict(value) if isinstance(value, Mapping) else {} if value is None else {"path": value}
    for name in given:
        if name not in CACHE:
            raise ConfigError(f"the cache has no setting {name!r}: {near_miss(name, CACHE)}")
    path, most = given.get("path"), given.get("max_mb", CACHE["max_mb"])
    if path is not None and not isinstance(path, str | Path):
        raise ConfigError(f"the cache's path is a string, not {path!r}")
    if isinstance(most, bool) or not isinstance(most, int | float) or most <= 0:
        raise ConfigError(f"the cache's max_mb is a number above 0, not {most!r}")
    return None if path is None else Path(path), int(most * 1e6)


def check(kind: str, value: Any) -> None:
    """Refuse a stage's wrong name or arguments without making it.

    Raises
    ------
    ConfigError
    """
    use, arguments = _split(kind, value)
    factory = _factory(kind, use)
    if factory is not None:
        _refuse_unknown(factory, arguments, kind, use)


@located
def stage(kind: str, value: Any = None, **given: Any) -> Any:
    """Return a stage, whether it is given as an object, a name or a mapping.

    Parameters
    ----------
    kind : str
        A key of `STAGES`.
    value : optional
        None for the default.
    **given
        Arguments from the pipeline itself, such as the retriever's index.

    Raises
    ------
    ConfigError
        The name or an argument is not known, or an argument's value is refused.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = _split(kind, value)
    factory = _factory(kind, use)
    if factory is None:
        return _by_string(kind, use, arguments)
    _refuse_unknown(factory, arguments, kind, use)
    if kind == "retriever":
        arguments = {name: _made(name, given) for name, given in arguments.items()}
    if kind == "prompt" and use in STAGES[kind]:
        arguments = {"name": use, **arguments}
    return checked(factory, {**_defaults(factory, {**given, **arguments}), **given, **arguments}, kind)


@located
def trimmer(value: Any, generator: Any) -> Any:
    """Return the trimmer; `rag`'s own counts tokens as the generator's model does, and learns from it.

    ``calibration`` among its settings names a file that keeps what is learned of the model's tokens.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = _split("trimmer", value)
    if use in STAGES["trimmer"] and "count_tokens" not in arguments:
        path = arguments.pop("calibration", None)
        if path is not None and not isinstance(path, str | Path):
            raise ConfigError(f"the trimmer's calibration is the path of a file, not {path!r}")
        arguments["count_tokens"] = TokenCounter(model_of(generator), path)
    return stage("trimmer", {"use": use, **arguments})


@located
def generator(value: Any) -> Any:
    """Return the generator; with ``fallback`` among its settings, one that others stand in for.

    A model to fall back on is given as a generator is, or as the id of a model on Bedrock.

    Raises
    ------
    ConfigError
        A setting is wrong, or the first model has a guardrail and another has none.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = _split("generator", value)
    others = arguments.pop("fallback", None) if use in STAGES["generator"] else None
    first = stage("generator", {"use": use, **arguments})
    if others is None:
        return first
    if isinstance(others, str | Mapping) or not isinstance(others, Sequence):
        raise ConfigError(f"the generator's fallback is a list of models, not {others!r}")
    from rag.generation.fallback import Fallback

    models = [first, *(stage("generator", _on_bedrock(other)) for other in others)]
    _refuse_unguarded(models)
    return checked(Fallback, {"models": models}, "generator")


def _refuse_unguarded(models: Sequence[Any]) -> None:
    """Refuse models that would answer without the first one's guardrail as soon as that one fails."""
    if not getattr(models[0], "guardrail_config", None):
        return
    for model in models[1:]:
        if not getattr(model, "guardrail_config", None):
            raise ConfigError(
                f"the generator's fallback {describe(model)} has no guardrail, and would pass by the first "
                'model\'s: write it as {use = "claude", model = "…", guardrail = "…"}, or leave it out'
            )


def _on_bedrock(value: Any) -> Any:
    """Return a generator's setting; a model id of Bedrock's stands for Claude's stage with that model."""
    is_id = isinstance(value, str) and re.search(r"(^|[./])(anthropic|amazon)\.", value)
    return {"use": "claude", "model": value} if is_id else value


def prompt(value: Any, generator: Any) -> Any:
    """Return the prompt; by default the one whose form of the documents suits the generator."""
    if value is not None:
        return stage("prompt", value)
    form: Form = getattr(generator, "context_form", "text")
    return stage("prompt", {"use": SHIPPED[form], "form": form})


@located
def meter(value: Any, folder: Path) -> budgets.Meter:
    """Return what keeps the account of an index's calls, and its budget.

    Parameters
    ----------
    value : str, Path, mapping or None
        Settings of ``[ledger]``, as `rag.usage.budget` reads them.
    folder : Path
        The index's, where the ledger is unless the settings name a file.
    """
    return budgets.settings(value).meter(folder, _price)


def _price(model: str, input_tokens: int, output_tokens: int) -> float | None:
    from rag.bedrock.models import estimate_usd

    return estimate_usd(model, input_tokens, output_tokens)


def _split(kind: str, value: Any) -> tuple[str, dict[str, Any]]:
    if value is None:
        value = {}
    arguments = {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None) or next(iter(STAGES[kind]))
    if not isinstance(use, str):
        raise ConfigError(f"use must be a name, not {use!r}")
    return use, arguments


def _factory(kind: str, use: str) -> Callable[..., Any] | None:
    """Return what makes the stage; None for a string that LangChain resolves."""
    known = STAGES.get(kind) or PARTS.get(kind, {})
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


def _made(name: str, value: Any) -> Any:
    """Return what a retriever's setting names: a reranker that is made, a function as it is."""
    if name not in ("reranker", "questions") or not isinstance(value, str | Mapping):
        return value
    kind, arguments = f"retriever's {name}", {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None)
    found = _factory(kind, use) if isinstance(use, str) else None
    if found is None:
        raise ConfigError(f"the {kind} is a name or module:name, not {value!r}")
    if name != "reranker" and not isinstance(found, type):
        return found
    _refuse_unknown(found, arguments, kind, use)
    return checked(found, arguments, kind)


def _importable(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _by_string(kind: str, use: str, arguments: dict[str, Any]) -> Any:
    try:
        if kind == "embedder":
            from langchain.embeddings import init_embeddings

            return init_embeddings(use, **arguments)
        from langchain.chat_models import init_chat_model

        return init_chat_model(use, **arguments)
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(f"the {kind} {use!r}: {' '.join(str(error).split())}") from None


def _parameters(factory: Callable[..., Any]) -> dict[str, Any] | None:
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


def _refuse_unknown(factory: Callable[..., Any], arguments: Mapping[str, Any], kind: str, use: str) -> None:
    known = _parameters(factory)
    if known is None:
        return
    known = {name: p for name, p in known.items() if name not in _GIVEN.get(kind, ())}
    known |= dict.fromkeys(_ALSO.get(kind, ()) if use in STAGES.get(kind, {}) else ())
    for name in arguments:
        if name not in known:
            raise ConfigError(f"the {kind} {use!r} has no argument {name!r}: {near_miss(name, known)}")


def checked(factory: Callable[..., Any], arguments: Mapping[str, Any], kind: str) -> Any:
    """Call a factory; turn its complaints about arguments into one line."""
    try:
        return factory(**arguments)
    except RagError:
        raise
    except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        errors = getattr(error, "errors", None)
        if callable(errors):
            first = errors()[0]
            where = ".".join(map(str, first["loc"]))
            given = "" if first["type"] == "missing" else f", not {first.get('input')!r}"
            raise ConfigError(f"the {kind}'s {where}: {first['msg']}{given}") from None
        raise ConfigError(f"the {kind}: {' '.join(str(error).split())}") from None


def _defaults(factory: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the models that a stage compares sentences with, where none was given."""
    from rag import chunking, trimming
    from rag.generation import extractive

    if "embedder" in given:
        value = given["embedder"]
        return {} if not isinstance(value, str | Mapping) else {"embedder": stage("embedder", value)}
    if factory in (chunking.SemanticChunker, trimming.BudgetTrimmer):
        return {"embedder": stage("embedder", "static")}
    if factory is extractive.ExtractiveAnswerer:
        return {"embedder": stage("embedder", "local")}
    return {}
