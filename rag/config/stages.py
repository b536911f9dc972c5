"""Make stages from settings: an object, a name, or a mapping of ``use`` and arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from rag.config.registry import (
    STAGES,
    TIERS,
    check,
    factory_of,
    is_builtin,
    on_bedrock,
    refuse_unknown,
    split,
)
from rag.config.settings import baseline_parts, located
from rag.core import embedders
from rag.core.errors import ConfigError, RagError, StoreMismatchError, UsageError
from rag.usage import ledger_settings
from rag.usage.meter import Meter
from rag.usage.tokens import TokenCounter

#: The embedder by which a stage's class compares texts, unless another one is set.
_COMPARES_BY = {
    "rag.chunking.semantic:SemanticChunker": "static",
    "rag.trimming.trimmer:BudgetTrimmer": "static",
    "rag.trimming.passage_trimmer:PassageTrimmer": "static",
    "rag.generation.extractive:ExtractiveAnswerer": "local",
    "rag.generation.quoting:Quoting": "local",
}


#: The most tokens of a classification, which is one word.
_ONE_WORD = 64


@located
def stage(kind: str, value: Any = None, *, plain: bool = False, **passed: Any) -> Any:
    """Return a stage from its setting; an object is returned as it is.

    Parameters
    ----------
    kind : str
        A key of `STAGES`.
    value : object, str, mapping or None
        None for the default.
    plain : bool
        Without LangChain's interface, where there is such a form (`rag.config.registry.PLAIN`).
    **passed
        Arguments from the pipeline, such as the retriever's index.

    Raises
    ------
    ConfigError
        The name or an argument is unknown, or an argument's value is refused.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = split(kind, value)
    factory = factory_of(kind, use, plain=plain)
    if factory is None:
        return _by_string(kind, use, arguments)
    refuse_unknown(factory, arguments, kind, use)
    if kind == "retriever":
        arguments = {name: _part(name, setting) for name, setting in arguments.items()}
    if kind == "prompt" and use in STAGES[kind]:
        arguments = {"name": use, **arguments}
    arguments = {**passed, **arguments}
    return checked(factory, {**arguments, **_embedder_of(factory, arguments, plain)}, kind)


@located
def trimmer(value: Any, model: str | None, *, plain: bool = False) -> Any:
    """Return the trimmer; `rag`'s counts tokens as the generator's model does, and learns from its replies.

    ``calibration`` among its settings names a file that keeps what was learned about the model's tokens.
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
    """Return the generator; with ``fallback`` among its settings, one that falls back on other models.

    A model to fall back on is set as a generator is, or by the id of a model on Bedrock.

    Raises
    ------
    ConfigError
        A setting is wrong, or the first model has a guardrail and another has none.
    """
    if value is not None and not isinstance(value, str | Mapping):
        return value
    use, arguments = split("generator", value)
    others = arguments.pop("fallback", None) if use in STAGES["generator"] else None
    if use == "router":
        arguments = _routing(arguments)
    first = stage("generator", {"use": use, **arguments}, plain=plain and others is None)
    if others is None:
        return first
    if isinstance(others, str | Mapping) or not isinstance(others, Sequence):
        raise ConfigError(f"the generator's fallback is a list of models, not {others!r}")
    from rag.generation.fallback import Fallback

    models = [first, *(stage("generator", on_bedrock(other)) for other in others)]
    _refuse_unguarded(models)
    return checked(Fallback, {"models": models}, "generator")


def _routing(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a router's arguments with its models made; see `rag.generation.router`."""
    check("generator", {"use": "router", **arguments})  # a misspelt table must not mean the default models
    made = dict(arguments)
    tiers, classify, escalate = made.get("tiers", TIERS), made.get("classify"), made.get("escalate")
    if not isinstance(tiers, Mapping) or not tiers:
        raise ConfigError(f'the generator\'s tiers are a table, as in {{small = "local"}}, not {tiers!r}')
    made["tiers"] = {str(name): generator(on_bedrock(value)) for name, value in tiers.items()}
    if classify is True or isinstance(classify, str | Mapping):
        table = dict(classify) if isinstance(classify, Mapping) else {}
        if isinstance(classify, str):
            table["model"] = classify
        elif not set(table) <= {"model", "describe"}:
            table = {"model": table}
        setting = on_bedrock(table.get("model", next(iter(tiers.values()))))
        if isinstance(setting, Mapping) and setting.get("use") == "claude":
            setting = {"max_tokens": _ONE_WORD, **setting}
        made["classify"] = {**table, "model": generator(setting)}
    if escalate is True or isinstance(escalate, Mapping):
        table = {} if escalate is True else dict(escalate)
        if "covered_score" not in table:
            table["embedder"] = stage("embedder", table.get("embedder", "local"))
        made["escalate"] = table
    return made


