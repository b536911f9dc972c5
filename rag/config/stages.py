"""Settings to stages: from an object, a name, or a mapping of ``use`` and arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rag.config.registry import (
    STAGES,
    factory_of,
    is_own,
    refuse_unknown,
    split,
)
from rag.config.settings_errors import located
from rag.core import embedders
from rag.core.errors import ConfigError, RagError, StoreMismatchError, UsageError
from rag.usage import ledger_settings
from rag.usage.budget import Meter
from rag.usage.tokens import TokenCounter

#: The embedder by which a stage's class compares texts, unless another one is set.
_COMPARES_BY = {
    "rag.chunking.semantic:SemanticChunker": "static",
    "rag.trimming.trimmer:BudgetTrimmer": "static",
    "rag.trimming.passage_trimmer:PassageTrimmer": "static",
    "rag.generation.extractive:ExtractiveAnswerer": "local",
    "rag.generation.quoting:Quoting": "local",
}


@located
def stage(kind: str, value: Any = None, *, plain: bool = False, **given: Any) -> Any:
    """Return a stage, whether it is given as an object, a name or a mapping.

    Parameters
    ----------
    kind : str
        A key of `STAGES`.
    value : optional
        None for the default.
    plain : bool
        Without LangChain's interface, where there is such a form (`rag.config.registry.PLAIN`).
    **given
        Arguments from the pipeline itself, such as the retriever's index.

    Raises
    ------
    ConfigError
        The name or an argument is not known, or an argument's value is refused.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = split(kind, value)
    factory = factory_of(kind, use, plain=plain)
    if factory is None:
        return _by_string(kind, use, arguments)
    refuse_unknown(factory, arguments, kind, use)
    if kind == "retriever":
        arguments = {name: _made(name, given) for name, given in arguments.items()}
    if kind == "prompt" and use in STAGES[kind]:
        arguments = {"name": use, **arguments}
    return checked(factory, {**_defaults(factory, {**given, **arguments}, plain), **given, **arguments}, kind)


@located
def trimmer(value: Any, model: str | None, *, plain: bool = False) -> Any:
    """Return the trimmer; `rag`'s own counts tokens as the generator's model does, and learns from it.

    ``calibration`` among its settings names a file that keeps what is learned of the model's tokens.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = split("trimmer", value)
    if use in STAGES["trimmer"] and "count_tokens" not in arguments:
        path = arguments.pop("calibration", None)
        if path is not None and not isinstance(path, str | Path):
            raise ConfigError(f"the trimmer's calibration is the path of a file, not {path!r}")
        arguments["count_tokens"] = TokenCounter(model, path)
    return stage("trimmer", {"use": use, **arguments}, plain=plain)


@located
def generator(value: Any, *, plain: bool = False) -> Any:
    """Return the generator; with ``fallback`` among its settings, one that others stand in for.

    A model to fall back on is given as a generator is, or as the id of a model on Bedrock.

    Raises
    ------
    ConfigError
        A setting is wrong, or the first model has a guardrail and another has none.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = split("generator", value)
    others = arguments.pop("fallback", None) if use in STAGES["generator"] else None
    first = stage("generator", {"use": use, **arguments}, plain=plain and others is None)
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
    from rag.generation.models import describe, is_guarded

    if not is_guarded(models[0]):
        return
    for model in models[1:]:
        if not is_guarded(model):
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
    from rag.generation.models import context_form
    from rag.generation.prompt import SHIPPED, Form

    form = cast(Form, context_form(generator))
    return stage("prompt", {"use": SHIPPED[form], "form": form})


@located
def meter(value: Any, prices: Any, folder: Path) -> Meter:
    """Return what records an index's calls, and asks the budget before them.

    Parameters
    ----------
    value : str, Path, mapping or None
        Settings of ``[ledger]``; see `rag.usage.budget`.
    prices : mapping, PriceTable or None
        ``[prices]``; see `rag.usage.prices`.
    folder : Path
        The index's, where the ledger is unless the settings name a file.
    """
    return ledger_settings.settings(value).meter(folder, prices)


