"""Titan, Cohere and Nova by unmodified boto3, against the emulator: requests, texts and costs."""

from __future__ import annotations

import json
import os
import threading
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
from rag.core.errors import ConfigError, EmbeddingError, RagError
from rag.emulator import Emulator
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger
from rag.usage.meter import Meter
from tests.bedrock.embedders import KINDS, TEXTS, bodies, running


@pytest.fixture
def emulator(fresh_emulator: Emulator) -> Emulator:
    return fresh_emulator


@pytest.mark.parametrize("kind", KINDS)
def test_order(kind: type, emulator: Emulator) -> None:
    """Vectors have the order of the texts."""
    emulator.behaviour.latency_s = (0.003, 0.03)
    embedder = kind(256)
    array = np.array(embedder.embed_documents(TEXTS[:150]))
    assert array.shape == (150, 256)
    assert np.linalg.norm(array, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert array[77] == pytest.approx(np.array(kind(256).embed_documents([TEXTS[77]]))[0], abs=1e-6)
    assert embedder.embed_documents([]) == []


def test_requests(emulator: Emulator) -> None:
    """Requests have the fields of each model."""
    TitanEmbeddings(512, normalize=False).embed_query("a")
    TitanEmbeddings(512, embedding_type="binary").embed_query("a")
    cohere, nova = CohereEmbeddings(1536), NovaEmbeddings(384)
    cohere.embed_documents(["b", "c"])
    cohere.embed_query("d")
    nova.embed_documents(["e"])
    nova.embed_query("f")
    plain, binary, documents, question, indexed, query = bodies(emulator)
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
    assert query["singleEmbeddingParams"]["embeddingPurpose"] == "TEXT_RETRIEVAL"


def test_binary(emulator: Emulator) -> None:
    """Binary vectors are signs, scaled to length 1."""
    real = np.array(TitanEmbeddings(256).embed_query(TEXTS[0]))
    signs = np.array(TitanEmbeddings(256, embedding_type="binary").embed_query(TEXTS[0]))
    assert set(np.round(signs * 16, 5)) == {-1.0, 1.0}
    assert np.linalg.norm(signs) == pytest.approx(1.0)
    assert np.mean((signs > 0) == (real > 0)) > 0.99


def test_cohere_batches(emulator: Emulator) -> None:
    """Cohere gets up to 96 texts per call."""
    CohereEmbeddings(256).embed_documents(TEXTS[:200])
    assert sorted(len(body["texts"]) for body in bodies(emulator)) == [8, 96, 96]
    emulator.requests.clear()
    CohereEmbeddings(256).embed_documents([f"{n} " + "many words " * 9000 for n in range(4)])
    assert sorted(len(body["texts"]) for body in bodies(emulator)) == [2, 2]


def test_fingerprint() -> None:
    """The fingerprint names everything that determines a vector."""
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
    ("wrong", "message"),
    [
        ({"dimensions": 300}, "256, 512 or 1024"), ({"concurrency": 0}, "concurrency is 0"),
        ({"long": "cut"}, "'refuse' or 'pool'"), ({"embedding_type": "int8"}, "'float' or 'binary'"),
        ({"requests_per_minute": 0}, "above 0"),
    ],
)  # fmt: skip
def test_wrong_argument(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TitanEmbeddings(**wrong)


def test_names(emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    """Titan, Cohere and Nova are available by name."""
    for name in ("titan", "cohere", "nova"):
        report = rag.build(folder, tmp_path / name, embedder={"use": name, "dimensions": 256})
        assert report.embedded > 0
        pipe = rag.Pipeline(tmp_path / name, embedder={"use": name, "dimensions": 256})
        assert "28 days" in pipe.ask("How many days of leave are there in Europe?").context.text


def test_long_text(emulator: Emulator) -> None:
    """A text above the limit is refused before any call."""
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


def test_pooled_text(emulator: Emulator) -> None:
    """A pooled vector is the weighted mean of parts that contain the whole text."""
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
def test_parts(pieces: list[str]) -> None:
    """The parts of any text contain all of it, and fit the limit."""
    text = "".join(pieces)
    embedder = NovaEmbeddings(long="pool")
    parts = list(embedder._parts(text))
    assert "".join(parts) == text
    assert all(embedder._fits(part) for part in parts)


def test_batch_lines(emulator: Emulator) -> None:
    """The embedder writes and reads a batch job's lines."""
    for embedder in (TitanEmbeddings(256), CohereEmbeddings(256), NovaEmbeddings(256)):
        body = embedder.request_body("leave of absence")
        sent = client("bedrock-runtime").invoke_model(modelId=embedder.MODEL, body=json.dumps(body))
        vector = embedder.read_vector(json.loads(sent["body"].read()))
        assert vector == pytest.approx(np.array(embedder.embed_documents(["leave of absence"])[0]), abs=1e-6)
    with pytest.raises(EmbeddingError, match="blank"):
        TitanEmbeddings().request_body("")


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error without a region names the variable to set."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(RagError, match="no AWS region is set: set AWS_DEFAULT_REGION"):
        client("bedrock-runtime")
    with pytest.raises(RagError, match="bedrock-runtime"):
        client("bedrock-runtime", region="eu-west-1", endpoint_url="nowhere")
    assert "ValueError" in explain(ValueError("odd"), "model")


def test_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quota is measured and respected."""
    with running(monkeypatch, requests_per_minute=6000, latency_s=0.02) as emulator:
        array = TitanEmbeddings(256).vectors(TEXTS)
        assert array.shape == (240, 256)
        assert emulator.counts["throttled"] <= 160  # at the start, when nothing is known yet


def test_requests_per_minute() -> None:
    assert TitanEmbeddings(requests_per_minute=600)._limiter.rate == 10.0


@pytest.mark.parametrize(
    ("kind", "price"), [(TitanEmbeddings, 0.02), (CohereEmbeddings, 0.12), (NovaEmbeddings, 0.135)]
)
def test_cost_per_question(kind: type, price: float, emulator: Emulator, tmp_path: Path) -> None:
    """Of twenty threads that share an embedder, every collector gets the cost of its texts."""
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
