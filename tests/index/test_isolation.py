"""No row outside the filter ever comes back: every notation, every mode, and while others write."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

import rag
from rag.index.filters.where import Where
from rag.index.storage import rabitq, segment
from tests.scale import scale

pytestmark = pytest.mark.soak

TENANTS, EACH, SIZE = 50, 40, 24
#: Neighbours that are one number as floats; the numbers of NumPy are the others' equals.
ACCOUNTS = [2**53 - 1, 2**53, np.int64(2**53 + 1), 2**63 - 1, 2**63 - 2, np.int64(-(2**63)), -(2**63) + 1, 7]
NAMES = ["é", "e\u0301", "straße", "STRASSE", np.str_("名前"), "😀", "", "𝟚"]
EAST = dt.timezone(dt.timedelta(hours=9))
WORDS = [f"word{n}" for n in range(60)]


class Vectors(Embeddings):
    """A vector per text, from its hash."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return np.random.default_rng(abs(hash(text)) % 2**32).normal(size=SIZE).tolist()


def metadata(n: int, chance: random.Random) -> dict[str, Any]:
    out: dict[str, Any] = {
        "tenant": f"tenant-{n % TENANTS}",
        "number": n % TENANTS,
        "day": dt.date(2024, 1, 1 + n % 28),
        "account": ACCOUNTS[n % len(ACCOUNTS)],
        "at": np.datetime64("2024-01-01T00:00", "us") + np.timedelta64(n % 50, "h"),
        "name": NAMES[n % len(NAMES)],
    }
    if chance.random() < 0.3:
        out["amount"] = chance.choice([2**53 + 1, 0.5, np.float32(1.5), np.int64(2**53)])
    if chance.random() < 0.7:
        out["year"] = 2015 + n % 10
    if chance.random() < 0.5:
        out["tags"] = chance.sample(["a", "b", "c"], chance.randint(0, 3))
    if chance.random() < 0.5:
        out["open"] = chance.random() < 0.5
    return out


Item = tuple[Where, Any]  # a filter, and the same as a test of metadata


def condition(chance: random.Random) -> Item:
    """Return a random filter with the meaning that the documentation gives it."""
    f = rag.field
    n, year, tag = chance.randrange(TENANTS), 2015 + chance.randrange(10), chance.choice("abc")
    day = dt.date(2024, 1, 1 + chance.randrange(28))
    account, others = chance.choice(ACCOUNTS), chance.sample(ACCOUNTS, 3)
    name, amount = chance.choice(NAMES), chance.choice([2**53, 2**53 + 1, 0.5, np.float64(1.5), 2.0**53])
    at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=chance.randrange(50))
    moment = np.datetime64(at.replace(tzinfo=None), "us")
    some = [f"tenant-{chance.randrange(TENANTS)}" for _ in range(3)]
    return chance.choice([
        lambda: (f("tenant") == f"tenant-{n}", lambda m: m["tenant"] == f"tenant-{n}"),
        lambda: (f("tenant") != f"tenant-{n}", lambda m: m["tenant"] != f"tenant-{n}"),
        lambda: (f("tenant").isin(some), lambda m: m["tenant"] in some),
        lambda: (f("tenant").notin(some), lambda m: m["tenant"] not in some),
        lambda: (f("tenant").startswith(f"tenant-{n % 5}"), lambda m: m["tenant"].startswith(f"tenant-{n % 5}")),
        lambda: (f("number") < n, lambda m: m["number"] < n),
        lambda: (f("number") >= n + 0.5, lambda m: m["number"] >= n + 0.5),
        lambda: (f("year") == year, lambda m: m.get("year") == year),
        lambda: (f("year") != year, lambda m: m.get("year") != year),
        lambda: (f("year") <= year, lambda m: "year" in m and m["year"] <= year),
        lambda: (f("day") > day, lambda m: m["day"] > day),
        lambda: (f("tags").contains(tag), lambda m: tag in m.get("tags", ())),
        lambda: (f("open") == True, lambda m: m.get("open") is True),  # noqa: E712
        lambda: (f("open").exists(), lambda m: "open" in m),
        lambda: (f("account") == account, lambda m: int(m["account"]) == int(account)),
        lambda: (f("account") != account, lambda m: int(m["account"]) != int(account)),
        lambda: (f("account") > account, lambda m: int(m["account"]) > int(account)),
        lambda: (f("account") <= account, lambda m: int(m["account"]) <= int(account)),
        lambda: (f("account").isin(others), lambda m: int(m["account"]) in map(int, others)),
        lambda: (f("account").notin(others), lambda m: int(m["account"]) not in map(int, others)),
        lambda: (f("amount") == amount, lambda m: "amount" in m and number(m["amount"]) == number(amount)),
        lambda: (f("amount") >= amount, lambda m: "amount" in m and number(m["amount"]) >= number(amount)),
        lambda: (f("at") >= at.astimezone(EAST), lambda m: m["at"] >= moment),
        lambda: (f("at") == moment, lambda m: m["at"] == moment),
        lambda: (f("name") == name, lambda m: m["name"] == name),
        lambda: (f("name") < name, lambda m: m["name"] < name),
        lambda: (f("name").contains(name), lambda m: name in m["name"]),
    ])()  # fmt: skip


