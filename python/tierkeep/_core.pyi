"""Stubs of the extension module. Import `tierkeep`, not this."""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, SupportsFloat

__version__: str

def shared_table_path() -> Path:
    """The file in which processes of this user tell each other what changed, unless another is named."""

class Token:
    """What a value depends on, as it was when the token was taken. Opaque; from `Store.token`."""

class Store:
    """A cache of this process: values by text key, with expiry, tags and a bound.

    Values come back equal in value and type, and a reader that changes one changes nothing that is kept. Time-outs are
    seconds, fractions counted: None is for ever, zero and less over at once, NaN a ValueError. Safe with threads and fork.
    """

    def __new__(
        cls,
        name: str | None = None,
        *,
        max_bytes: int = 67108864,
        max_entries: int | None = None,
        cull_frequency: int = 3,
        shared: bool = False,
        generations: str | PathLike[str] | None = None,
    ) -> Store:
        """The store of that name in this process; a store of its own without one.

        `max_bytes` bounds all entries together, about. At `max_entries`, one of `cull_frequency` leaves (0: all).
        With `shared`, or with the path of a table in `generations`, stores of the same name in other processes of this
        machine that use the same table are told what this one writes, and this one what they do.
        Raises OSError or ValueError if the file of the table cannot be used.
        """

    def get(self, key: str, default: Any = None) -> Any: ...
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Those that are there."""

    def set(self, key: str, value: Any, timeout: SupportsFloat | None = None, tags: Iterable[str] | None = None) -> None:
        """Stores a value that the caller decided on; every process drops what it kept of the key."""

    def add(self, key: str, value: Any, timeout: SupportsFloat | None = None, tags: Iterable[str] | None = None) -> bool:
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
    def __contains__(self, key: str) -> bool: ...
