"""`cached`: a function whose results are kept."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import update_wrapper
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, cast, overload

from tierkeep._core import CachedCall, Copies, Missed, Store
from tierkeep.cache import _flight

if TYPE_CHECKING:
    import inspect

    from tierkeep.cache._levels import MultiLevelCache

__all__ = ["Cached", "CachedStats", "cached", "invalidate_tags"]

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds that a result is kept unless told otherwise.
DEFAULT_TTL = 300.0

#: Seconds that a caller waits for somebody else's computation before it computes itself.
DEFAULT_WAIT = 30.0

#: Seconds after which a result is asked of a level that other machines share once more.
SHARED_BOUND = 1.0

_MISSES, _STALE, _LOADS, _ERRORS, _WAITS, _UNKEPT = range(6)

#: How many functions of one name were seen: those of closures and reloaded modules share a name, not results.
_named: dict[str, int] = {}

_default: list[Store] = []


class CachedStats(NamedTuple):
    """What a cached function did so far in this process."""

    #: Calls answered by a fresh result.
    hits: int
    #: Calls that found none.
    misses: int
    #: Calls that found one within `stale` seconds of its end.
    stale: int
    #: Computations that began.
    loads: int
    #: Computations that raised.
    errors: int
    #: Calls that waited for another caller's computation.
    waits: int
    #: Results that were not kept, as what they depend on was invalidated while they were computed.
    unkept: int


class Cached(CachedCall, Generic[P, R]):
    """A function whose results are kept; made by `cached`. Calling it is calling the function, if need be."""

    __wrapped__: Callable[P, R]

    _function: Callable[P, R]
    _ttl: float | None
    _stale: float
    _wait: float
    _awaited: bool
    _tag: str
    _tags: tuple[str, ...]
    _tagger: Callable[..., Iterable[str]] | None
    _store: Store
    _cache: MultiLevelCache | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The kept result of the call, or else what the function returns."""
        found = self.ask(args, kwargs)
        if type(found) is not Missed:
            return found  # type: ignore[no-any-return]
        if found.key is None:
            # The arguments are not the function's: it says so itself, best.
            return self._function(*args, **kwargs)
        self.count(_STALE if found.old else _MISSES)
        load = self._load_awaited if self._awaited else self._load
        return load(found.key, args, kwargs, found.old)  # type: ignore[return-value]

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Drops the result of the call with these arguments, in every process of the machine that shares the store.

        A computation under way is not kept, and callers from now on do not wait for it. True if a result was kept here.
        """
        key = self.key_of(args, kwargs)
        # The level below first: what is read there after this is not kept here.
        if self._cache is not None:
            self._cache.sync._drop_below(_text(key))
        return self.drop_key(key)

    def invalidate_all(self) -> None:
        """Drops the results of all calls of this function."""
        if self._cache is not None:
            self._cache.sync.invalidate_tags((self._tag,))
        self._store.invalidate_tags((self._tag,))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Drops the result of the call with these arguments and computes it anew; returns it as the call would."""
        self.invalidate(*args, **kwargs)
        return self(*args, **kwargs)

    def stats(self) -> CachedStats:
        """What happened so far in this process, and before the fork in its parent."""
        misses, stale, loads, errors, waits, unkept = self.counted()
        return CachedStats(self.hits(), misses, stale, loads, errors, waits, unkept)

    def _load(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any], old: tuple[Any, ...]) -> Any:
        tags = self._tags_of(args, kwargs)
        while True:
            begun = self.begin(key, tags)
            place = (self, key, begun.mark())
            flight, leads = _flight.board(place, get_ident())
            if leads:
                try:
                    found = self.peek(key)
                    if found is not None and found[1]:
                        value = found[0]
                        flight.land(Copies(value))
                        return value
                    self.count(_LOADS)
                    value, copies, left = self._compute(key, args, kwargs, tags)
                    if not self.keep(key, copies, begun, left):
                        self.count(_UNKEPT)
                    flight.land(copies)
                    return value
                except Exception as error:
                    self.count(_ERRORS)
                    flight.fail(error)
                    if not old:
                        raise
                    self._log_stale(error)
                    return old[0]
                finally:
                    _flight.leave(place, flight)
            if old:
                return old[0]
            if flight.owner == get_ident() or not self._waits(flight):
                self.count(_LOADS)
                return self._compute(key, args, kwargs, tags)[0]
            if flight.settled:
                return flight.result()

    async def _load_awaited(
        self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any], old: tuple[Any, ...]
    ) -> Any:
        import asyncio

        tags = self._tags_of(args, kwargs)
        task = asyncio.current_task()
        while True:
            begun = self.begin(key, tags)
            place = (self, key, begun.mark())
            flight, leads = _flight.board(place, task)
            if leads:
                try:
                    found = self.peek(key)
                    if found is not None and found[1]:
                        value = found[0]
                        flight.land(Copies(value))
                        return value
                    self.count(_LOADS)
                    value, copies, left = await self._compute_awaited(key, args, kwargs, tags)
                    if not self.keep(key, copies, begun, left):
                        self.count(_UNKEPT)
                    flight.land(copies)
                    return value
                except Exception as error:
                    self.count(_ERRORS)
                    flight.fail(error)
                    if not old:
                        raise
                    self._log_stale(error)
                    return old[0]
                finally:
                    _flight.leave(place, flight)
            if old:
                return old[0]
            if flight.owner is task:
                self.count(_LOADS)
                return (await self._compute_awaited(key, args, kwargs, tags))[0]
            self.count(_WAITS)
            if not await flight.waited(self._wait):
                self.count(_LOADS)
                return (await self._compute_awaited(key, args, kwargs, tags))[0]
            if flight.settled:
                return flight.result()

    def _waits(self, flight: _flight.Flight) -> bool:
        self.count(_WAITS)
        return flight.wait(self._wait)

    def _compute(
        self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any], tags: tuple[str, ...]
    ) -> tuple[Any, Copies, float | None]:
        """The value, what is kept of it, and for how many seconds."""
        cache = None if self._cache is None else self._cache.sync
        if cache is not None:
            found = cache._look_below(_text(key))
            if found is not None:
                return found.value, Copies(found.value), self._kept_here(found.remaining)
        value: Any = self._function(*args, **kwargs)
        copies = Copies(value)
        if cache is not None:
            cache._set_below(_text(key), value, self._kept_for(), tags)
        return value, copies, self._kept_here(self._kept_for())

    async def _compute_awaited(
        self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any], tags: tuple[str, ...]
    ) -> tuple[Any, Copies, float | None]:
        cache = self._cache
        if cache is not None:
            found = await cache._look_below(_text(key))
            if found is not None:
                return found.value, Copies(found.value), self._kept_here(found.remaining)
        value = await cast("Callable[..., Awaitable[Any]]", self._function)(*args, **kwargs)
        copies = Copies(value)
        if cache is not None:
            await cache._set_below(_text(key), value, self._kept_for(), tags)
        return value, copies, self._kept_here(self._kept_for())

    def _kept_here(self, seconds: float | None) -> float | None:
        """Seconds in this process, to which nobody tells what other machines drop from a level that they share."""
        if self._cache is None or not self._cache._told_late:
            return seconds
        return SHARED_BOUND if seconds is None else min(seconds, SHARED_BOUND)

    def _kept_for(self) -> float | None:
        return None if self._ttl is None else self._ttl + self._stale

    def _tags_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        if self._tagger is None:
            return self._tags
        tags = self._tagger(*args, **kwargs)
        if isinstance(tags, str):
            raise TypeError("tags is a collection of str, not one str")
        return (*self._tags, *tags)

    def _log_stale(self, error: Exception) -> None:
        import logging

        logging.getLogger("tierkeep.cache").warning(
            "%s failed, its last result is served: %r", self._tag, error, exc_info=error
        )

    def __repr__(self) -> str:
        return f"<cached {self._function!r}>"

    def __reduce__(self) -> str:
        # As a function: by its name in its module.
        return self._function.__qualname__