def number(value: Any) -> int | float:
    """A number of NumPy as Python's own, which compares integers with floats exactly."""
    return float(value) if isinstance(value, float | np.floating) else int(value)


def tree(chance: random.Random, depth: int) -> Item:
    shape = chance.random()
    if depth == 0 or shape < 0.4:
        return condition(chance)
    if shape < 0.5:
        where, test = tree(chance, depth - 1)
        return ~where, lambda m: not test(m)
    (one, test), (two, other) = tree(chance, depth - 1), tree(chance, depth - 1)
    if shape < 0.8:
        return one & two, lambda m: test(m) and other(m)
    return one | two, lambda m: test(m) or other(m)


def notation(where: Where, schema: Any, chance: random.Random) -> Any:
    """Print a filter in a notation that has a word for it."""
    for printed in chance.sample(range(4), 4):
        try:
            if printed == 0:
                return where
            if printed == 1:
                return where.to_string()
            if printed == 2:
                found = where.to_bedrock(schema)
                return json.dumps(found) if chance.random() < 0.5 else found
            return where.to_langchain()
        except rag.RagError:  # a filter that the notation cannot express
            continue
    return where


@pytest.mark.parametrize("worthwhile", [1 << 24, 4096])
def test_filter_isolates_tenants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worthwhile: int) -> None:
    """Random filters in random notations, with and without codes."""
    for module in (rabitq, segment):
        monkeypatch.setattr(module, "WORTHWHILE", worthwhile)  # with codes, and without
    monkeypatch.setattr(segment, "EXACT", 64 * SIZE)
    monkeypatch.setattr(segment, "SPARSE", 50)
    chance = random.Random(worthwhile)
    rows = [metadata(n, chance) for n in range(TENANTS * EACH)]
    texts = [" ".join(chance.choices(WORDS, k=8)) for _ in rows]
    store = rag.FaissStore(Vectors(), tmp_path / "ix")
    ids = [f"{n}" for n in range(len(rows))]
    store.add_texts(texts[:1500], rows[:1500], ids=ids[:1500])
    store.add_texts(texts[1500:], rows[1500:], ids=ids[1500:])
    gone = set(chance.sample(ids, 100))
    store.delete(sorted(gone))
    index = store.index
    assert sum(part._codes is not None for part in index._segments) == (2 if worthwhile < 1 << 20 else 0)
    live = {name: row for name, row in zip(ids, rows, strict=True) if name not in gone}
    seen: Counter[str] = Counter()
    for _ in range(scale(1500, 50_000)):
        where, test = tree(chance, 3)
        matched = {name for name, row in live.items() if test(row)}
        asked = notation(where, index.schema, chance)
        mode = chance.choice(["dense", "lexical", "hybrid"])
        k = chance.choice([1, 4, 20])
        query = " ".join(chance.choices(WORDS, k=2))
        vector = (
            None if mode == "lexical" else np.random.default_rng(chance.randrange(2**32)).normal(size=SIZE)
        )
        hits = index.search_by_vector(vector, query, k, where=asked, mode=mode)  # type: ignore[arg-type]
        got = {hit.chunk_id for hit in hits}
        assert got <= matched, (str(asked), mode)
        assert hits.plan.matched == len(matched)
        if mode != "lexical":
            assert len(got) == min(k, len(matched))
        seen[type(asked).__name__] += 1
    assert len(seen) >= 4, seen


