"""What people use of django-redis: time left, keys by pattern, and what is refused."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import time
from typing import Any

import pytest
from conftest import OURS
from django.core.exceptions import ImproperlyConfigured
from faces import FACES, Face, until

from tierkeep.django import Cache

NAMES = (f"extras {number}" for number in itertools.count())


def make(**params: Any) -> Cache:
    return Cache(next(NAMES), {**OURS, **params})


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def cache(request: pytest.FixtureRequest) -> Any:
    return request.param(make())


def test_time_left(cache: Face) -> None:
    assert (cache.ttl("k"), cache.pttl("k")) == (0, 0)
    cache.set("k", 1, timeout=10)
    assert cache.ttl("k") == 10 and 9_000 < cache.pttl("k") <= 10_000
    cache.set("k", 1, timeout=0.3)
    assert cache.ttl("k") == 1 and 0 < cache.pttl("k") <= 300
    cache.set("k", 1, timeout=None)
    assert cache.ttl("k") is None and cache.pttl("k") is None
    cache.set("k", 1, timeout=5, version=3)
    assert cache.ttl("k", version=3) == 5


def test_time_outs_change(cache: Face) -> None:
    assert not cache.persist("k") and not cache.expire("k", 5) and not cache.expire_at("k", time.time() + 5)
    cache.set("k", 1, timeout=10)
    assert cache.persist("k") is True and cache.ttl("k") is None
    assert cache.persist("k") is False
    assert cache.expire("k", 20) and cache.ttl("k") == 20
    assert cache.expire("k", datetime.timedelta(minutes=1)) and cache.ttl("k") == 60
    assert cache.pexpire("k", 1500) and cache.pttl("k") <= 1500
    assert cache.expire_at("k", time.time() + 30) and cache.ttl("k") in (29, 30)
    assert cache.expire_at("k", datetime.datetime.now() + datetime.timedelta(seconds=40)) and cache.ttl("k") in (39, 40)
    assert cache.pexpire_at("k", (time.time() + 50) * 1000) and cache.ttl("k") in (49, 50)
    assert cache.expire_at("k", time.time() - 1) and not cache.has_key("k")


def test_nx_and_xx(cache: Face) -> None:
    assert cache.set("k", 1, xx=True) is False and not cache.has_key("k")
    assert cache.set("k", 1, nx=True) is True
    assert cache.set("k", 2, nx=True) is False and cache.get("k") == 1
    assert cache.set("k", 3, xx=True) is True and cache.get("k") == 3
    with pytest.raises(ValueError):
        cache.set("k", 1, nx=True, xx=True)


def test_version_moves_with_its_time_left(cache: Face) -> None:
    cache.set("k", 1, timeout=50)
    cache.incr_version("k")
    assert cache.ttl("k", version=2) == 50
    cache.set("k", 1, timeout=None)
    cache.incr_version("k")
    assert cache.ttl("k", version=2) is None


def test_keys_by_pattern(cache: Face) -> None:
    cache.set_many({"user:1": 1, "user:2": 1, "user:10": 1, "page": 1, "u*r": 1, "ключ": 1})
    cache.set("user:1", 1, version=2)
    cache.set("gone:1", 1, timeout=0.01)
    assert until(lambda: not cache.has_key("gone:1"))

    assert cache.keys("user:*") == ["user:1", "user:10", "user:2"]
    assert cache.keys("user:?") == ["user:1", "user:2"]
    assert cache.keys("user:[^1]") == ["user:2"]
    assert cache.keys("u\\*r") == ["u*r"]
    assert cache.keys("gone*") == []
    assert cache.keys("к*") == ["ключ"]
    assert cache.keys(version=2) == ["user:1"]
    assert len(cache.keys("*")) == 6
    assert sorted(cache.backend.iter_keys("user:*", itersize=1)) == ["user:1", "user:10", "user:2"]

    assert cache.delete_pattern("user:*", itersize=2) == 3
    assert cache.keys("user:*") == [] and cache.has_key("page")
    assert cache.get("user:1", version=2) == 1
    assert cache.delete_pattern("nothing*") == 0


def test_async_iteration_over_keys() -> None:
    cache = make()
    cache.set_many({"a": 1, "b": 1})

    async def main() -> list[str]:
        return [key async for key in cache.aiter_keys("*")]

    assert asyncio.run(main()) == ["a", "b"]


def test_a_prefix_with_signs_of_patterns_is_meant_as_it_is() -> None:
    starred, other = make(KEY_PREFIX="a*[b]"), make(KEY_PREFIX="aXb")
    for cache in (starred, other):
        cache.set("k", 1)

    assert starred.keys() == ["k"]
    assert starred.delete_pattern("*") == 1 and other.get("k") == 1


def test_a_million_characters_of_pattern_cost_no_more_than_their_product() -> None:
    cache = make(OPTIONS={"KEY_WARNINGS": False})
    cache.set("a" * 5_000, 1)
    begun = time.process_time()

    assert cache.keys("*a" * 200 + "b") == []

    assert time.process_time() - begun < 5


def test_what_is_no_cache_is_refused_with_a_hint() -> None:
    cache = make()
    with pytest.raises(NotImplementedError, match="redis://"):
        cache.lock("k")
    with pytest.raises(AttributeError, match="redis-py"):
        cache.sadd("k", 1)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cache.nonsense
    assert not hasattr(cache, "nonsense")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"L1_BYTES": -1}, "L1_BYTES.*whole number"),
        ({"L1_BYTES": "64MB"}, "L1_BYTES.*whole number"),
        ({"KEY_WARNINGS": "no"}, "KEY_WARNINGS.*True or False"),
        ({"REMEMBER_READ_MISS": -1}, "REMEMBER_READ_MISS.*seconds"),
        ({"REVERSE_KEY_FUNCTION": "no.such.thing"}, "REVERSE_KEY_FUNCTION.*imported"),
        ({"REVERSE_KEY_FUNCTION": 5}, "REVERSE_KEY_FUNCTION.*function"),
        ({"L1_BYTE": 5}, "L1_BYTE'\\] is not an option.*L1_BYTES"),
        ({"PASSWORD": "x"}, "about a Redis server"),
    ],
)
def test_wrong_options_are_refused_with_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence):
        make(OPTIONS=options)
