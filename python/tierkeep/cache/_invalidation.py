"""What makes kept values go: time, tags, what they depend on, and somebody's word."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tierkeep.cache import _arguments
from tierkeep.cache._levels import MultiLevelCache, SyncCache, run_blocking

if TYPE_CHECKING:
    import asyncio

__all__ = ["CacheEntry", "CacheInvalidationManager", "InvalidationStrategy", "SyncInvalidationManager"]

#: Called with the key that went and why.
Callback = Callable[[str, "InvalidationStrategy"], object]

#: Most keys that are remembered for callbacks and counts; the oldest are forgotten first, and go without a callback.
REMEMBERED_KEYS = 100_000

_log = logging.getLogger("tierkeep.cache")


class InvalidationStrategy(enum.Enum):
    """Why a value went."""

    TTL = "ttl"
    TAG = "tag"
    DEPENDENCY = "dependency"
    MANUAL = "manual"


@dataclass(frozen=True)
class CacheEntry:
    """What is known of a key beside its value."""

    key: str
    #: Seconds that it is kept; None: for ever.
    ttl: float | None = None
    tags: frozenset[str] = frozenset()
    #: What it depends on, and what those keys depended on when it was stored.
    dependencies: frozenset[str] = frozenset()
    #: When it was stored, on the monotonic clock, in seconds.
    stored_at: float = field(default_factory=time.monotonic)

    def is_expired(self, now: float | None = None) -> bool:
        """Whether its time is over."""
        return self.ttl is not None and (time.monotonic() if now is None else now) >= self.stored_at + self.ttl


class CacheInvalidationManager:
    """Stores values with tags and dependencies, and drops them by either.

    A dependency is a name, or the key of another value: when that one is written, deleted or dropped through a manager,
    what depends on it goes, and what depends on that. Dropping by tag or dependency costs nothing per key and reaches
    every level that knows tags; the list of keys that is kept here serves callbacks and counts, nothing else.

    Every method is asynchronous; `sync` has the same without an event loop.
    """

    def __init__(self, cache: MultiLevelCache | None = None) -> None:
        self.cache = MultiLevelCache() if cache is None else _arguments.cache_of_levels(cache)
        self._entries: dict[str, CacheEntry] = {}
        self._by_name: dict[str, dict[str, None]] = {}
        self._callbacks: list[Callback] = []
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def sync(self) -> SyncInvalidationManager:
        """The same manager for code without an event loop."""
        return SyncInvalidationManager(self)

    def add_invalidation_callback(self, callback: Callback) -> None:
        """Has `callback(key, strategy)` called for each key that goes, awaited if need be. Its errors are logged."""
        self._callbacks.append(callback)

    def entry(self, key: str) -> CacheEntry | None:
        """What is known of a key that was stored here and not dropped since."""
        return self._entries.get(key)

    async def set_with_metadata(
        self,
        key: str,
        value: Any,
        ttl: float | None = None,
        tags: Iterable[str] = (),
        dependencies: Iterable[str] = (),
    ) -> bool:
        """Stores; what depends on the key goes, as it was made of the old value. True if a level has it now."""
        return await self._set(self.cache, key, value, ttl, tags, dependencies)

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        return await self.cache.get(key, default)

    async def invalidate(self, key: str) -> bool:
        """Drops one key and what depends on it. True if there was a value."""
        return await self._invalidate(self.cache, key)

    async def invalidate_by_tag(self, tag: str) -> int:
        """Drops all that has the tag and what depends on that; how many such keys were known here."""
        return await self._invalidate_name(self.cache, f"tag:{tag}", InvalidationStrategy.TAG)

    async def invalidate_by_dependency(self, dependency: str) -> int:
        """Drops all that depends on that, directly or not; how many such keys were known here."""
        return await self._invalidate_name(self.cache, f"dep:{dependency}", InvalidationStrategy.DEPENDENCY)

    async def invalidate_expired(self) -> int:
        """Forgets keys whose time is over, and calls the callbacks for them; how many."""
        return await self._invalidate_expired(self.cache)

    def start_cleanup_task(self, interval: float = 60.0) -> None:
        """Runs `invalidate_expired` every `interval` seconds on the running loop, until `stop_cleanup_task`."""
        import asyncio

        self.stop_cleanup_task()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep(interval))

    def stop_cleanup_task(self) -> None:
        """Ends it; nothing happens if none runs."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _sweep(self, interval: float) -> None:
        import asyncio

        while True:
            await asyncio.sleep(interval)
            try:
                await self.invalidate_expired()
            except Exception:
                _log.exception("sweeping what is over failed")

    async def _set(
        self,
        cache: MultiLevelCache,
        key: str,
        value: Any,
        ttl: float | None,
        tags: Iterable[str],
        dependencies: Iterable[str],
    ) -> bool:
        if isinstance(tags, str) or isinstance(dependencies, str):
            raise TypeError("tags and dependencies are collections of str, not one str")
        depends = set(dependencies)
        for dependency in tuple(depends):
            known = self._entries.get(dependency)
            if known is not None:
                depends |= known.dependencies
        entry = CacheEntry(key, ttl, frozenset(tags), frozenset(depends))
        await self._invalidate_name(cache, f"dep:{key}", InvalidationStrategy.DEPENDENCY, but=key)
        names = _names(entry)
        stored = await cache.set(key, value, ttl, tags=names)
        self._forget(key)
        if stored:
            self._entries[key] = entry
            for name in names:
                self._by_name.setdefault(name, {})[key] = None
            while len(self._entries) > REMEMBERED_KEYS:
                self._forget(next(iter(self._entries)))
        return stored

    async def _invalidate(self, cache: MultiLevelCache, key: str) -> bool:
        self._forget(key)
        deleted = await cache.delete(key)
        await self._invalidate_name(cache, f"dep:{key}", InvalidationStrategy.DEPENDENCY)
        if deleted:
            await self._tell([key], InvalidationStrategy.MANUAL)
        return deleted

    async def _invalidate_name(
        self, cache: MultiLevelCache, name: str, strategy: InvalidationStrategy, but: str | None = None
    ) -> int:
        keys = [key for key in list(self._by_name.get(name, ())) if key != but]
        # What depends on the keys that go has their dependencies among its own, but not their tags.
        names = [name]
        if strategy is InvalidationStrategy.TAG:
            names += [f"dep:{key}" for key in keys]
            for dependency in names[1:]:
                keys += [key for key in list(self._by_name.get(dependency, ())) if key not in keys]
        await cache.invalidate_tags(names)
        for key in keys:
            self._forget(key)
        await self._tell(keys, strategy)
        return len(keys)

    async def _invalidate_expired(self, cache: MultiLevelCache) -> int:
        now = time.monotonic()
        keys = [key for key, entry in list(self._entries.items()) if entry.is_expired(now)]
        for key in keys:
            self._forget(key)
            await cache.exists(key)  # a level in memory drops what is over when it is asked
        await self._tell(keys, InvalidationStrategy.TTL)
        return len(keys)

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        for name in () if entry is None else _names(entry):
            keys = self._by_name.get(name)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    self._by_name.pop(name, None)

    async def _tell(self, keys: list[str], strategy: InvalidationStrategy) -> None:
        for key in keys:
            for callback in list(self._callbacks):
                try:
                    result = callback(key, strategy)
                    if isinstance(result, Awaitable):
                        await result
                except Exception:
                    _log.exception("a callback failed for %s", key)


