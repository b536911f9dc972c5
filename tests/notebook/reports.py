"""One object of each report that shows itself, with one text wherever it holds a text."""

from __future__ import annotations

from typing import Any

from rag.answer_batches.report import AnswerReport
from rag.bedrock.guardrails.changes import Change
from rag.bedrock.guardrails.plan import Plan
from rag.bedrock.knowledge_bases.control import DataSource, KnowledgeBase
from rag.bedrock.knowledge_bases.ingestion import Ingestion
from rag.bedrock.knowledge_bases.upload import Item as UploadItem
from rag.bedrock.knowledge_bases.upload import UploadPlan
from rag.building.upgrade import UpgradeReport
from rag.core.files import Quarantined
from rag.embedding.cache import CacheInfo
from rag.erasure.report import Forgotten, Kept, Remnant
from rag.evaluation.answer_plan import AnswersPlan
from rag.evaluation.gate import Gate, Limit, Lost, PairedTest
from rag.evaluation.golden_check import GoldenCheck
from rag.evaluation.golden_rules import Finding
from rag.evaluation.judging.agreement import Kappa
from rag.evaluation.judging.biases import Bias
from rag.evaluation.judging.calibration import Calibration
from rag.evaluation.judging.pairs import Pair, Pairs
from rag.evaluation.statistics import Estimate
from rag.index.maintenance import Version
from rag.index.remote.transfer import Transfer
from rag.index.storage.verify import Verification
from rag.receipts.replay import Replay
from rag.review.records import Decision, Item, Reason
from rag.review.statistics import Decided
from rag.telemetry.dashboard import Dashboard


def reports(text: str) -> list[Any]:
    """Return a report of each kind."""
    mean = Estimate(0.71, 0.64, 0.78, 229)
    lost = Lost(text, text, text, text, (text,))
    kappa = Kappa(0.71, 0.58, 0.84, 0.9, 0.5, 120)
    decision = Decision("corrected", text, 1_795_615_380.0, text, text)
    board = Dashboard()
    board.add({
        "time": "2026-11-27T06:00:00Z", "outcome": text, "error": text, "seconds": {"total": 0.3}, "usd": 0.01,
        "tokens": {"input": 3, "output": 4, "cache_read": 0, "cache_write": 0}, "tag": text,
    }, ["tag"])  # fmt: skip
    return [
        AnswerReport(True, (text, 2), (), (text,), 0.5, None),
        Plan(text, text, text, text, text, (Change(text, text, None),), (Change(text, None, text),), "1", "2"),
        KnowledgeBase(text, text, text, text, text, (DataSource(text, text, text, text),), (text,)),
        Ingestion(text, text, 9, 8, 7, failures=(text,)),
        UploadPlan((UploadItem(text, text, b"x", text, text, True),), 3, (text,), (text,), (Quarantined(text, text, text),), (text,)),
        UpgradeReport(text, 4, 1, 3, 12_345, 9, 1.5, (text,)), CacheInfo(text, 12_345, 11, {text: (11, 12_000)}),
        Forgotten(text, (text,), 34, 56, 7, (1, 2), {1: text}, (Kept(text, text, 2),), (text,), (Remnant(text, text),), (text,), (text,), 2.0, True),
        AnswersPlan(text, 289, 3, 1000, 2000, 0.5, None, (text,)),
        Gate(text, 3, (Limit(text, 0.8, True, mean), Limit(text, 0.8, True, None)), (PairedTest(text, mean, 0.01, 0.05, 0.02),), (lost,), (lost,), (text,), (text,)),
        Gate(text, 3, (Limit(text, 0.5, True, mean),), (), ()),
        GoldenCheck((Finding("error", text, text, 3, text, text, text),), 40, 2, 1, text),
        Calibration(text, text, kappa, kappa, (False, True), ((5, 1), (2, 9)), (Bias(text, True, text),), 1, 2),
        Pairs(text, text, text, (Pair(text, "a", "first", "second", text),), {text: text}),
        Transfer("push", text, text, 3, 3, 10, 4_800_000, 1, 2, 1.2, notes=(text,)),
        Verification(3, 10, 4_800_000, 2358, (text,), (text,), text), Version(3, text, text, 78, 2358, 1, True, text, True),
        Replay(text, (text,), (text,), None), decision,
        Item(text, 1_795_615_380.0, text, text, text, text, text, text, (Reason(text, text),), text, 3, text, text, text, text, True, 0.5, 0.01, text, (decision,)),
        Decided(text, 1, 2, 3, 4), board,
    ]  # fmt: skip
