"""Pytest fixtures that replace Amazon Bedrock by the emulator, without an AWS account.

The package registers them (entry point ``rag_bedrock``), so a test only names them as arguments. AWS
clients in the test's process find the emulator through environment variables, with fake keys and
without the user's AWS settings.

::

    def test_throttling_is_ridden_out(bedrock_emulator):
        bedrock_emulator.fail_next("ThrottlingException", times=2)
        answer = rag.Pipeline("indexes/handbook", generator="claude").ask("Who declares a SEV-1?")
        assert bedrock_emulator.counts["ConverseStream"] == 3
        assert bedrock_emulator.problems == []      # every request was a valid one

    def test_answers_as_claude_did(bedrock_recording):
        # replays recordings/test_answers_as_claude_did.jsonl beside this file;
        # `pytest --record-bedrock` records it from the real service, with your credentials
        answer = rag.Pipeline("indexes/handbook", generator="claude").ask("Who declares a SEV-1?")
        assert answer.citations[0].verified
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag.emulator.variables import OTHERS

if TYPE_CHECKING:
    from rag.emulator import Emulator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--record-bedrock`` and ``--bedrock-upstream``."""
    group = parser.getgroup("bedrock", "Amazon Bedrock, emulated and recorded")
    group.addoption(
        "--record-bedrock",
        action="store_true",
        help="let bedrock_recording record from the real service, with your credentials, at your cost",
    )
    group.addoption(
        "--bedrock-upstream",
        metavar="URL",
        help="forward the requests of --record-bedrock here, instead of to the services' endpoints",
    )


@pytest.fixture
def bedrock_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Start an emulator and point the AWS clients of this process at it; see `rag.emulator`.

    Its ``problems`` list invalid requests; the test decides whether they are failures.
    """
    from rag.emulator import Emulator

    with Emulator() as emulator:
        point_at(monkeypatch, emulator.environment())
        yield emulator


@pytest.fixture
def bedrock_recording(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Replay ``recordings/<test name>.jsonl`` beside the test's file, or record it again."""
    from rag.emulator import Emulator
    from rag.emulator.forwarding import Proxy
    from rag.emulator.recording import Recording

    path = recording_of(request.path, request.node.nodeid)
    if not request.config.getoption("--record-bedrock"):
        with Emulator(recorder=Recording.open(path), check_signatures=False) as emulator:
            point_at(monkeypatch, emulator.environment())
            yield emulator
        return
    path.unlink(missing_ok=True)
    proxy = Proxy(path, upstream=request.config.getoption("--bedrock-upstream"))
    try:
        with Emulator(recorder=proxy, check_signatures=False) as emulator:
            point_at(monkeypatch, emulator.environment())
            yield emulator
    finally:
        proxy.close()


def recording_of(file: Path, nodeid: str) -> Path:
    """Return the path of a test's recording.

    Examples
    --------
    >>> recording_of(Path("tests/test_a.py"), "tests/test_a.py::TestB::test_c[x/y]").as_posix()
    'tests/recordings/TestB.test_c_x_y_.jsonl'
    """
    name = ".".join(nodeid.split("::")[1:])
    return file.parent / "recordings" / (re.sub(r"[^\w.-]+", "_", name) + ".jsonl")


def point_at(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """Point AWS clients created in this process at an emulator, and hide the user's AWS settings."""
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    no_files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    for name, value in {**no_files, **environment}.items():
        monkeypatch.setenv(name, value)
    # boto3 keeps a session with the credentials of its first client.
    if "boto3" in sys.modules:
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
