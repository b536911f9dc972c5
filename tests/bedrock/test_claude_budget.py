"""Claude against the emulator: budgets, the ledger and fallbacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import rag
from rag.config import stages
from rag.core.errors import BudgetError, ConfigError, GenerationError
from rag.emulator import Emulator
from rag.usage.ledger import Ledger
from tests.bedrock.claude_calls import (
    HAIKU,
    QUESTION,
    SONNET,
)


def test_budget(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """A budget warns, then refuses before the call."""
    (note,) = pipe(ledger={"warn_usd": 0.001}).ask(QUESTION).notes
    assert note.endswith("above warn_usd ($0.0010)")
    emulator.counts.clear()
    with pytest.raises(
        BudgetError, match=r"above stop_usd \(\$0.0100\) in .*: wait for tomorrow .*raise stop_usd"
    ):
        pipe(ledger={"stop_usd": 0.01}).ask(QUESTION)
    assert emulator.counts == {}


def test_local_is_free(pipe: Callable[..., rag.Pipeline], tmp_path: Path) -> None:
    """Local answers cost nothing and create no ledger."""
    assert pipe("local", ledger={"stop_usd": 0.0}).ask(QUESTION).usage.cost_usd == 0.0
    assert not (tmp_path / "ledger.sqlite").exists()


def test_failed_answer_cost(emulator: Emulator, built: Path, tmp_path: Path) -> None:
    """The ledger holds the cost of a question that no model answers, but not of a refused call."""
    rag.build(built / "docs", tmp_path / "ix", embedder="titan")
    ledger = Ledger(tmp_path / "mine.sqlite")
    pipe = rag.Pipeline(tmp_path / "ix", embedder="titan", generator="claude", ledger=ledger.path)
    emulator.fail_next("AccessDeniedException")
    # The embedding of the question is the next call.
    with pytest.raises(Exception, match="AccessDenied"):
        pipe.ask(QUESTION)
    assert ledger.rows() == []
    emulator.fail_next("ModelStreamErrorException", moment="stream")
    with pytest.raises(GenerationError, match="the answer is cut here"):
        pipe.ask(QUESTION)
    # The cut answer counts, too: its tokens are not known, so its cost is estimated.
    assert sorted(row.group for row in ledger.rows(("purpose",))) == [("embed",), ("generate",)]


FALLBACK = ["global.anthropic.claude-haiku-5-5", "local"]


def test_fallback_price(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """A fallback that answers is named, priced and recorded."""
    pipeline = pipe({"use": "claude", "fallback": FALLBACK, "retry": {"attempts": 1}}, ledger={"stop_usd": 1})
    emulator.fail_next("ThrottlingException")
    answer = pipeline.ask(QUESTION)
    (note,) = answer.notes
    assert note.startswith(f"{HAIKU} answered, as {SONNET} failed: ThrottlingException: ")
    used = answer.usage
    assert used.cost_usd == pytest.approx((0.10 * used.input_tokens + 0.50 * used.output_tokens) / 1e6)
    assert (answer.generator, answer.calls[-1].model) == (HAIKU, HAIKU)
    emulator.fail_next("AccessDeniedException")
    emulator.fail_next("ResourceNotFoundException")
    local = pipeline.ask(QUESTION)
    assert (local.usage.cost_usd, len(local.notes)) == (0.0, 2)
    assert local.citations[0].source == "leave.md"
    rows = pipeline.meter.ledger.rows(("model",))
    assert [(row.group, row.calls) for row in rows] == [((HAIKU,), 1)]


def test_fallback_without_guardrail(emulator: Emulator) -> None:
    """A fallback without the first model's guardrail is refused."""
    guarded = {"use": "claude", "guardrail": "gr1a2b3c:2"}
    for others in ([HAIKU], ["local"], [{**guarded, "model": HAIKU}, "local"]):
        with pytest.raises(ConfigError, match="has no guardrail and would bypass the first model's"):
            stages.generator({**guarded, "fallback": others})
    both = stages.generator({**guarded, "fallback": [{**guarded, "model": HAIKU}]})
    assert both.context_form == "guarded"
