"""The backend: what is hot is in Rust (`_core.CacheCore`), this is the rest of `BaseCache`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from inspect import isawaitable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

from tierkeep._core import Asker, CacheCore, SharedStore
from tierkeep.django import errands, flight
from tierkeep.django.extras import Extras
from tierkeep.django.options import Options
from tierkeep.django.redis_options import Remote, serializer_of
from tierkeep.django.serializers import class_for

_Result = TypeVar("_Result")


class Cache(Extras, CacheCore, BaseCache):
    """Django's cache API over a store of this process whose entries every process of the machine can invalidate.

    Each reader gets a copy of its own. Expiry has fractions of a second. Bounded by bytes (`OPTIONS["L1_BYTES"]`, 64 MiB
    unless told otherwise), by entries only if `MAX_ENTRIES` is given.
    """

    def __new__(cls, location: str | list[str], params: dict[str, Any]) -> Cache:
        return super().__new__(class_for(cls, serializer_of(params.get("OPTIONS", {}))), location, params)

    def __init__(self, location: str | list[str], params: dict[str, Any]) -> None:
        options = Options.of(location, params)
        BaseCache.__init__(self, params)
        self._made_of = (location, params)
        self._key_warnings = options.key_warnings
        self._reverse_key = options.reverse_key
        # Django's default of 300 entries is a bound that nobody asked for.
        self._max_entries = options.max_entries
        self._name = options.name
        self._shared_store = None
        self._closes_connections = False
        self._reads_copies = self._reads_as_core()
        if options.remote is None:
            self._open_or_warn(options)
        else:
            self._open_remote(options, options.remote)

    def _open_or_warn(self, options: Options) -> None:
        """Opens the store; by itself, with a warning, if the table of generations cannot be used."""
        for table in (options.generations, None):
            try:
                self._open(
                    options.name,
                    options.l1_bytes,
                    table,
                    self._makes_keys_as_django(),
                    options.remember_read_miss,
                )
                return
            except (OSError, ValueError) as error:
                if table is None:
                    raise
                message = f"{error}. Other processes will not be told what this one writes, nor this one what they do."
                warnings.warn(message, RuntimeWarning, stacklevel=4)

    def _open_remote(self, options: Options, remote: Remote) -> None:
        """Opens the store in front of the servers that LOCATION names; they are asked when it is first used."""

        def opened(table: str | None) -> SharedStore:
            return SharedStore(remote.location, max_bytes=options.l1_bytes, generations=table, **remote.arguments)

        try:
            store = opened(options.generations)
        except ValueError as error:
            raise ImproperlyConfigured(f"LOCATION or OPTIONS: {error}.") from error
        except OSError as error:
            message = f"{error}. Other processes of this machine will see what this one writes later: within a second."
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            store = opened(None)
        self._shared_store = store
        self._closes_connections = remote.closes_connections
        self._open_shared(
            store,
            self._makes_keys_as_django(),
            options.remember_read_miss,
            remote.ignore_exceptions,
            remote.log_ignored_exceptions,
            remote.scan_itersize,
        )

    @classmethod
    def _makes_keys_as_django(cls) -> bool:
        """True if no subclass has its own way to make or check keys."""
        return (
            cls.make_key is BaseCache.make_key
            and cls.make_and_validate_key is BaseCache.make_and_validate_key
            and cls.validate_key is Cache.validate_key
        )

    @classmethod
    def _reads_as_core(cls) -> bool:
        """True if no subclass has its own way to read: then copies are read without it."""
        return cls.get is CacheCore.get and cls.get_many is CacheCore.get_many and cls.has_key is CacheCore.has_key

    def __reduce__(self) -> tuple[Any, ...]:
        state = {"key_prefix": self.key_prefix, "version": self.version, "default_timeout": self.default_timeout}
        return type(self), self._made_of, state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def close(self, **kwargs: Any) -> None:
        """Called by Django after each request. With `OPTIONS["CLOSE_CONNECTION"]` closes connections that are not in use."""
        if self._closes_connections and self._shared_store is not None:
            self._shared_store.close_idle()

    def validate_key(self, key: str) -> None:
        """Warns of what memcached would refuse, unless `OPTIONS["KEY_WARNINGS"]` is False."""
        if self._key_warnings:
            super().validate_key(key)

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: Collection[str] | None = None,
    ) -> Any:
        """The value of a key; if there is none, `default`, or what it returns if it can be called, stored with `tags`.

        Of all threads and tasks of the process that ask at once, one calls. What it returns is not stored if the key or
        a tag was written meanwhile, and callers that came after that write do not get it.
        """
        value = self.get(key, self._missing_key, version)
        if value is not self._missing_key:
            return value
        if not callable(default):
            return self._keep(key, default, timeout, version, tags)
        what = (self._name, *self._begin(key, version, tags))
        computation, leads = flight.board(what)
        if not leads:
            if not computation.holds_up_leader() and computation.wait():
                value = self.get(key, self._missing_key, version)
                return self._copy(computation.value) if value is self._missing_key else value
            return self._keep(key, default(), timeout, version, tags)
        try:
            # Somebody may have finished since the first look.
            value = self.get(key, self._missing_key, version)
            if value is self._missing_key:
                self._begin(key, version, tags)
                value = self._keep(key, default(), timeout, version, tags)
            computation.value, computation.has_value = value, True
            return value
        finally:
            flight.leave(what, computation)

    def _keep(self, key: Any, value: Any, timeout: Any, version: int | None, tags: Collection[str] | None) -> Any:
        """Adds a computed value, and gives what is there then: another writer's value wins."""
        options = {} if tags is None else {"tags": tags}
        self.add(key, value, timeout=timeout, version=version, **options)
        return self.get(key, value, version)

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: Collection[str] | None = None,
    ) -> Any:
        """As `get_or_set`; what `default` returns may be awaitable."""
        value = await self.aget(key, self._missing_key, version)
        if value is not self._missing_key:
            return value
        if not callable(default):
            return await self._akeep(key, default, timeout, version, tags)
        what = (self._name, *self._begin(key, version, tags))
        computation, leads = flight.board(what)
        if not leads:
            if not computation.is_own() and await computation.await_landing():
                value = await self.aget(key, self._missing_key, version)
                return self._copy(computation.value) if value is self._missing_key else value
            return await self._akeep(key, await _computed(default), timeout, version, tags)
        try:
            value = await self.aget(key, self._missing_key, version)
            if value is self._missing_key:
                self._begin(key, version, tags)
                value = await self._akeep(key, await _computed(default), timeout, version, tags)
            computation.value, computation.has_value = value, True
            return value
        finally:
            flight.leave(what, computation)

    async def _akeep(
        self, key: Any, value: Any, timeout: Any, version: int | None, tags: Collection[str] | None
    ) -> Any:
        options = {} if tags is None else {"tags": tags}
        await self.aadd(key, value, timeout=timeout, version=version, **options)
        return await self.aget(key, value, version)

    # For event loops. Without a server, nothing waits, and no thread is needed. With one, what is copied here is read at
    # once, and what has to ask the server is done by threads of ours while other tasks go on.

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        if self._shared_store is None:
            return self.get(key, default, version)
        value = self._copied(key, self._missing_key, version) if self._reads_copies else self._missing_key
        return await errands.answer(self.get, key, default, version) if value is self._missing_key else value

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        if self._shared_store is None:
            return self.get_many(keys, version)
        keys = list(keys)
        found = self._copied_many(keys, version) if self._reads_copies else None
        return await errands.answer(self.get_many, keys, version) if found is None else found

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        if self._shared_store is None:
            return self.has_key(key, version)
        if self._reads_copies and self._copied(key, self._missing_key, version) is not self._missing_key:
            return True
        return await errands.answer(self.has_key, key, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return await self._outcome(self.touch, key, timeout, version)

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return await self._outcome(self.delete, key, version)

    async def adelete_many(self, keys: Iterable[Any] | None, version: int | None = None) -> Any:
        return await self._outcome(self.delete_many, keys if keys is None else list(keys), version)

    async def aincr(self, key: Any, delta: Any = 1, version: int | None = None) -> Any:
        return await self._outcome(self.incr, key, delta, version)

    async def adecr(self, key: Any, delta: Any = 1, version: int | None = None) -> Any:
        return await self._outcome(self.decr, key, delta, version)

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return await self._outcome(self.incr_version, key, delta, version)

    async def adecr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return await self._outcome(self.decr_version, key, delta, version)

    async def aclear(self) -> None:
        await self._outcome(self.clear)

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **options: Any
    ) -> Any:
        return await self._stored(self.set, key, value, timeout, version, **options)

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **options: Any
    ) -> bool:
        return await self._stored(self.add, key, value, timeout, version, **options)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, **options: Any
    ) -> list[Any]:
        return await self._stored(self.set_many, data, timeout, version, **options)

    async def _stored(self, call: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
        """What a call that pickles returns.

        Pickling a model with deferred fields asks the database, which Django forbids to event loops and to our threads:
        it is then done where Django's connections are.
        """
        try:
            return await self._outcome(call, *args, **options)
        except SynchronousOnlyOperation:
            return await sync_to_async(Asker().call, thread_sensitive=True)(call, args, options)


async def _computed(default: Callable[[], Any]) -> Any:
    value = default()
    return await value if isawaitable(value) else value
