"""A trial keeps its limit, records what can be replayed, and reports without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.emulator.recording import Recording
from rag.emulator.trial import report
from rag.emulator.trial.run import Trial, planned
from rag.emulator.trial.steps import PLAIN
from tests.emulator import trials

ACCOUNT, KEY, SECRET = "123456789012", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rag-batch-of-the-team"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(secrets={KEY: SECRET}) as emulator:
        point_at(monkeypatch, emulator.environment())
        yield emulator


def test_a_call_that_could_pass_the_limit_is_not_made(service: Emulator, tmp_path: Path) -> None:
    tried = trials.trial(tmp_path, "converse", "cache-write", max_usd=0.001)
    states = {each.step.name: each.finding for each in tried.tried}
    assert states["converse"].state == "ok"
    assert states["cache-write"].state == "skip" and "above stop_usd ($0.0010)" in states["cache-write"].found
    assert service.counts["Converse"] == 1
    assert 0 < tried.world.spent() <= 0.001


def test_a_pipelines_calls_count_against_the_same_limit(service: Emulator, tmp_path: Path) -> None:
    tried = trials.trial(tmp_path, "build", "ask", max_usd=0.0001)
    assert [each.finding.state for each in tried.tried] == ["ok", "skip"]
    assert service.counts["Converse"] + service.counts["ConverseStream"] == 0


def test_what_lacks_a_price_is_not_called(service: Emulator, tmp_path: Path) -> None:
    tried = trials.trial(tmp_path, "converse", "stream", "data", model="global.anthropic.claude-of-tomorrow")
    assert {each.finding.state for each in tried.tried} == {"skip"}
    assert "no price" in tried.tried[0].finding.found
    assert not service.requests


def test_the_plan_has_the_price_of_every_step(tmp_path: Path) -> None:
    prices = planned(trials.world(tmp_path))
    assert "batch" not in prices and "guardrail" in prices
    # Of "Reply with the word yes.", at most 16 tokens out at 10 dollars per million.
    assert prices["converse"] is not None and 16 * 10e-6 < prices["converse"] < 0.001
    assert 0 < sum(usd or 0 for usd in prices.values()) < 0.05
    assert planned(trials.world(tmp_path, guardrail="")).keys() == prices.keys() - {"guardrail"}


def test_a_model_without_an_ability_is_not_asked_for_it(service: Emulator, tmp_path: Path) -> None:
    haiku = "anthropic.claude-3-haiku-20240307-v1:0"
    tried = trials.trial(tmp_path, "citations", "data", "cache-write", model=haiku)
    assert [each.finding.found for each in tried.tried] == [
        f"not tried: {haiku} cites no search results",
        f"not tried: {haiku} takes no schema in outputConfig",
        f"not tried: {haiku} has no prompt cache",
    ]


def test_a_step_that_fails_says_why_and_the_others_go_on(service: Emulator, tmp_path: Path) -> None:
    service.fail_next("AccessDeniedException")
    tried = trials.trial(tmp_path, "converse", "stream")
    assert [each.finding.state for each in tried.tried] == ["fail", "ok"]
    assert "AccessDeniedException" in tried.tried[0].finding.found


def test_a_wrong_request_that_is_accepted_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}}  # fmt: skip
    change = trials.of_status("Converse", 400, 200)

    def lenient(operation: str, reply: object) -> object:
        changed = change(operation, reply)  # type: ignore[arg-type]
        return changed if changed is reply else type(changed)(accepted, 200, {})

    with trials.Differing(lenient) as service:  # type: ignore[arg-type]
        point_at(monkeypatch, service.environment())
        tried = trials.trial(tmp_path, "wrong-temperature")
    assert (tried.tried[0].finding.state, "accepted" in tried.tried[0].finding.found) == ("warn", True)
    assert trials.differing(tried)["refused.temperature"] == ("it is accepted, with 200",)


def test_the_recording_is_replayed(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials.trial(tmp_path, "converse")
    recording = Recording.open(tmp_path / "traffic.jsonl")
    with Emulator(recorder=recording, check_signatures=False) as replaying:
        point_at(monkeypatch, replaying.environment())
        reply = boto3.client("bedrock-runtime").converse(modelId=trials.SONNET, **PLAIN)
    assert reply["stopReason"] == "end_turn"


def test_the_environment_is_as_before(service: Emulator, tmp_path: Path) -> None:
    before = dict(os.environ)
    trials.trial(tmp_path, "converse")
    assert dict(os.environ) == before


def test_a_batch_job_is_started_and_stopped(
    moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator(s3_endpoint=moto, job_s=30) as service:
        point_at(monkeypatch, service.environment())
        storage = boto3.client("s3")
        storage.create_bucket(Bucket="work-of-the-team")
        made = Trial(
            trials.world(tmp_path, s3="s3://work-of-the-team/jobs", role_arn=ROLE, storage=storage),
            tmp_path / "traffic.jsonl", Emulator, hide=(ROLE, "s3://work-of-the-team/jobs"),
        )  # fmt: skip
        [tried] = made.run(trials.steps("batch"))
        assert tried.finding.state == "ok", tried.finding
        assert {job.status for job in service.jobs.known.values()} <= {"Stopping", "Stopped"}
    states = {v.assumption.id: v.state for v in made.verdicts()}
    assert {states[id] for id in ("batch.arn", "batch.status", "shape.CreateModelInvocationJob")} == {
        "confirmed"
    }
    traffic = (tmp_path / "traffic.jsonl").read_text()
    assert "rag-batch-of-the-team" not in traffic and "work-of-the-team" not in traffic


def test_the_report_has_what_happened_and_no_secrets(service: Emulator, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{trials.SONNET}"
    made = Trial(trials.world(tmp_path, model=arn), folder / report.TRAFFIC, Emulator)
    list(made.run(trials.steps("catalog", "converse", "stream", "wrong-blank")))
    written = report.write(folder, made, (ACCOUNT,))
    assert written == json.loads((folder / report.JSON).read_text())
    assert written["counts"]["confirmed"] > 20 and "differs" not in written["counts"]
    assert written["model"].startswith("arn:aws:bedrock:us-east-1:000000000000:inference-profile/")
    text = (folder / report.MARKDOWN).read_text()
    assert "| converse | ok |" in text and "| stream.order | confirmed |" in text
    everything = text + (folder / report.JSON).read_text() + (folder / report.TRAFFIC).read_text()
    assert not [word for word in (ACCOUNT, KEY, SECRET, "00000000-0000-4000-8000") if word in everything]


def test_a_difference_is_on_top_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    with trials.Differing(trials.of_header("Date", None)) as service:
        point_at(monkeypatch, service.environment())
        made = Trial(trials.world(tmp_path), folder / report.TRAFFIC, Emulator)
        list(made.run(trials.steps("converse")))
    report.write(folder, made)
    text = (folder / report.MARKDOWN).read_text()
    assert "- **http.date**: Every reply has the header Date.\n  - Converse has no header Date\n" in text
