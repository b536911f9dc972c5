"""Embedders on Bedrock under failures, kills and interrupts."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rag.bedrock.embeddings.cohere import CohereEmbeddings
from rag.bedrock.embeddings.nova import NovaEmbeddings
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.bedrock.runtime.dispatch import Patience
from rag.core.errors import EmbeddingError
from rag.embedding.cache import CachedEmbeddings
from rag.emulator import Emulator
from tests.bedrock.embedders import TEXTS, bodies, running


@pytest.fixture
def emulator(fresh_emulator: Emulator) -> Emulator:
    return fresh_emulator


ALL_RETRIED = (
    "ThrottlingException", "ModelNotReadyException", "InternalServerException",
    "ServiceUnavailableException", "ModelTimeoutException", "ModelErrorException", "ConnectionClosedError",
)  # fmt: skip


def test_random_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All texts get vectors although a third of the calls fail."""
    with running(monkeypatch, fail=0.3, fail_with=ALL_RETRIED) as emulator:
        stored_rows = TitanEmbeddings(256, patience=Patience(base_s=0.01, cap_s=0.2)).vectors(TEXTS)
        assert np.linalg.norm(stored_rows, axis=1) == pytest.approx(1.0, abs=1e-5)
        assert emulator.counts["InvokeModel"] <= 1.6 * len(TEXTS)


def test_batch_retry(emulator: Emulator) -> None:
    """A call with several texts is retried as a whole."""
    emulator.fail_next("InternalServerException")
    assert len(CohereEmbeddings(256).embed_documents(TEXTS[:90])) == 90
    assert [len(body["texts"]) for body in bodies(emulator)] == [90, 90]


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ValidationException", "ServiceQuotaExceededException"]
)
def test_permanent_failure(code: str, emulator: Emulator) -> None:
    """A permanent failure stops all calls."""
    emulator.behaviour.latency_s = 0.05
    emulator.fail_next(code)
    with pytest.raises(EmbeddingError, match=rf"titan-embed-text-v2:0: {code}: .*: .*"):
        TitanEmbeddings(256, concurrency=8).embed_documents(TEXTS)
    assert emulator.counts["InvokeModel"] <= 8


def test_gives_up(emulator: Emulator) -> None:
    """It gives up after the allowed attempts, and says how many."""
    emulator.fail_next("InternalServerException", times=99)
    with pytest.raises(EmbeddingError, match=r"InternalServerException.*after 3 attempts"):
        TitanEmbeddings(256, patience=Patience(tries=3, base_s=0.001)).embed_query("a")
    assert emulator.counts["InvokeModel"] == 3


def test_throttled_too_long(emulator: Emulator) -> None:
    """It gives up when throttling lasts too long."""
    emulator.behaviour.fail, emulator.behaviour.fail_with = 1.0, ("ThrottlingException",)
    with pytest.raises(EmbeddingError, match=r"ThrottlingException.*quota.*throttled for"):
        TitanEmbeddings(256, patience=Patience(throttled_s=0.2, base_s=0.01)).embed_query("a")


def test_no_connection(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """Without a connection it fails soon."""
    embedder = TitanEmbeddings(256, endpoint_url="http://127.0.0.1:9", patience=Patience(base_s=0.001))
    with pytest.raises(EmbeddingError, match=r"EndpointConnectionError.*check the network.*after 4 attempts"):
        embedder.embed_query("a")


def test_wrong_reply() -> None:
    """A reply without the expected vectors is refused."""
    titan = TitanEmbeddings(256)
    for reply in (
        {},
        {"embedding": [0.1] * 255},
        {"embedding": ["x"] * 256},
        {"embedding": [float("nan")] * 256},
    ):
        with pytest.raises(EmbeddingError, match="does not hold 1 vectors of 256 dimensions"):
            titan.read_vector(reply)
    with pytest.raises(EmbeddingError, match="truncated after 7 characters"):
        NovaEmbeddings(256).read_vector(
            {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.1] * 256, "truncatedCharLength": 7}]}
        )


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_bounded_loss(concurrency: int, emulator: Emulator) -> None:
    """Calls in progress and unstored vectors never exceed the concurrency."""
    emulator.behaviour.latency_s = 0.004
    stored = 0
    for group in TitanEmbeddings(256, concurrency=concurrency).embed_each(TEXTS[:200]):
        time.sleep(0.002)
        assert len(emulator.requests) <= stored + concurrency
        assert len(group) <= concurrency
        stored += len(group)
    assert stored == 200
    assert len(emulator.requests) == 200