def check_embedder(embedder: Any, fingerprint: str, path: str) -> None:
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


def _made(name: str, value: Any) -> Any:
    """Return what a retriever's setting names: a reranker that is made, a function as it is."""
    if name not in ("reranker", "questions") or not isinstance(value, str | Mapping):
        return value
    kind, arguments = f"retriever's {name}", {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None)
    found = factory_of(kind, use) if isinstance(use, str) else None
    if found is None:
        raise ConfigError(f"the {kind} is a name or module:name, not {value!r}")
    if name != "reranker" and not isinstance(found, type):
        return found
    refuse_unknown(found, arguments, kind, use)
    return checked(found, arguments, kind)


def _by_string(kind: str, use: str, arguments: dict[str, Any]) -> Any:
    try:
        if kind == "embedder":
            from langchain.embeddings import init_embeddings

            return init_embeddings(use, **arguments)
        from langchain.chat_models import init_chat_model

        return init_chat_model(use, **arguments)
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(f"the {kind} {use!r}: {' '.join(str(error).split())}") from None


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


def _defaults(factory: Callable[..., Any], given: Mapping[str, Any], plain: bool) -> dict[str, Any]:
    """Return the model by which a stage compares texts, where none is set."""
    if "embedder" in given:
        value = given["embedder"]
        return {} if not isinstance(value, str | Mapping) else {"embedder": stage("embedder", value)}
    name = _COMPARES_BY.get(f"{factory.__module__}:{getattr(factory, '__qualname__', '')}")
    return {} if name is None else {"embedder": stage("embedder", name, plain=plain)}


def chunker(value: Any, count_tokens: Any) -> Any:
    """Return the chunker; `rag`'s own count tokens as the embedder does, where it can count them."""
    if count_tokens is None or not is_own("chunker", value):
        return stage("chunker", value)
    return stage("chunker", value, count_tokens=count_tokens)


def retriever(value: Any, index: Any, *, plain: bool = False) -> Any:
    """Return the retriever over an index."""
    return stage("retriever", value, plain=plain, index=index)


def generation(prompt_value: Any, generator: Any) -> tuple[Any, Any]:
    """Return the prompt and the generator as the pipeline calls them.

    With the local answerer in its plain form, and the prompt that ships, nothing of LangChain is needed.
    """
    from rag.generation.plain import PlainGenerator, PlainPrompt
    from rag.generation.prompt import Prompt
    from rag.generation.quoting import Quoting

    chosen = prompt(prompt_value, generator)
    if isinstance(generator, Quoting) and not hasattr(generator, "invoke") and isinstance(chosen, Prompt):
        return PlainPrompt(chosen), PlainGenerator(generator)
    from rag.generation.generator import Generator
    from rag.generation.prompt_adapter import adapt

    return adapt(chosen), Generator(generator, explain=explain_failure)


def limited(trimmer: Any, budget: int | None = None, unit: str | None = None) -> Any:
    """Return a trimmer with another budget.

    Raises
    ------
    UsageError
        It takes none.
    ConfigError
        The budget or the unit is refused.
    """
    changes = {name: value for name, value in (("budget", budget), ("unit", unit)) if value is not None}
    if not changes:
        return trimmer
    fields = getattr(type(trimmer), "model_fields", {})
    if not set(changes) <= set(fields):
        raise UsageError(f"the trimmer {type(trimmer).__name__} takes no budget: leave it out")
    values = {name: getattr(trimmer, name) for name in fields}
    return checked(type(trimmer), {**values, **changes}, "trimmer")


def explain_failure(error: Exception, model: str) -> str | None:
    """Return a line about an error of the AWS SDK, with what to do; None for another's error."""
    if not type(error).__module__.startswith("botocore"):
        return None
    from rag.bedrock.runtime.client import explain

    return explain(error, model)
