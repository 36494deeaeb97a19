"""The backend: what is hot is in Rust (`_core.CacheCore`), this is the rest of `BaseCache`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import SynchronousOnlyOperation

from tierkeep._core import CacheCore
from tierkeep.django.options import Options


class Cache(CacheCore, BaseCache):
    """Django's cache API over a store of this process whose entries every process of the machine can invalidate.

    Each reader gets a copy of its own. Expiry has fractions of a second. Bounded by bytes (`OPTIONS["L1_BYTES"]`, 64 MiB
    unless told otherwise), by entries only if `MAX_ENTRIES` is given.
    """

    def __init__(self, location: str | list[str], params: dict[str, Any]) -> None:
        options = Options.of(location, params)
        BaseCache.__init__(self, params)
        self._made_of = (location, params)
        self._key_warnings = options.key_warnings
        # Django's default of 300 entries is a bound that nobody asked for.
        self._max_entries = options.max_entries
        self._open(options.name, options.l1_bytes, options.generations, self._makes_keys_as_django())

    @classmethod
    def _makes_keys_as_django(cls) -> bool:
        """True if no subclass has its own way to make or check keys."""
        return (
            cls.make_key is BaseCache.make_key
            and cls.make_and_validate_key is BaseCache.make_and_validate_key
            and cls.validate_key is Cache.validate_key
        )

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"key_prefix": self.key_prefix, "version": self.version, "default_timeout": self.default_timeout}
        return type(self), self._made_of, state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def validate_key(self, key: str) -> None:
        """Warns of what memcached would refuse, unless `OPTIONS["KEY_WARNINGS"]` is False."""
        if self._key_warnings:
            super().validate_key(key)

    # Reads and removals never wait: no thread is needed for them.

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self.get(key, default, version)

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        return self.get_many(keys, version)

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        return self.has_key(key, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self.touch(key, timeout, version)

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return self.delete(key, version)

    async def adelete_many(self, keys: Iterable[Any] | None, version: int | None = None) -> int:
        return self.delete_many(keys, version)

    async def aincr(self, key: Any, delta: Any = 1, version: int | None = None) -> Any:
        return self.incr(key, delta, version)

    async def adecr(self, key: Any, delta: Any = 1, version: int | None = None) -> Any:
        return self.decr(key, delta, version)

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.incr_version(key, delta, version)

    async def adecr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.decr_version(key, delta, version)

    async def aclear(self) -> None:
        self.clear()

    # Writes pickle, and pickling a model with deferred fields asks the database, which an event loop may not wait for.

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **options: Any
    ) -> bool:
        return await _off_the_loop_if_needed(self.set, key, value, timeout, version, **options)

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **options: Any
    ) -> bool:
        return await _off_the_loop_if_needed(self.add, key, value, timeout, version, **options)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **options: Any
    ) -> list[Any]:
        return await _off_the_loop_if_needed(self.set_many, data, timeout, version, **options)


async def _off_the_loop_if_needed(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return call(*args, **options)
    except SynchronousOnlyOperation:
        return await sync_to_async(call, thread_sensitive=True)(*args, **options)