def _refuse_unguarded(models: Sequence[Any]) -> None:
    """Refuse fallbacks without a guardrail where the first model has one."""
    from rag.generation.models import describe, is_guarded

    if not is_guarded(models[0]):
        return
    for model in models[1:]:
        if not is_guarded(model):
            raise ConfigError(
                f"the generator's fallback {describe(model)} has no guardrail and would bypass the first "
                'model\'s: write it as {use = "claude", model = "…", guardrail = "…"}, or leave it out'
            )


@located
def prompt(value: Any, generator: Any) -> Any:
    """Return the prompt, or variants; by default the one that formats documents as the generator expects.

    A file that leaves the form of the documents open gets the generator's, too.

    Raises
    ------
    ConfigError
        There is no such prompt, or a setting is wrong.
    """
    from rag.generation.models import context_form
    from rag.generation.prompt import SHIPPED, Form, Prompt

    form = cast(Form, context_form(generator))
    if value is None:
        return stage("prompt", {"use": SHIPPED[form], "form": form})
    if isinstance(value, Mapping) and "variants" in value:
        return _variants(dict(value), generator)
    made = stage("prompt", dict(value) if isinstance(value, Mapping) else value)
    return made.in_form(form) if isinstance(made, Prompt) and made.any_form else made


def _variants(arguments: dict[str, Any], generator: Any) -> Any:
    """Return the prompts that are compared; each takes those of the variables that it has."""
    from rag.generation.prompts.variants import Variants, weights_of
    from rag.generation.voice import TakesVariables, label, taken

    weights, use = weights_of(arguments.pop("variants")), arguments.pop("use", None)
    if use is not None:
        raise ConfigError(f"the prompt has variants and use = {use!r}: write one of the two")
    variables = arguments.pop("variables", None) or {}
    made = Variants({name: prompt({"use": name, **arguments}, generator) for name in weights}, weights)

    def filled(one: Any) -> Any:
        values = taken(made, one, variables)
        return one.filled(values) if values and isinstance(one, TakesVariables) else one

    labels: dict[str, str] = {}
    for name, one in made.prompts.items():
        other = labels.setdefault(label(one), name)
        if other != name:
            raise ConfigError(f"the variants {other!r} and {name!r} are the same prompt: give two texts")
    return made.each(filled)


@located
def meter(value: Any, prices: Any, folder: Path) -> Meter:
    """Return the meter of an index: it checks the budget before each call and records it afterwards.

    Parameters
    ----------
    value : str, Path, mapping or None
        Settings of ``[ledger]``; see `rag.usage.budget`.
    prices : mapping, PriceTable or None
        ``[prices]``; see `rag.usage.prices`.
    folder : Path
        The index's, which holds the ledger unless the settings name a file.
    """
    return Meter.of(ledger_settings.settings(value), folder, prices)


@located
def baseline(value: Any, index: Any, meter: Meter) -> Any:
    """Return the system of ``[baseline]``: what has `ask` and `index`, for an evaluation to compare with.

    Raises
    ------
    ConfigError
        There is no such table, or a setting is wrong.
    """
    if value is None:
        raise ConfigError('there is no [baseline] in rag.toml: add one, with use = "knowledge-base"')
    factory, arguments = baseline_parts(value)
    return checked(factory, {**arguments, "index": index, "meter": meter}, "baseline")