def _text(key: bytes) -> str:
    """The key of a call in the levels below memory: short, without odd characters, not to be had by accident."""
    from hashlib import blake2b

    return f"call:{blake2b(key, digest_size=20).hexdigest()}"


def default_store() -> Store:
    """The store of cached functions: 64 MiB, and told what other processes of this user and machine invalidate."""
    if not _default:
        try:
            store = Store("tierkeep.cache", shared=True)
        except (OSError, ValueError) as error:
            import warnings

            warnings.warn(
                f"processes of this machine are not told of each other's invalidations: {error}",
                RuntimeWarning,
                stacklevel=3,
            )
            store = Store("tierkeep.cache")
        _default.append(store)
    return _default[0]


def invalidate_tags(*tags: str) -> None:
    """Drops all results of functions cached with one of the tags, in every process of this user on this machine."""
    default_store().invalidate_tags(tags)


@overload
def cached(function: Callable[P, R], /) -> Cached[P, R]: ...
@overload
def cached(
    *,
    ttl: float | None = DEFAULT_TTL,
    key: Callable[..., object] | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    stale: float = 0.0,
    wait: float = DEFAULT_WAIT,
    name: str | None = None,
    cache: MultiLevelCache | None = None,
) -> Callable[[Callable[P, R]], Cached[P, R]]: ...
def cached(
    function: Callable[P, R] | None = None,
    /,
    *,
    ttl: float | None = DEFAULT_TTL,
    key: Callable[..., object] | None = None,
    tags: Iterable[str] | Callable[..., Iterable[str]] = (),
    stale: float = 0.0,
    wait: float = DEFAULT_WAIT,
    name: str | None = None,
    cache: MultiLevelCache | None = None,
) -> Cached[P, R] | Callable[[Callable[P, R]], Cached[P, R]]:
    """Keeps the results of a function, `async` or not, by its arguments. A kept None is a result.

    Of any number of callers with the same arguments, threads and tasks, one computes and the others wait for it. What
    it raises is raised in all of them and not kept. Every reader has a copy of its own.

    Args:
        ttl: seconds that a result is fresh; None for ever; 0 or less: not kept, callers at the same time share one.
        key: called with the arguments, returns what tells calls apart. Without it, all arguments do: plain values and
            containers, dates, decimals, UUIDs, enumerations, classes, dataclasses with `eq`, and objects that have
            `__tierkeep_key__()`. 1, 1.0 and True are different arguments.
        tags: names by which results are dropped with `invalidate_tags`, or what returns them when called with the
            arguments.
        stale: seconds after `ttl` in which a result is still served while one caller computes the next, and if that
            fails.
        wait: the longest wait for another caller's computation, in seconds; then the caller computes itself.
        name: what the keys begin with; module and qualified name otherwise. Two functions of one explicit `name`
            share results. Functions made by a call of another function need one if processes are to be told of their
            invalidations.
        cache: a `MultiLevelCache` whose lower levels are asked before the function, and given its results. From a level
            that other machines share, a result is kept for a second at most before that level is asked again.

    Raises:
        TypeError: at the call, if an argument has no stable key; it names the argument. What pickle raises, if the
            result is neither plain nor can be pickled.
        ValueError: `stale` or `wait` is negative or no number; `stale` with `cache`, whose levels know one end only.
    """

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        return _make(function, ttl, key, tags, stale, wait, name, cache)

    for what, seconds in (("stale", stale), ("wait", wait)):
        if not seconds >= 0 or math.isinf(seconds):
            raise ValueError(f"{what} is a number of seconds from 0, not {seconds!r}")
    if stale and cache is not None:
        raise ValueError("stale is not for functions with cache=: its levels know one end only")
    if ttl is not None and math.isnan(ttl):
        raise ValueError("ttl is a number of seconds or None, not nan")
    if isinstance(tags, str):
        raise TypeError("tags is a collection of str, not one str")
    return decorate if function is None else decorate(function)


