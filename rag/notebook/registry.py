"""Which display shows which class, imported when it is first wanted."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rag.notebook.display import Display

#: Displays of this room by the class that they show; a subclass is shown as the nearest of its bases.
DISPLAYS = {
    "rag.answer_batches.report.AnswerReport": "reports.RecordDisplay",
    "rag.bedrock.guardrails.plan.Plan": "reports.RecordDisplay",
    "rag.bedrock.knowledge_bases.control.KnowledgeBase": "reports.RecordDisplay",
    "rag.bedrock.knowledge_bases.ingestion.Ingestion": "reports.RecordDisplay",
    "rag.bedrock.knowledge_bases.upload.UploadPlan": "reports.RecordDisplay",
    "rag.building.report.BuildPlan": "building.PlanDisplay",
    "rag.building.report.BuildReport": "building.ReportDisplay",
    "rag.building.upgrade.UpgradeReport": "reports.RecordDisplay",
    "rag.chunking.cuts.Cuts": "cuts.CutsDisplay",
    "rag.client.client.Client": "conversations.ClientDisplay",
    "rag.conversation.chat.Chat": "conversations.ChatDisplay",
    "rag.core.answers.Answer": "answers.AnswerDisplay",
    "rag.core.calls.Usage": "costs.UsageDisplay",
    "rag.core.citations.Citation": "citations.CitationDisplay",
    "rag.core.passages.Context": "contexts.ContextDisplay",
    "rag.core.passages.Hit": "hits.HitDisplay",
    "rag.embedding.cache.CacheInfo": "reports.RecordDisplay",
    "rag.erasure.report.Forgotten": "reports.RecordDisplay",
    "rag.evaluation.answer_plan.AnswersPlan": "reports.RecordDisplay",
    "rag.evaluation.answer_sweep.AnswerSweep": "reports.AnswerSweepDisplay",
    "rag.evaluation.answers.AnswersEvaluation": "evaluations.AnswersDisplay",
    "rag.evaluation.answers_compared.AnswersCompared": "reports.ComparedDisplay",
    "rag.evaluation.differences.Comparison": "evaluations.ComparisonDisplay",
    "rag.evaluation.evaluate.Evaluation": "evaluations.EvaluationDisplay",
    "rag.evaluation.gate.Gate": "reports.GateDisplay",
    "rag.evaluation.golden_check.GoldenCheck": "reports.TablesDisplay",
    "rag.evaluation.judging.calibration.Calibration": "reports.TablesDisplay",
    "rag.evaluation.judging.pairs.Pairs": "reports.TablesDisplay",
    "rag.evaluation.learn_routes.Learned": "reports.LearnedDisplay",
    "rag.evaluation.sweep.Sweep": "evaluations.SweepDisplay",
    "rag.generation.prompt.Prompt": "prompts.PromptDisplay",
    "rag.index.filters.where.Where": "filters.FilterDisplay",
    "rag.index.index.Index": "indexes.IndexDisplay",
    "rag.index.maintenance.Diff": "stores.DiffDisplay",
    "rag.index.maintenance.Store": "stores.StoreDisplay",
    "rag.index.maintenance.Version": "reports.RecordDisplay",
    "rag.index.remote.transfer.Transfer": "reports.RecordDisplay",
    "rag.index.search.results.Hits": "hits.HitsDisplay",
    "rag.index.search.results.SearchPlan": "searches.SearchPlanDisplay",
    "rag.index.storage.verify.Verification": "reports.RecordDisplay",
    "rag.pipeline.Pipeline": "pipelines.PipelineDisplay",
    "rag.receipts.replay.Replay": "reports.RecordDisplay",
    "rag.retrieval.explain.Explanation": "explanations.ExplanationDisplay",
    "rag.review.records.Decision": "reports.RecordDisplay",
    "rag.review.records.Item": "reports.RecordDisplay",
    "rag.review.statistics.Decided": "reports.RecordDisplay",
    "rag.telemetry.dashboard.Dashboard": "reports.TablesDisplay",
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