def test_closed_iterator(emulator: Emulator) -> None:
    """Closing the iterator stops the calls."""
    emulator.behaviour.latency_s = 0.01
    arriving = TitanEmbeddings(256, concurrency=8).embed_each(TEXTS)
    next(arriving)
    arriving.close()
    time.sleep(0.1)
    sent = len(emulator.requests)
    assert sent <= 16
    time.sleep(0.1)
    assert len(emulator.requests) == sent
    assert not [thread for thread in threading.enumerate() if thread.name == "rag-bedrock"]


def test_failure_keeps_vectors(emulator: Emulator, tmp_path: Path) -> None:
    """A failure loses no vector that was paid for."""
    embedder = TitanEmbeddings(256, concurrency=16)
    with contextlib.closing(CachedEmbeddings(embedder, tmp_path / "cache.sqlite")) as cache:
        emulator.behaviour.latency_s = 0.01
        progress: list[int] = []

        def stop(done: int) -> None:
            progress.append(done)
            if done >= 100 and not emulator.behaviour.fail:
                emulator.behaviour.fail, emulator.behaviour.fail_with = 1.0, ("AccessDeniedException",)

        with pytest.raises(EmbeddingError, match="AccessDenied"):
            cache.vectors(TEXTS, stop)
        paid = emulator.counts["InvokeModel"] - emulator.counts["failed"]
        assert len(cache.missing(TEXTS)) == len(TEXTS) - paid == len(TEXTS) - cache.embedded
        assert progress == sorted(progress)
        emulator.behaviour.fail = 0.0
        stored_rows = cache.vectors(TEXTS)
        assert emulator.counts["InvokeModel"] - emulator.counts["failed"] == len(TEXTS)
        assert stored_rows == pytest.approx(TitanEmbeddings(256).vectors(TEXTS), abs=1e-6)


KILLED = """
import sys
from pathlib import Path
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.embedding.cache import CachedEmbeddings
cache = CachedEmbeddings(TitanEmbeddings(256, concurrency=32), Path(sys.argv[1]))
cache.vectors([f"text number {n} on leave" for n in range(300)], lambda done: print(done, flush=True))
"""


@pytest.mark.parametrize("moment", [1, 200])
def test_kill(moment: int, emulator: Emulator, tmp_path: Path) -> None:
    """A killed process loses only the calls in progress."""
    emulator.behaviour.latency_s = (0.02, 0.1)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache.sqlite")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < moment:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert emulator.counts["InvokeModel"] >= moment
    subprocess.run(command, check=True, capture_output=True)
    assert 300 <= emulator.counts["InvokeModel"] <= 300 + 32


def test_interrupt(emulator: Emulator, tmp_path: Path) -> None:
    """An interrupt ends the process at once."""
    emulator.behaviour.latency_s = 30.0
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache.sqlite")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert int(process.stdout.readline()) == 0
    while not emulator.requests:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)  # the calls under way would take 30 s
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors


def test_foreign_vectors(tmp_path: Path, emulator: Emulator) -> None:
    """The cache normalises vectors from other sources, and refuses invalid ones."""
    with contextlib.closing(CachedEmbeddings(TitanEmbeddings(256), tmp_path / "cache.sqlite")) as cache:
        rows = np.random.default_rng(0).normal(size=(3, 256)) * 5
        cache.put(TEXTS[:3], rows)
        stored_rows = cache.vectors(TEXTS[:3])
        assert stored_rows == pytest.approx(rows / np.linalg.norm(rows, axis=1, keepdims=True), abs=1e-6)
        for wrong in (rows[:2], rows[:, :100], np.full((3, 256), np.inf)):
            with pytest.raises(EmbeddingError):
                cache.put(TEXTS[:3], wrong)
        assert cache.embedded == 0
    assert emulator.requests == []
