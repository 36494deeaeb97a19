"""The backend of dogpile.cache, through a region."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE


def region(**arguments: Any) -> Any:
    return make_region().configure("tierkeep.multilevel", expiration_time=60, arguments=arguments)


def test_region_is_configured_by_name_alone() -> None:
    cache = make_region().configure("tierkeep.multilevel")

    cache.set("k", {"a": [1, (2, None)]})

    assert cache.get("k") == {"a": [1, (2, None)]}
    assert cache.get("other") is NO_VALUE
    cache.delete("k")
    assert cache.get("k") is NO_VALUE


@pytest.mark.parametrize("value", [None, 0, "", (1, 2), ("dogpile", ()), {1, 2}, object])
def test_values_of_every_kind_come_back(value: object) -> None:
    cache = region()
    calls: list[int] = []

    def create() -> object:
        calls.append(1)
        return value

    for _ in range(3):
        got = cache.get_or_create("k", create)
        assert (got, type(got)) == (value, type(value))
    assert len(calls) == 1


def test_several_at_once_keep_their_order() -> None:
    cache = region()
    cache.set_multi({"a": 1, "b": 2})

    assert cache.get_multi(["b", "missing", "a"]) == [2, NO_VALUE, 1]
    cache.delete_multi(["a", "missing"])
    assert cache.get_multi(["b", "a"]) == [2, NO_VALUE]


def test_reader_who_changes_a_value_changes_nobody_elses() -> None:
    cache = region()
    cache.set("k", [1])
    cache.get("k").append(2)

    assert cache.get("k") == [1]


def test_region_is_invalidated_and_its_function_is_computed_once_for_all_threads() -> None:
    cache = region()
    together = threading.Barrier(10)
    calls: list[int] = []

    @cache.cache_on_arguments()  # type: ignore[misc, untyped-decorator, unused-ignore]
    def load(x: int) -> int:
        calls.append(x)
        return x

    def read(_: int) -> Any:
        together.wait(20)
        return load(5)

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(read, range(10))) == [5] * 10
    assert calls == [5]
    cache.invalidate()
    assert load(5) == 5
    assert calls == [5, 5]


def test_regions_of_one_name_share_and_others_do_not() -> None:
    one, same, other = region(name="tests.dogpile"), region(name="tests.dogpile"), region()
    one.set("k", 1)

    assert same.get("k") == 1
    assert other.get("k") is NO_VALUE


def test_unknown_argument_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="max_byte; there are name, max_bytes"):
        region(max_byte=1)
