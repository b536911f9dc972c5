"""Wrong settings of a batch are refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

import rag
from rag.building import batch as batching
from rag.core.errors import (
    BudgetError,
    ConfigError,
    EmbeddingError,
    StoreCorruptError,
    UsageError,
)
from tests.building.batch_world import BATCH, PLACE, ROLE, TITAN, World, begin


def test_without_a_role_the_error_says_which_one_is_needed(world: World) -> None:
    said = world.build("--batch", PLACE, code=2)
    assert said.startswith(
        "rag: a batch job needs a role that Bedrock assumes: give --role-arn arn:aws:iam::"
    )
    for needed in (
        "trust bedrock.amazonaws.com (sts:AssumeRole)", "s3:GetObject and s3:PutObject on arn:aws:s3:::work/jobs/*",
        "s3:ListBucket on arn:aws:s3:::work;", "iam:PassRole",
    ):  # fmt: skip
        assert needed in said
    assert said.count("\n") == 1 and not world.index.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"role_arn": ROLE}, "give --batch s3://bucket/prefix"),
        ({"s3": "work/jobs", "role_arn": ROLE}, "write s3://bucket/prefix"),
        ({"s3": "s3://work/a b", "role_arn": ROLE}, "write s3://bucket/prefix"),
        ({"s3": PLACE, "role_arn": "rag-batch"}, "write arn:aws:iam::ACCOUNT:role/NAME"),
        ({"s3": PLACE, "role": ROLE}, "did you mean 'role_arn'?"),
        (
            {"s3": PLACE, "role_arn": ROLE, "min_records": "100"},
            "min_records is a whole number of at least 1, not '100'",
        ),
        (
            {"s3": PLACE, "role_arn": ROLE, "min_records": 0},
            "min_records is a whole number of at least 1, not 0",
        ),
        (
            {"s3": PLACE, "role_arn": ROLE, "timeout_hours": 12},
            "timeout_hours is a whole number of 24 to 168, not 12",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_one_line(world: World, given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        batching.start(world.docs, world.index, batch=given, embedder=TITAN)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not world.index.exists()


def test_an_embedder_without_batch_jobs_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="has no batch jobs: choose titan"):
        batching.start(world.docs, world.index, batch=BATCH, embedder="static")
    with pytest.raises(ConfigError, match="pass names or mappings, not a TitanEmbeddings"):
        batching.start(world.docs, world.index, batch=BATCH, embedder=rag.TitanEmbeddings(256))
    assert not world.index.exists()


def test_a_folder_of_other_things_is_refused(world: World) -> None:
    world.index.mkdir()
    (world.index / "letter.txt").write_text("Dear all")
    with pytest.raises(UsageError, match="is not empty and no index"):
        begin(world)
    assert [path.name for path in world.index.iterdir()] == ["letter.txt"]


def test_a_bucket_that_is_not_there_is_one_line(world: World) -> None:
    said = world.build("--batch", "s3://nowhere/jobs", "--role-arn", ROLE, code=1)
    last = said.strip().splitlines()[-1]
    assert "cannot upload in s3://nowhere/jobs (Amazon S3: " in last and "s3:PutObject" in last
    assert "(NoSuchBucket)" in last and "AWS documentation" not in last
    assert world.started == []


def test_what_may_not_be_called_is_told_with_all_that_is_needed(world: World) -> None:
    world.emulator.fail_next("AccessDeniedException", times=1)
    begin(world)
    with pytest.raises(
        EmbeddingError, match=r"bedrock:CreateModelInvocationJob is not allowed.*iam:PassRole"
    ):
        batching.resume(world.index)


def test_without_a_batch_there_is_nothing_to_go_on_with(world: World) -> None:
    for call in (batching.resume, batching.finish, batching.cancel, batching.status):
        with pytest.raises(UsageError, match="no batch is under way"):
            call(world.index)
    assert not world.index.exists()


def test_a_damaged_state_is_told(world: World) -> None:
    begin(world)
    (world.index / "batch.json").write_text('{"format": 2}')
    with pytest.raises(StoreCorruptError, match="stop its jobs in the Bedrock console"):
        batching.resume(world.index)


def test_a_budget_stops_a_batch_before_it_is_begun(world: World) -> None:
    with pytest.raises(BudgetError, match="stop_usd"):
        batching.start(world.docs, world.index, batch=BATCH, embedder=TITAN, ledger={"stop_usd": 0.0})
    assert not (world.index / "batch.json").exists()
