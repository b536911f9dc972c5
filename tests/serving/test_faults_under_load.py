"""The service under faults: no answer is wrong, errors say what is, and it is back as soon as it can be.

``pytest --soak -s`` prints what was measured; kills, versions and rounds are few otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag
from rag.emulator import Emulator
from rag.serving.callers import Limits
from rag.serving.keys import KeyStore
from tests.scale import scale
from tests.serving.faulted import Load, Server, sound, write

pytestmark = [pytest.mark.soak, pytest.mark.slow]


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    write(tmp_path / "docs", 1)
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    return tmp_path / "ix"


def command(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "rag", *map(str, words)], check=True, capture_output=True)


def test_killed_and_started_again(gates: Path) -> None:
    back = []
    with Server(gates) as server, Load(server.url) as load:
        load.wait_for(10)
        for _ in range(scale(1, 6)):
            server.kill()
            began = time.monotonic()
            server.start(wait=False)
            back.append(load.wait_for(20, since=began) - began)
        assert server.process is not None
        ticks = Path(f"/proc/{server.process.pid}/stat").read_text().split()
    print(f"\nkilled {len(back)} times: {load.summary()}")
    print("from start to the first answer, under load: " + ", ".join(f"{each:.1f} s" for each in back))
    print(f"CPU of the last process: {(int(ticks[13]) + int(ticks[14])) / os.sysconf('SC_CLK_TCK'):.1f} s")
    assert load.wrong == [] and load.errors
    sound(gates)
    assert rag.Store(gates).verify().problems == ()


def test_one_of_two_workers_killed(gates: Path) -> None:
    """The other one goes on; requests that the killed one had are errors, never short answers."""
    gaps = []
    with Server(gates, "--workers", "2") as server, Load(server.url) as load:
        load.wait_for(10)
        for _ in range(scale(1, 6)):
            killed = server.workers()[0]
            began = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            load.wait_for(20, since=began)
            gaps.append(load.gaps(began))
            while len(server.workers()) < 2 or killed in server.workers():
                assert time.monotonic() < began + 120
                time.sleep(0.1)
            load.wait_for(10)
    print(f"\none of two workers killed {len(gaps)} times: {load.summary()}")
    print("longest time without an answer: " + ", ".join(f"{each:.2f} s" for each in gaps))
    assert load.wrong == []


def test_new_versions_and_pruned_ones(gates: Path) -> None:
    with Server(gates) as server, Load(server.url) as load:
        load.wait_for(10)
        for version in range(2, scale(4, 25)):
            write(gates.parent / "docs", version)
            command("build", gates.parent / "docs", gates)
            if version % 2:
                command("prune", gates, "--keep", 1)
            load.wait_for(5)
        load.wait_for(20, version=version)
    print(f"\n{version} versions: {load.summary()}")
    assert load.wrong == [] and not load.errors
    assert {seen for _, seen in load.right} >= {1, version}
    assert rag.Store(gates).verify().problems == ()


# ---------------------------------------------------------------------- full disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk to fill needs the right to mount one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass


def test_a_full_disk_of_what_the_service_keeps(gates: Path, disk: Path) -> None:
    """Ledger, telemetry, receipts, and the response cache are on it; answers still come."""
    config = gates.parent / "rag.toml"
    config.write_text(
        f'[ledger]\npath = "{disk}/ledger.sqlite"\n[telemetry]\npath = "{disk}/calls.jsonl"\n'
        f'[receipts]\npath = "{disk}/receipts.sqlite"\n[cache.responses]\npath = "{disk}/responses.sqlite"\n'
    )
    with (
        Emulator() as emulator,
        Server(gates, "--generator", "claude", "--config", str(config), env=emulator.environment()) as server,
        Load(server.url, whole=False) as load,
    ):
        load.wait_for(20)
        for _ in range(scale(1, 5)):
            fill(disk)
            full = time.monotonic()
            load.wait_for(scale(30, 300), since=full)
            during = rag.Client(server.url).ask("What is the code word of gate 03?")
            (disk / "filler").unlink()
            load.wait_for(20)
        after = rag.Client(server.url).ask("What is the code word of gate 04?")
    log = server.log.read_text()
    print(f"\nfull disk: {load.summary()}\nnotes: {during.notes}\nlog: {log[-600:]}")
    assert load.wrong == [] and not load.errors
    assert "full" in " ".join(during.notes) and "records of questions were not written" in log
    assert not any("full" in note or "cannot" in note for note in after.notes)
    sound(disk)
    lines = (disk / "calls.jsonl").read_text().splitlines()
    assert lines and all(json.loads(line) for line in lines)
    assert rag.Store(gates).verify().problems == ()


def test_a_full_disk_of_the_index(gates: Path, disk: Path) -> None:
    """A new version cannot be written, keys cannot be noted as used: the version in service answers."""
    index = disk / "ix"
    rag.build(gates.parent / "docs", index, embedder="static")
    _, key = KeyStore(index / "keys.sqlite").add("ana", limits=Limits(requests_per_minute=100_000))
    with Server(index) as server:
        client = rag.Client(server.url, key=key, retries=0)
        assert "word03v1" in client.ask("What is the code word of gate 03?").text
        fill(disk)
        errors: list[str] = []
        for _ in range(20):
            try:
                assert "word03v1" in client.ask("What is the code word of gate 03?").text
            except rag.RagError as error:
                errors.append(str(error))
        write(gates.parent / "docs", 2)
        words = [sys.executable, "-m", "rag", "build", str(gates.parent / "docs"), str(index)]
        refused = subprocess.run(words, capture_output=True, text=True)
        assert refused.returncode == 1 and "make room" in refused.stderr and "Traceback" not in refused.stderr
        (disk / "filler").unlink()
        assert "word03v1" in client.ask("What is the code word of gate 03?").text
        command("build", gates.parent / "docs", index)
        deadline = time.monotonic() + 30
        while "word03v2" not in client.ask("What is the code word of gate 03?").text:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    print(f"\nfull disk of the index: {len(errors)} of 20 were errors: {set(errors)}")
    # Requests that cannot be counted are refused, and told why.
    assert len(errors) == 20 and all("a disk of this service is full" in each for each in errors)
    sound(disk)
    assert rag.Store(index).verify().problems == ()
