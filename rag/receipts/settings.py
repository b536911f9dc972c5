"""``[receipts]`` of rag.toml: where receipts are kept, and for how long."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rag.core.errors import ConfigError
from rag.usage.settings import Settings, checked


class ReceiptSettings(Settings):
    """Where receipts are kept.

    Attributes
    ----------
    path : str
        A SQLite file; by default ``receipts.sqlite`` in the index's folder.
    keep_text : bool
        Whether a receipt has the answer's text; else it has its hash alone. It always has the question.
    days : float
        For how long a receipt is kept.
    """

    path: str = Field(default="", description="the path of a file")
    keep_text: bool = Field(default=True, strict=True, description="true or false")
    days: float = Field(default=90.0, gt=0, description="a number of days above 0")


def settings(value: Any) -> ReceiptSettings:
    """Return the settings of receipts; True is the file in the index's folder, a text the path of a file.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.
    """
    if value is True:
        value = {}
    elif isinstance(value, str | os.PathLike):
        value = {"path": str(value)}
    if not isinstance(value, Mapping):
        raise ConfigError("receipts is a table, a path, or true")
    return checked(ReceiptSettings, value, "receipts")
