"""Settings that know where they were written, so that an error about them says so."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from rag.core.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


class Table(dict[str, Any]):
    """A table of ``rag.toml``; `where` names the file and the table."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        super().__init__(values)
        self.where = where


def located(make: Callable[P, T]) -> Callable[P, T]:
    """Let a function that makes a stage name the table it was given in what it finds wrong.

    Examples
    --------
    >>> @located
    ... def size(table):
    ...     raise ConfigError("the size is missing")
    >>> size(Table({}, "rag.toml, [loader]"))
    Traceback (most recent call last):
        ...
    rag.core.errors.ConfigError: rag.toml, [loader]: the size is missing
    """

    @functools.wraps(make)
    def made(*args: P.args, **named: P.kwargs) -> T:
        try:
            return make(*args, **named)
        except ConfigError as error:
            where = next((each.where for each in args if isinstance(each, Table)), None)
            if where is None:
                raise
            raise ConfigError(f"{where}: {error}") from error

    return made
