"""Stubs of the extension module. Import `tierkeep`, not this."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar, final

from typing_extensions import Self, disjoint_base

_Value = TypeVar("_Value")

__version__: str

def shared_table_path() -> Path:
    """The file in which processes of this user tell each other what changed, unless another is named."""

def hand_over(errand: Callable[[], object]) -> None:
    """Has it called by a thread of this library's, which the end of the interpreter does not wait for.

    Raises RuntimeError if no thread could be made.
    """

@final
class Asker:
    """The thread and task that it was made in."""

    def __new__(cls) -> Asker: ...
    def call(self, call: Callable[..., _Value], args: tuple[Any, ...], options: dict[str, Any]) -> _Value:
        """Calls in this thread; misses that caches of Django saw for that task count, and new ones are its own."""

@final
class Token:
    """What a value depends on, as it was when the token was taken. Opaque; from `Store.token`."""

    def mark(self) -> int:
        """Equal for two tokens of one key and tags if and only if nothing was written in between."""

@final
class Store:
    """A cache of this process: values by text key, with expiry, tags and a bound.

    Values come back equal in value and type, and a reader that changes one changes nothing that is kept. Time-outs are
    seconds, fractions counted: None is for ever, zero and less over at once, NaN a ValueError. Safe with threads and fork.
    """

    def __new__(
        cls,
        name: str | None = None,
        *,
        max_bytes: int = ...,
        max_entries: int | None = None,
        cull_frequency: int = 3,
        shared: bool = False,
        generations: str | PathLike[str] | None = None,
    ) -> Store:
        """The store of that name in this process; a store of its own without one.

        `max_bytes` bounds all entries together, about (64 MiB). At `max_entries`, one of `cull_frequency` leaves (0: all).
        With `shared`, or with the path of a table in `generations`, stores of the same name in other processes of this
        machine that use the same table are told what this one writes, and this one what they do.
        Raises OSError or ValueError if the file of the table cannot be used.
        """

    def get(self, key: str, default: Any = None) -> Any: ...
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Those that are there."""

    def set(
        self, key: str, value: Any, timeout: SupportsFloat | None = None, tags: Iterable[str] | None = None
    ) -> None:
        """Stores a value that the caller decided on; every process drops what it kept of the key."""

    def add(
        self, key: str, value: Any, timeout: SupportsFloat | None = None, tags: Iterable[str] | None = None
    ) -> bool:
        """Stores if nothing is there; of any number of threads, one gets True."""

    def token(self, key: str, tags: Iterable[str] | None = None) -> Token:
        """To be taken before a value is computed, and given to `fill` with it; the tags must be the same."""

    def fill(
        self,
        key: str,
        value: Any,
        token: Token,
        timeout: SupportsFloat | None = None,
        tags: Iterable[str] | None = None,
    ) -> bool:
        """Stores what was computed after the token was taken; False if the key or a tag was written since."""

    def touch(self, key: str, timeout: SupportsFloat | None = None) -> bool:
        """Gives a live entry another end. False if there is none."""

    def incr(self, key: str, delta: Any) -> Any:
        """Adds, keeps the end, gives the sum. KeyError if there is none; TypeError if they cannot be added."""

    def remaining(self, key: str) -> float | None:
        """Seconds left, None for ever. KeyError if there is none."""

    def delete(self, key: str) -> bool:
        """True if something was there."""

    def delete_many(self, keys: Iterable[str]) -> int:
        """How many were there."""

    def keys(self, pattern: str | None = None) -> list[str]:
        """Live keys in order that match `*`, `?`, `[a-z]`; all without a pattern."""

    def delete_matching(self, pattern: str) -> int:
        """Removes keys by pattern. Costs what begins with the pattern's literal prefix."""

    def invalidate_tags(self, tags: Iterable[str]) -> None:
        """Everything with one of the tags is gone, in every process that shares the table. Costs nothing per key."""

    def clear(self) -> None:
        """Empties this name, in every process that shares the table."""

    def stats(self) -> dict[str, int]:
        """hits, misses, evictions, entries, bytes."""

    def __len__(self) -> int: ...
    def __contains__(self, key: str, /) -> bool: ...

