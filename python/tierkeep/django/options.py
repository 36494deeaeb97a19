"""What the settings of a cache mean. Whatever is not understood is refused with a sentence, at start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from tierkeep._core import shared_table_path
from tierkeep.django.redis_options import REDIS_OPTIONS, Remote

#: Bytes of L1 for each LOCATION in each process.
DEFAULT_L1_BYTES = 64 << 20

#: Seconds for which what a thread stores counts as computed since it missed the key.
DEFAULT_REMEMBER_READ_MISS = 10.0

#: Options that need no Redis.
_OWN_OPTIONS = frozenset(
    "MAX_ENTRIES CULL_FREQUENCY L1_BYTES KEY_WARNINGS GENERATIONS REMEMBER_READ_MISS REVERSE_KEY_FUNCTION".split()
)


@dataclass(frozen=True)
class Options:
    """The settings of one cache, read and checked."""

    #: Stores of equal names are one in a process; with servers, computations under way are.
    name: str
    l1_bytes: int
    max_entries: int | None
    #: The path of the table that processes share; None for a process by itself.
    generations: str | None
    key_warnings: bool
    #: Seconds.
    remember_read_miss: float
    reverse_key: Callable[[str], str] | None
    #: The second level; None without one.
    remote: Remote | None

    @classmethod
    def of(cls, location: str | list[str] | tuple[str, ...], params: dict[str, Any]) -> Options:
        """Reads what Django hands to a backend.

        Raises ImproperlyConfigured for what is not understood.
        """
        options = params.get("OPTIONS", {})
        max_entries = params.get("max_entries", options.get("MAX_ENTRIES"))
        if not isinstance(location, (str, list, tuple)):
            raise ImproperlyConfigured(f"LOCATION is {location!r}: it has to be a str or a list of them.")
        remote = Remote.of(location, options) if is_address(location) else None
        _refuse_unknown(options, remote is not None)
        return cls(
            name=str(location) if remote is None else _servers(remote),
            l1_bytes=natural(options, "L1_BYTES", DEFAULT_L1_BYTES),
            max_entries=None if max_entries is None else _entries(max_entries),
            generations=_generations(options),
            key_warnings=boolean(options, "KEY_WARNINGS", True),
            remember_read_miss=seconds(options, "REMEMBER_READ_MISS", DEFAULT_REMEMBER_READ_MISS),
            # Beside OPTIONS, as django-redis has it, or among them.
            reverse_key=_function({**options, **params}, "REVERSE_KEY_FUNCTION"),
            remote=remote,
        )


def _servers(remote: Remote) -> str:
    """Differs for different databases, wherever the settings say which one."""
    return repr((remote.location, remote.arguments.get("db"), remote.arguments.get("sentinels")))


def is_address(location: str | list[str] | tuple[str, ...]) -> bool:
    """True for what names servers, not a store of this process."""
    return not isinstance(location, str) or "://" in location


def natural(options: dict[str, Any], name: str, default: int) -> int:
    """A whole number, 0 or more."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be a whole number, 0 or more.")
    return value


def seconds(options: dict[str, Any], name: str, default: float) -> float:
    """Seconds, from 0 to an hour."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 3600:
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be seconds, from 0 to 3600.")
    return float(value)


def boolean(options: dict[str, Any], name: str, default: bool) -> bool:
    """True or False, and nothing that only counts as such."""
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be True or False.")
    return value


def _refuse_unknown(options: dict[str, Any], has_remote: bool) -> None:
    for name in options:
        if name in _OWN_OPTIONS or (has_remote and name in REDIS_OPTIONS):
            continue
        if name in REDIS_OPTIONS:
            raise ImproperlyConfigured(
                f"OPTIONS[{name!r}] is about a Redis server, and LOCATION names none. "
                "Set LOCATION to an address such as redis://127.0.0.1:6379/1, or leave the option out."
            )
        accepted = ", ".join(sorted(_OWN_OPTIONS | REDIS_OPTIONS))
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is not an option of tierkeep.django.Cache. Accepted: {accepted}.")


def _function(options: dict[str, Any], name: str) -> Callable[[str], str] | None:
    value = options.get(name)
    if isinstance(value, str):
        try:
            value = import_string(value)
        except ImportError as error:
            raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}, which cannot be imported.") from error
    if value is None or callable(value):
        return value
    raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be a function or the path of one.")


def _entries(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        # As in Django, which falls back to its default.
        return 300


def _generations(options: dict[str, Any]) -> str | None:
    path = options.get("GENERATIONS")
    if path is not None:
        return str(path)
    if _is_under_test():
        # Parallel test runs of one project write the same keys; each process is to see only its own.
        return None
    return str(shared_table_path())


def _is_under_test() -> bool:
    """True between Django's `setup_test_environment` and `teardown_test_environment`."""
    testing = sys.modules.get("django.test.utils")
    return testing is not None and hasattr(testing._TestState, "saved_data")