# ---------------------------------------------------------------------- readers during writes

DOCS = 20


def check_snapshot(path: Path, last: int) -> int:
    """Open the index, check that it is one version and nothing else; return its generation."""
    index = rag.Index.open(path)
    query = np.random.default_rng(last).normal(size=SIZE)
    hits = index.search_by_vector(query, k=DOCS + 5)
    assert len(hits) == len(index) == DOCS
    found = {hit.metadata["number"]: hit.metadata["generation"] for hit in hits}
    newest = max(found.values())
    for number, generation in found.items():
        expected = newest - (newest - number) % DOCS
        assert generation == (expected if expected > 0 else 0), (newest, number, generation)
    one = index.search_by_vector(query, k=5, where=f"generation == {newest}")
    assert [hit.metadata["number"] for hit in one] == [newest % DOCS] or newest == 0
    words = index.search(f"generation{newest}", 5, mode="lexical")
    assert words[0].metadata["generation"] == newest
    assert newest >= last
    return int(newest)


def read_until(path: str, stop: Any, counts: Any) -> None:
    last = reads = 0
    while not stop.is_set():
        last = check_snapshot(Path(path), last)
        reads += 1
    counts.put(reads)


def test_readers_see_whole_versions(tmp_path: Path) -> None:
    """Threads and processes read while a writer commits, compacts and prunes."""
    path = tmp_path / "ix"
    store = rag.FaissStore(Vectors(), path, keep=3)
    store.add_texts(
        [f"document{n} generation0" for n in range(DOCS)],
        [{"number": n, "generation": 0} for n in range(DOCS)], ids=[f"d{n}" for n in range(DOCS)],
    )  # fmt: skip
    failures: list[BaseException] = []
    counted: list[int] = []
    stop = threading.Event()

    def reader() -> None:
        last = reads = 0
        try:
            while not stop.is_set():
                last = check_snapshot(path, last)
                reads += 1
        except BaseException as error:
            failures.append(error)
        counted.append(reads)

    context = multiprocessing.get_context("spawn")
    halt, counts = context.Event(), context.Queue()
    processes = [context.Process(target=read_until, args=(str(path), halt, counts)) for _ in range(2)]
    for process in processes:
        process.start()
    threads = [threading.Thread(target=reader) for _ in range(8)]
    for thread in threads:
        thread.start()
    for version in range(1, scale(12, 400) + 1):
        number = version % DOCS
        store.add_texts(
            [f"document{number} generation{version}"], [{"number": number, "generation": version}], ids=[f"d{number}"]
        )  # fmt: skip
        if version % 8 == 0:
            rag.Store(path).compact()
    stop.set()
    halt.set()
    for thread in threads:
        thread.join()
    across = [counts.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [str(failure) for failure in failures] == []
    assert len(counted) == 8
    assert min(counted) > 0
    assert min(across) > 0
    assert check_snapshot(path, 0) == scale(12, 400)
    check = rag.Store(path).verify()
    assert (check.problems, check.orphans) == ((), ())
