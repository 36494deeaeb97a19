"""A backend of dogpile.cache: `make_region().configure("tierkeep.multilevel")`.

Needs `pip install tierkeep[dogpile]`. What a region makes of time, locks and keys is dogpile's; the values lie in this
package's store: bounded, a copy for every reader, plain values without pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dogpile.cache.api import NO_VALUE, CacheBackend, CachedValue

from tierkeep.cache import CacheLevel, MemoryCache, MultiLevelCache

__all__ = ["MultiLevelBackend"]

_KNOWN = ("name", "max_bytes", "max_size", "shared", "ttl", "redis", "secret")


class MultiLevelBackend(CacheBackend):
    """The backend `tierkeep.multilevel`.

    Arguments of the region:
        name: regions of one name share their values; each region has its own otherwise.
        shared: with a name, other processes of this user and machine drop what this one writes or deletes.
        max_bytes: about how much memory it may use; 64 MiB otherwise.
        max_size: most values; no limit but bytes otherwise.
        ttl: seconds after which a value leaves the store, whatever the region's `expiration_time`; None: never.
        redis: address of a Redis server that other machines share, in place of memory alone.
        secret: with `redis`, what values are signed with, as `tierkeep.cache.RedisCache` has it.

    Raises:
        ValueError: for an argument that there is not.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        unknown = sorted(set(arguments) - set(_KNOWN))
        if unknown:
            raise ValueError(f"no argument of tierkeep.multilevel: {', '.join(unknown)}; there are {', '.join(_KNOWN)}")
        memory = MemoryCache(
            arguments.get("max_size"),
            max_bytes=arguments.get("max_bytes", 64 << 20),
            name=arguments.get("name"),
            shared=arguments.get("shared", False),
        )
        levels = MultiLevelCache({CacheLevel.L1_MEMORY: memory})
        if arguments.get("redis") is not None:
            from tierkeep.cache import RedisCache

            levels.add_level(CacheLevel.L2_REDIS, RedisCache(arguments["redis"], secret=arguments.get("secret")))
        self._cache = levels.sync
        self._ttl: float | None = arguments.get("ttl")

    def get(self, key: str) -> Any:
        """The value as the region stored it, or NO_VALUE."""
        kept = self._cache.get(key, NO_VALUE)
        return CachedValue(*kept[1]) if type(kept) is tuple and kept[:1] == (_MARK,) else kept

    def get_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        """The values in the order of the keys."""
        return [self.get(key) for key in keys]

    def set(self, key: str, value: Any) -> None:
        """Stores what the region gives."""
        # Its own class of tuple would be pickled as a whole, and what is in it is most often plain.
        kept = (_MARK, tuple(value)) if type(value) is CachedValue else value
        self._cache.set(key, kept, self._ttl)

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        """Stores several."""
        for key, value in mapping.items():
            self.set(key, value)

    def delete(self, key: str) -> None:
        """Removes; nothing happens if it is not there."""
        self._cache.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Removes several."""
        for key in keys:
            self.delete(key)


#: What tells a value of a region from a tuple that somebody stored.
_MARK = "dogpile"
