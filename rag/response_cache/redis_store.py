"""Responses in Redis or Valkey, which any number of machines share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from rag.core.errors import ConfigError
from rag.core.extras import require
from rag.response_cache.store import Holdings

#: Keeps a value and its size; deletes what has expired, then what was used least recently, while all is too
#: large. The server's clock counts. In one script, so that the sizes stay true.
_PUT = """
local key, sizes, used, ends = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, ttl, most = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local function total() return tonumber(redis.call('HGET', sizes, '') or 0) end
local function drop(each)
  local size = tonumber(redis.call('HGET', sizes, each) or 0)
  redis.call('HDEL', sizes, each) redis.call('ZREM', used, each) redis.call('ZREM', ends, each)
  redis.call('HINCRBY', sizes, '', 0 - size)
end
for _, each in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do drop(each) end
drop(name)
while total() > most - #ARGV[2] do
  local oldest = redis.call('ZRANGE', used, 0, 0)[1]
  if not oldest then break end
  redis.call('DEL', ARGV[5] .. oldest)
  drop(oldest)
end
redis.call('SET', key, ARGV[2], 'PX', ttl)
redis.call('HSET', sizes, name, #ARGV[2]) redis.call('HINCRBY', sizes, '', #ARGV[2])
redis.call('ZADD', used, now, name) redis.call('ZADD', ends, now + ttl / 1000, name)
"""
#: Deletes a value and its size.
_REMOVE = """
local sizes, used, ends = KEYS[2], KEYS[3], KEYS[4]
local size = tonumber(redis.call('HGET', sizes, ARGV[1]) or 0)
redis.call('HDEL', sizes, ARGV[1]) redis.call('ZREM', used, ARGV[1]) redis.call('ZREM', ends, ARGV[1])
redis.call('HINCRBY', sizes, '', 0 - size)
return redis.call('DEL', KEYS[1])
"""
_GET = """
local value = redis.call('GET', KEYS[1])
if value then
  local clock = redis.call('TIME')
  redis.call('ZADD', KEYS[2], 'XX', tonumber(clock[1]) + tonumber(clock[2]) / 1e6, ARGV[1])
end
return value
"""
_ACQUIRE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisStore:
    """Responses in Redis or Valkey.

    Parameters
    ----------
    url : str
        ``redis://host:6379/0``, ``rediss://`` (TLS) or ``unix://``; see redis-py's ``from_url``.
    prefix : str
        Of all keys: two caches on one server need two.
    max_mb : float
        Megabytes of values; beyond them the least recently used ones are deleted.
    timeout_s : float
        The most that a call takes.

    Raises
    ------
    MissingExtraError
        The package ``redis`` is not installed.
    ConfigError
        The URL is refused.
    """

    def __init__(
        self, url: str, *, prefix: str = "rag", max_mb: float = 500.0, timeout_s: float = 1.0
    ) -> None:
        redis = require("redis", extra="redis")
        no_retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        self.place, self.max_bytes, self._prefix = _without_password(url), int(max_mb * 1e6), f"{{{prefix}}}:"
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=no_retry
            )
        except ValueError as error:
            raise ConfigError(
                f"the response cache's url {self.place!r}: {' '.join(str(error).split())}"
            ) from None
        self._put, self._get = self._redis.register_script(_PUT), self._redis.register_script(_GET)
        self._remove = self._redis.register_script(_REMOVE)
        self._acquire, self._release = (self._redis.register_script(each) for each in (_ACQUIRE, _RELEASE))

    def get(self, key: str) -> bytes | None:
        """Return a value that has not expired."""
        value: bytes | None = self._get(keys=[self._value(key), self._prefix + "used"], args=[key])
        return value

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value; one that is larger than the store's limit is not kept."""
        if len(value) > self.max_bytes:
            return
        self._put(
            keys=self._keys(key),
            args=[key, value, max(int(ttl_s * 1000), 1), self.max_bytes, self._value("")],
        )

    def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        """Take or renew a lease."""
        return bool(self._acquire(keys=[self._lease(key)], args=[owner, max(int(ttl_s * 1000), 1)]))

    def release(self, key: str, owner: str) -> None:
        """End a lease."""
        self._release(keys=[self._lease(key)], args=[owner])

    def holdings(self) -> Holdings:
        """Return what is kept; what has expired is counted until something is written."""
        entries = int(self._redis.zcard(self._prefix + "used"))
        size = int(self._redis.hget(self._prefix + "sizes", "") or 0)
        return Holdings(f"{self.place}, prefix {self._prefix[1:-2]}", entries, size, self.max_bytes)

    def clear(self) -> int:
        """Delete all that has the prefix."""
        count = int(self._redis.zcard(self._prefix + "used"))
        keys = self._all("")
        for at in range(0, len(keys), 500):
            self._redis.unlink(*keys[at : at + 500])
        return count

    def remove(self, which: Callable[[str, bytes], bool]) -> int:
        """Delete the values that a function picks."""
        count, begin = 0, self._value("").encode()
        for name in self._all("value:"):
            key, value = name.removeprefix(begin).decode(), self._redis.get(name)
            if value is not None and which(key, value):
                count += int(self._remove(keys=self._keys(key), args=[key]))
        return count

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _all(self, kind: str) -> list[bytes]:
        """Return all keys of the server that have the prefix."""
        begin = f"{self._prefix}{kind}"
        pattern = begin.replace("[", "\\[").replace("*", "\\*").replace("?", "\\?") + "*"
        return list(self._redis.scan_iter(match=pattern, count=1000))

    def _keys(self, key: str) -> list[str]:
        return [self._value(key), *(self._prefix + name for name in ("sizes", "used", "ends"))]

    def _value(self, key: str) -> str:
        return f"{self._prefix}value:{key}"

    def _lease(self, key: str) -> str:
        return f"{self._prefix}lease:{key}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
