"""Answers of a batch equal those of `ask`, at half price."""

from __future__ import annotations

import json
import stat

import pytest

import rag
from rag.usage.ledger import Ledger
from tests.answer_batches.answer_world import MODEL, QUESTIONS, SENT, AnswerWorld, told
from tests.building.batch_world import TITAN


def test_a_batch_gives_the_answers_of_ask_in_the_order_of_the_questions(world: AnswerWorld) -> None:
    report = world.batch()
    assert (report.done, report.ids) == (True, tuple(each["id"] for each in QUESTIONS))
    assert world.asked == 0 and [job.status for job in world.started] == ["Completed"]
    assert report.notes == (
        f"batch: {SENT} of 12 questions answered at half price (${report.batch_usd:.4f})",
        "1 question without passages, for which no model was asked",
    )
    on_demand = world.answered_on_demand()
    assert [told(answer) for answer in report.answers] == [told(answer) for answer in on_demand]
    assert all(answer.citations and answer.supported == 1 for answer in report.answers[:7])
    assert {hit.source for hit in report.answers[3].context.hits} == {"3.md"}
    assert report.answers[7].stop_reason == "nothing_found"


def test_each_call_is_in_the_ledger_at_half_price(world: AnswerWorld) -> None:
    report = world.batch()
    [row] = world.spent("model", "purpose", "tag", "prompt")
    model, purpose, tag, prompt = row.group
    assert (model, purpose, tag, row.calls) == (MODEL, "generate", "batch", SENT)
    assert prompt.startswith("answer-native-v1#")
    assert row.usd == pytest.approx((row.input_tokens * 2 + row.output_tokens * 10) / 2 / 1e6)
    assert report.batch_usd == pytest.approx(row.usd) and report.on_demand_usd == 0
    first = report.answers[0]
    assert first.usage.cost_usd == pytest.approx(
        first.usage.input_tokens / 1e6 + first.usage.output_tokens * 5e-6
    )
    assert [call.usage for call in first.calls] == [first.usage]
    [job] = world.started
    steps = {step.name: step for step in first.trace}
    assert list(steps) == ["retrieve", "trim", "assemble", "generate", "cite"]
    assert steps["generate"].detail == {"job": job.params["jobName"]}


def test_the_job_asks_by_converse_and_its_files_are_this_users_alone(world: AnswerWorld) -> None:
    assert not world.batch(wait=False).done
    [job] = world.started
    assert (job.params["modelInvocationType"], job.params["modelId"]) == ("Converse", MODEL)
    assert stat.S_IMODE(world.work.stat().st_mode) == 0o700
    files = [path for path in world.work.iterdir() if path.name != "LOCK"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {path.name for path in files} > {"questions", "rows", "replies", "answers", "state.json"}


def test_called_again_a_finished_batch_costs_nothing_until_the_questions_change(world: AnswerWorld) -> None:
    pipe = world.pipe()
    first = world.batch(pipe)
    assert world.batch(pipe) == first
    assert (len(world.started), world.asked) == (1, 0)
    world.batch(pipe, QUESTIONS[:6])
    assert len(world.started) == 2


def test_texts_suffice_as_questions_and_a_filter_may_hold_for_all(world: AnswerWorld) -> None:
    texts = [each["question"] for each in QUESTIONS]
    report = world.batch(None, texts, where=rag.field("year") >= 2006, k=1, tag="survey")
    assert report.ids == tuple(range(1, 13))
    assert all(hit.metadata["year"] >= 2006 for answer in report.answers for hit in answer.context.hits)
    assert all(len(answer.context.hits) == 1 for answer in report.answers)
    assert [row.group for row in world.spent("tag")] == [("survey",)]


def test_the_passages_stay_those_of_the_version_that_was_asked(world: AnswerWorld) -> None:
    world.emulator.job_s = 60
    pipe = world.pipe()
    world.batch(pipe, wait=False)
    (world.docs / "0.md").write_text("# Office 0\n\nClosed since spring.\n")
    rag.build(world.docs, world.index, embedder="static")
    world.started[0].stop.set()
    world.emulator.job_s = 0
    with pytest.raises(rag.RagError, match="is Stopped"):
        world.batch(world.pipe())
    report = world.batch(world.pipe())  # the new version is open, and the requests stay as they were
    assert "20 days" in report.answers[0].text
    assert report.answers[0].context.hits[0].text == "# Office 0\n\nStaff of office 0 take 20 days of leave."


def test_variants_and_parameters_of_prompts_are_those_of_ask(world: AnswerWorld) -> None:
    folder = world.docs.parent / "prompts"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}@1.md").write_text(
            f"---\nname: {name}\nversion: 1\ncite: true\nparameters:\n  max_tokens: {300 if name == 'a' else 400}\n"
            f"---\nAnswer in the style {name}.\n"
        )
    variants = {"variants": {"a@1": 0.5, "b@1": 0.5}, "folder": str(folder)}
    pipe = world.pipe(prompt=variants)
    report = world.batch(pipe)
    assert {answer.prompt for answer in report.answers} == {"a@1", "b@1"}
    on_demand = world.answered_on_demand(world.pipe(prompt=variants))
    assert [told(answer) for answer in report.answers] == [told(answer) for answer in on_demand]
    name = world.started[0].params["jobName"]
    body = world.s3.get_object(Bucket="work", Key=f"jobs/{name}.jsonl")["Body"].read()
    requests = [json.loads(line)["modelInput"] for line in body.splitlines()]
    assert {request["inferenceConfig"]["maxTokens"] for request in requests} == {300, 400}


