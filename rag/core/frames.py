"""Records as a table of pandas, which is imported when it is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rag.core.extras import require

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Return rows as a DataFrame; a key that a row lacks is missing there.

    Parameters
    ----------
    rows : iterable of mapping
    columns : iterable of str, optional
        The columns, which are there without a row, too.

    Raises
    ------
    MissingExtraError
        pandas is not installed.

    Examples
    --------
    >>> frame([{"source": "a.md", "score": 2.5}, {"source": "b.md"}])["score"].isna().tolist()
    [False, True]
    """
    pandas: Any = require("pandas", extra="notebook")
    made: pd.DataFrame = pandas.DataFrame(list(rows), columns=None if columns is None else list(columns))
    return made
