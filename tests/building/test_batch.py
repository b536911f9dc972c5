"""A build by batch jobs equals one on demand, at half price."""

from __future__ import annotations

import json
import re

import pytest

import rag
from rag.bedrock.storage import batch_jobs as aws
from rag.building import batch as batching
from rag.building.batch.results import text_of
from rag.core.errors import BudgetError
from rag.usage.ledger import Ledger
from tests.building.batch_world import BATCH, PLACE, ROLE, TITAN, World, begin, build, quick, whole


def test_a_batch_build_embeds_nothing_on_demand_and_equals_one_on_demand(world: World) -> None:
    done = world.process("-m", "rag", *world.command("--batch", PLACE, "--role-arn", ROLE, "--json"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["embedded"], said["files"], world.on_demand) == (0, 11, 0)
    assert said["notes"] == ["batch: 132 of 132 records were embedded at half price"]
    [job] = world.started
    assert (job.status, job.params["roleArn"], job.params["modelId"]) == (
        "Completed", ROLE, "amazon.titan-embed-text-v2:0",
    )  # fmt: skip
    keys = {item["Key"] for item in world.s3.list_objects_v2(Bucket="work")["Contents"]}
    name = job.params["jobName"]
    folder = f"jobs/{name}/{job.id}"
    assert keys == {f"jobs/{name}.jsonl", f"{folder}/{name}.jsonl.out", f"{folder}/manifest.json.out"}
    whole(world)


def test_the_ledger_has_the_jobs_at_half_price(world: World) -> None:
    report = build(world)
    assert report.embedded == 0
    manifest = next(
        item["Key"]
        for item in world.s3.list_objects_v2(Bucket="work")["Contents"]
        if "manifest" in item["Key"]
    )
    tokens = json.loads(world.s3.get_object(Bucket="work", Key=manifest)["Body"].read())["inputTokenCount"]
    [row] = Ledger(world.index / "ledger.sqlite").rows(("model", "tag", "purpose", "index"))
    assert row.group == ("amazon.titan-embed-text-v2:0", "batch", "embed", "ix")
    assert (row.calls, row.input_tokens) == (1, tokens) and tokens > 132
    assert row.usd == pytest.approx(tokens * 0.02 / 2 / 1e6)


def test_the_ledger_has_the_jobs_at_half_the_users_price(world: World) -> None:
    """The prices are part of the state: the process that reads the results has no rag.toml."""
    prices = {"amazon.titan-embed-text-v2:0": {"input": 8.0}}
    batching.start(world.docs, world.index, batch=BATCH, embedder=TITAN, prices=prices)
    assert batching.resume(world.index, sleep=quick)
    [row] = Ledger(world.index / "ledger.sqlite").rows(("purpose",))
    assert row.usd == pytest.approx(row.input_tokens * 4.0 / 1e6) and row.input_tokens > 132
    assert batching.finish(world.index).embedded == 0


def test_a_model_without_a_price_is_recorded_without_one(world: World) -> None:
    embedder = {**TITAN, "model": "my.titan"}
    begun = batching.start(world.docs, world.index, batch=BATCH, embedder=embedder, ledger={"warn_usd": 1})
    assert begun.warnings[0].startswith("warn_usd does not count my.titan: no price is known for my.titan")
    with pytest.raises(BudgetError, match="a budget with stop_usd refuses a model without a price"):
        batching.start(
            world.docs, world.index.with_name("other"), batch=BATCH, embedder=embedder, ledger={"stop_usd": 1}
        )


def test_the_plan_shows_half_the_price(world: World) -> None:
    command = ("plan", *world.command()[1:])
    plan = json.loads(world.rag(*command, "--batch", "--json"))
    assert plan["texts"] == 132 and plan["batch_cost_usd"] == plan["cost_usd"] / 2 > 0
    assert "in batch jobs: $0.0000" in world.rag(*command, "--batch")


def test_bucket_and_role_come_from_rag_toml(world: World) -> None:
    with (world.docs.parent / "rag.toml").open("a") as file:
        file.write(f'[batch]\ns3 = "{PLACE}"\nrole_arn = "{ROLE}"\nmin_records = 120\ntimeout_hours = 48\n')
    world.build("--batch")
    [job] = world.started
    assert job.params["timeoutDurationInHours"] == 48
    whole(world)


def test_an_update_sends_only_what_is_new(world: World) -> None:
    rag.build(world.docs, world.index, embedder=TITAN)
    sent = world.on_demand
    (world.docs / "new.md").write_text("# New\n\nA rule that nobody knows yet.\n")
    begun = begin(world, min_records=1)
    assert begun.texts == 2 == sum(part.records for part in begun.parts)
    world.jobs.min_records = 1
    assert batching.resume(world.index, sleep=quick)
    report = batching.finish(world.index)
    assert (report.added, report.embedded, world.on_demand) == (1, 0, sent)
    whole(world)


def test_fewer_texts_than_a_job_takes_are_embedded_on_demand(world: World) -> None:
    report = build(world, min_records=133)
    assert (report.embedded, world.started) == (132, [])
    assert report.notes == (
        "batch: no job (132 texts, and a job takes at least 133): all were embedded on demand",
    )
    whole(world)


def test_many_texts_are_several_jobs_and_a_short_rest_is_embedded_on_demand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "MAX_RECORDS", 50)
    world.jobs.min_records, world.jobs.max_running = 50, 1
    begun = begin(world, min_records=50)
    assert [part.records for part in begun.parts] == [50, 50]
    assert batching.resume(world.index, sleep=quick)
    assert [job.status for job in world.started] == ["Completed"] * 2  # one after the other: the quota is 1
    assert batching.finish(world.index).embedded == 32
    whole(world)


def test_a_file_stays_below_its_most_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "MAX_BYTES", 5_000)
    begun = begin(world, min_records=1)
    files = [world.index / "batch" / f"{part.stem}.jsonl" for part in begun.parts]
    assert len(files) > 2 and max(file.stat().st_size for file in files) <= 5_000
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({record["recordId"] for record in records}) == len(records) == 132
    assert all(re.fullmatch("[A-Z0-9]{11}", record["recordId"]) for record in records)
    assert {text_of(record) for record in records} == {
        record["modelInput"]["inputText"] for record in records
    }
