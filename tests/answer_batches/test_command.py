"""`rag ask --batch`, and `rag batch` for answers."""

from __future__ import annotations

import json
import re

import pytest

import rag
from rag.building import batch as building
from tests.answer_batches.answer_world import MODEL, SENT, AnswerWorld, quick
from tests.building.batch_world import BATCH, ROLE, TITAN


def test_the_output_is_that_of_ask_without_a_batch(world: AnswerWorld) -> None:
    said = world.rag(*world.ask())
    first, second, last = said.splitlines()
    assert first == f"12 questions: {SENT} requests to {MODEL} in 1 job"
    assert re.fullmatch(
        r"  at most \$0\.1\d+, half the price on demand: about [\d,]+ tokens in, at most 22528 out; AWS may take a day "
        "or more", second,
    )  # fmt: skip
    assert last == f"{world.output}: 12 answers"
    in_batch = world.output.read_text()
    assert not world.work.exists()
    world.rag(*[word for word in world.ask() if word != "--batch"])
    assert world.output.read_text() == in_batch and world.asked == SENT


def test_without_waiting_it_is_continued_from_another_folder(
    world: AnswerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.docs.parent
    monkeypatch.chdir(folder)
    world.emulator.job_s = 60
    assert world.file.exists()
    command = "ask ix --questions questions.jsonl --output out.jsonl --batch --no-wait --tag survey".split()
    said = world.rag(*command)
    assert f"from {folder}/questions.jsonl: 12 questions, 1 job\n" in said
    status = json.loads(world.rag("batch", "status", "ix", "--json"))
    assert (status["questions"], status["model"], status["prepared"]) == (12, MODEL, True)
    assert (status["jobs"][0]["step"], status["jobs"][0]["records"]) == ("running", SENT)
    assert "1 job\n" in world.rag("batch", "resume", "ix", "--no-wait")
    world.started[0].stop.set()
    world.emulator.job_s = 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert "is Stopped" in world.rag("batch", "resume", "../ix", code=1)
    done = json.loads(world.rag("batch", "resume", "../ix", "--json"))
    assert (done["answers"], done["on_demand_usd"], done["output"]) == (12, 0.0, str(world.output))
    assert len(world.rows()) == 12
    assert [row.group for row in world.spent("tag")] == [("survey",)]
    assert "no batch is under way" in world.rag("batch", "resume", "../ix", code=2)


def test_fewer_questions_than_a_job_takes_need_consent_to_the_full_price(world: AnswerWorld) -> None:
    config = world.docs.parent / "rag.toml"
    config.write_text(config.read_text().replace("min_records = 5", "min_records = 50"))
    said = world.rag(*world.ask(), code=2)
    assert "there are 12 questions, and a batch job takes at least 50 (min_records in [batch])" in said
    assert world.emulator.counts.total() == 0
    said = world.rag(*world.ask("--on-demand"))
    assert "requests to" in said and "at most" not in said and len(world.rows()) == 12
    assert (world.started, world.asked) == ([], SENT)


def test_a_wrong_filter_names_its_line_before_anything_is_asked(world: AnswerWorld) -> None:
    command = world.ask()
    lines = world.file.read_text().splitlines()
    lines[4] = json.dumps({"id": "x", "question": "leave?", "where": "yaer == 2001"})
    (world.docs.parent / "wrong.jsonl").write_text("\n".join(lines))
    command[command.index("--questions") + 1] = str(world.docs.parent / "wrong.jsonl")
    said = world.rag(*command, code=2)
    assert "wrong.jsonl, line 5, question 'x': " in said and "did you mean 'year'" in said
    lines[4] = '{"id": "x", "question": " "}'
    (world.docs.parent / "wrong.jsonl").write_text("\n".join(lines))
    assert "wrong.jsonl, line 5: write" in world.rag(*command, code=2)
    assert world.emulator.counts.total() == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["ask", "{ix}", "leave?", "--batch"], "--batch answers a file: give --questions FILE.jsonl"),
        (["ask", "{ix}", "leave?", "--on-demand"], "--on-demand goes with --batch"),
        (["ask", "{ix}", "leave?", "--role-arn", ROLE], "--role-arn goes with --batch"),
        (
            ["batch", "cancel", "{ix}", "--only", "answers"],
            "no batch of that kind (answers) is under way for",
        ),
        (["batch", "resume", "{ix}"], "no batch is under way for"),
    ],
    ids=["one question", "on demand", "role", "only", "none"],
)
def test_wrong_usage_is_told(world: AnswerWorld, options: list[str], match: str) -> None:
    assert match in world.rag(*(word.format(ix=world.index) for word in options), code=2)


