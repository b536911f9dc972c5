"""``[review]`` of rag.toml: which answers go to a person, and how long they are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from rag.core.errors import ConfigError
from rag.core.imports import resolve
from rag.usage.settings import Settings, checked

#: What it is called in errors.
KIND = "review queue"
_SHARE = "a share above 0 and up to 1, or a whole number n for one answer in n"
_SECONDS = "a number of seconds above 0"


class ReviewSettings(Settings):
    """When an answer is queued, and for how long; the store has settings of its own.

    Parameters
    ----------
    unsupported : bool
        Some sentence, or field of data, has no citation that supports it.
    confidence : float, optional
        The local answerer's confidence, in [0, 1], that the passages answer the question is below this
        (`rag.generation.quoting.confidence`). It judges the passages, not the answer's words, and not an
        answer that says there is none. Below 0.7 are 5 % of the answerable questions of
        ``data/golden.jsonl``, and 61 % of the others (the static embedder, the default context).
    escalated : bool
        The router asked a stronger model than the first.
    refused : bool
        The answer is that there is none.
    guardrail : bool
        A guardrail blocked or masked the answer.
    sample : float, optional
        A share in (0, 1]; from 1 on, one in so many. A hash of the question, its filter and its tenant
        decides, so that the same questions are taken every time.
    when : str, callable, or a list of them
        ``"module:function"``, called with the `Answer`: true, a reason, or a list of reasons to queue it.
    salt : str
        Another one draws another sample.
    embedder : str, mapping or Embeddings
        With which `confidence` reads the passages; the static one takes some milliseconds.
    ttl_days : float
        Days for which an item is kept, decided or not.
    wait_s : float
        The most seconds that an answer waits for the store; a slower one is written to in the background.
    """

    unsupported: bool = Field(default=False, strict=True, description="true or false")
    confidence: float | None = Field(default=None, strict=True, gt=0, le=1, description="a number in (0, 1]")
    escalated: bool = Field(default=False, strict=True, description="true or false")
    refused: bool = Field(default=False, strict=True, description="true or false")
    guardrail: bool = Field(default=False, strict=True, description="true or false")
    sample: float | None = Field(default=None, strict=True, gt=0, allow_inf_nan=False, description=_SHARE)
    when: tuple[Callable[..., Any], ...] = Field(default=(), description='"module:function", or a list')
    salt: str = Field(default="", description="a string")
    embedder: Any = "static"
    ttl_days: float = Field(default=90.0, strict=True, gt=0, allow_inf_nan=False, description="days above 0")
    wait_s: float = Field(default=0.25, strict=True, gt=0, allow_inf_nan=False, description=_SECONDS)

    @field_validator("sample")
    @classmethod
    def _whole_above_one(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError(f"it is {value!r}: write {_SHARE}")
        return value

    @field_validator("when", mode="before")
    @classmethod
    def _imported(cls, value: Any) -> Any:
        several = value if isinstance(value, list | tuple) else [value]
        return tuple(
            resolve(each, f"the {KIND}'s when") if isinstance(each, str) else each for each in several
        )

    @property
    def share(self) -> float:
        """The share of questions that are taken at random."""
        return 0.0 if self.sample is None else self.sample if self.sample <= 1 else 1 / self.sample


#: The settings that name a reason, and those where a table names none.
REASONS = ("unsupported", "confidence", "escalated", "refused", "guardrail", "sample", "when")
DEFAULT: Mapping[str, Any] = {"unsupported": True, "escalated": True, "guardrail": True}


def split(value: Any) -> tuple[Any, ReviewSettings, dict[str, Any]]:
    """Return a store's name or object (unchecked), the settings of the queue, and the store's arguments.

    Parameters
    ----------
    value : mapping, str, Path, True or ReviewStore
        ``[review]``, the name of a store, the path of a file, True for a file in the index's folder, or a
        store.

    Raises
    ------
    ConfigError
        A value is refused, or every reason is switched off.
    """
    if value is True:
        value = {}
    if isinstance(value, str | Path):
        is_path = isinstance(value, Path) or os.sep in value or (Path(value).suffix and ":" not in value)
        value = {"path": value} if is_path else {"use": value}
    if isinstance(value, int | float | list | tuple):
        raise ConfigError(f"the {KIND} is a table of settings, a name or the path of a file, not {value!r}")
    if not isinstance(value, Mapping):
        value = {"use": value}
    own = ReviewSettings.model_fields
    kept = {name: each for name, each in value.items() if name in own}
    if not any(name in kept for name in REASONS):
        kept |= DEFAULT
    arguments = {name: each for name, each in value.items() if name not in own}
    use = arguments.pop("use", "sqlite")
    settings = checked(ReviewSettings, kept, f"the {KIND}")
    if not any(getattr(settings, name) for name in REASONS):
        raise ConfigError(f"the {KIND} queues nothing: switch on one of {', '.join(REASONS)}")
    return use, settings, arguments
