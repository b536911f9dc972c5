"""A grid over the settings of ``rag.toml``: every combination, checked before anything is built."""

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

#: Stages whose settings can change what is measured; those of an index come first.
INDEXING = ("loader", "chunker", "embedder")
STAGES = (*INDEXING, "retriever", "trimmer")

#: A setting's name, such as ``"chunker.max_tokens"``, and the values to try.
Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination.

    Attributes
    ----------
    name : str
        What it has of the settings that vary: ``"chunker.max_tokens=48 trimmer.strategy=chunks"``.
    chosen : mapping
        The value of each setting in the grid.
    stages : mapping
        For each of `STAGES` what `rag.config.stages.stage` takes.
    """

    name: str
    chosen: Mapping[str, Any]
    stages: Mapping[str, Any]

    @property
    def index(self) -> str:
        """A folder's name, the same for all settings that lead to the same index."""
        plain = json.dumps({kind: self.stages[kind] for kind in INDEXING}, sort_keys=True, default=_named)
        return "index-" + hashlib.blake2b(plain.encode(), digest_size=5).hexdigest()


def settings(grid: Grid, base: Mapping[str, Any] | None = None) -> list[Setting]:
    """Return every combination, the first values first.

    Parameters
    ----------
    grid : mapping of str to sequence
        Plain values: strings, numbers, booleans, lists of them. A stage's `use` that is not the
        base's drops the base's other arguments of that stage: they were another class's.
    base : mapping, optional
        What does not vary, as in ``rag.toml`` (`rag.config.settings.read`).

    Raises
    ------
    ConfigError
        There is no such stage, name or argument; an argument's value is refused.

    Examples
    --------
    >>> [setting.name for setting in settings({"retriever.k": [16, 48]})]
    ['retriever.k=16', 'retriever.k=48']
    """
    for name, values in grid.items():
        _check(name, values)
    for kind in base or {}:
        if kind not in registry.STAGES:
            raise ConfigError(f"there is no stage {kind!r}: {near_miss(kind, registry.STAGES)}")
    varying = [name for name, values in grid.items() if len(values) > 1] or list(grid)
    out = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        name = " ".join(f"{key}={_shown(chosen[key])}" for key in varying) or "as given"
        stages = {kind: _stage(kind, (base or {}).get(kind), chosen) for kind in STAGES}
        out.append(Setting(name, chosen, stages))
    for kind, value in _distinct(out):
        _try(kind, value)
    return out


def _check(name: str, values: Any) -> None:
    kind, dot, argument = name.partition(".")
    if kind in registry.STAGES and kind not in STAGES:
        raise ConfigError(f"{name}: the {kind} changes nothing that a sweep measures: leave it out")
    if kind not in STAGES:
        raise ConfigError(f"{name}: there is no stage {kind!r}: {near_miss(kind, STAGES)}")
    if not dot or not argument:
        raise ConfigError(f"{name} names a stage: write a setting of it, e.g. {kind}.use")
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"{name}: give a list of values to try, not {values!r}")
    shown = [_shown(value) for value in values]
    if len(set(shown)) < len(shown):
        raise ConfigError(f"{name}: a value is there twice in {', '.join(shown)}: leave one out")


def _stage(kind: str, base: Any, chosen: Mapping[str, Any]) -> Any:
    own = {key.partition(".")[2]: value for key, value in chosen.items() if key.startswith(f"{kind}.")}
    default = next(iter(registry.STAGES[kind]))
    if base is not None and not isinstance(base, str | Mapping):  # an object, as it is
        if own and "use" not in own:
            raise ConfigError(f"the {kind} is an object: only {kind}.use can be varied, not its arguments")
        base = base if not own else default
    if base is not None and not isinstance(base, str | Mapping):
        return base
    held = {"use": base} if isinstance(base, str) else dict(base or {})
    held.setdefault("use", default)
    if own.get("use", held["use"]) != held["use"]:
        held = {}
    return {**held, **own}


def _distinct(found: Sequence[Setting]) -> Iterator[tuple[str, Any]]:
    seen = set()
    for setting in found:
        for kind, value in setting.stages.items():
            key = (kind, json.dumps(value, sort_keys=True, default=_named))
            if key not in seen:
                seen.add(key)
                yield kind, value


def _try(kind: str, value: Any) -> None:
    """Refuse wrong names, arguments and, where a stage is cheap to make, values."""
    if not isinstance(value, Mapping):
        return
    try:
        registry.check(kind, value)
        if kind in ("chunker", "trimmer", "retriever") and registry.is_own(kind, value):
            if kind == "trimmer":
                stages.trimmer(value, None)
            else:
                stages.stage(kind, value, **({"index": None} if kind == "retriever" else {}))
    except ConfigError as error:
        shown = ", ".join(f"{kind}.{name}={_shown(each)}" for name, each in value.items())
        raise ConfigError(f"{shown}: {error}") from None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _named(value: Any) -> str:
    """Name an object, as far as it decides what is in an index."""
    own = getattr(value, "fingerprint", None)
    if isinstance(own, str):
        return own
    return embedders.fingerprint(value) if hasattr(value, "embed_query") else repr(type(value))
