"""Failed jobs, records and connections of a batch of answers: nothing is lost, and what is paid is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rag
from rag.answer_batches import batch as batching
from rag.answer_batches import state
from rag.core.errors import ConfigError, GenerationError
from rag.emulator.jobs import Job
from tests.answer_batches.answer_world import QUESTIONS, SENT, AnswerWorld, quick, told


def test_failed_records_are_asked_on_demand(world: AnswerWorld) -> None:
    world.jobs.fail_records = 0.3
    report = world.batch()
    failed = world.started[0].counts["errorRecordCount"]
    assert 0 < failed < SENT and world.asked == failed
    assert report.notes[:2] == (
        f"batch: {SENT - failed} of 12 questions answered at half price (${report.batch_usd:.4f})",
        f"{failed} question{'s' * (failed > 1)} asked on demand ({failed} with error 500; "
        f"${report.on_demand_usd:.4f})",
    )
    on_demand = world.answered_on_demand()
    assert [told(answer) for answer in report.answers] == [told(answer) for answer in on_demand]


def test_missing_and_cut_lines_are_asked_on_demand_from_the_same_passages(
    world: AnswerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.jobs.lose_records, world.jobs.cut_lines = 2, 1
    searches: list[str] = []
    context = rag.Pipeline._context

    def counted(self: rag.Pipeline, question: str, *given: Any, **options: Any) -> Any:
        searches.append(question)
        return context(self, question, *given, **options)

    monkeypatch.setattr(rag.Pipeline, "_context", counted)
    report = world.batch()
    assert world.asked == 3 and len(searches) == len(QUESTIONS)
    assert report.notes[1].startswith("3 questions asked on demand (2 missing, 1 unreadable; $0.0")
    assert world.calls() == {"batch": SENT - 3, "": 3}
    assert all(answer.answered for number, answer in enumerate(report.answers) if number != 7)


def results(world: AnswerWorld, job: Job) -> tuple[str, list[dict[str, Any]]]:
    """The key and the lines of a finished job's output."""
    while job.status != "Completed":
        quick(1)
    name = job.params["jobName"]
    key = f"jobs/{name}/{job.id}/{name}.jsonl.out"
    body = world.s3.get_object(Bucket="work", Key=key)["Body"].read()
    return key, sorted((json.loads(line) for line in body.splitlines()), key=lambda item: item["recordId"])


def test_what_is_no_reply_is_no_answer_and_what_was_paid_for_it_is_told(world: AnswerWorld) -> None:
    pipe = world.pipe()
    world.batch(pipe, wait=False)
    key, items = results(world, world.started[0])
    items[0]["modelOutput"] = "none"
    items[1]["modelOutput"]["stopReason"] = "malformed_model_output"
    items[2]["modelOutput"]["output"] = {"message": {"role": "assistant", "content": "text"}}
    items[3]["recordId"] = "Q0000000999"
    items[4] = {"recordId": items[4]["recordId"], "error": {"errorCode": 400}}
    items += [items[5], items[6]]  # what comes twice counts once
    world.s3.put_object(Bucket="work", Key=key, Body="\n".join(map(json.dumps, items)).encode())
    report = world.batch(pipe)
    assert world.asked == 5
    assert all(answer.answered for number, answer in enumerate(report.answers) if number != 7)
    malformed = report.answers[1]
    assert [call.purpose for call in malformed.calls] == ["generate", "generate"]
    assert malformed.calls[0].usage.cost_usd == pytest.approx(malformed.calls[1].usage.cost_usd / 2, rel=0.2)
    assert world.calls() == {"batch": SENT - 2, "": 5}


