"""A batch that was left or killed is resumed with the same jobs."""

from __future__ import annotations

import inspect
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import rag
from rag.building import batch as batching
from rag.building.batch import running, state
from rag.core.errors import (
    StoreLockedError,
    UsageError,
)
from tests import scale
from tests.building.batch_world import BATCH, PLACE, ROLE, TITAN, World, begin, build, quick, whole


def test_a_build_that_does_not_wait_is_resumed_by_another_process(world: World, tmp_path: Path) -> None:
    world.emulator.job_s = 60
    said = world.build("--batch", PLACE, "--role-arn", ROLE, "--no-wait")
    assert "132 texts, 1 job\n" in said and "rag batch resume" in said
    status = json.loads(world.rag("batch", "status", str(world.index), "--json"))
    assert (status["texts"], len(status["jobs"]), status["source"]) == (132, 1, str(world.docs))
    job = status["jobs"][0]
    assert (job["step"], job["arn"], job["records"]) == ("running", world.started[0].arn, 132)
    assert job["status"] in ("Submitted", "Validating", "Scheduled", "InProgress")
    assert "1 job\n" in world.rag("batch", "resume", str(world.index), "--no-wait")
    # An ordinary build would pay for the same again.
    assert "has a batch under way" in world.build(code=2)
    world.started[0].stop.set()  # frees the waiting thread
    assert len(world.started) == 1


def test_relative_paths_hold_when_another_folder_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table.jsonl").write_text('{"source": "0.md", "floor": 3}\n')
    monkeypatch.chdir(tmp_path)
    batching.start("docs", "ix", batch=BATCH, embedder=TITAN, metadata="table.jsonl", cache="vectors.sqlite")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert batching.resume("../ix", sleep=quick)
    assert batching.finish("../ix").embedded == 0
    assert (tmp_path / "vectors.sqlite").exists() and not (tmp_path / "ix" / "cache.sqlite").exists()
    assert len(rag.Index.open("../ix", embedder=TITAN).search("leave", k=100, where="floor == 3")) == 6


def test_a_source_that_changes_meanwhile_costs_only_what_is_new(world: World) -> None:
    begin(world)
    (world.docs / "0.md").unlink()
    (world.docs / "1.md").write_text("# Office 1\n\nClosed since spring.\n")
    assert batching.resume(world.index, sleep=quick)
    report = batching.finish(world.index)
    assert (report.files, report.embedded) == (10, 2)
    whole(world)


def arm(what: str, moment: str, times: int, kill: Callable[[], None]) -> Callable[[], None]:
    """Let a step kill before or after its n-th run; return what undoes this."""
    # Imported here, since the source of this function also runs in a process of its own.
    from rag.bedrock.storage import batch_parts, batch_state
    from rag.bedrock.storage.batch_jobs import BatchJobs
    from rag.building.batch import state
    from rag.embedding.cache import CachedEmbeddings
    from rag.index.storage.writer import IndexWriter

    home, name = {
        "write": (batch_parts, "write_durably"), "save": (batch_state, "write_durably"), "drop": (state, "drop"),
        "upload": (BatchJobs, "upload"), "start": (BatchJobs, "start"), "status": (BatchJobs, "status"),
        "tokens": (BatchJobs, "tokens"), "put": (CachedEmbeddings, "put"), "commit": (IndexWriter, "commit"),
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
from rag.building.batch import running
running._PUT = 40
arm(sys.argv[1], sys.argv[2], int(sys.argv[3]), lambda: os.kill(os.getpid(), signal.SIGKILL))
sys.argv[1:] = sys.argv[4:]
from rag.cli.main import main
main()
"""
#: A step, before or after it, and which of its runs.
MOMENTS = [
    ("write", "before", 1), ("write", "after", 1), ("save", "before", 1), ("save", "after", 1),
    ("upload", "before", 1), ("upload", "after", 1), ("save", "after", 2), ("save", "after", 3),
    ("start", "before", 1), ("start", "after", 1), ("save", "after", 4), ("status", "after", 1),
    ("put", "before", 1), ("put", "after", 2), ("tokens", "after", 1), ("save", "before", 5),
    ("save", "after", 5), ("commit", "before", 1), ("commit", "after", 1), ("drop", "after", 1),
]  # fmt: skip


class Killed(BaseException):
    """Nothing of ours catches it."""


def raise_killed() -> None:
    raise Killed


@pytest.mark.soak
@pytest.mark.parametrize(
    "moment", MOMENTS if scale.SOAK else MOMENTS[::2], ids=lambda moment: "-".join(map(str, moment))
)
def test_ended_at_any_step_the_same_build_goes_on_with_one_job(
    world: World, moment: tuple[str, str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_PUT", 40)
    disarm = arm(*moment, raise_killed)
    try:
        with pytest.raises(Killed):
            build(world)
    finally:
        disarm()
    build(world)
    assert (len(world.started), world.on_demand) == (1, 0)
    whole(world)


@pytest.mark.soak
@pytest.mark.parametrize(
    "moment", MOMENTS if scale.SOAK else [MOMENTS[n] for n in (3, 9, 13)], ids=lambda m: "-".join(map(str, m))
)
def test_killed_at_any_step_the_same_command_goes_on_with_one_job(
    world: World, moment: tuple[str, str, int]
) -> None:
    script = KILLED.format(arm=inspect.getsource(arm))
    command = world.command("--batch", PLACE, "--role-arn", ROLE)
    killed = world.process("-c", script, *map(str, moment), *command)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    if moment[0] != "drop":
        assert (world.index / "batch.json").exists() == (MOMENTS.index(moment) > 2)
    world.rag(*command)
    assert (len(world.started), world.on_demand) == (1, 0)
    whole(world)


def test_a_job_that_was_started_but_not_noted_is_found_by_its_name_when_its_token_is_forgotten(
    world: World,
) -> None:
    begin(world)
    batching.resume(world.index, wait=False)
    job = world.started[0]
    job.params = {**job.params, "clientRequestToken": "forgotten"}
    batch = state.current(world.index)
    unnoted = replace(batch, parts=(replace(batch.parts[0], step="starting", arn=""),))
    state.save(world.index, unnoted)
    assert batching.resume(world.index, sleep=quick)
    assert world.started == [job] and state.current(world.index).parts[0].arn == job.arn


def test_two_processes_do_not_look_after_one_batch(world: World) -> None:
    begin(world)
    with state.locked(world.index), pytest.raises(StoreLockedError):
        batching.resume(world.index)


def test_other_settings_do_not_take_up_a_batch(world: World) -> None:
    begin(world)
    with pytest.raises(UsageError, match="other settings: `rag batch resume"):
        batching.start(world.docs, world.index, batch=BATCH, embedder={**TITAN, "dimensions": 512})
