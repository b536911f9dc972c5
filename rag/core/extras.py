"""What a lean install leaves out: the packages of each extra, imported or named in one line.

``pip install bedrock-rag`` reads text, Markdown, HTML, PDF, Office files, mail, books and data, and asks
models on this machine or on Bedrock. The rest is one extra each, and an error names it.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rag.core.errors import MissingExtraError

_REASON = "needs the Python module {}, which is not installed"
_NEEDED = re.compile(re.escape(_REASON).replace(r"\{\}", r"([\w.]+)"))


def require(module: str, *, extra: str) -> Any:
    """Import a module that comes with an extra.

    Parameters
    ----------
    module : str
        E.g. ``"msoffcrypto.format.ooxml"``.
    extra : str
        As ``pyproject.toml`` names it, e.g. ``"office"``.

    Raises
    ------
    MissingExtraError
        The module, or one that it imports, is not installed. A module that is there and broken raises
        what it raises.

    Examples
    --------
    >>> olefile = require("olefile", extra="office")                       # doctest: +SKIP
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(error.name or module, extra) from None


def ensure(module: str, *, extra: str) -> None:
    """Check for a module that comes with an extra, without importing it.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    if not installed(module):
        raise _missing(module, extra)


def installed(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def can_be_read_now(reason: str) -> bool:
    """Tell whether a file was quarantined for want of a module that is there by now.

    Parameters
    ----------
    reason : str
        Of the quarantine; False for any but that of a `MissingExtraError`.
    """
    needed = _NEEDED.search(reason)
    return needed is not None and installed(needed[1])


def _missing(module: str, extra: str) -> MissingExtraError:
    return MissingExtraError(_REASON.format(module), f"pip install 'bedrock-rag[{extra}]'")
