"""Open the map of an index."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rag.core.arguments import text, whole
from rag.core.extras import ensure
from rag.notebook.map.model import ChunkMap

if TYPE_CHECKING:
    from rag.notebook.map.widget import MapWidget


def chunk_map(index: Any, color: str | None = None, question: str = "", *, k: int = 8) -> MapWidget:
    """Show an index's chunks in a notebook as points, near each other where their vectors are.

    The two axes are the vectors' principal components: they show how the whole is laid out, and much of what
    separates single chunks is not in them; `MapWidget.model.axes.spread` says how much is.

    Parameters
    ----------
    index : Pipeline, Index, str or Path
    color : str, optional
        A field: its most frequent values have colours.
    question : str
        Shown as a star, with its hits ringed.
    k : int
        How many hits.

    Returns
    -------
    MapWidget
        Shown where it stands last in a cell. After a selection, by a lasso or in the legend, `selected` has
        the chunks, and `where` a filter of them.

    Raises
    ------
    MissingExtraError
        The extra ``notebook`` is not installed.
    UsageError
        There is no such field, or the index is empty.

    Examples
    --------
    >>> m = rag.chunk_map("indexes/handbook", "department", "parental leave")   # doctest: +SKIP
    >>> index.search("leave", where=m.where)                                 # doctest: +SKIP
    """
    ensure("anywidget", extra="notebook")
    model = model_of(index, color, question, k=k)
    from rag.notebook.map.widget import MapWidget

    return MapWidget(model)


def model_of(index: Any, color: str | None = None, question: str = "", *, k: int = 8) -> ChunkMap:
    """Return what the map does, without a browser; the parameters are those of `chunk_map`."""
    # By name, as `rag.config.registry` finds stages: imports would be longer by all of the pipeline's.
    pipeline = import_module("rag.pipeline").Pipeline
    pipe = index if isinstance(index, pipeline) else pipeline(index)
    return ChunkMap(pipe, color=color, question=text("the question", question), k=whole("k", k))
