"""A parser's process has none of the user's rights, as far as the system can take them."""

from __future__ import annotations

import json
import platform
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

import rag
from rag.loading import landlock, seccomp
from rag.loading.confinement import Confinement, readable
from rag.loading.limits import Limits
from rag.loading.sandbox import Worker
from tests.loading.files import workers_alive, write

ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")  # as the kernel lists them, seccomp(2)
SYSTEM = Confinement(
    calls=platform.machine() in ("x86_64", "aarch64") and ACTIONS.exists() and "errno" in ACTIONS.read_text(),
    files=landlock.version() > 0,
)
confines = pytest.mark.skipif(Confinement(True, True) != SYSTEM, reason="no Landlock or no seccomp here")


@pytest.fixture
def outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What came of each try to get out of a worker; there is something to be reached by each."""
    home = tmp_path / "home"
    write(home, **{".aws/credentials": "[default]", "note.txt": "private"})
    root = write(tmp_path / "docs", **{"other.txt": "a document"})
    (tmp_path / "link").symlink_to(home / "note.txt")
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "A_SECRET", "SECRET_OF_OPENAI"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("HOME", str(home))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "unix"))
        local.listen()
        tries = {
            "port": server.getsockname()[1], "unix": str(tmp_path / "unix"), "folder": str(root),
            "other": str(root / "other.txt"), "home": str(home), "link": str(tmp_path / "link"),
        }  # fmt: skip
        (root / "a.odd").write_text(json.dumps(tries))
        loader = rag.Loader(root, include=["*.odd"], parsers={".odd": "tests.parsers:escape"}, workers=1)
        documents = loader.load()
    assert loader.quarantined == []
    assert sorted(path.name for path in root.iterdir()) == ["a.odd", "other.txt"]
    assert (root / "other.txt").read_text() == "a document"
    found: dict[str, Any] = json.loads(documents[0].page_content)
    return found


@confines
def test_nothing_leads_out_of_a_worker(outcomes: dict[str, Any]) -> None:
    held = {
        "variables": "[]", "core": "(0, 0)", "growth": "(0, 0)", "thread": "7",
        "clone3": "ENOSYS", "openat2": "ENOSYS", "resolve": "gaierror", "temporary": "ENOENT",
    }  # fmt: skip
    assert {name: outcomes.pop(name) for name in held} == held
    assert len(outcomes) > 30
    assert {name: out for name, out in outcomes.items() if out not in ("EPERM", "EACCES", "EFBIG")} == {}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_a_worker_gets_no_variables_of_the_users_on_any_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    root = write(tmp_path, **{"a.odd": "x"})
    loader = rag.Loader(root, parsers={".odd": "tests.parsers:variables"}, workers=1)
    names = json.loads(loader.load()[0].page_content)
    assert "AWS_SECRET_ACCESS_KEY" not in names
    assert {"TZ", "PYTHONPATH"} <= set(names)


def test_parsers_of_ones_own_may_be_trusted_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "canary ")
    root = write(tmp_path, **{"a.odd": "words"})
    parsers = {".odd": "tests.parsers:variable"}
    loader = rag.Loader(root, parsers=parsers, workers=1, limits={"confined": False})
    assert loader.load()[0].page_content == "canary child\nwords"
    confined = rag.Loader(root, parsers=parsers, workers=1)
    assert confined.load() == []
    assert confined.quarantined[0][1].reason.startswith("cannot be parsed (KeyError: 'A_SECRET'")


def test_a_home_among_the_paths_of_modules_is_not_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, project = tmp_path / "home", tmp_path / "home" / "project"
    write(home, **{"parsers_here.py": "", ".aws/credentials": "x", "some-1.0.dist-info/RECORD": ""})
    write(project, **{"script.py": ""})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(sys, "path", [str(home), str(tmp_path), "/", str(project), *sys.path])
    package = str(Path(rag.__file__).parent)
    plain = readable()
    assert not {str(home), str(tmp_path), "/", str(project)} & set(plain)
    assert package in plain
    with_own = readable(["parsers_here"])
    assert {str(project), str(home / "parsers_here.py")} <= set(with_own)
    assert not {str(home), str(tmp_path), "/"} & set(with_own)


def test_a_worker_says_what_holds() -> None:
    worker = Worker(Limits())
    try:
        held = worker.confinement()
    finally:
        worker.close()
    assert held == SYSTEM


def test_a_loader_asks_one_worker_what_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system may have what a process of this user is refused."""
    asked: list[Confinement] = []
    monkeypatch.setattr(Worker, "confinement", lambda worker: asked.append(Confinement(True)) or asked[-1])
    loader = rag.Loader(write(tmp_path, **{"a.md": "words"}))
    assert [loader.confinement, loader.confinement] == [str(Confinement(True))] * 2
    assert len(asked) == 1
    assert workers_alive() == []


def test_a_worker_that_cannot_start_leaves_the_question_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    loader = rag.Loader(write(tmp_path, **{"a.md": "words"}))
    assert (
        loader.confinement == "unknown: a process for parsers could not be started, so no file will be read"
    )


def test_a_plan_states_what_holds(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "words"})
    plan = rag.plan(root, tmp_path / "ix", embedder="static")
    assert plan.parsers == plan.to_dict()["parsers"] == str(SYSTEM)
    trusting = rag.plan(root, tmp_path / "ix", embedder="static", loader={"limits": {"confined": False}})
    assert trusting.parsers.startswith("not confined: limits.confined is false")
    assert (
        rag.plan([Document("x", metadata={"source": "a"})], tmp_path / "ix", embedder="static").parsers == ""
    )


def test_a_system_without_support_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not seccomp.apply()
    assert not landlock.apply([])


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (Confinement(True, True), "confined: no network, no writing, no programs, none of your files"),
        (Confinement(True, False), "but your files can be read (this system lacks Landlock)"),
        (Confinement(False, True), "but the network can be reached (this system lacks seccomp)"),
        (Confinement(), "but no file can grow (this system lacks seccomp and Landlock)"),
    ],
)
def test_what_does_not_hold_is_stated(held: Confinement, words: str) -> None:
    assert str(held).endswith(words)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_of_each_machine_is_well_formed(machine: str) -> None:
    """Every instruction is 8 bytes, every jump stays inside, the last one returns; BPF allows 4,096."""
    program = seccomp._program(machine, 77)
    steps = [program[at : at + 8] for at in range(0, len(program), 8)]
    assert len(program) % 8 == 0
    assert 200 < len(steps) < 4096
    jumps = [(at, step) for at, step in enumerate(steps) if step[0] & 7 == 5]
    assert all(at + 1 + max(step[2], step[3]) < len(steps) for at, step in jumps)
    assert steps[-1][0] == 6
