"""Redis or Valkey as a level, which other processes and machines share."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

from tierkeep._core import SharedStore, shared_table_path
from tierkeep.cache._levels import CacheBackend, Found

__all__ = ["RedisCache"]

T = TypeVar("T")

_log = logging.getLogger("tierkeep.cache")

#: Seconds between two lines of the log that say the server cannot be asked.
_QUIET = 10.0


class RedisCache(CacheBackend):
    """A level on a Redis or Valkey server, with copies in this process that the server itself tells of changes.

    A change is seen at once by the processes of this user on this machine, and within a second by other machines. While
    the server cannot be asked, reads find nothing (logged) and writes raise ConnectionError.

    Args:
        redis_client: an address (`redis://`, `rediss://`, `unix://`), or a client of redis-py, synchronous or not, of
            which only the address is used.
        default_ttl: seconds of a `set` without `ttl`; None: for ever.
        secret: what values are signed with: what is not signed with it, here or elsewhere, is not read. Otherwise the
            environment's `TIERKEEP_CACHE_SECRET`, else Django's `SECRET_KEY` where Django is set up.
        options: of the connection, as `tierkeep._core.SharedStore` has them: `socket_timeout`, `max_connections`,
            `compressor`, `max_bytes` of copies and so on.

    Raises:
        ValueError: without a secret: values may be pickles, and whoever may write to the server could run code here.
    """

    tagged = True
    shared = True

    def __init__(
        self,
        redis_client: Any = "redis://127.0.0.1:6379/0",
        default_ttl: float | None = None,
        *,
        secret: str | bytes | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("namespace", "tkcache")
        options.setdefault("generations", str(shared_table_path()))
        self._store: Final = SharedStore(_address(redis_client), secrets=[_secret(secret)], **options)
        self.default_ttl = default_ttl
        self._blocking = _Blocking(self)
        self._logged = float("-inf")

    async def get(self, key: str, default: Any = None) -> Any:
        """The value for one reader, or `default`."""
        return await self._in_thread(self._blocking._get, key, default)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        return await self.store(key, value, ttl, ())

    async def delete(self, key: str) -> bool:
        return await self._in_thread(self._store.delete, key)

    async def exists(self, key: str) -> bool:
        return await self.look(key) is not None

    async def clear(self) -> bool:
        await self._in_thread(self._store.clear)
        return True

    async def look(self, key: str) -> Found | None:
        return await self._in_thread(self._blocking._look, key)

    async def store(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]) -> bool:
        await self._in_thread(self._store.set, key, value, self.default_ttl if ttl is None else ttl, tags)
        return True

    async def invalidate_tags(self, tags: tuple[str, ...]) -> None:
        await self._in_thread(self._store.invalidate_tags, tags)

    @property
    def blocking(self) -> CacheBackend:
        return self._blocking

    def stats(self) -> dict[str, int]:
        """hits, misses, evictions, entries, bytes of the copies in this process."""
        return self._store.stats()

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        import asyncio

        return await asyncio.to_thread(call, *arguments)

    def _say(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._logged + _QUIET:
            self._logged = now
            _log.warning("the cache's server cannot be asked, reads find nothing: %s", error)


class _Blocking(CacheBackend):
    """The same level, whose methods wait for the server and for no event loop."""

    tagged = True
    shared = True

    def __init__(self, cache: RedisCache) -> None:
        self._cache = cache
        self._store = cache._store

    def _get(self, key: str, default: Any = None) -> Any:
        try:
            return self._store.get(key, default)
        except ConnectionError as error:
            self._cache._say(error)
            return default

    def _look(self, key: str) -> Found | None:
        try:
            value = self._store.get(key, _ABSENT)
            return None if value is _ABSENT else Found(value, self._store.remaining(key))
        except KeyError:
            return None
        except ConnectionError as error:
            self._cache._say(error)
            return None

    async def get(self, key: str, default: Any = None) -> Any:
        return self._get(key, default)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        return await self.store(key, value, ttl, ())

    async def delete(self, key: str) -> bool:
        return self._store.delete(key)

    async def exists(self, key: str) -> bool:
        return self._look(key) is not None

    async def clear(self) -> bool:
        self._store.clear()
        return True

    async def look(self, key: str) -> Found | None:
        return self._look(key)

    async def store(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]) -> bool:
        self._store.set(key, value, self._cache.default_ttl if ttl is None else ttl, tags)
        return True

    async def invalidate_tags(self, tags: tuple[str, ...]) -> None:
        self._store.invalidate_tags(tags)


_ABSENT: Final = object()


def _address(client: Any) -> str:
    if isinstance(client, str):
        return client
    settings = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    if settings is None:
        raise TypeError(f"an address or a client of redis-py, not {client!r}")
    login = ""
    if settings.get("password"):
        login = f"{quote(settings.get('username') or '', safe='')}:{quote(settings['password'], safe='')}@"
    database = settings.get("db") or 0
    if settings.get("path"):
        return f"unix://{login}{settings['path']}?db={database}"
    scheme = "rediss" if "SSL" in client.connection_pool.connection_class.__name__ else "redis"
    return f"{scheme}://{login}{settings.get('host', '127.0.0.1')}:{settings.get('port', 6379)}/{database}"


def _secret(given: str | bytes | None) -> bytes:
    secret = given or os.environ.get("TIERKEEP_CACHE_SECRET")
    conf = sys.modules.get("django.conf")
    if not secret and conf is not None and conf.settings.configured:
        secret = conf.settings.SECRET_KEY
    if not secret:
        raise ValueError(
            "values on a server are signed: give `secret=`, or set TIERKEEP_CACHE_SECRET, the same in every process"
        )
    return secret.encode() if isinstance(secret, str) else secret