def test_a_guardrail_is_part_of_every_record_and_shows_in_the_answers(world: AnswerWorld) -> None:
    world.emulator.behaviour.guardrail = "masked"
    generator = {"use": "claude", "guardrail": "gr1a2b3c:2"}
    report = world.batch(world.pipe(generator=generator))
    asked = [answer for number, answer in enumerate(report.answers) if number != 7]
    assert {answer.guardrail for answer in asked} == {"masked"} and world.asked == 0
    assert all("{NUMBER}" in answer.text for answer in asked)


def test_what_retrieval_costs_is_paid_once_and_told_with_the_answer(world: AnswerWorld) -> None:
    index = world.docs.parent / "titan"
    rag.build(world.docs, index, embedder=TITAN)
    world.jobs.lose_records = 2
    ledger = world.docs.parent / "asked.sqlite"
    pipe = rag.Pipeline(
        index, embedder=TITAN, generator="claude", ledger=str(ledger), settings={"batch": world.settings()}
    )
    report = world.batch(pipe)
    calls = {row.group: row.calls for row in Ledger(ledger).rows(("purpose", "tag"))}
    assert calls == {("embed", ""): 12, ("generate", "batch"): SENT - 2, ("generate", ""): 2}
    assert [call.purpose for call in report.answers[0].calls] == ["embed", "generate"]
    assert [call.purpose for call in report.answers[7].calls] == ["embed"]


def test_many_questions_are_several_jobs(world: AnswerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.bedrock.storage.batch_jobs.MAX_RECORDS", 5)
    world.emulator.jobs.max_running = 1
    report = world.batch()
    assert [job.counts["totalRecordCount"] for job in world.started] == [5, 5]  # one waits for the other
    assert world.asked == 1
    assert report.notes[1] == f"1 question asked on demand (1 too few for a job; ${report.on_demand_usd:.4f})"
    assert all(answer.answered for number, answer in enumerate(report.answers) if number != 7)


def test_a_trimmer_that_counts_tokens_learns_nothing_from_replies_of_a_batch(world: AnswerWorld) -> None:
    pipe = world.pipe(trimmer={"budget": 900, "unit": "tokens"})
    before = dict(vars(pipe.trimmer.count_tokens))
    world.batch(pipe)
    assert dict(vars(pipe.trimmer.count_tokens)) == before


def test_a_response_cache_is_not_asked_and_the_report_says_so(world: AnswerWorld) -> None:
    report = world.batch(world.pipe(responses=True))
    assert report.notes[-1] == "the response cache was not asked: a batch's questions are answered anew"
