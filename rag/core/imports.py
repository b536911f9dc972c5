"""Import what a setting names as ``module:name``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from rag.core.errors import ConfigError, RagError, near_miss


def resolve(name: str, what: str) -> Callable[..., Any]:
    """Import the function or class that ``module:name`` names.

    Parameters
    ----------
    name : str
    what : str
        The setting that holds the name; it begins the error, e.g. ``"the ledger's on_budget"``.

    Raises
    ------
    ConfigError
        The name has another form, its module cannot be imported (for whatever reason), the module
        lacks the name (the nearest one is suggested), or it is not callable.

    Examples
    --------
    >>> resolve("math:sqrt", "the function")(9)
    3.0
    >>> resolve("math:sqtr", "the function")
    Traceback (most recent call last):
        ...
    rag.core.errors.ConfigError: the function: 'math' has no 'sqtr': did you mean 'sqrt'?
    """
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute.isidentifier():
        raise ConfigError(f'{what}: write "module:name", not {name!r}')
    try:
        home = import_module(module)
    except RagError:  # it says already what to do, e.g. which extra to install
        raise
    except Exception as error:  # a user's module may raise anything
        reason = " ".join(str(error).split())
        raise ConfigError(f"{what}: cannot import {module!r}: {type(error).__name__}: {reason}") from error
    if not hasattr(home, attribute):
        raise ConfigError(f"{what}: {module!r} has no {attribute!r}: {near_miss(attribute, dir(home))}")
    value = getattr(home, attribute)
    if not callable(value):
        raise ConfigError(f"{what}: {name!r} is neither a function nor a class")
    return value  # type: ignore[no-any-return]
