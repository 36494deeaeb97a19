"""Caches in levels: memory before a server before a database, as one cache."""

from __future__ import annotations

import enum
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tierkeep._core import Copies, Store, Token
from tierkeep.cache import _arguments
from tierkeep.cache._flight import Boarding, Flight

__all__ = ["CacheBackend", "CacheLevel", "CacheStrategy", "Found", "MemoryCache", "MultiLevelCache", "SyncCache"]

T = TypeVar("T")

#: Seconds until what was written back is written to the levels below, unless told otherwise.
WRITE_BACK_DELAY = 1.0

#: Most keys that may wait to be written back; the next write goes through.
WRITE_BACK_KEYS = 10_000


class CacheLevel(enum.Enum):
    """Where a level stands; reads ask them in this order."""

    L1_MEMORY = "l1_memory"
    L2_REDIS = "l2_redis"
    L3_DATABASE = "l3_database"


class CacheStrategy(enum.Enum):
    """Where a write goes."""

    #: To every level, the lowest first, before it returns.
    WRITE_THROUGH = "write_through"
    #: To the highest level before it returns, to the others within a second; a killed process loses what waits.
    WRITE_BACK = "write_back"
    #: To the lowest level only; the others drop what they had, and are filled by the next read.
    WRITE_AROUND = "write_around"


@dataclass(frozen=True)
class Found:
    """A value that a level has."""

    value: Any
    #: Seconds that it has left; None: for ever.
    remaining: float | None
    #: Whether `remaining` is known. A value of unknown time is not copied to other levels: it could outlive itself.
    timed: bool = True


