"""Titan, Cohere and Nova through unmodified boto3, against the emulator: order, limits, failures, money."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

import rag
from rag.bedrock.embeddings.cohere import CohereEmbeddings
from rag.bedrock.embeddings.nova import NovaEmbeddings
from rag.bedrock.embeddings.titan import MAX_CHARS, TitanEmbeddings
from rag.bedrock.runtime.client import client, explain
from rag.bedrock.runtime.dispatch import Patience
from rag.core.errors import ConfigError, EmbeddingError, RagError
from rag.embedding.cache import CachedEmbeddings
from rag.emulator import Behaviour, Emulator
from rag.usage.budget import Meter
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger

TEXTS = [f"text number {n} on leave, backups and the on-call rota" for n in range(240)]
KINDS = [TitanEmbeddings, CohereEmbeddings, NovaEmbeddings]
ALL_RETRIED = (
    "ThrottlingException", "ModelNotReadyException", "InternalServerException",
    "ServiceUnavailableException", "ModelTimeoutException", "ModelErrorException", "ConnectionClosedError",
)  # fmt: skip


@contextlib.contextmanager
def running(monkeypatch: pytest.MonkeyPatch, **behaviour: Any) -> Iterator[Emulator]:
    with Emulator(Behaviour(**behaviour)) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with running(monkeypatch) as found:
        yield found
        assert found.problems == []


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    return [json.loads(request.params["body"]) for request in emulator.requests]


# --------------------------------------------------------------------------------- what is sent and got


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_come_in_the_order_of_the_texts(kind: type, emulator: Emulator) -> None:
    emulator.behaviour.latency_s = (0.003, 0.03)
    embedder = kind(256)
    made = np.array(embedder.embed_documents(TEXTS[:150]))
    assert made.shape == (150, 256)
    assert np.linalg.norm(made, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert made[77] == pytest.approx(np.array(kind(256).embed_documents([TEXTS[77]]))[0], abs=1e-6)
    assert embedder.embed_documents([]) == []


def test_what_is_sent_is_what_the_models_take(emulator: Emulator) -> None:
    TitanEmbeddings(512, normalize=False).embed_query("a")
    TitanEmbeddings(512, embedding_type="binary").embed_query("a")
    cohere, nova = CohereEmbeddings(1536), NovaEmbeddings(384)
    cohere.embed_documents(["b", "c"])
    cohere.embed_query("d")
    nova.embed_documents(["e"])
    nova.embed_query("f")
    plain, binary, documents, question, indexed, asked = bodies(emulator)
    assert plain == {"inputText": "a", "dimensions": 512, "normalize": False}
    assert binary["embeddingTypes"] == ["binary"]
    assert documents == {
        "texts": ["b", "c"], "input_type": "search_document", "embedding_types": ["float"],
        "output_dimension": 1536, "truncate": "NONE",
    }  # fmt: skip
    assert (question["texts"], question["input_type"]) == (["d"], "search_query")
    assert indexed["taskType"] == "SINGLE_EMBEDDING"
    assert indexed["singleEmbeddingParams"] == {
        "embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 384,
        "text": {"truncationMode": "NONE", "value": "e"},
    }  # fmt: skip
    assert asked["singleEmbeddingParams"]["embeddingPurpose"] == "TEXT_RETRIEVAL"


def test_binary_vectors_are_signs_of_length_one(emulator: Emulator) -> None:
    real = np.array(TitanEmbeddings(256).embed_query(TEXTS[0]))
    signs = np.array(TitanEmbeddings(256, embedding_type="binary").embed_query(TEXTS[0]))
    assert set(np.round(signs * 16, 5)) == {-1.0, 1.0}
    assert np.linalg.norm(signs) == pytest.approx(1.0)
    assert np.mean((signs > 0) == (real > 0)) > 0.99


def test_cohere_sends_up_to_96_texts_a_call(emulator: Emulator) -> None:
    CohereEmbeddings(256).embed_documents(TEXTS[:200])
    assert sorted(len(body["texts"]) for body in bodies(emulator)) == [8, 96, 96]
    emulator.requests.clear()
    CohereEmbeddings(256).embed_documents([f"{n} " + "many words " * 9000 for n in range(4)])
    assert sorted(len(body["texts"]) for body in bodies(emulator)) == [2, 2]


def test_a_fingerprint_names_all_that_decides_a_vector() -> None:
    assert TitanEmbeddings().fingerprint == "amazon.titan-embed-text-v2:0 dimensions=1024 normalize=true"
    same = CohereEmbeddings(model="global.cohere.embed-v4:0")
    assert same.fingerprint == CohereEmbeddings().fingerprint
    assert same.model == "global.cohere.embed-v4:0"
    every = [
        *(kind(256).fingerprint for kind in KINDS), TitanEmbeddings(512).fingerprint,
        TitanEmbeddings(256, normalize=False).fingerprint, TitanEmbeddings(256, long="pool").fingerprint,
        TitanEmbeddings(256, embedding_type="binary").fingerprint,
    ]  # fmt: skip
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dimensions": 300}, "256, 512 or 1024"), ({"concurrency": 0}, "concurrency is 0"),
        ({"long": "cut"}, "'refuse' or 'pool'"), ({"embedding_type": "int8"}, "'float' or 'binary'"),
        ({"requests_per_minute": 0}, "more than 0"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TitanEmbeddings(**wrong)


def test_the_embedders_are_known_by_name(emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    for name in ("titan", "cohere", "nova"):
        report = rag.build(folder, tmp_path / name, embedder={"use": name, "dimensions": 256})
        assert report.embedded > 0
        pipe = rag.Pipeline(tmp_path / name, embedder={"use": name, "dimensions": 256})
        assert "28 days" in pipe.ask("How many days of leave are there in Europe?").context.text


# -------------------------------------------------------------------------------------- texts too long


def test_a_text_over_the_limit_is_refused_before_anything_is_sent(emulator: Emulator) -> None:
    for embedder, text in (
        (TitanEmbeddings(), "word " * (MAX_CHARS // 5 + 1)),
        (TitanEmbeddings(), "🜚🝊🜞 " * 3000),  # few characters, many tokens
        (NovaEmbeddings(), "word " * 1700),
    ):
        with pytest.raises(EmbeddingError, match=r"text 1 \('.* has .*smaller chunks, or set long = 'pool'"):
            embedder.embed_documents(["short", text])
    with pytest.raises(EmbeddingError, match="text 1 is blank"):
        TitanEmbeddings().embed_documents(["short", " \n"])
    with pytest.raises(EmbeddingError, match="text 0 is blank"):
        TitanEmbeddings(long="pool").embed_documents([" " * (MAX_CHARS + 1)])
    assert emulator.requests == []


def test_a_pooled_text_is_the_weighted_mean_of_parts_that_hold_it_whole(emulator: Emulator) -> None:
    text = " ".join(f"Sentence number {n} is about the leave of team {n % 7}." for n in range(2500))
    embedder = TitanEmbeddings(256, long="pool")
    short, pooled = embedder.embed_documents(["short", text])
    parts = [body["inputText"] for body in bodies(emulator) if body["inputText"] != "short"]
    parts.sort(key=text.index)
    assert "".join(parts) == text
    assert all(part.startswith("Sentence") for part in parts)
    assert len(parts) >= 4
    alone = np.array([TitanEmbeddings(256).embed_query(part) for part in parts])
    mean = np.average(alone, axis=0, weights=[len(part) for part in parts])
    assert np.array(pooled) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert short == pytest.approx(TitanEmbeddings(256).embed_query("short"), abs=1e-6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["a", "Ende. ", "\n\n", " ", "漢字。", "x" * 9000, "🜚" * 900]), max_size=40))
def test_parts_of_any_text_hold_all_of_it_and_each_fits(pieces: list[str]) -> None:
    text = "".join(pieces)
    embedder = NovaEmbeddings(long="pool")
    parts = list(embedder._parts(text))
    assert "".join(parts) == text
    assert all(embedder._fits(part) for part in parts)


# ------------------------------------------------------------------------------------------- failures


def test_all_texts_get_their_vectors_though_a_third_of_the_calls_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(monkeypatch, fail=0.3, fail_with=ALL_RETRIED) as emulator:
        made = TitanEmbeddings(256, patience=Patience(base_s=0.01, cap_s=0.2)).vectors(TEXTS)
        assert np.linalg.norm(made, axis=1) == pytest.approx(1.0, abs=1e-5)
        assert emulator.counts["InvokeModel"] <= 1.6 * len(TEXTS)


def test_a_call_of_several_texts_is_tried_again_whole(emulator: Emulator) -> None:
    emulator.fail_next("InternalServerException")
    assert len(CohereEmbeddings(256).embed_documents(TEXTS[:90])) == 90
    assert [len(body["texts"]) for body in bodies(emulator)] == [90, 90]


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ValidationException", "ServiceQuotaExceededException"]
)
def test_what_is_of_no_use_to_try_again_stops_everything(code: str, emulator: Emulator) -> None:
    emulator.behaviour.latency_s = 0.05
    emulator.fail_next(code)
    with pytest.raises(EmbeddingError, match=rf"titan-embed-text-v2:0: {code}: .*: .*"):
        TitanEmbeddings(256, concurrency=8).embed_documents(TEXTS)
    assert emulator.counts["InvokeModel"] <= 8


def test_it_gives_up_after_so_many_failures_and_says_how_many(emulator: Emulator) -> None:
    emulator.fail_next("InternalServerException", times=99)
    with pytest.raises(EmbeddingError, match=r"InternalServerException.*after 3 tries"):
        TitanEmbeddings(256, patience=Patience(tries=3, base_s=0.001)).embed_query("a")
    assert emulator.counts["InvokeModel"] == 3


def test_it_gives_up_on_throttling_when_it_has_lasted_too_long(emulator: Emulator) -> None:
    emulator.behaviour.fail, emulator.behaviour.fail_with = 1.0, ("ThrottlingException",)
    with pytest.raises(EmbeddingError, match=r"ThrottlingException.*quota.*throttled for"):
        TitanEmbeddings(256, patience=Patience(throttled_s=0.2, base_s=0.01)).embed_query("a")


def test_without_a_connection_it_says_so_soon(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    embedder = TitanEmbeddings(256, endpoint_url="http://127.0.0.1:9", patience=Patience(base_s=0.001))
    with pytest.raises(EmbeddingError, match=r"EndpointConnectionError.*check the network.*after 4 tries"):
        embedder.embed_query("a")


def test_a_reply_that_is_not_the_models_is_refused() -> None:
    titan = TitanEmbeddings(256)
    for reply in (
        {},
        {"embedding": [0.1] * 255},
        {"embedding": ["x"] * 256},
        {"embedding": [float("nan")] * 256},
    ):
        with pytest.raises(EmbeddingError, match="holds no 1 vectors of 256 dimensions"):
            titan.read_vector(reply)
    with pytest.raises(EmbeddingError, match="cut after 7 characters"):
        NovaEmbeddings(256).read_vector(
            {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.1] * 256, "truncatedCharLength": 7}]}
        )


def test_a_batch_jobs_lines_are_made_and_read_by_the_embedder(emulator: Emulator) -> None:
    for embedder in (TitanEmbeddings(256), CohereEmbeddings(256), NovaEmbeddings(256)):
        body = embedder.request_body("leave of absence")
        sent = client("bedrock-runtime").invoke_model(modelId=embedder.MODEL, body=json.dumps(body))
        vector = embedder.read_vector(json.loads(sent["body"].read()))
        assert vector == pytest.approx(np.array(embedder.embed_documents(["leave of absence"])[0]), abs=1e-6)
    with pytest.raises(EmbeddingError, match="blank"):
        TitanEmbeddings().request_body("")


def test_a_client_without_a_region_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(RagError, match="no AWS region is set: set AWS_DEFAULT_REGION"):
        client("bedrock-runtime")
    with pytest.raises(RagError, match="bedrock-runtime"):
        client("bedrock-runtime", region="eu-west-1", endpoint_url="nowhere")
    assert "ValueError" in explain(ValueError("odd"), "model")


# ------------------------------------------------------------------------------- as they come, and bounds


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_what_is_under_way_and_not_stored_is_bounded(concurrency: int, emulator: Emulator) -> None:
    emulator.behaviour.latency_s = 0.004
    stored = 0
    for group in TitanEmbeddings(256, concurrency=concurrency).embed_each(TEXTS[:200]):
        time.sleep(0.002)
        assert len(emulator.requests) <= stored + concurrency
        assert len(group) <= concurrency
        stored += len(group)
    assert stored == 200
    assert len(emulator.requests) == 200


def test_who_stops_listening_stops_the_calls(emulator: Emulator) -> None:
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


def test_an_error_in_the_middle_loses_nothing_that_was_paid_for(emulator: Emulator, tmp_path: Path) -> None:
    embedder = TitanEmbeddings(256, concurrency=16)
    with contextlib.closing(CachedEmbeddings(embedder, tmp_path / "cache.sqlite")) as cache:
        emulator.behaviour.latency_s = 0.01
        told: list[int] = []

        def stop(done: int) -> None:
            told.append(done)
            if done >= 100 and not emulator.behaviour.fail:
                emulator.behaviour.fail, emulator.behaviour.fail_with = 1.0, ("AccessDeniedException",)

        with pytest.raises(EmbeddingError, match="AccessDenied"):
            cache.vectors(TEXTS, stop)
        paid = emulator.counts["InvokeModel"] - emulator.counts["failed"]
        assert len(cache.missing(TEXTS)) == len(TEXTS) - paid == len(TEXTS) - cache.embedded
        assert told == sorted(told)
        emulator.behaviour.fail = 0.0
        made = cache.vectors(TEXTS)
        assert emulator.counts["InvokeModel"] - emulator.counts["failed"] == len(TEXTS)
        assert made == pytest.approx(TitanEmbeddings(256).vectors(TEXTS), abs=1e-6)


KILLED = """
import sys
from pathlib import Path
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.embedding.cache import CachedEmbeddings
cache = CachedEmbeddings(TitanEmbeddings(256, concurrency=32), Path(sys.argv[1]))
cache.vectors([f"text number {n} on leave" for n in range(300)], lambda done: print(done, flush=True))
"""


@pytest.mark.parametrize("moment", [1, 200])
def test_a_kill_loses_only_what_was_under_way(moment: int, emulator: Emulator, tmp_path: Path) -> None:
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


def test_an_interrupt_ends_it_at_once(emulator: Emulator, tmp_path: Path) -> None:
    emulator.behaviour.latency_s = 30.0
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache.sqlite")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert int(process.stdout.readline()) == 0
    while not emulator.requests:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=15)  # the calls under way would take 30 s
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said


def test_vectors_from_elsewhere_are_put_in_as_unit_rows(tmp_path: Path, emulator: Emulator) -> None:
    with contextlib.closing(CachedEmbeddings(TitanEmbeddings(256), tmp_path / "cache.sqlite")) as cache:
        rows = np.random.default_rng(0).normal(size=(3, 256)) * 5
        cache.put(TEXTS[:3], rows)
        made = cache.vectors(TEXTS[:3])
        assert made == pytest.approx(rows / np.linalg.norm(rows, axis=1, keepdims=True), abs=1e-6)
        for wrong in (rows[:2], rows[:, :100], np.full((3, 256), np.inf)):
            with pytest.raises(EmbeddingError):
                cache.put(TEXTS[:3], wrong)
        assert cache.embedded == 0
    assert emulator.requests == []


# ---------------------------------------------------------------------------------------- limits, money


def test_a_quota_is_found_and_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, requests_per_minute=6000, latency_s=0.02) as emulator:
        made = TitanEmbeddings(256).vectors(TEXTS)
        assert made.shape == (240, 256)
        assert emulator.counts["throttled"] <= 120  # at the start, when nothing is known yet


def test_a_rate_that_was_asked_for_is_the_paces() -> None:
    assert TitanEmbeddings(requests_per_minute=600)._pace.rate == 10.0


@pytest.mark.parametrize(
    ("kind", "price"), [(TitanEmbeddings, 0.02), (CohereEmbeddings, 0.12), (NovaEmbeddings, 0.135)]
)
def test_each_question_pays_for_its_own_texts(
    kind: type, price: float, emulator: Emulator, tmp_path: Path
) -> None:
    """Twenty threads share an embedder; each collects what it spent, and the sum is the embedder's."""
    embedder, meter = kind(256), Meter(Ledger(tmp_path / "ledger.sqlite"))
    collectors = [Collector(meter) for _ in range(20)]
    threads = [
        threading.Thread(target=collector.run, args=(embedder.embed_documents, [TEXTS[n]] * (n % 3 + 1)))
        for n, collector in enumerate(collectors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usages = [call.usage for collector in collectors for call in collector.calls]
    assert len(usages) == 20
    assert sum(usage.input_tokens for usage in usages) == embedder.input_tokens > 100
    assert all(usage.cost_usd == pytest.approx(usage.input_tokens * price / 1e6) for usage in usages)
    assert meter.ledger.spent() == pytest.approx(embedder.input_tokens * price / 1e6)
    assert embedder.usd_per_million_tokens == price


# ------------------------------------------------------------------------------ LangChain's own suites


class TestTitanUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return TitanEmbeddings


class TestCohereUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return CohereEmbeddings


class TestNovaUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return NovaEmbeddings


@pytest.mark.usefixtures("emulator")
class TestTitan(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type:
        return TitanEmbeddings


@pytest.mark.usefixtures("emulator")
class TestCohere(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type:
        return CohereEmbeddings


@pytest.mark.usefixtures("emulator")
class TestNova(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type:
        return NovaEmbeddings
