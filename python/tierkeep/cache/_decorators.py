"""`cached` over a cache of levels, under the names that are common for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from tierkeep.cache import _arguments
from tierkeep.cache._cached import Cached, cached
from tierkeep.cache._levels import CacheLevel, MemoryCache, MultiLevelCache

__all__ = ["CacheDecorator", "QueryCache"]

P = ParamSpec("P")
R = TypeVar("R")


class CacheDecorator:
    """Makes functions whose results are kept in a cache of levels."""

    def __init__(self, cache: MultiLevelCache) -> None:
        self.cache = _arguments.cache_of_levels(cache)

    def cached(
        self,
        ttl: float | None = 300.0,
        key_prefix: str = "",
        *,
        key: Callable[..., object] | None = None,
        tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    ) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """As `tierkeep.cache.cached`. Keys begin with `key_prefix` and the function's name."""

        def decorate(function: Callable[P, R]) -> Cached[P, R]:
            name = f"{key_prefix}:{function.__module__}:{function.__qualname__}" if key_prefix else None
            return cached(ttl=ttl, key=key, tags=tags, name=name, cache=self.cache)(function)

        return decorate


class QueryCache:
    """Results of queries by their arguments, in memory and, with a Redis client, there too.

    Args:
        redis_client: what `RedisCache` takes; None: memory only.
        default_ttl: seconds that a result is kept unless told otherwise.
        secret: with a server, as `RedisCache` has it.
        max_bytes: about how much memory it may use.
    """

    def __init__(
        self,
        redis_client: Any = None,
        default_ttl: float | None = 300.0,
        *,
        max_bytes: int = 64 << 20,
        secret: str | bytes | None = None,
    ) -> None:
        self.default_ttl = default_ttl
        self.cache = MultiLevelCache({CacheLevel.L1_MEMORY: MemoryCache(None, max_bytes=max_bytes)})
        if redis_client is not None:
            from tierkeep.cache._redis import RedisCache

            self.cache.add_level(CacheLevel.L2_REDIS, RedisCache(redis_client, secret=secret))

    def cache_query(
        self,
        ttl: float | None = None,
        *,
        key: Callable[..., object] | None = None,
        tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    ) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """Keeps what a function returns, asynchronous or not; `ttl` None: the default of the cache."""
        return cached(ttl=self.default_ttl if ttl is None else ttl, key=key, tags=tags, cache=self.cache)

    def invalidate_by_tag(self, *tags: str) -> None:
        """Drops the results that have one of the tags."""
        self.cache.sync.invalidate_tags(tags)

    def clear(self) -> None:
        """Drops all results."""
        self.cache.sync.clear()