@disjoint_base
class CacheCore:
    """The part of `tierkeep.django.Cache` that is in Rust; to be mixed in before Django's `BaseCache`."""

    key_prefix: Any
    version: Any
    key_func: Any
    default_timeout: Any
    _max_entries: Any
    _cull_frequency: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...
    def _open(self, name: str, max_bytes: int, generations: str | None, ordinary: bool, lease: float) -> None: ...
    def _begin(self, key: Any, version: int | None = None, tags: Iterable[str] | None = None) -> tuple[bytes, int]: ...
    @staticmethod
    def _copy(value: _Value) -> _Value: ...
    def _open_shared(
        self, store: SharedStore, ordinary: bool, lease: float, ignores: bool, logs: bool, step: int | None
    ) -> None: ...
    def _copied(self, key: Any, default: _Value, version: int | None = None) -> Any: ...
    def _copied_many(self, keys: list[Any], version: int | None = None) -> dict[Any, Any] | None: ...
    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value of a key, or the default. A copy for each reader."""

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """A dict of those that are there."""

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """True if there is a live value."""

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = ...,
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
        tags: Iterable[str] | None = None,
    ) -> Any:
        """Stores a value. True unless `nx` (only if there is none) or `xx` (only if there is one) forbade it.

        `timeout` is in seconds, fractions counted; None is for ever, 0 and less removes the key.
        """

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = ...,
        version: int | None = None,
        *,
        tags: Iterable[str] | None = None,
    ) -> list[Any]:
        """Stores each pair; the keys that could not be stored."""

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = ...,
        version: int | None = None,
        *,
        tags: Iterable[str] | None = None,
    ) -> bool:
        """Stores a value if there is none; True if it did. Of any number of threads, one does."""

    def touch(self, key: Any, timeout: Any = ..., version: int | None = None) -> bool:
        """Gives a live value another time-out. False if there is none."""

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Removes a value; True if there was one."""

    def delete_many(self, keys: Iterable[Any] | None, version: int | None = None) -> Any:
        """Removes values and tells how many there were."""

    def incr(self, key: Any, delta: Any = None, version: int | None = None) -> Any:
        """Adds 1 or `delta` and keeps the time-out. ValueError if there is none, TypeError if it is no number."""

    def decr(self, key: Any, delta: Any = None, version: int | None = None) -> Any:
        """Subtracts 1 or `delta` and keeps the time-out. Errors as `incr`."""

    def incr_version(self, key: Any, delta: int | None = None, version: int | None = None) -> int:
        """Moves a value to a later version with the time it has left; ValueError if there is none."""

    def decr_version(self, key: Any, delta: int | None = None, version: int | None = None) -> int:
        """Moves a value to an earlier version with the time it has left; ValueError if there is none."""

    def invalidate_tags(self, tags: Iterable[str]) -> None:
        """Removes all that has one of the tags, in every process of the machine."""

    def clear(self) -> None:
        """Empties this LOCATION, in every process of the machine."""

    def stats(self) -> dict[str, int]:
        """hits, misses, evictions, entries and bytes of this LOCATION in this process.

        With a server also stale: reads that `STALE_IF_ERROR` answered while it did not.
        """

    def _remaining(self, key: Any, version: int | None = None) -> float | None: ...
    def _keys(self, pattern: str, step: int | None = None) -> list[str]: ...
    def _delete_matching(self, pattern: str, step: int | None = None) -> int: ...

@final
class Begun:
    """The beginning of a computation: its result is kept only if nothing it depends on was written since."""

    def mark(self) -> int:
        """Equal for two beginnings if and only if nothing they depend on was written in between."""

@final
class Copies:
    """A value for any number of readers, none of whom can change what the others get."""

    def __new__(cls, value: Any) -> Copies:
        """Raises what pickle raises, if the value is neither plain nor can be pickled."""

    def take(self) -> Any:
        """The value, for one reader."""

