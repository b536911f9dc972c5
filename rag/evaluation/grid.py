"""Combine settings of ``rag.toml`` into a grid, and check every combination before a build."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.config import registry, stages
from rag.core import embedders
from rag.core.errors import ConfigError, near_miss
from rag.evaluation.configurations import generator_setting, prompt_setting

#: Stages whose settings affect the measurements; those that affect the index come first.
INDEXING = ("loader", "chunker", "embedder")
STAGES = (*INDEXING, "retriever", "trimmer")
#: Stages whose settings affect answers alone.
ANSWERING = ("prompt", "generator")

#: A setting's name, such as ``"chunker.max_tokens"``, and the values to try.
Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination of settings.

    Attributes
    ----------
    name : str
        The varying settings: ``"chunker.max_tokens=48 trimmer.strategy=chunks"``.
    chosen : mapping
        The value of each setting in the grid.
    stages : mapping
        The argument of `rag.config.stages.stage`, by stage (`STAGES`; where answers are measured those of
        `ANSWERING`, too, None for the default).
    """

    name: str
    chosen: Mapping[str, Any]
    stages: Mapping[str, Any]

    @property
    def index(self) -> str:
        """The folder name of the index; equal for all settings with the same index."""
        plain = json.dumps({kind: self.stages[kind] for kind in INDEXING}, sort_keys=True, default=_named)
        return "index-" + hashlib.blake2b(plain.encode(), digest_size=5).hexdigest()


def settings(grid: Grid, base: Mapping[str, Any] | None = None, *, answers: bool = False) -> list[Setting]:
    """Return every combination, beginning with the first values.

    Parameters
    ----------
    grid : mapping of str to sequence
        Plain values: strings, numbers, booleans, lists of them. If a stage's `use` differs from that
        of `base`, the stage's other arguments in `base` are dropped: they belong to another class.
    base : mapping, optional
        The fixed settings, as in ``rag.toml`` (`rag.config.settings.read`).
    answers : bool
        Whether answers are measured, so that prompt and generator may vary. ``generator.model`` takes what
        `rag.evaluation.configurations.generator_setting` does.

    Raises
    ------
    ConfigError
        A stage, name or argument does not exist, or a value is invalid.

    Examples
    --------
    >>> [setting.name for setting in settings({"retriever.k": [16, 48]})]
    ['retriever.k=16', 'retriever.k=48']
    """
    for name, values in grid.items():
        _check(name, values, answers)
    for kind in base or {}:
        if kind not in registry.STAGES:
            raise ConfigError(f"there is no stage {kind!r}: {near_miss(kind, registry.STAGES)}")
    varying = [name for name, values in grid.items() if len(values) > 1] or list(grid)
    combinations = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        name = " ".join(f"{key}={_shown(chosen[key])}" for key in varying) or "as given"
        stages = {kind: _stage(kind, (base or {}).get(kind), chosen) for kind in STAGES}
        if answers:
            stages |= {kind: _answering(kind, (base or {}).get(kind), chosen) for kind in ANSWERING}
        combinations.append(Setting(name, chosen, stages))
    for kind, value in _distinct(combinations):
        _try(kind, value)
    return combinations


def _check(name: str, values: Any, answers: bool) -> None:
    kind, dot, argument = name.partition(".")
    if kind in ANSWERING and not answers:
        raise ConfigError(
            f"{name}: a sweep does not measure the {kind}: measure answers, with --answers, or leave it out"
        )
    if kind not in registry.STAGES:
        raise ConfigError(f"{name}: there is no stage {kind!r}: {near_miss(kind, registry.STAGES)}")
    if not dot or not argument:
        raise ConfigError(f"{name} is a stage, not a setting: write {kind}.use, for example")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"{name}: give a list of values to try, not {values!r}")
    shown = [_shown(value) for value in values]
    if len(set(shown)) < len(shown):
        raise ConfigError(f"{name}: {', '.join(shown)} repeats a value: leave one out")


def _stage(kind: str, base: Any, chosen: Mapping[str, Any]) -> Any:
    varied = {key.partition(".")[2]: value for key, value in chosen.items() if key.startswith(f"{kind}.")}
    default = next(iter(registry.STAGES[kind]))
    if base is not None and not isinstance(base, str | Mapping):  # a ready object
        if varied and "use" not in varied:
            raise ConfigError(f"the {kind} is an object: only {kind}.use can be varied, not its arguments")
        base = base if not varied else default
    if base is not None and not isinstance(base, str | Mapping):
        return base
    fixed = {"use": base} if isinstance(base, str) else dict(base or {})
    fixed.setdefault("use", default)
    if varied.get("use", fixed["use"]) != fixed["use"]:
        fixed = {}
    return {**fixed, **varied}


def _answering(kind: str, base: Any, chosen: Mapping[str, Any]) -> Any:
    """Return the setting of the prompt or the generator; without a varied one that of the base."""
    varied = {key.partition(".")[2]: value for key, value in chosen.items() if key.startswith(f"{kind}.")}
    if not varied:
        return base
    if kind == "generator" and "model" in varied and "use" not in varied:
        made = generator_setting(varied.pop("model"), base)
    elif kind == "prompt" and "use" in varied:
        made = prompt_setting(varied.pop("use"), base)
    else:
        return _stage(kind, base, chosen)
    return {**({"use": made} if isinstance(made, str) else made), **varied}


def _distinct(combinations: Sequence[Setting]) -> Iterator[tuple[str, Any]]:
    seen = set()
    for setting in combinations:
        for kind, value in setting.stages.items():
            key = (kind, json.dumps(value, sort_keys=True, default=_named))
            if key not in seen:
                seen.add(key)
                yield kind, value


def _try(kind: str, value: Any) -> None:
    """Refuse wrong names and arguments and, for stages that are cheap to construct, wrong values."""
    if not isinstance(value, Mapping):
        return
    try:
        registry.check(kind, value)
        if kind in ("chunker", "trimmer", "retriever") and registry.is_builtin(kind, value):
            if kind == "trimmer":
                stages.trimmer(value, None)
            else:
                stages.retriever(value, None) if kind == "retriever" else stages.stage(kind, value)
    except ConfigError as error:
        shown = ", ".join(f"{kind}.{name}={_shown(setting)}" for name, setting in value.items())
        raise ConfigError(f"{shown}: {error}") from None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _named(value: Any) -> str:
    """Name an object by what it contributes to an index."""
    fingerprint = getattr(value, "fingerprint", None)
    if isinstance(fingerprint, str):
        return fingerprint
    return embedders.fingerprint(value) if hasattr(value, "embed_query") else repr(type(value))
