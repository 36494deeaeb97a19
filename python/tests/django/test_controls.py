"""Backends with one fault each: the contract has to find every one of them, by the behaviour that is meant for it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import contract
import pytest
from conftest import OURS
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from faces import Face

from tierkeep.django import Cache

NAMES = (f"controls {number}" for number in itertools.count())


class SharesValues(LocMemCache):
    """Keeps the object itself."""

    kept: dict[str, Any]

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        super().set(key, value, timeout, version)
        self.__dict__.setdefault("kept", {})[self.make_key(key, version)] = value

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        found = super().get(key, self, version)
        return default if found is self else self.__dict__.get("kept", {}).get(self.make_key(key, version), found)


class RacyAdd(Cache):
    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> bool:
        if self.has_key(key):
            return False
        time.sleep(0.001)
        self.set(key, value, *args, **kwargs)
        return True


class RacyIncr(Cache):
    def incr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        value = self.get(key, self._missing_key, version)
        if value is self._missing_key:
            raise ValueError
        time.sleep(0.0005)
        self.set(key, value + delta, None, version)
        return value + delta


class IncrDropsTimeout(Cache):
    def incr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        return BaseCache.incr(self, key, delta, version)


class BoolIsInt(Cache):
    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        value = super().get(key, default, version)
        return int(value) if isinstance(value, bool) else value


class NoneIsMiss(Cache):
    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        value = super().get(key, None, version)
        return default if value is None else value


class NoughtIsForEver(Cache):
    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, **kwargs: Any) -> bool:
        return super().set(key, value, timeout or None, version, **kwargs)


class WholeSeconds(Cache):
    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None, **kwargs: Any) -> bool:
        if isinstance(timeout, float) and timeout > 0:
            timeout = int(timeout) + 30
        return super().set(key, value, timeout, version, **kwargs)


class TouchDoesNothing(Cache):
    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return self.has_key(key, version)


class OneVersion(Cache):
    def make_key(self, key: Any, version: Any = None) -> str:
        return f"{self.key_prefix}:{key}"


class ConstantDefaultTimeout(Cache):
    default_timeout = 300


class ConstantPrefix(Cache):
    key_prefix = ""


class NoWarnings(Cache):
    def validate_key(self, key: str) -> None: ...


class ComputesTwice(Cache):
    def get_or_set(self, key: Any, default: Any, *args: Any, **kwargs: Any) -> Any:
        if callable(default):
            default()
        return super().get_or_set(key, default, *args, **kwargs)


class OverridesOthers(Cache):
    def get_or_set(self, key: Any, default: Any, *args: Any, **kwargs: Any) -> Any:
        if self.has_key(key):
            return self.get(key)
        value = default() if callable(default) else default
        self.set(key, value, *args, **kwargs)
        return value


class NoBound(Cache):
    _max_entries = 10**9


class ClearsOneVersion(Cache):
    def clear(self) -> None:
        self._delete_matching(self.make_key("*"))


CONTROLS: list[tuple[type[BaseCache], str]] = [
    (SharesValues, "every_reader_has_a_copy_of_its_own"),
    (RacyAdd, "of_many_threads_exactly_one_adds"),
    (RacyIncr, "no_increment_of_many_threads_is_lost"),
    (IncrDropsTimeout, "increments_keep_the_time_out"),
    (IncrDropsTimeout, "increments_do_not_end_what_has_no_end"),
    (BoolIsInt, "values_come_back_equal_in_value_and_type"),
    (NoneIsMiss, "none_is_a_value"),
    (NoughtIsForEver, "nought_and_less_end_at_once"),
    (WholeSeconds, "time_outs_of_all_kinds"),
    (TouchDoesNothing, "touch_gives_another_time_out"),
    (OneVersion, "versions_are_keys_of_their_own"),
    (ConstantDefaultTimeout, "default_time_out_is_read_at_each_call"),
    (ConstantPrefix, "key_prefix_function_and_version_may_be_assigned_later"),
    (NoWarnings, "keys_that_memcached_refuses_are_warned_of_by_every_operation"),
    (ComputesTwice, "get_or_set_computes_once"),
    (OverridesOthers, "get_or_set_gives_way_to_another_writer"),
    (NoBound, "an_entry_bound_is_kept"),
    (ClearsOneVersion, "clear_removes_all"),
]


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize(("fault", "finder"), CONTROLS, ids=lambda part: getattr(part, "__name__", part))
def test_a_fault_is_found(fault: type[BaseCache], finder: str) -> None:
    (check,) = [check for check in contract.BEHAVIOURS if check.__name__ == finder]
    backend = fault(next(NAMES), dict(OURS))  # type: ignore[call-arg]

    with pytest.raises((AssertionError, ValueError)):
        check(Face(backend))
