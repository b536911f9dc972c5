"""Pushes, pulls and openings that are killed at random points, over connections that break, stall and lie.

After each, what readers see is whole: every version that the pointer names has all its files with the right
SHA-256, the pulled folder and the local copy pass `rag verify`, or have no index yet.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage.s3_objects import S3Objects
from rag.config.open import mirror
from rag.index.remote import prune
from rag.index.remote.pointer import read_pointer
from rag.index.remote.pull import pull, read_version
from rag.index.remote.push import push
from rag.index.storage.manifest import files_of, kept_versions, pointer
from tests.index.remote import faulty_proxy
from tests.index.remote.conftest import changed, found
from tests.index.remote.faulty_proxy import FaultyProxy
from tests.index.remote.survival_work import work
from tests.scale import scale

pytestmark = pytest.mark.soak

#: Requests of a first push, pull or opening, about: a kill strikes after so many at most.
_REQUESTS = {"push": 30, "pull": 25, "open": 25}


class World:
    """An index that changes, a place on S3, a folder that it is pulled into, and a cache of local copies."""

    def __init__(self, s3: Any, place: S3Objects, docs: Path, tmp_path: Path, seed: int) -> None:
        self.s3, self.place, self.docs, self.base = s3, place, docs, tmp_path
        self.chance = random.Random(seed)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.index.remote.survival_work", "botocore.session", "boto3"])
        self.counts: Counter[str] = Counter()
        # What the last ones took: every other round has nothing new to move, and a slow server ends some early.
        self.requests = {action: deque([most], maxlen=2) for action, most in _REQUESTS.items()}
        self.log = tmp_path / "errors.log"
        self.expected: dict[str, str] = {}  # SHA-256 of manifests to what their version holds
        self.text = 0
        rag.build(docs, self.index, embedder="static")

    @property
    def index(self) -> Path:
        return self.base / "index"

    def run(self, action: str, proxy: FaultyProxy, *, kill: bool) -> str:
        """Run an action in a process of its own, and kill it at a random point; return how it ended."""
        remote = {"endpoint_url": proxy.url, "timeout_s": 1.0, "cache": str(self.base / "cache")}
        keep = self.chance.choice([None, None, 1, 2])
        folder = {"push": self.index, "pull": self.base / "pulled"}.get(action, self.base)
        process = self.context.Process(
            target=work,
            args=(action, self.place.name, str(folder), remote, keep, str(self.log), dict(os.environ)),
        )
        before = proxy.requests
        process.start()
        if kill:
            proxy.strike(self.chance.randrange(max(self.requests[action])), process.kill)
        process.join(240)
        proxy.spare()
        assert not process.is_alive(), f"{action} does not end"
        assert process.exitcode in (0, 3, -9), (action, process.exitcode)
        if process.exitcode != -9:
            self.requests[action].append(max(proxy.requests - before, 1))
        return {0: "done", 3: "failed in one line", -9: "killed"}[process.exitcode]

    def check_store(self) -> None:
        """Every version that readers may be told of is whole."""
        read = read_pointer(self.place)
        if read.pointer is None:
            return
        wrong = []
        for pushed in read.pointer.versions:
            _, manifest = read_version(self.place, pushed)
            for file in {file.sha256: file for file in files_of(manifest)}.values():
                body = self.s3.get_object(Bucket="indexes", Key=f"{self.place.prefix}files/{file.sha256}")[
                    "Body"
                ]
                data = body.read()
                if len(data) != file.bytes or hashlib.sha256(data).hexdigest() != file.sha256:
                    wrong.append(file.path)
        assert wrong == []

    def check_folder(self, folder: Path) -> None:
        """The folder has a sound index, or none yet."""
        if not folder.exists() or pointer(folder) is None:
            return
        checked = rag.Store(folder).verify()
        assert checked.sound, checked.problems
        for version in kept_versions(folder):
            assert rag.Store(folder).verify(version).sound


@pytest.mark.parametrize("server", ["moto", "seaweed"])
def test_no_broken_index_on_either_side(
    server: str, aws: Any, docs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kills = scale(5, 100)
    url = request.getfixturevalue(server)
    s3 = aws(url)
    bucket_is_there(s3)
    place = S3Objects(f"s3://indexes/survival-{time.time_ns()}/handbook")
    world = World(s3, place, docs, tmp_path, seed=kills)
    started = time.monotonic()
    with FaultyProxy(url, rate=0.03, seed=kills, stall_s=1.5) as proxy:
        rounds = 0
        while world.counts["killed"] < kills:
            assert rounds < 4 * kills + 20, (dict(world.counts), world.requests)
            if rounds % 2 == 0:
                changed(
                    docs, world.index, world.chance.randrange(2, 6), f"Round {rounds} speaks of walruses. "
                )
            rounds += 1
            for action in ("push", world.chance.choice(["pull", "open"])):
                ended = world.run(action, proxy, kill=rounds > 1 and world.chance.random() < 0.6)
                world.counts[ended] += 1
                world.counts[f"{action} {ended}"] += 1
                if action == "push":
                    world.check_store()
                else:
                    for folder in (tmp_path / "pulled", *(tmp_path / "cache" / "indexes").glob("*")):
                        world.check_folder(folder)
    # And without faults all of it comes to the same.
    last = changed(docs, world.index, 5, "The end speaks of narwhals. ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prune, "LEASE_S", 1.0)
        assert push(world.index, place, keep=1).current == last
    world.check_store()
    assert pull(place, tmp_path / "pulled", force=True).current == last
    world.check_folder(tmp_path / "pulled")
    assert found(tmp_path / "pulled", "narwhals") == "5.md"
    remote = {"endpoint_url": url, "cache": str(tmp_path / "cache")}
    opened = rag.Index.open(place.name, remote=remote)
    assert opened.search("narwhals", k=1, mode="lexical")[0].source == "5.md"
    copy = mirror(place.name, remote)
    assert kept_versions(copy.folder)[-1] == last
    assert set(place.sizes("files/")) == {f"files/{file.sha256}" for file in files_of(opened.manifest)}, (
        "a prune leaves nothing of killed pushes"
    )
    errors = Counter(line.split(": ")[1] for line in lines(world.log))
    print(
        f"\n{server}: {world.counts['killed']} kills, {sum(proxy.met.values())} faults in {proxy.requests} "
        f"requests, {rounds} rounds, {time.monotonic() - started:.0f} s; "
        f"{dict(sorted(world.counts.items()))}; errors {dict(errors)}; "
        f"faults {dict(proxy.met)}"
    )
    assert errors.keys() <= {"RemoteError", "StoreMissingError"}  # the second before the first push is done
    assert proxy.met.keys() <= set(faulty_proxy.FAULTS)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def bucket_is_there(s3: Any) -> None:
    if "indexes" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="indexes")
