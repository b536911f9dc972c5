"""What stores and files hold of a forgotten document goes; what they hold of others stays."""

from __future__ import annotations

import contextlib
import gzip
import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import SourceError
from rag.embedding.cache import CachedEmbeddings, info
from rag.embedding.static import StaticEmbeddings
from rag.erasure.runs import Runs
from rag.receipts.store import ReceiptStore
from rag.response_cache.forgetting import forget as forget_answers
from rag.response_cache.store import Holdings, ResponseStore
from rag.review.sqlite_store import SqliteReviews
from rag.review.store import ReviewStore, Selection
from tests.erasure.conftest import SECRET, files_with
from tests.response_cache.conftest import own_redis, redis, store  # noqa: F401
from tests.review.items import added, answer_of

JANE, LEAVE = (
    "What was Zaphira Quennel paid for the settlement?",
    "How many days of annual leave are there in Europe?",
)


def asked(path: Path, folder: Path, **more: Any) -> dict[str, Any]:
    """Ask of both documents, alone, with every store in the index's folder; return the settings."""
    settings: dict[str, Any] = {
        "responses": True, "review": {"sample": 1.0}, "receipts": True,
        "telemetry": {"path": str(folder / "calls.jsonl"), "texts": True}, **more,
    }  # fmt: skip
    pipe = rag.Pipeline(path, settings=settings)
    for question, name in ((JANE, "jane.md"), (LEAVE, "leave.md")):
        for _ in range(2):  # the second is from the cache
            assert pipe.ask(question, where=f"source == '{name}'").answered
    return settings


def test_every_store_loses_what_is_of_it_and_keeps_the_rest(path: Path, tmp_path: Path) -> None:
    settings = asked(path, tmp_path)
    holding = {name.removesuffix("-wal") for name in files_with(tmp_path, "Zaphira")}
    assert {"ix/receipts.sqlite", "ix/reviews.sqlite", "calls.jsonl"} <= holding
    planned = rag.forget(path, "jane.md", settings=settings, dry_run=True)
    report = rag.forget(path, "jane.md", settings=settings)
    counts = [(each.kind, Path(each.place).name, each.count) for each in report.stores]
    assert counts == [
        ("vectors", "cache.sqlite", 3), ("answers", "responses.sqlite", 1), ("review items", "reviews.sqlite", 1),
        ("receipts", "receipts.sqlite", 2), ("records", "calls.jsonl", 2),
    ]  # fmt: skip
    assert planned.stores == report.stores and report.remains == ()
    assert [name for name in files_with(tmp_path, "Zaphira", "Brevik") if not name.startswith("docs/")] == []
    assert _inflated(path, "Zaphira") == 0 and _inflated(path, "28 days") > 0
    assert {row["question"] for row in ReceiptStore(path / "receipts.sqlite").all()} == {LEAVE}
    assert {item.question for item in SqliteReviews(path / "reviews.sqlite").items(Selection())} == {LEAVE}
    rows = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [row.get("question") for row in rows] == [None, None, LEAVE, LEAVE]
    assert [row["outcome"] for row in rows] == ["answered"] * 4  # the numbers stay
    assert rag.Pipeline(path, settings=settings).ask(LEAVE, where="source == 'leave.md'").cached is not None


def _inflated(path: Path, word: str) -> int:
    """How many compressed values of an index's SQLite files hold a word."""
    found = 0
    for name, query in (
        ("responses", "SELECT value FROM responses"),
        ("reviews", "SELECT answer FROM items"),
    ):
        with sqlite3.connect(path / f"{name}.sqlite") as file:
            values = [row[0] for row in file.execute(query)]
        found += sum(word.encode() in zlib.decompress(value) for value in values if value[:1] == b"\x78")
    return found


def test_the_files_of_sqlite_have_no_free_pages_and_no_wal(path: Path, tmp_path: Path) -> None:
    rag.forget(path, "jane.md", settings=asked(path, tmp_path))
    for file in path.glob("*.sqlite"):
        wal = Path(f"{file}-wal")
        assert not wal.exists() or wal.stat().st_size == 0
        with sqlite3.connect(file) as opened:
            assert opened.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_a_reader_that_holds_old_pages_is_said_and_a_second_run_ends_it(path: Path, tmp_path: Path) -> None:
    settings = asked(path, tmp_path)
    reader = sqlite3.connect(path / "receipts.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM receipts").fetchall()
    report = rag.forget(path, "jane.md", settings=settings)
    assert any("another process reads from before" in each.what for each in report.remains)
    reader.close()
    assert rag.forget(path, "jane.md", settings=settings).remains == ()


