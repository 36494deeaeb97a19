"""`cached`: a function whose results are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast, overload, runtime_checkable

from tierkeep._core import Begun, CachedCall, Copies, Store
from tierkeep.cache import _arguments, _signature
from tierkeep.cache._flight import Boarding

if TYPE_CHECKING:
    import inspect

    from tierkeep.cache._levels import MultiLevelCache

__all__ = ["Cached", "CachedStats", "cached", "invalidate_tags"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

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


@runtime_checkable
class Cached(Protocol[P, R_co]):
    """A function whose results are kept, as `cached` returns it: a plain function with what is here beside its call.

    Of a method, arguments begin with the object: `Class.method.invalidate(object, ...)`, also where the method itself
    is called as `object.method(...)`.
    """

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The kept result of the call, or else what the function returns."""

    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        """Methods are bound to their object as plain functions are."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Drops the result of the call with these arguments, in every process of the machine that shares the store.

        A computation under way is not kept, and callers from now on do not wait for it. True if a result was kept here.
        """

    def invalidate_all(self) -> None:
        """Drops the results of all calls of this function."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Drops the result of the call with these arguments and computes it anew; returns it as the call would."""

    def stats(self) -> CachedStats:
        """What happened so far in this process, and before the fork in its parent."""


class _Calls(CachedCall):
    """What a cached function does beside answering from what it keeps."""

    _function: Callable[..., Any]
    _call: Callable[..., Any]
    _parameters: _signature.Parameters | None
    _key: Callable[..., object] | None
    _ttl: float | None
    _stale: float
    _wait: float
    _awaited: bool
    _tag: str
    _tags: tuple[str, ...]
    _tagger: Callable[..., Iterable[str]] | None
    _store: Store
    _cache: MultiLevelCache | None

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        key = self.key_of(args, kwargs) if self._key is None else self.key_of_made(self._key(*args, **kwargs))
        if key is None:
            raise TypeError(
                f"the arguments are not those of {self._function!r}; "
                "of a method, the object comes first: Class.method.invalidate(object, ...)"
            )
        # The level below first: what is read there after this is not kept here.
        if self._cache is not None:
            self._cache.sync._drop_below(_text(key))
        return self.drop_key(key)

    def invalidate_all(self) -> None:
        if self._cache is not None:
            self._cache.sync.invalidate_tags((self._tag,))
        self._store.invalidate_tags((self._tag,))

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        self.invalidate(*args, **kwargs)
        return self._call(*args, **kwargs)

    def stats(self) -> CachedStats:
        misses, stale, loads, errors, waits, unkept = self.counted()
        return CachedStats(self.hits(), misses, stale, loads, errors, waits, unkept)

    def plain(self) -> Any:
        """The function that stands for this one; calling it is calling this one, if need be."""
        if self._key is not None:
            return _signature.taking_what_is_told_apart(self._key, self._awaited, self.ask_made, self._load_made)
        if self._parameters is None:
            return _signature.taking_anything(self._awaited, self.ask, self._load)
        return _signature.taking(self._parameters, self._awaited, self, self._load_bound)

    # What loads returns the result, or what gives it when it is awaited.

    def _load_bound(self, values: tuple[Any, ...]) -> Any:
        assert self._parameters is not None
        return self._load(*self._parameters.given(values))

    def _load(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = self.key_of(args, kwargs)
        # If the arguments are not the function's, it says so itself, best.
        return self._function(*args, **kwargs) if key is None else self._load_key(key, args, kwargs)

    def _load_made(self, made: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._load_key(self.key_of_made(made), args, kwargs)

    def _load_key(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = self.peek(key)
        old = () if found is None or found[1] else (found[0],)
        self.count(_STALE if old else _MISSES)
        return (self._compute_once_awaited if self._awaited else self._compute_once)(key, args, kwargs, old)

    def _compute_once(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any], old: tuple[Any, ...]) -> Any:
        tags = self._tags_of(args, kwargs)
        while True:
            begun, boarding = self._board(key, tags, None, old)
            flight = boarding.flight
            if boarding.leads:
                with boarding:
                    found = self._found_meanwhile(key, boarding)
                    if found:
                        return found[0]
                    return self._landed(key, begun, boarding, self._compute(key, args, kwargs, tags))
            if old:
                return old[0]
            if flight.holds_up(None):
                self.count(_LOADS)
                return self._compute(key, args, kwargs, tags)[0]
            self.count(_WAITS)
            if not flight.wait(self._wait):
                self.count(_LOADS)
                return self._compute(key, args, kwargs, tags)[0]
            if flight.settled:
                return flight.result()

    async def _compute_once_awaited(
        self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any], old: tuple[Any, ...]
    ) -> Any:
        import asyncio

        tags = self._tags_of(args, kwargs)
        task = asyncio.current_task()
        while True:
            begun, boarding = self._board(key, tags, task, old)
            flight = boarding.flight
            if boarding.leads:
                with boarding:
                    found = self._found_meanwhile(key, boarding)
                    if found:
                        return found[0]
                    return self._landed(key, begun, boarding, await self._compute_awaited(key, args, kwargs, tags))
            if old:
                return old[0]
            if flight.holds_up(task):
                self.count(_LOADS)
                return (await self._compute_awaited(key, args, kwargs, tags))[0]
            self.count(_WAITS)
            if not await flight.waited(self._wait):
                self.count(_LOADS)
                return (await self._compute_awaited(key, args, kwargs, tags))[0]
            if flight.settled:
                return flight.result()

    def _board(
        self, key: bytes, tags: tuple[str, ...], task: object, old: tuple[Any, ...]
    ) -> tuple[Begun, Boarding]:
        """The computation of now, which nobody joins who comes after an invalidation."""

        def failed(error: Exception) -> bool:
            self.count(_ERRORS)
            if old:
                self._log_stale(error)
            return bool(old)

        begun = self.begin(key, tags)
        return begun, Boarding((self, key, begun.mark()), task, failed)

    def _found_meanwhile(self, key: bytes, boarding: Boarding) -> tuple[Any, ...]:
        """The fresh result that another caller has kept since this one asked; else a computation is counted."""
        found = self.peek(key)
        if found is None or not found[1]:
            self.count(_LOADS)
            return ()
        boarding.flight.land(Copies(found[0]))
        return (found[0],)

    def _landed(
        self, key: bytes, begun: Begun, boarding: Boarding, computed: tuple[Any, Copies, float | None]
    ) -> Any:
        value, copies, left = computed
        if not self.keep(key, copies, begun, left):
            self.count(_UNKEPT)
        boarding.flight.land(copies)
        return value

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
        return (*self._tags, *_arguments.many("tags", self._tagger(*args, **kwargs)))

    def _log_stale(self, error: Exception) -> None:
        import logging

        logging.getLogger("tierkeep.cache").warning(
            "%s failed, its last result is served: %r", self._tag, error, exc_info=error
        )


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
    default_store().invalidate_tags(_arguments.many("tags", tags))


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
        TypeError: an argument is of another kind than is said above. At the call, if an argument has no stable key; it
            names the argument. What pickle raises, if the result is neither plain nor can be pickled.
        ValueError: `stale` or `wait` is negative or no number; `stale` with `cache`, whose levels know one end only.
    """

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        return _make(function, ttl, key, tags, stale, wait, name, cache)

    stale, wait = _arguments.seconds("stale", stale), _arguments.seconds("wait", wait)
    if ttl is not None:
        ttl = _arguments.any_seconds("ttl", ttl)
    if key is not None:
        _arguments.callable_or_refused("key", key)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name is a str, not {name!r}")
    if not callable(tags):
        tags = _arguments.many("tags", tags)
    if cache is not None:
        _arguments.cache_of_levels(cache)
        if stale:
            raise ValueError("stale is not for functions with cache=: its levels know one end only")
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
    signature = _signature_of(function)
    parameters = [
        (parameter.name, int(parameter.kind), () if parameter.default is parameter.empty else (parameter.default,))
        for parameter in signature.parameters.values()
    ]
    store = default_store() if cache is None else cache._calls()
    calls = _Calls.__new__(_Calls, store, named, parameters, _signature.NOTHING, stale=stale)
    calls._function, calls._key = function, key
    calls._ttl, calls._stale, calls._wait = ttl, stale, wait
    calls._awaited = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(function)
    calls._store, calls._cache = store, cache
    calls._tag = f"function:{named}"
    if callable(tags):
        calls._tags, calls._tagger = (calls._tag,), tags
    else:
        calls._tags, calls._tagger = (calls._tag, *tags), None
    taken = _signature.parameters_of(function)
    calls._parameters = taken if taken is None or calls._tagger is None or taken.suit(calls._tagger) else None
    made: Any = update_wrapper(calls.plain(), function)
    calls._call = made
    # Not as they are compiled: defaults are not in there.
    made.__signature__ = signature
    made.invalidate, made.invalidate_all = calls.invalidate, calls.invalidate_all
    made.refresh, made.stats = calls.refresh, calls.stats
    return cast("Cached[P, R]", made)


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """What the function takes; functions in C may not tell, so they take anything."""
    import inspect

    try:
        return inspect.signature(function)
    except ValueError:
        kinds = {"args": inspect.Parameter.VAR_POSITIONAL, "kwargs": inspect.Parameter.VAR_KEYWORD}
        return inspect.Signature([inspect.Parameter(name, kind) for name, kind in kinds.items()])


def _name_of(function: Callable[..., Any]) -> str:
    name = f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    seen = _named[name] = _named.get(name, 0) + 1
    return name if seen == 1 else f"{name}#{seen}"
