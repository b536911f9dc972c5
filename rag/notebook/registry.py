"""Which display shows which class, imported when it is first wanted."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rag.notebook.display import Display

#: Displays of this room by the class that they show; a subclass is shown as the nearest of its bases.
DISPLAYS = {
    "rag.building.report.BuildPlan": "building.PlanDisplay",
    "rag.building.report.BuildReport": "building.ReportDisplay",
    "rag.chunking.cuts.Cuts": "cuts.CutsDisplay",
    "rag.client.client.Client": "conversations.ClientDisplay",
    "rag.conversation.chat.Chat": "conversations.ChatDisplay",
    "rag.core.answers.Answer": "answers.AnswerDisplay",
    "rag.core.calls.Usage": "costs.UsageDisplay",
    "rag.core.citations.Citation": "citations.CitationDisplay",
    "rag.core.passages.Context": "contexts.ContextDisplay",
    "rag.core.passages.Hit": "hits.HitDisplay",
    "rag.evaluation.answers.AnswersEvaluation": "evaluations.AnswersDisplay",
    "rag.evaluation.differences.Comparison": "evaluations.ComparisonDisplay",
    "rag.evaluation.evaluate.Evaluation": "evaluations.EvaluationDisplay",
    "rag.evaluation.sweep.Sweep": "evaluations.SweepDisplay",
    "rag.generation.prompt.Prompt": "prompts.PromptDisplay",
    "rag.index.filters.where.Where": "filters.FilterDisplay",
    "rag.index.index.Index": "indexes.IndexDisplay",
    "rag.index.maintenance.Diff": "stores.DiffDisplay",
    "rag.index.maintenance.Store": "stores.StoreDisplay",
    "rag.index.search.results.Hits": "hits.HitsDisplay",
    "rag.index.search.results.SearchPlan": "searches.SearchPlanDisplay",
    "rag.pipeline.Pipeline": "pipelines.PipelineDisplay",
    "rag.retrieval.explain.Explanation": "explanations.ExplanationDisplay",
    "rag.usage.ledger.Ledger": "costs.LedgerDisplay",
}


def display_of(value: Any) -> Display:
    """Return what shows an object.

    Raises
    ------
    LookupError
        No display is for its class.
    """
    for kind in type(value).__mro__:
        name = DISPLAYS.get(f"{kind.__module__}.{kind.__qualname__}")
        if name is not None:
            module, _, display = name.partition(".")
            made: Display = getattr(import_module(f"rag.notebook.{module}"), display)(value)
            return made
    raise LookupError(f"no display is for {type(value).__qualname__}")