def test_stores_elsewhere_are_those_of_the_settings(path: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    settings = asked(
        path, tmp_path, responses=str(own / "r.sqlite"), receipts=str(own / "c.sqlite"),
        review={"sample": 1.0, "path": str(own / "q.sqlite")}, cache=str(own / "v.sqlite"),
    )  # fmt: skip
    rag.build(tmp_path / "docs", tmp_path / "other", embedder="static", cache=own / "v.sqlite")
    before = info(own / "v.sqlite").vectors
    report = rag.forget(path, "jane.md", settings=settings)
    places = {Path(each.place).name: each.count for each in report.stores}
    assert places == {
        "v.sqlite": 2, "cache.sqlite": 3, "r.sqlite": 1, "q.sqlite": 1, "c.sqlite": 2, "calls.jsonl": 2
    }  # fmt: skip
    assert info(own / "v.sqlite").vectors == before - 2  # a shared cache loses its texts alone
    assert report.remains == () and files_with(tmp_path / "own", "Zaphira") == []


def test_vectors_of_texts_that_no_version_holds_are_counted_apart(path: Path, docs: Path) -> None:
    with contextlib.closing(CachedEmbeddings(StaticEmbeddings(), path / "cache.sqlite")) as kept:
        kept.vectors(["An earlier wording of nobody knows what.", "Another one."])
    report = rag.forget(path, "jane.md")
    assert report.notes == (
        f"2 of the vectors in {path}/cache.sqlite are of texts that no version holds: earlier wordings, "
        "or what a build that failed had embedded",
    )
    assert [each.count for each in report.stores] == [5]


def test_rotated_and_packed_records_lose_their_texts(path: Path, tmp_path: Path) -> None:
    settings = asked(path, tmp_path)
    calls = tmp_path / "calls.jsonl"
    (tmp_path / "calls.jsonl.1").write_bytes(calls.read_bytes())
    (tmp_path / "calls.jsonl.2.gz").write_bytes(gzip.compress(calls.read_bytes()))
    report = rag.forget(path, "jane.md", settings=settings)
    assert {Path(each.place).name for each in report.stores if each.kind == "records"} == {
        "calls.jsonl", "calls.jsonl.1", "calls.jsonl.2.gz",
    }  # fmt: skip
    packed = gzip.decompress((tmp_path / "calls.jsonl.2.gz").read_bytes())
    assert packed == (tmp_path / "calls.jsonl.1").read_bytes() == calls.read_bytes()
    assert b"Zaphira" not in packed and LEAVE.encode() in packed and packed.count(b"\n") == 4


def test_files_that_are_named_lose_lines_and_verdicts(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows: list[Any] = [
        {"key": "a", "answer": {"context": {"hits": [{"source": "jane.md", "text": "…"}]}}},
        {"key": "b", "answer": {"text": f"She wrote: {SECRET}"}},
        {"key": "c", "answer": {"context": {"hits": [{"source": "leave.md", "text": "28 days"}]}}},
        {"verdict": "f00d", "rubric": "faithful", "model": "m", "vote": 4, "reason": "It is so."},
        {"request": {"params": {"body": json.dumps({"prompt": SECRET})}}, "reply": {}},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no JSON at all\n")
    report = rag.forget(path, "jane.md", files=[log])
    assert [(each.kind, each.count) for each in report.stores] == [("vectors", 3), ("lines", 4)]
    assert log.read_text() == json.dumps(rows[2]) + "\nno JSON at all\n"
    with pytest.raises(SourceError, match=r"nothing\.jsonl is no file"):
        rag.forget(path, "leave.md", files=[tmp_path / "nothing.jsonl"])


def test_an_answer_with_a_piece_of_the_text_goes_whatever_it_cites(path: Path, tmp_path: Path) -> None:
    reviews = SqliteReviews(path / "reviews.sqlite")
    kept = added(reviews, answer_of("How long is leave?"))
    added(reviews, answer_of("What did she get?", f"I remember: {SECRET}"))
    report = rag.forget(path, "jane.md")
    assert [each.count for each in report.stores if each.kind == "review items"] == [1]
    assert [item.id for item in reviews.items(Selection())] == [kept.id]


def entry(text: str) -> bytes:
    return zlib.compress(json.dumps({"answer": {"text": text}}).encode())


def test_answers_of_each_store_go_with_what_leads_to_them(store: ResponseStore) -> None:  # noqa: F811
    keys = [f"{number:064x}" for number in range(6)]
    store.put(keys[0], entry(SECRET), 60)
    store.put(keys[1], entry("Staff take 28 days."), 60)
    store.put(keys[2], keys[0].encode(), 60)
    store.put(keys[3], keys[1].encode(), 60)
    store.put(keys[4], json.dumps([["Who was paid?", "AAAA", keys[0]]]).encode(), 60)
    store.put(keys[5], b"\x78 damaged", 60)
    runs = Runs([SECRET])
    assert forget_answers(store, runs.in_value, dry_run=True) == 2 and store.get(keys[0]) is not None
    assert forget_answers(store, runs.in_value) == 2
    assert [store.get(key) is not None for key in keys] == [False, True, False, True, False, False]
    assert forget_answers(store, runs.in_value) == 0
    assert store.holdings().entries in (2, None) and store.clear() == 2


class Foreign:
    """A store of others, which cannot delete single values."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        self.values[key] = value

    def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        return True

    def release(self, key: str, owner: str) -> None: ...

    def holdings(self) -> Holdings:
        return Holdings("a store", len(self.values), None, None)

    def clear(self) -> int:
        count = len(self.values)
        self.values.clear()
        return count


def test_a_store_of_others_is_emptied(path: Path) -> None:
    foreign = Foreign()
    foreign.put("a", entry("Staff take 28 days."), 60)
    report = rag.forget(path, "jane.md", settings={"responses": foreign})
    assert [each.count for each in report.stores if each.kind == "answers"] == [1]
    assert foreign.values == {} and report.remains == ()


def test_reviews_in_dynamodb_go(
    path: Path, tmp_path: Path, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.bedrock.storage.review_table import ReviewTable

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    table: ReviewStore = ReviewTable(tmp_path.name, region="us-east-1", endpoint_url=moto, timeout_s=10.0)
    table.create()  # type: ignore[attr-defined]
    kept = added(table, answer_of("How long is leave?"))
    added(table, answer_of("What did she get?", SECRET))
    settings = {
        "review": {"use": "dynamodb", "table": tmp_path.name, "region": "us-east-1", "endpoint_url": moto}
    }
    report = rag.forget(path, "jane.md", settings=settings)
    assert [each.count for each in report.stores if each.kind == "review items"] == [1]
    assert [item.id for item in table.items(Selection())] == [kept.id] and report.remains == ()