class CacheBackend(ABC):
    """One level. Derive from it for a level of your own: five methods are enough.

    A level of which only these are known can hold no None, tells no remaining time, and knows no tags: its values are
    not copied to the levels above, and values with tags are not given to it.
    """

    #: Whether `store` keeps tags, so that `invalidate_tags` finds them.
    tagged = False

    #: Whether other machines write to it, and it keeps copies in this process that it is told to drop. A `MemoryCache`
    #: above such a level is not used: nobody tells it.
    shared = False

    @abstractmethod
    async def get(self, key: str) -> Any:
        """The value, None if there is none."""

    @abstractmethod
    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Stores for `ttl` seconds; None: for ever or as long as is usual there. True if stored."""

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """True if something was there."""

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """True if `get` would find something."""

    @abstractmethod
    async def clear(self) -> bool:
        """Removes everything of this level."""

    async def look(self, key: str) -> Found | None:
        """The value with its remaining time, which tells a kept None from nothing."""
        value = await self.get(key)
        return None if value is None else Found(value, None, timed=False)

    async def store(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]) -> bool:
        """As `set`, with tags, which only a `tagged` level is given."""
        return await self.set(key, value, ttl)

    async def invalidate_tags(self, tags: tuple[str, ...]) -> None:  # noqa: B027 - a level without tags has nothing to drop
        """Drops what has one of the tags."""

    @property
    def blocking(self) -> CacheBackend:
        """The same level for callers without an event loop: its methods never wait for one."""
        return self


class MemoryCache(CacheBackend):
    """A level in this process's memory, whose values are copies for every reader.

    Args:
        max_size: most entries; None: bounded by bytes only. At the limit a third leaves, the coldest first.
        default_ttl: seconds of a `set` without `ttl`; None: for ever.
        max_bytes: about how much memory it may use.
        name: caches of one name in a process are one; with `shared`, those of other processes of this user and machine
            drop what this one writes, deletes or invalidates.
    """

    tagged = True

    def __init__(
        self,
        max_size: int | None = 1000,
        default_ttl: float | None = None,
        *,
        max_bytes: int = 64 << 20,
        name: str | None = None,
        shared: bool = False,
    ) -> None:
        self._store: Final = Store(name, max_bytes=max_bytes, max_entries=max_size, shared=shared)
        self._named = (name, shared)
        self.default_ttl = default_ttl

    async def get(self, key: str, default: Any = None) -> Any:
        """The value for one reader; `default` if there is none."""
        return self._store.get(key, default)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> bool:
        """Stores; a `ttl` of 0 or less only removes. What pickle raises, for what is neither plain nor pickles."""
        return await self.store(key, value, ttl, ())

    async def delete(self, key: str) -> bool:
        return self._store.delete(key)

    async def exists(self, key: str) -> bool:
        return key in self._store

    async def clear(self) -> bool:
        self._store.clear()
        return True

    async def look(self, key: str) -> Found | None:
        try:
            remaining = self._store.remaining(key)
        except KeyError:
            return None
        value = self._store.get(key, _ABSENT)
        return None if value is _ABSENT else Found(value, remaining)

    async def store(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]) -> bool:
        self._store.set(key, value, self.default_ttl if ttl is None else ttl, tags)
        return True

    async def invalidate_tags(self, tags: tuple[str, ...]) -> None:
        self._store.invalidate_tags(tags)

    def stats(self) -> dict[str, int]:
        """hits, misses, evictions, entries, bytes."""
        return self._store.stats()

    def __len__(self) -> int:
        return len(self._store)


_ABSENT: Final = object()

#: The tag in memory of what was copied from a level below, of whose own tags nobody tells: dropped with any tag.
_COPIED: Final = ("tierkeep: copied",)


class MultiLevelCache:
    """Levels as one cache: a read asks them in order and copies what it finds to those above, with the remaining time.

    Every method is asynchronous; `sync` has the same without an event loop. Of any number of callers of `get_or_set`
    with one key, one loads.

    Args:
        levels: the levels by their place; a `MemoryCache` alone if there is none and none is added.
        strategy: where writes go that do not say it themselves.
        write_back_delay: seconds until what was written back reaches the lower levels.
    """

    def __init__(
        self,
        levels: Mapping[CacheLevel, CacheBackend] | None = None,
        strategy: CacheStrategy = CacheStrategy.WRITE_THROUGH,
        *,
        write_back_delay: float = WRITE_BACK_DELAY,
    ) -> None:
        if not isinstance(levels, Mapping | None):
            raise TypeError(f"levels is a mapping of CacheLevel to CacheBackend, not {levels!r}")
        self._levels: dict[CacheLevel, CacheBackend] = {}
        self._ordered: list[CacheBackend] = []
        self.strategy = CacheStrategy(strategy)
        self.write_back_delay = _arguments.seconds("write_back_delay", write_back_delay)
        #: What waits to be written to the lower levels: value, end on the monotonic clock, tags.
        self._waiting: dict[str, tuple[Copies, float | None, tuple[str, ...]]] = {}
        self._due: float | None = None
        self._calls_store: Store | None = None
        self._blocks = False
        for level, backend in (levels or {}).items():
            self.add_level(level, backend)
        if not levels:
            self._levels[CacheLevel.L1_MEMORY] = MemoryCache()
            self._order()

    def add_level(self, level: CacheLevel, backend: CacheBackend) -> None:
        """Puts a level in its place, instead of what is there."""
        if not isinstance(backend, CacheBackend):
            raise TypeError(f"a level derives from CacheBackend, which {backend!r} does not")
        self._levels[CacheLevel(level)] = backend
        self._order()

    def _order(self) -> None:
        ordered = [self._levels[level] for level in CacheLevel if level in self._levels]
        shared = any(level.shared for level in ordered)
        self._ordered = [level for level in ordered if not (shared and isinstance(level, MemoryCache))]

    @property
    def levels(self) -> dict[CacheLevel, CacheBackend]:
        """The levels in the order in which they are asked."""
        return {level: self._levels[level] for level in CacheLevel if level in self._levels}

    @property
    def sync(self) -> SyncCache:
        """The same cache for code without an event loop, or inside of one that may block."""
        return SyncCache(self)

    async def get(self, key: str, default: Any = None) -> Any:
        """The value for one reader; `default` if no level has one. A kept None is a value."""
        found = await self._look(key, 0)
        return default if found is None else found.value

    async def _look(self, key: str, first: int) -> Found | None:
        levels = self._present()
        for at, level in enumerate(levels):
            if at == max(first, 1) and key in self._waiting:
                # The highest level has dropped it before it was written back.
                waits = self._found_waiting(key)
                if waits is not None:
                    return waits
            if at < first:
                continue
            # Before the level is asked: a write in the meantime refuses what was read.
            tokens = [
                (above, above._store.token(key, _COPIED)) for above in levels[first:at] if isinstance(above, MemoryCache)
            ]
            found = await level.look(key)
            if found is None:
                continue
            if found.timed:
                for above, token in tokens:
                    above._store.fill(key, found.value, token, found.remaining, _COPIED)
            return found
        return None

    def _found_waiting(self, key: str) -> Found | None:
        waits = self._waiting.get(key)
        if waits is None:
            return None
        copies, end, _ = waits
        remaining = None if end is None else end - time.monotonic()
        return None if remaining is not None and remaining <= 0 else Found(copies.take(), remaining)

    async def set(
        self,
        key: str,
        value: Any,
        ttl: float | None = None,
        strategy: CacheStrategy | None = None,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """Stores for `ttl` seconds; None: for ever, 0 or less: removes. True if a level has it now.

        A value with tags is given only to levels that know tags.
        """
        tags = _arguments.many("tags", tags)
        if ttl is not None:
            ttl = _arguments.any_seconds("ttl", ttl)
        strategy = self.strategy if strategy is None else CacheStrategy(strategy)
        levels = self._present()
        if ttl is not None and ttl <= 0:
            await self.delete(key)
            return False
        if len(levels) > 1 and strategy is CacheStrategy.WRITE_BACK and len(self._waiting) < WRITE_BACK_KEYS:
            end = None if ttl is None else time.monotonic() + ttl
            self._waiting[key] = (Copies(value), end, tags)
            stored = await self._store_in(levels[0], key, value, ttl, tags)
            await self._arrange()
            return stored
        self._waiting.pop(key, None)
        if strategy is CacheStrategy.WRITE_AROUND:
            stored = await self._store_in(levels[-1], key, value, ttl, tags)
            for level in reversed(levels[:-1]):
                await level.delete(key)
            return stored
        results = [await self._store_in(level, key, value, ttl, tags) for level in reversed(levels)]
        return any(results)

    async def _store_in(
        self, level: CacheBackend, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]
    ) -> bool:
        if tags and not level.tagged:
            await level.delete(key)
            return False
        return await level.store(key, value, ttl, tags)

    async def delete(self, key: str) -> bool:
        """Removes from every level, the lowest first. True if one had it."""
        waited = self._waiting.pop(key, None) is not None
        results = [await level.delete(key) for level in reversed(self._present())]
        return waited or any(results)

    async def exists(self, key: str) -> bool:
        """Whether `get` would find something."""
        if self._found_waiting(key) is not None:
            return True
        for level in self._present():
            if await level.exists(key):
                return True
        return False

    async def clear(self) -> bool:
        """Empties every level, and the results of functions that are cached with this cache."""
        self._waiting.clear()
        results = [await level.clear() for level in reversed(self._present())]
        if self._calls_store is not None:
            self._calls_store.clear()
        return all(results)

    async def invalidate_tags(self, tags: Iterable[str]) -> None:
        """Drops what has one of the tags, from every level, results of functions cached with this cache included."""
        tags = _arguments.many("tags", tags)
        for key, (_, _, waiting) in list(self._waiting.items()):
            if not set(waiting).isdisjoint(tags):
                self._waiting.pop(key, None)
        for level in reversed(self._present()):
            await level.invalidate_tags((*tags, *_COPIED) if isinstance(level, MemoryCache) else tags)
        if self._calls_store is not None:
            self._calls_store.invalidate_tags(tags)

    async def get_or_set(
        self,
        key: str,
        loader: Callable[[], Any],
        ttl: float | None = None,
        *,
        tags: Iterable[str] = (),
        wait: float = 30.0,
    ) -> Any:
        """The value; if there is none, what `loader()` returns, awaited if need be, which is stored.

        Of any number of callers one loads, the others wait up to `wait` seconds for it and then load themselves. What
        a loader began to read before the key or a tag was written is not kept in memory.
        """
        import asyncio

        tags, wait = _arguments.many("tags", tags), _arguments.seconds("wait", wait)
        task = asyncio.current_task()
        while True:
            found = await self._look(key, 0)
            if found is not None:
                return found.value
            token, boarding = self._board(key, tags, task)
            flight = boarding.flight
            if not boarding.leads:
                if flight.holds_up(task) or not await flight.waited(wait):
                    return await _loaded(loader)
                if flight.settled:
                    return flight.result()
                continue
            with boarding:
                found = await self._look(key, 0)
                if found is not None:
                    flight.land(Copies(found.value))
                    return found.value
                value = await _loaded(loader)
                await self._fill_and_land(key, value, ttl, tags, token, flight)
                return value

    def _board(self, key: str, tags: tuple[str, ...], task: object) -> tuple[Token, Boarding]:
        """The computation of now, which nobody joins who comes after a write; one for callers of either form."""
        token = self._memory.token(key, tags)
        return token, Boarding((id(self._levels), key, token.mark()), task)

    async def _fill_and_land(
        self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...], token: Token, flight: Flight
    ) -> None:
        copies = Copies(value)
        if ttl is None or ttl > 0:
            try:
                await self._fill(key, value, ttl, tags, token)
            except ConnectionError as error:
                # Who asked has the value; that it was not kept is no reason to withhold it.
                _say_not_stored(error)
        flight.land(copies)

    @property
    def _memory(self) -> Store:
        """The store whose generations say what was written: the first level's in memory."""
        for level in self._ordered:
            if isinstance(level, MemoryCache):
                return level._store
        return self._calls()

    async def _fill(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...], token: Token) -> None:
        for level in reversed(self._present()):
            if isinstance(level, MemoryCache) and level._store is self._memory:
                level._store.fill(key, value, token, level.default_ttl if ttl is None else ttl, tags)
            else:
                await self._store_in(level, key, value, ttl, tags)

    async def flush(self) -> int:
        """Writes to the lower levels what waits to be written back; how many keys that were."""
        self._due = None
        written = 0
        for key in list(self._waiting):
            waits = self._waiting.get(key)
            if waits is None:
                continue
            copies, end, tags = waits
            remaining = None if end is None else end - time.monotonic()
            if remaining is None or remaining > 0:
                value = copies.take()
                for level in reversed(self._present()[1:]):
                    await self._store_in(level, key, value, remaining, tags)
                written += 1
            # Unless it was written again in the meantime.
            if self._waiting.get(key) is waits:
                self._waiting.pop(key, None)
        return written

    async def close(self) -> None:
        """Writes back what waits. The cache can be used again."""
        await self.flush()

    async def _arrange(self) -> None:
        """Has what waits written in time: by a task of the running loop, else by the first write that is late."""
        now = time.monotonic()
        if self._due is None:
            self._due = now + self.write_back_delay
            if not self._blocks:
                import asyncio

                loop = asyncio.get_running_loop()
                loop.call_later(self.write_back_delay, self._write_back, loop)
        elif self._due <= now:
            await self.flush()

    def _write_back(self, loop: Any) -> None:
        task = loop.create_task(self.flush())
        _writers.add(task)
        task.add_done_callback(_written)

    def _present(self) -> list[CacheBackend]:
        return [level.blocking for level in self._ordered] if self._blocks else self._ordered

    def _blocking(self) -> MultiLevelCache:
        """This cache, whose levels are asked without an event loop."""
        twin = MultiLevelCache.__new__(MultiLevelCache)
        twin.__dict__ = {**self.__dict__, "_blocks": True}
        return twin

    # What functions cached with this cache use: their results in memory are in a store of their own.

    def _calls(self) -> Store:
        if self._calls_store is None:
            named = [level._named for level in self._ordered if isinstance(level, MemoryCache)]
            name, shared = named[0] if named else (None, False)
            self._calls_store = Store(None if name is None else f"{name} calls", shared=shared)
        return self._calls_store

    def _below(self) -> list[CacheBackend]:
        return [level for level in self._present() if not isinstance(level, MemoryCache)]

    async def _look_below(self, key: str) -> Found | None:
        for level in self._below():
            found = await level.look(key)
            if found is not None:
                return found if found.timed else Found(found.value, 0.0)
        return None

    async def _set_below(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]) -> None:
        if ttl is not None and ttl <= 0:
            return
        for level in reversed(self._below()):
            try:
                await self._store_in(level, key, value, ttl, tags)
            except ConnectionError as error:
                # The function has its result; what is there is older, but no older than before.
                _say_not_stored(error)

    @property
    def _told_late(self) -> bool:
        """Whether other machines can drop results without the store of functions being told."""
        return any(level.shared for level in self._ordered)

    async def _drop_below(self, key: str) -> None:
        for level in reversed(self._below()):
            await level.delete(key)


