"""A batch of answers that was left or killed is resumed with the same jobs, and pays for nothing twice."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable

import pytest

import rag
from rag.answer_batches import batch as batching
from rag.answer_batches import state
from rag.core.errors import StoreLockedError, UsageError
from tests import scale
from tests.answer_batches.answer_world import QUESTIONS, SENT, AnswerWorld, told

#: Records that the jobs lose, so that some questions are asked on demand.
LOST = 2


def arm(what: str, moment: str, times: int, kill: Callable[[], None]) -> Callable[[], None]:
    """Let a step kill before or after its n-th run; return what undoes this."""
    # Imported here, since the source of this function also runs in a process of its own.
    from rag.answer_batches import state
    from rag.answer_batches.journal import Journal
    from rag.bedrock.chat.claude import ClaudeBedrock
    from rag.bedrock.storage import batch_parts, batch_state
    from rag.bedrock.storage.batch_jobs import BatchJobs
    from rag.cli import answer_batch
    from rag.retrieval.search import HybridSearch
    from rag.usage.ledger import Ledger

    home, name = {
        "search": (HybridSearch, "hits"), "journal": (Journal, "append"), "sync": (Journal, "sync"),
        "write": (batch_parts, "write_durably"), "save": (batch_state, "write_durably"),
        "upload": (BatchJobs, "upload"), "start": (BatchJobs, "start"), "status": (BatchJobs, "status"),
        "record": (Ledger, "record"), "read": (ClaudeBedrock, "batch_reply"), "ask": (ClaudeBedrock, "_stream"),
        "output": (answer_batch, "answer_row"), "drop": (state, "drop"),
    }[what]  # fmt: skip
    inner, left = getattr(home, name), [times]

    def step(*given, **more):  # type: ignore[no-untyped-def]
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            kill()
        made = inner(*given, **more)
        if left[0] == 0:
            kill()
        return made

    setattr(home, name, step)
    return lambda: setattr(home, name, inner)


KILLED = """
import os, signal, sys
from collections.abc import Callable
{arm}
from rag.bedrock.storage import batch_run
batch_run.FIRST_S = 0.02
arm(sys.argv[1], sys.argv[2], int(sys.argv[3]), lambda: os.kill(os.getpid(), signal.SIGKILL))
sys.argv[1:] = sys.argv[4:]
from rag.cli.main import main
main()
"""
#: A step, before or after it, and which of its runs.
MOMENTS = [
    ("save", "before", 1), ("journal", "after", 3), ("save", "after", 1), ("search", "before", 1),
    ("search", "after", 5), ("journal", "after", 15), ("sync", "after", 2), ("write", "before", 1),
    ("write", "after", 1), ("save", "before", 2), ("save", "after", 2), ("upload", "before", 1),
    ("upload", "after", 1), ("save", "after", 3), ("save", "after", 4), ("start", "before", 1),
    ("start", "after", 1), ("save", "after", 5), ("status", "after", 1), ("record", "before", 1),
    ("record", "after", 4), ("journal", "after", 29), ("sync", "after", 3), ("save", "before", 6),
    ("save", "after", 6), ("read", "before", 2), ("read", "after", 3), ("ask", "before", 1),
    ("ask", "after", 1), ("journal", "after", 40), ("save", "before", 7), ("save", "after", 7),
    ("output", "before", 4), ("output", "after", 12), ("drop", "before", 1),
]  # fmt: skip


class Killed(BaseException):
    """Nothing of ours catches it."""


def raise_killed() -> None:
    raise Killed


def whole(world: AnswerWorld, moment: tuple[str, str, int]) -> None:
    """Check that the output is whole, and that no more was paid for than what was in flight."""
    rows = world.rows()
    assert [row["id"] for row in rows] == [each["id"] for each in QUESTIONS]
    assert [row["answered"] for row in rows] == [each["id"] != "q7" for each in QUESTIONS]
    on_demand = world.answered_on_demand()
    assert [row["answer"] for row in rows] == [answer.text for answer in on_demand]
    assert [job.status for job in world.started] == ["Completed"]
    assert not world.work.exists()
    twice = moment[0] == "record"  # a reply that was recorded and not yet stored
    assert world.calls()["batch"] in ((SENT - LOST, SENT - LOST + 1) if twice else (SENT - LOST,))


@pytest.fixture
def losing(world: AnswerWorld) -> AnswerWorld:
    world.jobs.lose_records = LOST
    return world


@pytest.mark.soak
@pytest.mark.parametrize(
    "moment", MOMENTS if scale.SOAK else MOMENTS[::3], ids=lambda moment: "-".join(map(str, moment))
)
def test_killed_at_any_step_the_same_command_ends_whole_with_one_job(
    losing: AnswerWorld, moment: tuple[str, str, int]
) -> None:
    disarm = arm(*moment, raise_killed)
    try:
        with pytest.raises(Killed):
            losing.rag(*losing.ask())
    finally:
        disarm()
    asked = losing.asked
    losing.rag(*losing.ask())
    assert losing.asked in ((LOST, LOST + 1) if asked else (LOST,))
    whole(losing, moment)


@pytest.mark.soak
@pytest.mark.parametrize(
    "moment", MOMENTS if scale.SOAK else [MOMENTS[n] for n in (4, 16, 28)], ids=lambda m: "-".join(map(str, m))
)  # fmt: skip
def test_killed_by_the_system_a_batch_is_resumed_by_its_index(
    losing: AnswerWorld, moment: tuple[str, str, int]
) -> None:
    killed = losing.process("-c", KILLED.format(arm=inspect.getsource(arm)), *map(str, moment), *losing.ask())
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    begun = (losing.work / "state.json").exists()
    losing.rag(*(("batch", "resume", str(losing.index)) if begun else losing.ask()))
    assert losing.asked in (LOST, LOST + 1)
    whole(losing, moment)


def test_what_was_searched_is_not_searched_again(world: AnswerWorld) -> None:
    world.emulator.job_s = 60
    disarm = arm("search", "before", 9, raise_killed)
    try:
        with pytest.raises(Killed):
            world.rag(*world.ask("--no-wait"))
    finally:
        disarm()
    kept = (world.work / "rows").read_bytes()
    assert kept.count(b"\n") == 8
    world.rag(*world.ask("--no-wait"))
    assert (world.work / "rows").read_bytes().startswith(kept)
    world.started[0].stop.set()


def test_a_batch_that_is_not_prepared_goes_on_with_its_version_of_the_index(world: AnswerWorld) -> None:
    disarm = arm("search", "before", 9, raise_killed)
    try:
        with pytest.raises(Killed):
            world.rag(*world.ask())
    finally:
        disarm()
    for path in world.docs.iterdir():
        path.write_text("# Closed\n\nThere is no office any more.\n")
    rag.build(world.docs, world.index, embedder="static")
    said = world.rag(*world.ask(), code=2)
    assert "has changed from version 1 to 2 since the batch was begun: `rag batch resume" in said
    world.rag("batch", "resume", str(world.index))
    assert "20 days" in world.rows()[0]["answer"] and "31 days" in world.rows()[11]["answer"]


def test_other_questions_and_settings_do_not_take_up_a_batch(world: AnswerWorld) -> None:
    world.emulator.job_s = 60
    world.batch(wait=False)
    for pipe, questions in (
        (world.pipe(), QUESTIONS[:9]), (world.pipe(generator={"use": "claude", "max_tokens": 9}), QUESTIONS),
        (world.pipe(trimmer={"budget": 500}), QUESTIONS),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="other questions or settings: `rag batch resume"):
            world.batch(pipe, questions)
    with pytest.raises(UsageError, match=r"asks global.anthropic.claude-sonnet-5-5, not global.*haiku"):
        batching.resume(world.pipe(generator={"use": "claude", "model": "global.anthropic.claude-haiku-5-5"}))
    world.started[0].stop.set()


def test_two_processes_do_not_look_after_one_batch(world: AnswerWorld) -> None:
    world.batch(wait=False)
    with state.locked(world.index), pytest.raises(StoreLockedError):
        world.batch()


def test_a_pipeline_of_objects_goes_on_in_its_own_program(world: AnswerWorld) -> None:
    def pipe() -> rag.Pipeline:
        return world.pipe(generator=rag.ClaudeBedrock(max_tokens=900))

    world.batch(pipe(), wait=False)
    said = world.rag("batch", "resume", str(world.index), code=2)
    assert "was started from Python: call pipe.batch with the same questions" in said
    report = world.batch(pipe())
    assert report.done and len(world.started) == 1
    world.emulator.behaviour.reply = "Something else."
    assert [told(answer) for answer in world.batch(pipe()).answers] == [told(each) for each in report.answers]
