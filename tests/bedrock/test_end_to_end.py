"""Titan and Claude together, from documents to answers, against the emulator; and ``--bedrock``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from langchain_tests.unit_tests import EmbeddingsUnitTests

import rag
from rag.core.errors import EmbeddingError
from rag.emulator import Emulator, Request
from rag.emulator.wire import Refusal
from tests import command

TITAN = {"use": "titan", "dimensions": 256}


def texts(emulator: Emulator) -> list[str]:
    """What Titan was asked for."""
    bodies = (request.params["body"] for request in emulator.requests if request.operation == "InvokeModel")
    return [json.loads(body)["inputText"] for body in bodies]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return command.run(*arguments, code=None, env={**os.environ, **environment})


def test_failed_build(bedrock_emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    """A build that fails midway pays only for missing vectors."""
    embedder = {**TITAN, "concurrency": 1}
    rag.build(folder / "old", tmp_path / "ix", embedder=embedder)
    paid = texts(bedrock_emulator)
    bedrock_emulator.fail_next("AccessDeniedException")
    with pytest.raises(EmbeddingError, match=r"AccessDeniedException.*allow bedrock:InvokeModel"):
        rag.build(folder, tmp_path / "ix", embedder=embedder)
    asked = len(texts(bedrock_emulator))
    assert rag.build(folder, tmp_path / "ix", embedder=embedder).files == 3
    missing = texts(bedrock_emulator)[asked:]
    assert missing and not set(missing) & set(paid)
    asked = len(texts(bedrock_emulator))
    assert rag.build(folder, tmp_path / "ix", embedder=embedder).embedded == 0
    assert len(texts(bedrock_emulator)) == asked


def test_filtered_answer(bedrock_emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    """Claude never receives filtered documents."""
    rag.build(folder, tmp_path / "ix", embedder=TITAN)
    assert rag.Index.open(tmp_path / "ix").embedder is None  # an index never chooses a paid embedder
    pipe = rag.Pipeline(tmp_path / "ix", embedder=TITAN, generator="claude")
    answer = pipe.ask("How many days of annual leave?", where="region == 'eu'")
    assert answer.text == "Staff in Europe take 28 days of annual leave. [1]"
    assert (answer.citations[0].source, answer.citations[0].verified) == ("leave.md", True)
    assert texts(bedrock_emulator)[-1] == "How many days of annual leave?"
    sent = bedrock_emulator.requests[-1]
    assert sent.operation == "ConverseStream"
    assert "United States" not in str(sent.params)
    assert bedrock_emulator.problems == []


def test_bedrock_option(bedrock_emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    """--bedrock builds with Titan, and asks Claude with the same dimensions."""
    built = run("build", folder, tmp_path / "ix", "--bedrock")
    assert (built.returncode, built.stderr) == (0, "")
    asked = run("ask", tmp_path / "ix", "How many days of annual leave in Europe?", "--bedrock", "--json")
    answer = json.loads(asked.stdout)
    assert [call["purpose"] for call in answer["calls"]] == ["embed", "generate"]
    assert answer["citations"][0]["source"] == "leave.md"
    assert bedrock_emulator.problems == []


def test_local_vectors(bedrock_emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    """--bedrock on an index of local vectors calls Claude alone."""
    rag.build(folder, tmp_path / "ix", embedder="static")
    done = run("ask", tmp_path / "ix", "How many days of leave in Europe?", "--bedrock")
    assert "[1] leave.md" in done.stdout
    assert bedrock_emulator.counts == {"ConverseStream": 1}


def test_kept_answers(bedrock_emulator: Emulator, folder: Path, tmp_path: Path) -> None:
    """Answers paid for before a failure are kept."""
    rag.build(folder, tmp_path / "ix", embedder="static")
    questions, output = tmp_path / "q.jsonl", tmp_path / "out.jsonl"
    one = {"question": "How many days of leave in Europe?"}
    asked = ("ask", tmp_path / "ix", "--bedrock", "--questions", questions, "--output", output)
    questions.write_text("".join(json.dumps({"id": n, **one}) + "\n" for n in range(2)) + '{"id": 2}\n')
    assert "line 3" in run(*asked).stderr
    assert bedrock_emulator.counts == {}  # nothing was paid before a line was found wrong
    questions.write_text("".join(json.dumps({"id": n, **one}) + "\n" for n in range(2)))

    def once(request: Request) -> str:
        if request.number > 1:
            raise Refusal("AccessDeniedException", "no more")
        return "28 days."

    bedrock_emulator.behaviour.reply = once
    done = run(*asked)
    assert done.returncode == 1 and f"the results before it are in {output}.part" in done.stderr
    assert [json.loads(line)["id"] for line in Path(f"{output}.part").read_text().splitlines()] == [0]
    bedrock_emulator.behaviour.reply = "28 days."
    assert run(*asked).returncode == 0 and not Path(f"{output}.part").exists()


@pytest.mark.parametrize("name", ["cohere", "nova"])
def test_same_embedder(bedrock_emulator: Emulator, folder: Path, tmp_path: Path, name: str) -> None:
    """Questions use the embedder of the index."""
    rag.build(folder, tmp_path / "ix", embedder={"use": name, "dimensions": 256})
    for chosen in (("--bedrock",), ("--embedder", name, "--generator", "claude")):
        done = run("ask", tmp_path / "ix", "How many days of annual leave in Europe?", *chosen, "--json")
        assert done.returncode == 0, done.stderr
        assert [call["purpose"] for call in json.loads(done.stdout)["calls"]] == ["embed", "generate"]
    other = run("ask", tmp_path / "ix", "How many days?", "--bedrock", "--embedder", "titan")
    assert (other.returncode, "use that embedder" in other.stderr) == (2, True)
    assert bedrock_emulator.problems == []


def test_no_credentials(
    bedrock_emulator: Emulator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    done = run("build", folder, tmp_path / "ix", "--bedrock", HOME=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there are no AWS credentials: set AWS_PROFILE" in done.stderr
    assert bedrock_emulator.counts == {}


class TestLocalStandard(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return rag.LocalEmbeddings


class TestStaticStandard(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type:
        return rag.StaticEmbeddings