def _say_not_stored(error: ConnectionError) -> None:
    import logging

    logging.getLogger("tierkeep.cache").warning("a result was not stored: %s", error)


_writers: set[Any] = set()


def _written(task: Any) -> None:
    _writers.discard(task)
    if not task.cancelled() and task.exception() is not None:
        import logging

        logging.getLogger("tierkeep.cache").error("what waited was not written back", exc_info=task.exception())


async def _loaded(loader: Callable[[], Any]) -> Any:
    value = loader()
    return await value if isinstance(value, Awaitable) else value


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs what never waits for an event loop to its end.

    Raises:
        TypeError: if it waits for one: a level of somebody else's, or an asynchronous function, is in it.
    """
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        value: T = stopped.value
        return value
    coroutine.close()
    raise TypeError("a level or function waits for an event loop: use the asynchronous form")


class SyncCache:
    """A `MultiLevelCache` without asynchronous methods; from its `sync`."""

    def __init__(self, cache: MultiLevelCache) -> None:
        self._cache = cache._blocking()
        self._origin = cache

    def get(self, key: str, default: Any = None) -> Any:
        """As the asynchronous `get`."""
        return run_blocking(self._cache.get(key, default))

    def set(
        self,
        key: str,
        value: Any,
        ttl: float | None = None,
        strategy: CacheStrategy | None = None,
        *,
        tags: Iterable[str] = (),
    ) -> bool:
        """As the asynchronous `set`; what is to be written back is by a write that finds it late, or by `flush`."""
        try:
            return run_blocking(self._cache.set(key, value, ttl, strategy, tags=tags))
        finally:
            self._origin._due = self._cache._due

    def delete(self, key: str) -> bool:
        """As the asynchronous `delete`."""
        return run_blocking(self._cache.delete(key))

    def exists(self, key: str) -> bool:
        """As the asynchronous `exists`."""
        return run_blocking(self._cache.exists(key))

    def clear(self) -> bool:
        """As the asynchronous `clear`."""
        return run_blocking(self._cache.clear())

    def invalidate_tags(self, tags: Iterable[str]) -> None:
        """As the asynchronous `invalidate_tags`."""
        run_blocking(self._cache.invalidate_tags(tags))

    def flush(self) -> int:
        """As the asynchronous `flush`."""
        self._origin._due = None
        return run_blocking(self._cache.flush())

    def get_or_set(
        self,
        key: str,
        loader: Callable[[], T],
        ttl: float | None = None,
        *,
        tags: Iterable[str] = (),
        wait: float = 30.0,
    ) -> T:
        """As the asynchronous `get_or_set`, for threads."""
        cache, tags, wait = self._cache, _arguments.many("tags", tags), _arguments.seconds("wait", wait)
        while True:
            found = run_blocking(cache._look(key, 0))
            if found is not None:
                return found.value  # type: ignore[no-any-return]
            token, boarding = cache._board(key, tags, None)
            flight = boarding.flight
            if not boarding.leads:
                if flight.holds_up(None) or not flight.wait(wait):
                    return loader()
                if flight.settled:
                    return flight.result()  # type: ignore[no-any-return]
                continue
            with boarding:
                found = run_blocking(cache._look(key, 0))
                if found is not None:
                    flight.land(Copies(found.value))
                    return found.value  # type: ignore[no-any-return]
                value = loader()
                run_blocking(cache._fill_and_land(key, value, ttl, tags, token, flight))
                return value

    def _look_below(self, key: str) -> Found | None:
        return run_blocking(self._cache._look_below(key))

    def _set_below(self, key: str, value: Any, ttl: float | None, tags: tuple[str, ...]) -> None:
        run_blocking(self._cache._set_below(key, value, ttl, tags))

    def _drop_below(self, key: str) -> None:
        run_blocking(self._cache._drop_below(key))
