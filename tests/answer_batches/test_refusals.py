"""What a batch of answers cannot do is refused before anything is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel

import rag
from rag.core.errors import BudgetError, ConfigError, RagError, UsageError, WhereError
from tests.answer_batches.answer_world import QUESTIONS, AnswerWorld


@pytest.fixture(autouse=True)
def _nothing_is_sent(world: AnswerWorld) -> Any:
    yield
    assert world.emulator.counts.total() == 0 and not world.s3.list_objects_v2(Bucket="work").get("Contents")


@pytest.mark.parametrize(
    ("generator", "match"),
    [
        ("local", r"the generator \(local extractive answerer.* has no batch jobs: choose claude"),
        (FakeListChatModel(responses=["x"]), r"the generator \(FakeListChatModel\) has no batch jobs"),
        ({"use": "claude", "fallback": ["local"]}, "a batch asks one model, and the generator has several"),
        ({"use": "router"}, r"has several \(router: small = .*: name one in \[generator\]"),
    ],
    ids=["local", "foreign", "fallback", "router"],
)
def test_generators_without_batch_jobs_are_refused(world: AnswerWorld, generator: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        world.batch(world.pipe(generator=generator))


def test_bound_tools_are_refused(world: AnswerWorld) -> None:
    def lookup(place: str) -> str:
        """Look up a place."""
        return place

    with pytest.raises(ConfigError, match="a batch takes no tools, since each call of a tool needs another"):
        world.batch(world.pipe(generator=rag.ClaudeBedrock().bind_tools([lookup])))


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"schema": dict}, "a batch takes no schema=, since replies that do not fit it are repaired"),
        ({"tools": []}, "a batch takes no tools=, since each call of a tool"),
        ({"history": []}, "a batch takes no history=, since each question of a conversation waits"),
        ({"tenant": "a"}, "a batch takes no tenant=, since the response cache is not asked"),
        ({"bugdet": 3}, "a batch has no option 'bugdet': did you mean 'budget'?"),
        ({"variables": {"day": object()}}, "batch settings must be serialisable"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_need_further_calls_are_refused(
    world: AnswerWorld, option: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        world.batch(**option)


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"question": "leave?", "where": "yaer == 1"}, WhereError, "question 3 of the batch: .*did you mean 'year'"),
        ({"question": "  "}, UsageError, "question 3 of the batch is empty"),
        ({"query": "leave?"}, UsageError, "question 3 of the batch: write a text"),
        ({"question": "leave?", "wehre": "x"}, UsageError, "question 3 of the batch has a key 'wehre': did you mean"),
        (7, UsageError, "question 3 of the batch: write a text"),
    ],
    ids=["filter", "empty", "no question", "key", "number"],
)  # fmt: skip
def test_a_wrong_question_is_named(world: AnswerWorld, wrong: Any, error: type[RagError], match: str) -> None:
    with pytest.raises(error, match=match):
        world.batch(None, [*QUESTIONS[:2], wrong, *QUESTIONS[3:]])


def test_bucket_and_role_are_needed(world: AnswerWorld) -> None:
    with pytest.raises(ConfigError, match="a batch job reads and writes files on S3"):
        world.batch(world.pipe(settings={}))
    with pytest.raises(ConfigError, match="a batch job needs a role that Bedrock assumes"):
        world.batch(world.pipe(settings={}), s3="s3://work/jobs")


def test_fewer_questions_than_a_job_takes_are_refused_before_they_are_searched(world: AnswerWorld) -> None:
    with pytest.raises(
        UsageError, match=r"there are 4 questions, and a batch job takes at least 5 .*--on-demand"
    ):
        world.batch(None, QUESTIONS[:4])
    assert not world.work.exists()


def test_a_batch_that_the_budget_has_no_room_for_is_refused(world: AnswerWorld) -> None:
    with pytest.raises(
        BudgetError, match=r"this call could bring today's spending to \$0\.\d+.*above stop_usd"
    ):
        world.batch(world.pipe(ledger={"stop_usd": 0.1, "per": "day"}))
    with pytest.raises(BudgetError, match=r"above stop_usd \(\$0\.0100\) for one call"):
        world.batch(world.pipe(ledger={"stop_usd": 0.01, "per": "call"}))


def test_a_model_without_a_price_is_refused_under_a_budget(world: AnswerWorld) -> None:
    generator = {"use": "claude", "model": "anthropic.claude-next"}
    with pytest.raises(BudgetError, match="a budget with stop_usd refuses a model without a price"):
        world.batch(world.pipe(generator=generator, ledger={"stop_usd": 1}))


def test_a_refused_batch_goes_on_with_its_passages_once_the_budget_is_raised(
    world: AnswerWorld, tmp_path: Path
) -> None:
    with pytest.raises(BudgetError):
        world.batch(world.pipe(ledger={"stop_usd": 0.001}))
    rows = (world.work / "rows").read_bytes()
    with pytest.raises(BudgetError):
        world.batch(world.pipe(ledger={"stop_usd": 0.002}))
    assert (world.work / "rows").read_bytes() == rows
