"""What the settings of a cache mean. Whatever is not understood is refused with a sentence, at start."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from tierkeep._core import shared_table_path

#: Bytes of L1 for each LOCATION in each process.
DEFAULT_L1_BYTES = 64 << 20


@dataclass(frozen=True)
class Options:
    """The settings of one cache, read and checked."""

    name: str
    l1_bytes: int
    max_entries: int | None
    generations: str | None
    key_warnings: bool

    @classmethod
    def of(cls, location: str | list[str], params: dict[str, Any]) -> Options:
        """Reads what Django hands to a backend.

        Raises ImproperlyConfigured for what is not understood.
        """
        options = params.get("OPTIONS", {})
        max_entries = params.get("max_entries", options.get("MAX_ENTRIES"))
        return cls(
            name=location if isinstance(location, str) else ",".join(location),
            l1_bytes=_natural(options, "L1_BYTES", DEFAULT_L1_BYTES),
            max_entries=None if max_entries is None else _entries(max_entries),
            generations=_generations(options),
            key_warnings=_boolean(options, "KEY_WARNINGS", True),
        )


def _natural(options: dict[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be a whole number, 0 or more.")
    return value


def _boolean(options: dict[str, Any], name: str, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"OPTIONS[{name!r}] is {value!r}: it has to be True or False.")
    return value


def _entries(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        # As in Django, which falls back to its default.
        return 300


def _generations(options: dict[str, Any]) -> str | None:
    """The path of the table that processes share; None for a process by itself."""
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
