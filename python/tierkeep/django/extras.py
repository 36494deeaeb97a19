"""What people use of django-redis beyond Django's own cache, under the names and with the results it has there."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from tierkeep._core import SharedStore
from tierkeep.django import errands
from tierkeep.django.lock import Lock

_Result = TypeVar("_Result")

#: Methods that are a Redis client's, not a cache's.
_REDIS_ONLY = frozenset(
    "sadd scard sdiff sdiffstore sinter sinterstore sismember smembers smismember smove spop srandmember srem sscan "
    "sscan_iter sunion sunionstore hset hdel hlen hkeys hexists hget hgetall zadd zcard zcount zincrby zrange zrem zscore "
    "lpush rpush lpop rpop llen lrange get_client client".split()
)


class Extras:
    """Mixed into `tierkeep.django.Cache` before everything else."""

    _remaining: Callable[..., float | None]
    _keys: Callable[..., list[str]]
    _delete_matching: Callable[..., int]
    touch: Callable[..., bool]
    invalidate_tags: Callable[..., None]
    key_func: Any
    key_prefix: Any
    version: Any
    make_key: Callable[..., str]
    _reverse_key: Callable[[str], str] | None
    _shared_store: SharedStore | None

    # Time that is left.

    def ttl(self, key: Any, version: int | None = None) -> int | None:
        """Whole seconds a value has left, rounded up: None for ever, 0 if there is none."""
        left = self._left(key, version)
        return left if left is None else math.ceil(left)

    def pttl(self, key: Any, version: int | None = None) -> int | None:
        """Whole milliseconds a value has left, rounded up: None for ever, 0 if there is none."""
        left = self._left(key, version)
        return left if left is None else math.ceil(left * 1000)

    def _left(self, key: Any, version: int | None) -> float | None:
        try:
            return self._remaining(key, version)
        except ValueError:
            return 0.0

    def persist(self, key: Any, version: int | None = None) -> bool:
        """Takes the time-out off. False if there was none, or no value."""
        return self._left(key, version) not in (None, 0.0) and self.touch(key, None, version)

    def expire(self, key: Any, timeout: float | datetime.timedelta, version: int | None = None) -> bool:
        """Gives a value another time-out, in seconds. False if there is none."""
        seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else timeout
        return self.touch(key, seconds, version)

    def pexpire(self, key: Any, timeout: float | datetime.timedelta, version: int | None = None) -> bool:
        """Gives a value another time-out, in milliseconds. False if there is none."""
        seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else timeout / 1000
        return self.touch(key, seconds, version)

    def expire_at(self, key: Any, when: float | datetime.datetime, version: int | None = None) -> bool:
        """Ends a value at that moment: a datetime, or seconds since 1970. False if there is none."""
        moment = when.timestamp() if isinstance(when, datetime.datetime) else when
        return self.touch(key, moment - time.time(), version)

    def pexpire_at(self, key: Any, when: float | datetime.datetime, version: int | None = None) -> bool:
        """Ends a value at that moment: a datetime, or milliseconds since 1970. False if there is none."""
        moment = when.timestamp() if isinstance(when, datetime.datetime) else when / 1000
        return self.touch(key, moment - time.time(), version)

    # Keys by pattern.

    def keys(self, search: str = "*", version: int | None = None) -> list[str]:
        """Keys as they were given that match `*`, `?` and `[a-z]`, in order."""
        return self._found(search, None, version)

    def _found(self, search: str, itersize: int | None, version: int | None) -> list[str]:
        return [self.reverse_key(key) for key in self._keys(self._pattern(search, version), itersize)]

    def iter_keys(self, search: str = "*", itersize: int | None = None, version: int | None = None) -> Iterator[str]:
        """As `keys`, one after the other; all are found before the first is given. `itersize` is how many of its keys a
        server looks at for each request: fewer hold it up less, more take fewer requests."""
        yield from self._found(search, itersize, version)

    def delete_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None, itersize: int | None = None
    ) -> int:
        """Removes the keys that match, and tells how many there were. Costs what begins with the pattern's literal part.

        Computations under way are not stored. With a server it walks through all of its keys, `itersize` of them for each
        request, and every process of this machine drops all its copies, of other keys, too: it cannot tell which the
        server removed. Tags cost less: see `invalidate_tags`.
        """
        return self._delete_matching(self._pattern(pattern, version, prefix), itersize)

    def reverse_key(self, key: str) -> str:
        """The key that a made key was made of."""
        if self._reverse_key is not None:
            return self._reverse_key(key)
        prefix = f"{self.key_prefix}:"
        return key.removeprefix(prefix).split(":", 1)[1] if key.startswith(prefix) else key.split(":", 2)[-1]

    def _pattern(self, pattern: str, version: int | str | None, prefix: str | None = None) -> str:
        before = _literal(self.key_prefix if prefix is None else prefix)
        number = _literal(self.version if version is None else version)
        return str(self.key_func(pattern, before, number))

    # Tags.

    def invalidate_tag(self, tag: str) -> None:
        """Removes all that has the tag, in every process of the machine, at a cost that does not depend on how much."""
        self.invalidate_tags([tag])

    # The same for event loops: other tasks go on while a server is waited for.

    async def _answer(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """What a call that only asks returns; see `errands`."""
        return call(*args) if self._shared_store is None else await errands.answer(call, *args)

    async def _outcome(self, call: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
        """What a call that changes something returns; see `errands`."""
        if self._shared_store is None:
            return call(*args, **options)
        return await errands.outcome(call, *args, **options)

    async def attl(self, key: Any, version: int | None = None) -> int | None:
        """As `ttl`."""
        return await self._answer(self.ttl, key, version)

    async def apttl(self, key: Any, version: int | None = None) -> int | None:
        """As `pttl`."""
        return await self._answer(self.pttl, key, version)

    async def apersist(self, key: Any, version: int | None = None) -> bool:
        """As `persist`."""
        return await self._outcome(self.persist, key, version)

    async def aexpire(self, key: Any, timeout: float | datetime.timedelta, version: int | None = None) -> bool:
        """As `expire`."""
        return await self._outcome(self.expire, key, timeout, version)

    async def apexpire(self, key: Any, timeout: float | datetime.timedelta, version: int | None = None) -> bool:
        """As `pexpire`."""
        return await self._outcome(self.pexpire, key, timeout, version)

    async def aexpire_at(self, key: Any, when: float | datetime.datetime, version: int | None = None) -> bool:
        """As `expire_at`."""
        return await self._outcome(self.expire_at, key, when, version)

    async def apexpire_at(self, key: Any, when: float | datetime.datetime, version: int | None = None) -> bool:
        """As `pexpire_at`."""
        return await self._outcome(self.pexpire_at, key, when, version)

    async def akeys(self, search: str = "*", version: int | None = None) -> list[str]:
        """As `keys`."""
        return await self._answer(self.keys, search, version)

    async def aiter_keys(
        self, search: str = "*", itersize: int | None = None, version: int | None = None
    ) -> AsyncIterator[str]:
        """As `iter_keys`."""
        for key in await self._answer(self._found, search, itersize, version):
            yield key

    async def adelete_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None, itersize: int | None = None
    ) -> int:
        """As `delete_pattern`."""
        return await self._outcome(self.delete_pattern, pattern, version, prefix, itersize)

    async def ainvalidate_tag(self, tag: str) -> None:
        """As `invalidate_tag`."""
        await self._outcome(self.invalidate_tag, tag)

    async def ainvalidate_tags(self, tags: Any) -> None:
        """As `invalidate_tags`."""
        await self._outcome(self.invalidate_tags, tags)

    # Locks, and what is refused.

    def lock(
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
    ) -> Lock:
        """A lock that all processes and machines see: a context manager, with `acquire` and `release`. Needs Redis."""
        if self._shared_store is None:
            raise NotImplementedError(
                "cache.lock needs a LOCATION with Redis: without one, only this process would see the lock. "
                "Set LOCATION to a redis:// address, or use threading.Lock for the threads of this process."
            )
        name = self.make_key(key, version)
        return Lock(self._shared_store, name, timeout, sleep, blocking, blocking_timeout, thread_local)

    def __getattr__(self, name: str) -> Any:
        if name in _REDIS_ONLY:
            raise AttributeError(
                f"{type(self).__name__} has no {name}: that is a Redis client's, not a cache's. "
                "Keep redis-py beside the cache for it."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _literal(part: Any) -> str:
    """The text with nothing in it that a pattern would take for more."""
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in str(part))
