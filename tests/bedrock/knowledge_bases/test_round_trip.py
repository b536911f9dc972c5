"""Upload, create, sync, retrieve with filters, answer: the commands of a new user, without AWS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.search.knowledge_base import KnowledgeBaseRetriever
from rag.bedrock.search.knowledge_base_answers import KnowledgeBaseAnswers
from rag.core.errors import WhereError
from rag.emulator import Emulator
from tests.bedrock.knowledge_bases.conftest import ROLE, objects
from tests.command import run

PLACE = "s3://handbook/docs"
QUESTION = "How many days of annual leave do staff take?"


@pytest.fixture
def kb(aws: Emulator, documents: Path) -> str:
    """The id of a knowledge base over the uploaded documents."""
    run("kb", "upload", documents, PLACE, code=3)
    made = json.loads(run("kb", "create", "handbook", "--s3", PLACE, "--role", ROLE, "--json").stdout)
    run("kb", "sync", made["id"])
    return str(made["id"])


def test_round_trip(aws: Emulator, documents: Path, kb: str, tmp_path: Path) -> None:
    """The printed settings retrieve what an index of the folder does, filters by date included."""
    shown = run("kb", "create", "handbook", "--s3", PLACE, "--role", ROLE).stdout
    settings = tomllib.loads(shown[shown.index("[retriever]") :])
    assert settings == {"retriever": {
        "use": "knowledge-base", "knowledge_base_id": kb, "prefix": f"{PLACE}/", "dates": "day",
    }}  # fmt: skip
    left_out = {"exclude": ["*.htm", "*.json"]}
    rag.build(documents, tmp_path / "ix", embedder="static", chunker="fixed", loader=left_out)
    pipe = rag.Pipeline(tmp_path / "ix", settings=settings)
    for where, sources in {
        None: {"leave.md", "leave-us.md", "old/backup.txt"},
        "region == 'eu'": {"leave.md"},
        "year >= 2023 and list_contains(tags, 'hr')": {"leave.md"},
        "valid_from >= date('2024-01-01')": {"leave.md"},
        "valid_from == date('2022-01-01')": {"leave-us.md"},
        "valid_from < date('2024-01-01') and region != 'eu'": {"leave-us.md"},
        "region != 'eu'": {"leave-us.md", "old/backup.txt"},
        "startswith(source, 'old/')": {"old/backup.txt"},
    }.items():
        hits = pipe.retrieve(QUESTION, where=where, k=10)
        assert {hit.source for hit in hits} == sources, where
        assert all(hit.placed for hit in hits)
        if where is not None:
            assert {hit.source for hit in pipe.index.search(QUESTION, 10, where=where)} == sources, where
    answer = pipe.ask("How many days of annual leave in Europe?", where="region == 'eu'")
    assert answer.citations[0].text == "Staff in Europe take 28 days of annual leave."
    base = KnowledgeBaseAnswers(
        knowledge_base_id=kb, index=pipe.index, prefix=f"{PLACE}/", dates="day",
    )  # fmt: skip
    given = base.ask("How many days of annual leave in Europe?", where="valid_from >= date('2024-01-01')")
    assert given.citations[0].text == "Staff in Europe take 28 days of annual leave."
    assert given.citations[0].source == "leave.md" and given.citations[0].verified
    refused = ("GetVectorBucket", "GetIndex")  # looked up before they were created
    assert [line for line in aws.problems if not line.startswith(refused)] == []


def test_back_again(aws: Emulator, kb: str, tmp_path: Path) -> None:
    """An index of the bucket has the metadata of the sidecars, dates as dates."""
    rag.build(f"{PLACE}", tmp_path / "ix", embedder="static")
    index = rag.Index.open(tmp_path / "ix")
    assert (index.schema["valid_from"], index.schema["valid_from_day"]) == ("date", "number")
    for where in ("valid_from >= date('2024-01-01')", "valid_from_day >= 20240101"):
        assert {hit.source for hit in index.search(QUESTION, where=where)} == {"leave.md"}


def test_dates_as_text_alone_have_no_order(aws: Emulator, kb: str) -> None:
    plain = KnowledgeBaseRetriever(knowledge_base_id=kb, prefix=f"{PLACE}/")
    assert len(plain.hits(QUESTION, where="valid_from == '2024-03-01'")) == 1
    with pytest.raises(WhereError, match=r'store it as a number too.*set dates = "day"'):
        plain.hits(QUESTION, where="valid_from >= date('2024-01-01')")


def test_changes_reach_the_knowledge_base(aws: Emulator, documents: Path, kb: str, s3: Any) -> None:
    (documents / "leave.md").write_text("---\nregion: eu\n---\nStaff in Europe take 30 days.\n")
    (documents / "leave-us.md").unlink()
    done = run("kb", "upload", documents, PLACE, "--delete", "--exclude", "*.htm", "--exclude", "*.json")
    assert done.stdout == (
        "s3://handbook/docs/: 0 new and 1 changed documents uploaded, sidecars of 1, 1 unchanged, 1 deleted\n"
    )  # fmt: skip
    assert set(objects(s3)) == {"docs/leave.md", "docs/leave.md.metadata.json", "docs/old/backup.txt"}
    row = json.loads(run("kb", "sync", kb, "--json").stdout)
    assert (row["modified"], row["deleted"], row["failed"]) == (1, 1, 0)
    texts = [hit.text for hit in KnowledgeBaseRetriever(knowledge_base_id=kb).hits(QUESTION)]
    assert any("30 days" in text for text in texts) and not any("22 days" in text for text in texts)


def test_a_base_that_has_ingested_nothing_finds_nothing(aws: Emulator) -> None:
    made = json.loads(run("kb", "create", "empty", "--s3", PLACE, "--role", ROLE, "--json").stdout)
    assert KnowledgeBaseRetriever(knowledge_base_id=made["id"]).hits(QUESTION) == []


def test_eval_compares_with_the_baseline(aws: Emulator, documents: Path, kb: str, tmp_path: Path) -> None:
    rag.build(documents, tmp_path / "ix", embedder="static")
    questions, config = tmp_path / "g.jsonl", tmp_path / "kb.toml"
    rows = [
        {"id": "eu", "question": "How many days of leave in Europe?", "gold": ["leave.md"]},
        {"id": "backup", "question": "When do backups run?", "gold": ["old/backup.txt"]},
    ]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("eval", tmp_path / "ix", questions, "--answers")
    assert "there is no [baseline] in rag.toml: add one" in run(*words, "--baseline", code=2).stderr
    config.write_text(
        f'[baseline]\nuse = "knowledge-base"\nknowledge_base_id = "{kb}"\nprefix = "{PLACE}/"\ndates = "day"\n'
    )
    shown = run(*words, "--config", config, "--baseline").stdout
    assert "baseline: answers to 2 questions" in shown and f"{tmp_path / 'ix'} minus baseline" in shown
    row = json.loads(run(*words, "--config", config, "--baseline", "--json").stdout)
    assert row["baseline"]["metrics"]["cite_recall"]["mean"] == 1
    assert row["comparison"]["differences"]["correct"]["count"] == 2
    alone = run("eval", tmp_path / "ix", questions, "--config", config, "--baseline", code=2)
    assert "--baseline compares answers: give --answers" in alone.stderr


# ---------------------------------------------------------------------- what a person sees


def test_a_dry_run_writes_nothing(aws: Emulator, documents: Path, s3: Any) -> None:
    done = run("kb", "upload", documents, PLACE, "--dry-run", code=3)
    assert done.stdout.splitlines() == [
        "+ docs/leave-us.md.metadata.json", "+ docs/leave-us.md", "+ docs/leave.md.metadata.json",
        "+ docs/leave.md", "+ docs/old/backup.txt",
        "s3://handbook/docs/: 3 new and 0 changed documents would be uploaded, sidecars of 2, 0 unchanged",
    ]  # fmt: skip
    assert (
        "not uploaded: notes.htm is .htm, which Knowledge Bases does not read; rename it to .html"
        in done.stderr
    )
    assert objects(s3) == {}


def test_what_is_gone_is_named(aws: Emulator, documents: Path, kb: str) -> None:
    (documents / "leave.md").unlink()
    done = run("kb", "upload", documents, PLACE, code=3)
    assert "note: 1 of the documents there are not in the folder: --delete deletes them" in done.stderr


@pytest.mark.parametrize(("words", "said"), [
    (("upload", "nowhere", PLACE), "nowhere does not exist: check the path of the documents"),
    (("upload", ".", "handbook"), "'handbook' is no place on S3: write s3://bucket/prefix"),
    (("upload", ".", PLACE, "--metadata", "none.jsonl"), "cannot read the metadata table none.jsonl"),
    (("create", "a b", "--s3", PLACE, "--role", ROLE), "the knowledge base's name: write letters"),
    (("create", "a", "--s3", PLACE, "--role", "kb"), "write arn:aws:iam::ACCOUNT:role/NAME, not 'kb'"),
    (("create", "a", "--s3", PLACE), "Missing option '--role'"),
    (("delete", "KB00000009"), "check the id and the region"),
    (("sync", "no"), "check the names, ARNs and settings"),
], ids=["folder", "bucket", "table", "name", "role", "no role", "unknown", "malformed"])  # fmt: skip
def test_mistakes_are_one_line(aws: Emulator, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = run("kb", *words, code=None, cwd=tmp_path)
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_missing_permission_is_named(aws: Emulator) -> None:
    aws.fail_next("AccessDeniedException")
    assert "allow bedrock:ListKnowledgeBases" in run("kb", "list", code=1).stderr


def test_failed_documents_are_listed(aws: Emulator, kb: str, s3: Any) -> None:
    s3.put_object(Bucket="handbook", Key="docs/virus.exe", Body=b"MZ")
    done = run("kb", "sync", kb, code=3)
    assert "1 failed" in done.stdout
    assert "failed: Encountered error: Ignored 1 files: their file format was not supported" in done.stderr


def test_list_show_and_delete(aws: Emulator, kb: str) -> None:
    assert run("kb", "list").stdout == f"{kb}  ACTIVE      handbook\n"
    shown = run("kb", "show", kb).stdout
    assert "S3_VECTORS" in shown and "COMPLETE, documents scanned: 3" in shown
    assert json.loads(run("kb", "show", kb, "--json").stdout)["sources"][0]["s3"] == f"{PLACE}/"
    assert "nobody can be asked here: give --yes to delete" in run("kb", "delete", kb, code=2).stderr
    assert "documents, vector bucket and index are still there" in run("kb", "delete", kb, "--yes").stdout
    assert "`rag kb create` makes one" in run("kb", "list").stdout


def test_ctrl_c_says_how_to_go_on(aws: Emulator, kb: str) -> None:
    aws.job_s, before = 5, len(aws.requests)
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "kb", "sync", kb], stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    while not any(request.operation == "GetIngestionJob" for request in aws.requests[before:]):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "rag: interrupted; AWS goes on by itself: run the same command again to go on waiting" in error