def test_a_schema_and_a_missing_folder_for_the_output_are_refused_at_once(world: AnswerWorld) -> None:
    schema = world.docs.parent / "schema.json"
    schema.write_text('{"type": "object", "properties": {"days": {"type": "integer"}}}')
    assert "a batch takes no schema=, since replies" in world.rag(*world.ask("--schema", str(schema)), code=2)
    command = world.ask()
    command[command.index("--output") + 1] = str(world.docs.parent / "none" / "out.jsonl")
    assert "cannot write" in world.rag(*command, code=2)
    assert world.emulator.counts.total() == 0


def test_cancel_keeps_the_answers_that_are_paid_for(world: AnswerWorld) -> None:
    world.emulator.job_s = 0.7
    world.rag(*world.ask("--no-wait"))
    while world.started[0].status != "Completed":
        quick(1)
    said = world.rag("batch", "cancel", str(world.index))
    assert said == f"{world.index}: the batch is cancelled; {SENT} of 12 answers are in {world.output}.part\n"
    assert not world.output.exists() and not world.work.exists()
    rows = [json.loads(line) for line in world.output.with_name("out.jsonl.part").read_text().splitlines()]
    assert len(rows) == SENT and all(row["answered"] for row in rows) and world.asked == 0


def test_a_budget_that_is_raised_in_rag_toml_lets_a_batch_go_on(world: AnswerWorld) -> None:
    config = world.docs.parent / "rag.toml"
    settings = config.read_text()
    config.write_text(settings + '[ledger]\nstop_usd = 0.01\nper = "day"\n')
    assert "above stop_usd ($0.0100)" in world.rag(*world.ask(), code=1)
    assert world.started == []
    config.write_text(settings + '[ledger]\nstop_usd = 1\nper = "day"\n')
    world.rag("batch", "resume", str(world.index))
    assert len(world.rows()) == 12


def test_a_build_and_answers_wait_side_by_side(world: AnswerWorld) -> None:
    world.emulator.job_s = 60
    index = world.docs.parent / "titan"
    rag.build(world.docs, index, embedder=TITAN)
    (world.docs / "new.md").write_text("# New\n\n" + "A rule that nobody knows yet.\n\n" * 3)
    world.jobs.min_records = 1
    building.start(world.docs, index, batch={**BATCH, "min_records": 1}, embedder=TITAN)
    building.resume(index, wait=False)
    command = [word.replace(str(world.index), str(index)) for word in world.ask("--no-wait")]
    config = world.docs.parent / "rag.toml"
    config.write_text(config.read_text() + '[embedder]\nuse = "titan"\ndimensions = 256\n')
    world.rag(*command)
    status = json.loads(world.rag("batch", "status", str(index), "--json"))
    assert (status["build"]["texts"] > 0, status["answers"]["questions"]) == (True, 12)
    assert "add --only build or --only answers" in world.rag("batch", "resume", str(index), code=2)
    world.rag("batch", "cancel", str(index), "--only", "build")
    world.started[1].stop.set()
    world.emulator.job_s = 0
    assert "is Stopped" in world.rag("batch", "resume", str(index), code=1)
    world.rag("batch", "resume", str(index))
    assert len(world.rows()) == 12
