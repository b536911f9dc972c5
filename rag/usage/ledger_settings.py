"""``[ledger]`` of rag.toml, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, field_validator

from rag.core.errors import ConfigError, near_miss
from rag.core.imports import resolve
from rag.usage.budget import Budget, Hook, Per
from rag.usage.settings import Dollars, Settings, checked


class LedgerSettings(Settings):
    """``[ledger]``; without a path every index has a ledger in its folder."""

    path: Path | None = Field(None, description="a string")
    tag: str = Field("", description="a string")
    warn_usd: tuple[Dollars, ...] = Field((), description="a number of dollars from 0, or a list of them")
    stop_usd: Dollars | None = Field(None, description="a number of dollars from 0")
    per: Per = Field("day")
    on_budget: str | Callable[..., Any] | None = Field(None, description='"module:function"')

    @field_validator("warn_usd", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)

    @field_validator("warn_usd")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    @field_validator("per", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value not in get_args(Per):
            raise ValueError(f"it is {value!r}: {near_miss(str(value), get_args(Per))}")
        return value

    @field_validator("on_budget")
    @classmethod
    def _imported(cls, value: Any) -> Any:
        hook_of(value)  # a ConfigError passes through pydantic as it is
        return value

    @property
    def budget(self) -> Budget:
        """The budget of the account."""
        return Budget(self.warn_usd, self.stop_usd, self.per, self.tag)


def hook_of(value: str | Hook | None) -> Hook | None:
    """Return the function that ``"module:function"`` names.

    Raises
    ------
    ConfigError
        It cannot be imported or called.
    """
    return resolve(value, "the ledger's on_budget") if isinstance(value, str) else value


def name_of(folder: Path) -> str:
    """Return an index's name in a ledger: that of its folder."""
    return folder.resolve().name


def settings(value: Any) -> LedgerSettings:
    """Check ``[ledger]``.

    Parameters
    ----------
    value : mapping, str, Path, LedgerSettings or None
        Settings as in `rag.usage.budget`, or the path alone.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.
    """
    if isinstance(value, LedgerSettings):
        return value
    if value is not None and not isinstance(value, str | Path | Mapping):
        raise ConfigError(f"the ledger is a table of settings, or the path of a file, not {value!r}")
    table = value if isinstance(value, Mapping) else {} if value is None else {"path": value}
    return checked(LedgerSettings, table, "the ledger")