def test_a_reply_that_does_not_show_its_guardrail_is_not_believed(world: AnswerWorld) -> None:
    generator = {"use": "claude", "guardrail": "gr1a2b3c:2"}
    pipe = world.pipe(generator=generator)
    world.batch(pipe, wait=False)
    key, items = results(world, world.started[0])
    del items[0]["modelOutput"]["trace"]
    world.s3.put_object(Bucket="work", Key=key, Body="\n".join(map(json.dumps, items)).encode())
    report = world.batch(pipe)
    assert world.asked == 1
    assert "1 question asked on demand (1 without the guardrail's trace; $" in report.notes[1]
    with pytest.raises(ConfigError, match="only the guardrail's trace shows that a reply was checked"):
        hidden = {"guardrailIdentifier": "gr1a2b3c", "guardrailVersion": "2", "trace": "disabled"}
        world.batch(world.pipe(generator={"use": "claude", "guardrail": hidden}), QUESTIONS[:6])


def test_a_failed_job_says_why_and_is_started_again(world: AnswerWorld) -> None:
    world.jobs.fail = "The role cannot read s3://work/jobs."
    with pytest.raises(
        GenerationError, match=r"is Failed \(The role cannot read s3://work/jobs\): correct this"
    ):
        world.batch()
    world.jobs.fail = ""
    report = world.batch()
    assert [job.status for job in world.started] == ["Failed", "Completed"]
    assert report.notes[0].startswith(f"batch: {SENT} of 12") and world.asked == 0


def test_a_job_that_was_stopped_half_way_is_started_again_without_what_it_had_done(
    world: AnswerWorld,
) -> None:
    world.jobs.finished, world.jobs.min_records = 0.5, 1
    pipe = world.pipe(settings={"batch": world.settings(min_records=1)})
    world.batch(pipe, wait=False)
    job = world.started[0]
    while job.status != "PartiallyCompleted":
        quick(1)
    job.status = "Stopped"
    world.jobs.finished = 1.0
    with pytest.raises(GenerationError, match="is Stopped"):
        world.batch(pipe)
    report = world.batch(pipe)
    done = round(SENT * 0.5)
    assert [job.counts["totalRecordCount"] for job in world.started] == [SENT, SENT - done]
    assert world.asked == 0 and sum(row.calls for row in world.spent()) == SENT
    assert all(answer.answered for number, answer in enumerate(report.answers) if number != 7)


def test_a_question_that_fails_on_demand_does_not_hold_up_the_others(world: AnswerWorld) -> None:
    world.jobs.lose_records = 3
    pipe = world.pipe()
    world.batch(pipe, wait=False)
    results(world, world.started[0])
    assert batching.resume(pipe, wait=False)
    world.emulator.fail_next("AccessDeniedException")
    with pytest.raises(
        GenerationError, match=r"^1 of 12 questions could not be asked on demand \(question 'q"
    ):
        world.batch(pipe)
    assert len((world.work / "answers").read_text().splitlines()) == 11
    report = world.batch(pipe)
    assert (len(report.answers), len(world.started)) == (12, 1)
    assert world.calls() == {"batch": SENT - 3, "": 3}


def test_cancel_stops_the_jobs_and_returns_what_is_paid_for(
    world: AnswerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.bedrock.storage.batch_jobs.MAX_RECORDS", 5)
    world.jobs.max_running = 1
    pipe = world.pipe()
    world.batch(pipe, wait=False)
    results(world, world.started[0])
    world.emulator.job_s = 60
    assert not world.batch(pipe, wait=False).done
    assert not world.batch(pipe, wait=False).done
    report = batching.cancel(pipe)
    assert (report.done, report.ids) == (False, ("q0", "q1", "q2", "q3", "q4"))
    assert all(answer.answered for answer in report.answers)
    assert [job.status for job in world.started] == ["Completed", "Stopped"]
    assert world.asked == 0 and not world.work.exists()
    assert state.read(world.index) is None


def test_a_connection_that_comes_and_goes_does_not_end_the_waiting(world: AnswerWorld) -> None:
    pipe = world.pipe()
    world.batch(pipe, wait=False)
    world.emulator.fail_next("InternalServerException", times=3)
    assert world.batch(pipe).done and len(world.started) == 1
