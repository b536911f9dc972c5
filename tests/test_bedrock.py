"""Titan and Claude through unmodified boto3, against a local server that speaks Bedrock's wire form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from langchain_tests.unit_tests import EmbeddingsUnitTests

import rag
from rag.bedrock.titan import MAX_CHARS
from rag.errors import ConfigError, EmbeddingError, GenerationError

from .bedrock_server import Bedrock, bedrock


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bedrock]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with bedrock() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def test_titan_gives_unit_vectors_in_order_and_counts_tokens(server: Bedrock) -> None:
    titan = rag.TitanEmbeddings(256)
    texts = [f"text number {n}" for n in range(30)]
    vectors = np.array(titan.embed_documents(texts))
    assert vectors.shape == (30, 256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)
    assert vectors[7] == pytest.approx(np.array(titan.embed_query(texts[7])))
    assert titan.input_tokens == 31 * 3
    path, body = server.requests[0]
    assert path == "/model/amazon.titan-embed-text-v2:0/invoke"
    assert set(body) == {"inputText", "dimensions", "normalize"}
    assert (body["dimensions"], body["normalize"]) == (256, True)


def test_titan_has_as_many_calls_under_way_as_it_is_allowed(server: Bedrock) -> None:
    server.delay = 0.05
    rag.TitanEmbeddings(256, concurrency=6).embed_documents([f"text {n}" for n in range(24)])
    assert 3 <= server.most_busy <= 6


def test_throttling_is_retried_and_access_denied_says_what_to_allow(server: Bedrock) -> None:
    titan = rag.TitanEmbeddings(256)
    server.failures = [(429, "ThrottlingException")]
    assert len(titan.embed_query("again")) == 256
    server.failures = [(403, "AccessDeniedException")]
    with pytest.raises(EmbeddingError, match=r"AccessDeniedException.*allow bedrock:InvokeModel"):
        titan.embed_query("no")


def test_a_text_over_titans_limit_is_refused_not_cut(server: Bedrock) -> None:
    with pytest.raises(EmbeddingError, match="let the chunker make smaller chunks"):
        rag.TitanEmbeddings().embed_documents(["x" * (MAX_CHARS + 1)])
    assert server.requests == []
    with pytest.raises(ConfigError, match="256, 512 or 1024"):
        rag.TitanEmbeddings(300)


def test_a_build_that_fails_midway_pays_only_for_what_is_missing(
    server: Bedrock, folder: Path, tmp_path: Path
) -> None:
    server.failures = [(403, "AccessDeniedException")]
    with pytest.raises(EmbeddingError):
        rag.build(folder, tmp_path / "ix", embedder="titan")
    report = rag.build(folder, tmp_path / "ix", embedder="titan")
    asked = len(server.requests)
    again = rag.build(folder, tmp_path / "ix", embedder="titan")
    assert (again.embedded, len(server.requests)) == (0, asked)
    assert report.files == 3


def test_the_pipeline_answers_with_claude_and_verifies_its_citations(
    server: Bedrock, folder: Path, tmp_path: Path
) -> None:
    rag.build(folder, tmp_path / "ix", embedder={"use": "titan", "dimensions": 256})
    index = rag.Index.open(tmp_path / "ix")
    assert index.embedder is None  # an index never chooses a paid embedder
    pipe = rag.Pipeline(tmp_path / "ix", embedder={"use": "titan", "dimensions": 256}, generator="claude")
    answer = pipe.ask("How many days of leave?", where="region == 'eu'")
    assert answer.text == "Anyone may. [1]"
    assert (answer.citations[0].source, answer.citations[0].verified) == ("leave.md", True)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (100, 20)
    assert answer.usage.cost_usd == pytest.approx((100 * 2 + 20 * 10) / 1e6)
    assert "claude-sonnet-5-5" in answer.generator
    path, body = server.requests[-1]
    assert path.endswith("/converse-stream")
    assert "United States" not in str(body)
    assert "<question>How many days of leave?</question>" in body["messages"][0]["content"][0]["text"]
    assert body["system"][0]["text"].startswith("You answer questions from the documents")


def test_a_cut_answer_is_not_passed_off_as_whole(server: Bedrock, folder: Path, tmp_path: Path) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    server.stop_reason = "max_tokens"
    answer = rag.Pipeline(tmp_path / "ix", generator="claude").ask("How many days of leave?")
    assert answer.stop_reason == "max_tokens"


def test_a_failing_model_is_one_line_that_says_what_to_do(
    server: Bedrock, folder: Path, tmp_path: Path
) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    server.failures = [(404, "ResourceNotFoundException")]
    with pytest.raises(GenerationError, match="check the model id"):
        rag.Pipeline(tmp_path / "ix", generator="claude").ask("How many days of leave?")


def test_a_misspelt_argument_of_claude_is_refused(server: Bedrock) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        rag.claude(temprature=0.1)


def test_bedrock_on_an_index_of_local_vectors_asks_claude_alone(
    server: Bedrock, folder: Path, tmp_path: Path
) -> None:
    rag.build(folder, tmp_path / "ix", embedder="static")
    done = subprocess.run(
        [sys.executable, "-m", "rag", "ask", tmp_path / "ix", "How many days of leave in Europe?", "--bedrock"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "[1] leave.md" in done.stdout
    assert [path.rsplit("/", 1)[1] for path, _ in server.requests] == ["converse-stream"]


def test_without_credentials_the_command_says_which_variables_to_set(folder: Path, tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    clean |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "eu-west-1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "rag", "build", folder, tmp_path / "ix", "--bedrock"],
        capture_output=True, text=True, env=clean, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "there are no AWS credentials: set AWS_PROFILE" in done.stderr
    assert "Traceback" not in done.stderr


class TestTitanStandard(EmbeddingsUnitTests):
    """LangChain's own suite for embedders."""

    @property
    def embeddings_class(self) -> type:
        return rag.TitanEmbeddings


class TestLocalStandard(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return rag.LocalEmbeddings


class TestStaticStandard(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return rag.StaticEmbeddings