def check_embedder(embedder: Any, fingerprint: str, path: str) -> None:
    """Refuse an embedder that is not the one an index was built with.

    Raises
    ------
    StoreMismatchError
        The fingerprints differ.
    """
    this = embedders.fingerprint(embedder)
    if this != fingerprint:
        raise StoreMismatchError(
            f"{path} was built with {fingerprint}, not with {this}: use that embedder, or build "
            "again with --rebuild"
        )


def _part(name: str, value: Any) -> Any:
    """Return what a retriever's setting names: a reranker is constructed, a function returned as it is."""
    if name not in ("reranker", "questions") or not isinstance(value, str | Mapping):
        return value
    kind, arguments = f"retriever's {name}", {"use": value} if isinstance(value, str) else dict(value)
    use = arguments.pop("use", None)
    factory = factory_of(kind, use) if isinstance(use, str) else None
    if factory is None:
        raise ConfigError(f"the {kind} is a name or module:name, not {value!r}")
    if name != "reranker" and not isinstance(factory, type):
        return factory
    refuse_unknown(factory, arguments, kind, use)
    return checked(factory, arguments, kind)


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
    """Call a factory; report what it refuses about its arguments in one line.

    Raises
    ------
    ConfigError
        The factory raised a ValueError (pydantic's among them) or a TypeError.
    """
    try:
        return factory(**arguments)
    except RagError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        value = "" if first["type"] == "missing" else f", not {first['input']!r}"
        raise ConfigError(f"the {kind}'s {where}: {first['msg']}{value}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the {kind}: {' '.join(str(error).split())}") from None


def _embedder_of(factory: Callable[..., Any], arguments: Mapping[str, Any], plain: bool) -> dict[str, Any]:
    """Return the embedder with which a stage compares sentences, if its arguments hold no object."""
    if "embedder" in arguments:
        value = arguments["embedder"]
        return {"embedder": stage("embedder", value)} if isinstance(value, str | Mapping) else {}
    name = _COMPARES_BY.get(f"{factory.__module__}:{getattr(factory, '__qualname__', '')}")
    return {} if name is None else {"embedder": stage("embedder", name, plain=plain)}


def chunker(value: Any, count_tokens: Any) -> Any:
    """Return the chunker; `rag`'s own count tokens as the embedder does, where it can count them."""
    if count_tokens is None or not is_builtin("chunker", value):
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
    from rag.generation.prompts.variants import Variants
    from rag.generation.quoting import Quoting

    chosen = prompt(prompt_value, generator)
    each = list(chosen.prompts.values()) if isinstance(chosen, Variants) else [chosen]
    if (
        isinstance(generator, Quoting) and not hasattr(generator, "invoke")
        and all(isinstance(one, Prompt) for one in each)
    ):  # fmt: skip
        adapted: Callable[[Any], Any] = PlainPrompt
        caller: Any = PlainGenerator(generator)
    else:
        from rag.generation.generator import Generator
        from rag.generation.prompt_adapter import adapt

        adapted, caller = adapt, Generator(generator, explain=explain_failure)
    for one in each:
        if isinstance(one, Prompt) and one.parameters:
            caller.bound(one.parameters)  # refused now, not with the first question
    return chosen.each(adapted) if isinstance(chosen, Variants) else adapted(chosen), caller


def limited(trimmer: Any, budget: int | None = None, unit: str | None = None) -> Any:
    """Return a trimmer with another budget.

    Raises
    ------
    UsageError
        It takes no budget.
    ConfigError
        The budget or the unit is refused.
    """
    changes = {name: value for name, value in (("budget", budget), ("unit", unit)) if value is not None}
    if not changes:
        return trimmer
    fields = type(trimmer).model_fields if isinstance(trimmer, BaseModel) else {}
    if not set(changes) <= set(fields):
        raise UsageError(f"the trimmer {type(trimmer).__name__} takes no budget: leave it out")
    values = {name: getattr(trimmer, name) for name in fields}
    return checked(type(trimmer), {**values, **changes}, "trimmer")


def explain_failure(error: Exception, model: str) -> str | None:
    """Explain an error of the AWS SDK in one line, with what to do; None for other errors."""
    if not type(error).__module__.startswith("botocore"):
        return None
    from rag.bedrock.runtime.client import explain

    return explain(error, model)
