"""The stores, on real servers: values that end, leases, limits; and questions whose store fails."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import ConfigError, MissingExtraError
from rag.response_cache.cache import REST_S
from rag.response_cache.sqlite_store import SqliteStore
from rag.response_cache.store import ResponseStore
from tests.response_cache.models import Echo
from tests.response_cache.test_answers import LEAVE


def test_a_value_is_kept_until_its_time(store: ResponseStore) -> None:
    assert isinstance(store, ResponseStore)
    assert store.get("a") is None and store.clear() == 0
    store.put("a", b"one\0two", 60)
    store.put("b", b"short", 0.15)
    assert store.get("a") == b"one\0two"
    store.put("a", b"three", 60)
    time.sleep(0.3)
    assert (store.get("a"), store.get("b")) == (b"three", None)
    assert store.holdings().place and store.holdings().entries in (None, 1, 2)
    assert store.clear() >= 1 and store.get("a") is None


def test_a_lease_has_one_owner_and_ends(store: ResponseStore) -> None:
    assert store.acquire("k", "a", 60) and not store.acquire("k", "b", 60)
    assert store.acquire("k", "a", 60)  # renewed
    store.release("k", "b")
    assert not store.acquire("k", "b", 60)
    store.release("k", "a")
    assert store.acquire("k", "b", 0.2)
    time.sleep(0.3)
    assert store.acquire("k", "c", 60)


def test_of_many_who_want_a_lease_one_has_it(store: ResponseStore) -> None:
    got = []
    threads = [
        threading.Thread(target=lambda n=n: store.acquire("k", str(n), 60) and got.append(n))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(got) == 1


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_least_recently_used_go_where_there_is_no_room(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        store: Any = SqliteStore(tmp_path / "s.sqlite", max_mb=0.1)
    else:
        from rag.response_cache.redis_store import RedisStore

        store = RedisStore(request.getfixturevalue("redis").url, prefix=tmp_path.name, max_mb=0.1)
    for number in range(40):
        store.put(str(number), bytes(10_000), 60)
    held = store.holdings()
    assert held.max_bytes == 100_000 and held.bytes <= 100_000 and 7 <= held.entries <= 10
    assert store.get("39") == bytes(10_000) and store.get("0") is None
    store.put("too large", bytes(200_000), 60)
    assert store.get("too large") is None and store.get("39") is not None
    store.clear()
    assert (store.holdings().entries, store.holdings().bytes) == (0, 0)


def test_what_is_deleted_is_not_left_in_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite")
    store.put("a", b"a secret question" * 100, 60)
    store.clear()
    assert all(b"a secret" not in path.read_bytes() for path in tmp_path.iterdir())


def test_values_of_two_prefixes_do_not_meet(redis: Any, tmp_path: Path) -> None:
    from rag.response_cache.redis_store import RedisStore

    one, two = (RedisStore(redis.url, prefix=f"{tmp_path.name}-{name}") for name in "ab")
    one.put("k", b"1", 60)
    assert two.get("k") is None and two.clear() == 0 and one.get("k") == b"1"


def test_no_password_is_shown() -> None:
    redis_store = pytest.importorskip("rag.response_cache.redis_store")
    pytest.importorskip("redis")
    assert redis_store.RedisStore("redis://user:secret@cache:6379/0").place == "redis://cache:6379/0"
    with pytest.raises(ConfigError, match="url 'http://cache'"):
        redis_store.RedisStore("http://cache")


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from rag.response_cache.redis_store import RedisStore

    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bedrock-rag\[redis\]'"):
        RedisStore("redis://cache")


# ------------------------------------------------------------------------ stores that fail


def asks_as_without(asking: Any, calls: Any, times: int = 2) -> list[str]:
    """Ask; return the notes about the cache."""
    before = len(calls())
    answers = [asking.ask(LEAVE) for _ in range(times)]
    assert [answer.cached for answer in answers] == [None] * times
    assert len(calls()) == before + times
    return [note for answer in answers for note in answer.notes if "response cache" in note]


def test_a_server_that_is_down_fails_no_question(
    pipe: Any, calls: Any, own_redis: Any, tmp_path: Path
) -> None:
    asking = pipe(responses={"use": "redis", "url": own_redis.url})
    assert [bool(asking.ask(LEAVE).cached) for _ in range(2)] == [False, True]
    own_redis.stop()
    (note,) = asks_as_without(asking, calls)
    assert "the response cache cannot be used (ConnectionError" in note and "models are asked" in note


def test_a_full_server_fails_no_question(pipe: Any, calls: Any, own_redis: Any) -> None:
    import redis

    redis.Redis.from_url(own_redis.url).config_set("maxmemory", "1")
    (note,) = asks_as_without(pipe(responses={"use": "redis", "url": own_redis.url}), calls)
    assert "OutOfMemoryError" in note or "OOM" in note or "maxmemory" in note


def test_a_slow_server_delays_one_question(pipe: Any, calls: Any, own_redis: Any) -> None:
    import redis

    asking = pipe(responses={"use": "redis", "url": own_redis.url, "timeout_s": 0.2})
    asking.ask(LEAVE)
    redis.Redis.from_url(own_redis.url).execute_command("CLIENT", "PAUSE", "8000", "ALL")
    began = time.monotonic()
    assert len(asks_as_without(asking, calls, times=5)) == 1
    assert time.monotonic() - began < 3


def test_a_file_that_is_no_cache_fails_no_question(pipe: Any, calls: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    before = path.read_bytes()
    (note,) = asks_as_without(pipe(responses={"path": path}), calls)
    assert "is no response cache" in note and path.read_bytes() == before


def test_a_table_that_is_missing_fails_no_question(
    pipe: Any, calls: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    table = {
        "use": "dynamodb",
        "table": "none",
        "region": "us-east-1",
        "endpoint_url": moto,
        "timeout_s": 10.0,
    }
    (note,) = asks_as_without(pipe(responses=table), calls)
    assert "ResourceNotFoundException" in note


def test_a_store_is_used_again_when_it_is_back(
    pipe: Any, calls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.sqlite"
    path.mkdir()
    asking = pipe(responses={"path": path})
    assert len(asks_as_without(asking, calls)) == 1
    path.rmdir()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + REST_S + 1)
    assert [bool(asking.ask(LEAVE).cached) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("damage", [b"", b"not zlib", None])
def test_a_damaged_entry_is_no_answer(pipe: Any, calls: Any, tmp_path: Path, damage: bytes | None) -> None:
    asking = pipe()
    asking.ask(LEAVE)
    with sqlite3.connect(tmp_path / "responses.sqlite") as file:
        if damage is None:  # an entry under another one's key
            file.execute("UPDATE responses SET key = substr(key, 2) || '0'")
            (key,) = file.execute("SELECT key FROM responses WHERE bytes > 64").fetchone()
            monkey = Echo(log=str(tmp_path / "calls"), extra="other")
            from rag.response_cache.key import parts_of

            other = pipe(generator=monkey)
            file.execute("UPDATE responses SET key = ? WHERE key = ?", (parts_of(other, LEAVE, {}).key, key))
            asking = other
        else:
            file.execute("UPDATE responses SET value = ?", (damage,))
    file.close()
    assert asking.ask(LEAVE).cached is None and len(calls()) == 2
    assert asking.ask(LEAVE).cached