@disjoint_base
class CachedCall:
    """The results of a function by its arguments; see `tierkeep.cache.cached`."""

    def __new__(
        cls,
        store: Store,
        name: str,
        parameters: list[tuple[str, int, tuple[Any, ...]]],
        nothing: object,
        *,
        stale: float = 0.0,
    ) -> Self: ...
    def ask(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The fresh result of a call, or `nothing`. Counts a hit."""

    def ask_bound(self, values: tuple[Any, ...]) -> Any:
        """As `ask`, of a value for each parameter; `nothing` for what the call leaves to its default."""

    def __getitem__(self, value: Any, /) -> Any:
        """As `ask_bound`, of one parameter."""

    def ask_two(self, first: Any, second: Any) -> Any:
        """As `ask_bound`, of two parameters."""

    def ask_three(self, first: Any, second: Any, third: Any) -> Any:
        """As `ask_bound`, of three parameters."""

    def ask_made(self, made: object) -> Any:
        """As `ask`, of a call that is told from others by that."""

    def key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | None:
        """The key of a call; None if the arguments are not the function's. TypeError if an argument has none."""

    def key_of_made(self, made: object) -> bytes:
        """The key of a call that is told from others by that."""

    def peek(self, key: bytes) -> tuple[Any, bool] | None:
        """The value and whether it is fresh."""

    def begin(self, key: bytes, tags: Iterable[str] | None = None) -> Begun:
        """To be taken before a result is computed."""

    def keep(self, key: bytes, copies: Copies, begun: Begun, timeout: float | None = None) -> bool:
        """Keeps a result unless what it depends on was written since it was begun. True if kept."""

    def drop_key(self, key: bytes) -> bool:
        """Removes a result, in every process; computations under way are not kept. True if one was here."""

    def hits(self) -> int: ...
    def count(self, counter: int) -> None: ...
    def counted(self) -> list[int]: ...

@final
class Lease:
    """The right to store what is computed because it was missing. Opaque; from `SharedStore.look`."""

@final
class SharedStore:
    """A store whose values processes and machines share through Redis or Valkey; each process keeps copies.

    The server is the authority. What one process changes the others of its machine see at once, if they share
    `generations`, and those of other machines within `bound` seconds. Values come back equal in value and type. Time-outs
    are seconds: None is for ever, zero and less over at once. Safe with threads and fork; requests release the
    interpreter. Every method but `stats` raises ConnectionError if the server cannot be asked, RuntimeError if it refuses.
    """

    def __new__(cls, location: str | Iterable[str], **options: Any) -> SharedStore:
        """The store of these settings in this process.

        `location` is an address, or the primary's and then its replicas'. Options: `username`, `password`, `db`,
        `sentinels` (pairs of host and port), `sentinel_username`, `sentinel_password`, `namespace` ("tk"),
        `connect_timeout` (5.0), `socket_timeout` (1.0), `max_connections` (128), `secrets` (bytes; the first signs, none:
        nothing is signed), `serializer` ("pickle"; "json" and "msgpack" take what these give back of a value, and pickle
        nothing), `compressor` ("identity", "zlib", "gzip", "lz4", "zstd", "lzma"), `compressed_from` (16 bytes, 101 for
        lzma), `bound` (1.0), `lease` (60.0: how long computing a missing value may take), `copy_timeout` (how long a copy
        counts at most), `stale_if_error` (how long copies that do not count any more are read while the server cannot be
        asked; none are, unless told), `max_bytes` of copies (64 MiB), `generations` (the path of the machine's table).
        Raises ValueError for what cannot work, TypeError for an unknown option.
        """

    @property
    def is_trusted(self) -> bool:
        """True while copies count: the server has told of every change that is older than the bound."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Those that are there; one request for all that are not copied."""

    def look(self, key: str) -> tuple[bool, Any]:
        """True and the value; or False and a `Lease`, to be given to `fill`."""

    def set(self, key: str, value: Any, timeout: float | None = None, tags: Iterable[str] | None = None) -> None: ...
    def add(self, key: str, value: Any, timeout: float | None = None, tags: Iterable[str] | None = None) -> bool:
        """Stores if nothing is there; of all processes, one gets True."""

    def fill(
        self, key: str, value: Any, lease: Lease, timeout: float | None = None, tags: Iterable[str] | None = None
    ) -> bool:
        """Stores what was computed after the lease was given; False if the key was changed since, anywhere."""

    def delete(self, key: str) -> bool: ...
    def touch(self, key: str, timeout: float | None = None) -> bool: ...
    def incr(self, key: str, delta: Any) -> Any:
        """Adds, keeps the end, gives the sum. KeyError if there is none; TypeError if they cannot be added."""

    def remaining(self, key: str) -> float | None:
        """Seconds left, None for ever. KeyError if there is none."""

    def invalidate_tags(self, tags: Iterable[str]) -> None:
        """Everything with one of the tags is gone, everywhere. Costs nothing per key."""

    def keys(self, pattern: str) -> list[str]:
        """Keys that match, in order. Looks at every key of the server, in steps."""

    def delete_matching(self, pattern: str) -> int:
        """Removes keys by pattern. Looks at every key of the server, in steps; drops all copies."""

    def clear(self) -> None:
        """Removes all values of the namespace, and nothing else of the server."""

    def lock(self, key: str, seconds: float | None = None) -> bytes | None:
        """Takes a lock, for so many seconds or until it is released; its token, or None if somebody holds it."""

    def unlock(self, key: str, token: bytes) -> bool:
        """False if the lock was not held any more."""

    def extend_lock(self, key: str, token: bytes, seconds: float | None = None) -> bool:
        """Holds a lock for so many seconds from now; False if it was not held any more."""

    def close_idle(self) -> None:
        """Closes connections that are not in use; the next request makes another."""

    def stats(self) -> dict[str, int]:
        """hits, misses, evictions, entries and bytes of the copies in this process, and stale: reads that
        `stale_if_error` answered."""

# status, body decoded from JSON, tier, as_of, Age in seconds, position
_Answer = tuple[int, Any, str, str | None, int | None, int | None]

@final
class NodeClient:
    """Asks nodes over HTTP, the first that answers; `tierkeep.learning.client` gives it names.

    Times are seconds; `kept_bytes` (8 MiB) bounds the answers that are kept, `max_body` (64 MiB) one that is read.
    """

    def __new__(
        cls,
        nodes: Sequence[str],
        *,
        token: str | None = None,
        connect_timeout: float = 0.2,
        timeout: float = 1.0,
        bound: float = 1.0,
        max_stale: float = 3600.0,
        kept_bytes: int = ...,
        max_body: int = ...,
    ) -> NodeClient: ...
    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        learner: str | None = None,
        position: int = 0,
        idempotency_key: str | None = None,
        is_write: bool = False,
    ) -> _Answer: ...
    def kept(self, path: str, learner: str | None = None, position: int = 0) -> _Answer | None: ...
    def submit(
        self,
        done: Callable[[_Answer | None, BaseException | None], object],
        method: str,
        path: str,
        body: bytes | None = None,
        learner: str | None = None,
        position: int = 0,
        idempotency_key: str | None = None,
        is_write: bool = False,
    ) -> None: ...
    def forget(self, learner: str | None = None) -> None: ...
    def counts(self) -> dict[str, int]: ...
    def close(self, limit: float) -> bool: ...
