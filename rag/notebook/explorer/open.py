"""Open the explorer on an index or a pipeline."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.errors import UsageError
from rag.core.extras import ensure
from rag.notebook.explorer.messages import Settings, settings_of
from rag.notebook.explorer.model import Explorer
from rag.retrieval.search import HybridSearch

if TYPE_CHECKING:
    from rag.notebook.explorer.widget import ExplorerWidget


def explore(
    index: Any,
    question: str = "",
    *,
    where: Any = None,
    k: int | None = None,
    mode: str | None = None,
    budget: int | None = None,
    golden: str | Path | None = None,
) -> ExplorerWidget:
    """Show an index in a notebook, to try questions, filters and settings, two of them side by side.

    Answers come from the pipeline's generator if it is free of charge, else from the local answerer; a model
    that is paid for is asked by a button that names its price. Nothing is asked for outside this machine.

    Parameters
    ----------
    index : Pipeline, Index, str or Path
    question : str
        Asked at first.
    where : Where, str or dict, optional
        The filter at first, in any notation.
    k : int, optional
        How many passages to retrieve; by default as many as the budget needs.
    mode : {"hybrid", "dense", "lexical"}, optional
        By default the retriever's.
    budget : int, optional
        The most that the context may hold, in the trimmer's unit.
    golden : str or Path, optional
        A JSON-lines file, to which questions with their evidence can be added as drafts.

    Returns
    -------
    ExplorerWidget
        Shown where it stands last in a cell; `hits`, `context`, `answer` and `where` are those that it shows.

    Raises
    ------
    MissingExtraError
        The extra ``notebook`` is not installed.
    UsageError
        An argument is wrong.

    Examples
    --------
    >>> rag.explore("indexes/handbook", "Who may declare a SEV-1?")         # doctest: +SKIP
    """
    ensure("anywidget", extra="notebook")
    model = model_of(
        index, question, where=where, k=k, mode=mode, budget=budget, golden=golden
    )  # fmt: skip
    from rag.notebook.explorer.widget import ExplorerWidget

    return ExplorerWidget(model)


def model_of(index: Any, question: str = "", *, golden: str | Path | None = None, **first: Any) -> Explorer:
    """Return what the explorer does, without a browser; the parameters are those of `explore`."""
    if golden is not None and not isinstance(golden, str | Path):
        raise UsageError(f"golden is {golden!r}: write the path of a JSON-lines file")
    # By name, as `rag.config.registry` finds stages: imports would be longer by all of the pipeline's.
    pipeline = import_module("rag.pipeline").Pipeline
    pipe = index if isinstance(index, pipeline) else pipeline(index)
    own, trimmer = pipe.retriever, pipe.trimmer
    where = first.pop("where", None)
    bound = None if where is None else pipe.index.check(where)
    values = {name: value for name, value in first.items() if value is not None}
    if "mode" not in values and isinstance(own, HybridSearch):
        values["mode"] = own.mode
    unit = getattr(trimmer, "unit", "chars")
    settings: Settings = settings_of(
        {"question": question, "where": "" if bound is None else bound.to_string(), "unit": unit, **values}
    )
    return Explorer(pipe, golden=golden, settings=settings)