def _make(
    function: Callable[P, R],
    ttl: float | None,
    key: Callable[..., object] | None,
    tags: Iterable[str] | Callable[..., Iterable[str]],
    stale: float,
    wait: float,
    name: str | None,
    cache: MultiLevelCache | None,
) -> Cached[P, R]:
    import inspect

    if isinstance(function, (classmethod, staticmethod)):
        raise TypeError(f"write @{type(function).__name__} above @cached, not below it")
    if not callable(function):
        raise TypeError(f"cached is for functions, not for {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} makes a generator, which can be read once: return a list")
    named = name or _name_of(function)
    parameters = [
        (parameter.name, int(parameter.kind), () if parameter.default is parameter.empty else (parameter.default,))
        for parameter in _parameters(function)
    ]
    awaited = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(function)
    store = default_store() if cache is None else cache._calls()
    made: Cached[P, R] = Cached.__new__(Cached, store, named, parameters, key=key, stale=stale, awaited=awaited)
    update_wrapper(made, function)
    made._function = function
    made._ttl, made._stale, made._wait, made._awaited = ttl, stale, wait, awaited
    made._store, made._cache = store, cache
    made._tag = f"function:{named}"
    if callable(tags):
        made._tags, made._tagger = (made._tag,), tags
    else:
        made._tags, made._tagger = (made._tag, *tags), None
    if awaited:
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(made)
        else:
            import asyncio.coroutines

            made._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return made


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """What the function takes; functions in C may not tell, so they take anything."""
    import inspect

    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        kinds = {"args": inspect.Parameter.VAR_POSITIONAL, "kwargs": inspect.Parameter.VAR_KEYWORD}
        return [inspect.Parameter(name, kind) for name, kind in kinds.items()]


def _name_of(function: Callable[..., Any]) -> str:
    name = f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    seen = _named[name] = _named.get(name, 0) + 1
    return name if seen == 1 else f"{name}#{seen}"
