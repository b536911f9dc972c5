"""Configurations to compare by their answers: every model with every prompt, over ``rag.toml``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.bedrock.models import SHORT_NAMES
from rag.config import registry
from rag.core.errors import ConfigError, UsageError, near_miss

#: What ids and ARNs of models on Bedrock contain.
_ON_BEDROCK = re.compile(r"(^|[./])(anthropic|amazon)\.|^arn:aws[\w-]*:bedrock:")

#: Arguments of ``claude`` that belong to one model.
_OF_ONE_MODEL = ("use", "model", "model_id", "base_model", "base_model_id")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings under a name.

    Attributes
    ----------
    name : str
        What varies: ``"haiku support@2.1"``.
    settings : mapping
        As of ``rag.toml``.
    model, prompt : str
        Their names; empty where they do not vary.
    """

    name: str
    settings: Mapping[str, Any]
    model: str = ""
    prompt: str = ""


def configurations(
    base: Mapping[str, Any], models: Mapping[str, Any] | None = None, prompts: Sequence[str] = ()
) -> list[Configuration]:
    """Return each model with each prompt; without either the base alone.

    Parameters
    ----------
    base : mapping
        Settings as of ``rag.toml`` (`rag.config.settings.read`).
    models : mapping of str to setting, optional
        Generators by name, as `named_models` returns them.
    prompts : sequence of str
        Names or paths of prompts.

    Raises
    ------
    UsageError
        A model or a prompt occurs twice.
    ConfigError
        There is no such generator.

    Examples
    --------
    >>> made = configurations({}, named_models("haiku,sonnet"), ["a@1", "a@2"])
    >>> [each.name for each in made]
    ['haiku a@1', 'haiku a@2', 'sonnet a@1', 'sonnet a@2']
    >>> made[0].settings["generator"]
    {'use': 'claude', 'model': 'global.anthropic.claude-haiku-5-5'}
    """
    now = base.get("generator")
    generators = {name: generator_setting(value, now) for name, value in (models or {}).items()}
    _refuse_equal(generators)
    if len({*prompts}) < len(prompts):
        raise UsageError(f"of the prompts {', '.join(prompts)} two are the same: give different ones")
    made = []
    for model in generators or [""]:
        for prompt in prompts or [""]:
            settings = dict(base)
            if model:
                settings["generator"] = generators[model]
            if prompt:
                settings["prompt"] = prompt_setting(prompt, base.get("prompt"))
            made.append(Configuration(" ".join(filter(None, (model, prompt))), settings, model, prompt))
    return made


def _refuse_equal(generators: Mapping[str, Any]) -> None:
    names: list[str] = []
    for name, value in generators.items():
        same = next((other for other in names if generators[other] == value), None)
        if same is not None:
            raise UsageError(f"the models {same} and {name} are the same: leave one out")
        names.append(name)


def named_models(text: str) -> dict[str, str]:
    """Read ``NAME=MODEL,MODEL,…``; a model without a name is its own.

    Raises
    ------
    UsageError
        A name or a model is missing, or a name occurs twice.

    Examples
    --------
    >>> named_models("small=haiku,openai:gpt-5")
    {'small': 'haiku', 'openai:gpt-5': 'openai:gpt-5'}
    """
    named: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        value = value if equals else name
        if not name or not value:
            raise UsageError(f"{text!r} names no model at {part!r}: write NAME=MODEL,… or MODEL,…")
        if name in named:
            raise UsageError(f"{text!r} has the name {name} twice: give each model another one")
        named[name] = value
    return named


def generator_setting(value: Any, base: Any = None) -> Any:
    """Return the setting of a generator: a short name, a model's id, or what ``rag.toml`` takes.

    Parameters
    ----------
    value : str, mapping or object
        ``"haiku"`` and the like (`rag.bedrock.models.SHORT_NAMES`), the id or ARN of a model on Bedrock,
        ``"local"``, ``"openai:gpt-5"``, ``"module:Class"``; anything else than a string is returned as it is.
    base : str, mapping or None
        The generator that it takes the place of: if both are ``claude``, its other arguments, such as a
        guardrail, stay.

    Raises
    ------
    ConfigError
        There is no such generator.

    Examples
    --------
    >>> generator_setting("haiku", {"use": "claude", "model": "…", "guardrail": "gr1:2"})
    {'use': 'claude', 'model': 'global.anthropic.claude-haiku-5-5', 'guardrail': 'gr1:2'}
    """
    if not isinstance(value, str):
        return value
    model = SHORT_NAMES.get(value, value)
    if not _ON_BEDROCK.search(model):
        known = registry.STAGES["generator"]
        if value not in known and ":" not in value:
            raise ConfigError(f"there is no model {value!r}: {near_miss(value, [*SHORT_NAMES, *known])}")
        return base if isinstance(base, Mapping) and base.get("use") == value else value
    kept = base if isinstance(base, Mapping) and base.get("use") == "claude" else {}
    rest = {name: each for name, each in kept.items() if name not in _OF_ONE_MODEL}
    return {"use": "claude", "model": model, **rest}


def prompt_setting(name: str, base: Any = None) -> dict[str, Any]:
    """Return the setting of a prompt by its name; the folder and variables of `base` stay.

    Examples
    --------
    >>> prompt_setting("a@2", {"use": "a@1", "variables": {"company": "Kelvara"}})
    {'use': 'a@2', 'variables': {'company': 'Kelvara'}}
    """
    kept = base if isinstance(base, Mapping) else {}
    return {"use": name, **{key: value for key, value in kept.items() if key not in ("use", "variants")}}
