"""The command line: one clear line for every mistake, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rag
from tests.command import run as run_command

RAG = [sys.executable, "-m", "rag"]


def run(*arguments: object, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return run_command(*arguments, code=code, cwd=cwd, env={**environment, "COLUMNS": "100"})


def error_of(*arguments: object, code: int, cwd: Path | None = None) -> str:
    """The one line that a failing command prints."""
    lines = [
        line for line in run(*arguments, code=code, cwd=cwd).stderr.splitlines() if line.startswith("rag: ")
    ]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def index(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "ix"
    rag.build(folder, path, embedder="static")
    return path


def test_build_search_context_ask_info_and_plan(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "ix"
    plan = json.loads(run("plan", folder, path, "--embedder", "static", "--json").stdout)
    assert (plan["added"], plan["chunks"]) == (3, 4)
    report = json.loads(run("build", folder, path, "--embedder", "static", "--json").stdout)
    assert (report["files"], report["version"]) == (3, 1)
    info = json.loads(run("info", path, "--json").stdout)
    assert info["schema"] == {
        "encoding": "string",
        "file_mime": "string",
        "file_mtime": "datetime",
        "file_sha256": "string",
        "file_size": "number",
        "region": "string",
        "tags": "list",
        "title": "string",
        "valid_from": "date",
        "year": "number",
    }
    found = json.loads(
        run("search", path, "annual leave", "-k", 1, "--where", "region == 'us'", "--json").stdout
    )
    assert found["hits"][0]["source"] == "leave-us.md"
    assert found["plan"].startswith("hybrid over 1 of 4 chunks where region == 'us'")
    context = json.loads(run("context", path, "annual leave", "--budget", 80, "--json").stdout)
    assert context["used"] <= context["budget"] == 80
    tokens = json.loads(
        run("context", path, "annual leave", "--budget", 30, "--unit", "tokens", "--json").stdout
    )
    assert tokens["unit"] == "tokens"
    answer = json.loads(
        run(
            "ask", path, "How many days of annual leave in Europe?", "--where", "region == 'eu'", "--json"
        ).stdout
    )
    assert answer["answered"] is True
    assert "28 days" in answer["text"]
    assert answer["citations"][0]["source"] == "leave.md"
    shown = run("ask", path, "How many days of annual leave in Europe?").stdout
    assert "[1] leave.md" in shown
    assert "extractive" in shown
    assert "retrieve" in shown


def test_batches_of_questions(index: Path, tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text(
        '{"id": 1, "question": "annual leave", "where": {"region": "us"}}\n\n'
        '{"id": "b", "question": "annual leave", "where": "region == \'eu\'"}\n'
    )
    for command in ("search", "context", "ask"):
        output = tmp_path / f"{command}.jsonl"
        run(command, index, "--questions", questions, "--output", output, "--where", "year > 2000")
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row["id"] for row in rows] == [1, "b"]
        assert [{hit["source"] for hit in row["hits"]} for row in rows] == [{"leave-us.md"}, {"leave.md"}]
        assert {"source", "start", "end", "page_start", "page_end", "score", "text"} == set(
            rows[0]["hits"][0]
        )
    assert [row["answered"] for row in rows] == [True, True]


def test_a_wrong_line_of_questions_is_named_and_no_half_file_is_left(index: Path, tmp_path: Path) -> None:
    questions, output = tmp_path / "q.jsonl", tmp_path / "out.jsonl"
    questions.write_text('{"id": 1, "question": "leave"}\n{"id": 2}\n')
    assert "line 2" in error_of("search", index, "--questions", questions, "--output", output, code=2)
    questions.write_text(
        '{"id": 1, "question": "leave"}\n{"id": "q7", "question": "x", "where": "yeer == 1"}\n'
    )
    said = error_of("search", index, "--questions", questions, "--output", output, code=2)
    assert "question 'q7'" in said
    assert "did you mean 'year'" in said
    assert not output.exists()
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "INDEX"], "give either a QUERY or --questions"),
        (["search", "INDEX", "x", "--questions", "q"], "give either a QUERY or --questions"),
        (["search", "INDEX", "--questions", "q"], "--questions and --output go together"),
        (["search", "INDEX", "--questions", "nowhere.jsonl", "--output", "o"], "cannot read nowhere.jsonl"),
        (["search", "INDEX", "x", "-k", "0"], "-k"),
        (["search", "INDEX", "x", "--mode", "fuzzy"], "fuzzy"),
        (["search", "INDEX", "  "], "question is empty"),
        (["search", "INDEX", "x", "--where", "yeer == 3"], "did you mean 'year'"),
        (["search", "INDEX", "x", "--where", "year == "], "cannot read where"),
        (["search", "nowhere", "x"], "there is no index in nowhere"),
        (["info", "nowhere"], "there is no index in nowhere"),
        (["ask", "INDEX", "x", "--generator", "lokal"], "did you mean 'local'"),
        (["ask", "INDEX", "x", "--embedder", "local"], "was built with"),
        (["build", "nowhere", "out"], "nowhere does not exist"),
        (["build", "DOCS", "INDEX", "--embedder", "local"], "--rebuild"),
        (["build", "DOCS", "out", "--embedder", "statik"], "did you mean 'static'"),
        (["build", "DOCS", "out", "--metadata", "nowhere.jsonl"], "cannot read the metadata table"),
        (["build", "DOCS", "out", "--metadata-from-path", "no-field/"], "has no field"),
        (["build", "DOCS", "DOCS/leave.md"], "is a file: name a folder"),
        (["build", "DOCS", "DOCS"], "not empty and no index"),
        (["bild", "DOCS"], "bild"),
        (["build", "DOCS", "out", "--config", "nowhere.toml"], "cannot read nowhere.toml"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    index: Path, folder: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    real = [a.replace("INDEX", str(index)).replace("DOCS", str(folder)) for a in arguments]
    assert says in error_of(*real, code=2, cwd=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert rag.Index.open(index).version == 1


def test_what_cannot_be_read_is_quarantined_and_the_rest_is_indexed(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.txt").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 nothing more")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 no zip")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.txt").symlink_to(folder / "gone.txt")
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(200 << 20)
    done = run("build", folder, tmp_path / "ix", "--embedder", "static", code=3)
    lines = [line for line in done.stderr.splitlines() if line.startswith("quarantined: ")]
    assert [line.split()[1] for line in lines] == [
        "broken.docx",
        "broken.pdf",
        "empty.txt",
        "huge.txt",
        "nowhere.txt",
        "picture.png",
    ]
    assert "is empty (0 bytes); fill it, or remove it" in lines[2]
    assert "has 200 MB, the limit is 100 MB; split it" in lines[3]
    assert "is a picture (PNG)" in lines[5]
    assert "loop is a link to a folder: not followed" in done.stderr
    assert rag.Index.open(tmp_path / "ix").manifest.files == 3
    again = run("build", folder, tmp_path / "ix", code=3)
    assert "3 unchanged" in again.stdout or "9 unchanged" in again.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_quarantined(folder: Path, tmp_path: Path) -> None:
    (folder / "secret.txt").write_text("x")
    (folder / "secret.txt").chmod(0)
    assert "permission denied" in run("build", folder, tmp_path / "ix", "--embedder", "static", code=3).stderr


def test_an_empty_folder_and_a_folder_without_text_change_nothing(index: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert "holds no files" in error_of("build", tmp_path / "none", index, code=2)
    (tmp_path / "none" / "a.txt").write_text("")
    assert "a.txt is empty" in error_of("build", tmp_path / "none", index, code=2)
    assert rag.Index.open(index).version == 1


def test_a_truncated_index_is_told_with_the_way_out(folder: Path, index: Path) -> None:
    victim = next((index / "segments").rglob("chunks.arrow"))
    victim.write_bytes(victim.read_bytes()[:100])
    for command in (["search", index, "x"], ["info", index], ["build", folder, index]):
        assert "build again with --rebuild" in error_of(*command, code=1)
    run("build", folder, index, "--rebuild", "--embedder", "static")
    assert rag.Index.open(index).search("annual leave", k=1)


def test_rag_toml_sets_stages_and_wrong_keys_are_refused_with_the_near_miss(
    folder: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "rag.toml"
    settings.write_text(
        '[embedder]\nuse = "static"\n[chunker]\nmax_tokens = 20\nmin_tokens = 5\n[trimmer]\nbudget = 50\n'
    )
    run("build", folder, "ix", cwd=tmp_path)
    assert rag.Index.open(tmp_path / "ix").manifest.embedder.name == "static"
    assert "max_tokens=20" in rag.Index.open(tmp_path / "ix").manifest.chunker
    assert json.loads(run("context", "ix", "leave", "--json", cwd=tmp_path).stdout)["budget"] == 50
    for text, says in (
        (
            "[trimmer]\nbudgett = 3\n",
            "[trimmer]: the trimmer 'budget' has no argument 'budgett': did you mean 'budget'?",
        ),
        ("[trimer]\nbudget = 3\n", "has a table [trimer]: did you mean 'trimmer'?"),
        ('[embedder]\nuse = "locl"\n', "did you mean 'local'"),
        ("[trimmer]\nbudget = 0\n", "rag.toml, [trimmer]: the trimmer's budget"),
        ('[retriever]\nreranker = "bedrok"\n', "rag.toml, [retriever]: there is no retriever's reranker"),
        (
            '[generator]\nuse = "claude"\nmodel = 5\n',
            "rag.toml, [generator]: the generator's model is the id",
        ),
        ('[prompt]\nuse = "nope"\n', "rag: rag.toml, [prompt]: there is no prompt 'nope'"),
        ("[prompt]\nform = 3\n", "rag: rag.toml, [prompt]: there is no form 3 of a prompt"),
        ("[trimmer\n", "is not TOML"),
    ):
        settings.write_text(text)
        assert says in error_of("context", "ix", "leave", code=2, cwd=tmp_path)


def test_search_says_that_it_does_not_rerank(index: Path, tmp_path: Path) -> None:
    (tmp_path / "rag.toml").write_text('[retriever]\nreranker = "bedrock"\n')
    done = run("search", index, "annual leave", cwd=tmp_path)
    assert done.stderr.startswith("note: these hits are not reranked: `rag context`") and done.stdout


def test_a_stage_can_be_any_class_by_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from rag.embedding.static import StaticEmbeddings\n"
        "class Mine(StaticEmbeddings):\n"
        "    name = 'mine'\n"
        "    def __init__(self, note='x'):\n"
        "        self.fingerprint = 'mine ' + note\n"
    )
    (tmp_path / "rag.toml").write_text('[embedder]\nuse = "mine:Mine"\nnote = "y"\n')
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(
        [*RAG, "build", folder, "ix"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert rag.Index.open(tmp_path / "ix").manifest.embedder.fingerprint == "mine y"
    assert "pass it (--bedrock or --embedder; embedder= in Python)" in error_of(
        "search", "ix", "leave", "--config", "/dev/null", code=2, cwd=tmp_path
    )