def _names(entry: CacheEntry) -> tuple[str, ...]:
    """The tags under which the cache knows the entry."""
    return (*(f"tag:{tag}" for tag in sorted(entry.tags)), *(f"dep:{name}" for name in sorted(entry.dependencies)))


class SyncInvalidationManager:
    """A `CacheInvalidationManager` without asynchronous methods; from its `sync`. Callbacks may not wait for a loop."""

    def __init__(self, manager: CacheInvalidationManager) -> None:
        self._manager = manager
        self._cache = SyncCache(manager.cache)._cache

    def set_with_metadata(
        self,
        key: str,
        value: Any,
        ttl: float | None = None,
        tags: Iterable[str] = (),
        dependencies: Iterable[str] = (),
    ) -> bool:
        """As the asynchronous form."""
        return run_blocking(self._manager._set(self._cache, key, value, ttl, tags, dependencies))

    def get(self, key: str, default: Any = None) -> Any:
        """As the asynchronous form."""
        return run_blocking(self._cache.get(key, default))

    def invalidate(self, key: str) -> bool:
        """As the asynchronous form."""
        return run_blocking(self._manager._invalidate(self._cache, key))

    def invalidate_by_tag(self, tag: str) -> int:
        """As the asynchronous form."""
        return run_blocking(self._manager._invalidate_name(self._cache, f"tag:{tag}", InvalidationStrategy.TAG))

    def invalidate_by_dependency(self, dependency: str) -> int:
        """As the asynchronous form."""
        name = f"dep:{dependency}"
        return run_blocking(self._manager._invalidate_name(self._cache, name, InvalidationStrategy.DEPENDENCY))

    def invalidate_expired(self) -> int:
        """As the asynchronous form."""
        return run_blocking(self._manager._invalidate_expired(self._cache))

    def start_cleanup_task(self, interval: float = 60.0) -> Callable[[], None]:
        """Runs `invalidate_expired` every `interval` seconds in a thread of its own; returns what ends that thread.

        A child of a fork has no such thread.
        """
        ended = threading.Event()

        def sweep() -> None:
            while not ended.wait(interval):
                try:
                    self.invalidate_expired()
                except Exception:
                    _log.exception("sweeping what is over failed")

        thread = threading.Thread(target=sweep, name="tierkeep-sweep", daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join()

        return end
