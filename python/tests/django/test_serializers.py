"""SERIALIZER json and msgpack: what comes back is what django-redis gives back, wherever it was read, and no pickle is."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from conftest import FOLDER
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import lazystr
from django_redis_reference import NAMES, RECORD, values
from faces import until
from hypothesis import HealthCheck, given
from hypothesis import settings as limits

from tierkeep._core import SharedStore
from tierkeep.django import Cache, serializers

sys.path.append(str(Path(__file__).parents[1] / "coherence"))
from coherence_servers import Server

PATHS = {
    "json": "django_redis.serializers.json.JSONSerializer",
    "msgpack": "django_redis.serializers.msgpack.MSGPackSerializer",
    "pickle": "django_redis.serializers.pickle.PickleSerializer",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


def backend(location: str, serializer: str, machine: int = 1, of: type[Cache] = Cache, **options: Any) -> Any:
    """A cache; `machine` says which other caches it can only hear of through the server."""
    table = str(Path(FOLDER.name) / f"serializers-{machine}")
    cache = of(
        location,
        {
            "KEY_PREFIX": "shared",
            "OPTIONS": {
                "GENERATIONS": table,
                "SOCKET_TIMEOUT": 20 + machine,
                "SERIALIZER": PATHS[serializer],
                **options,
            },
        },
    )
    return cache


def read_twice(cache: Any) -> list[Any]:
    """From the server, and from the copy that reading made."""
    first = cache.get("k", "missing")
    before = cache.stats()["hits"]
    again = [first]

    def is_copied() -> bool:
        again.append(cache.get("k", "missing"))
        return bool(cache.stats()["hits"] > before)

    assert until(is_copied, 20), "it was never copied"
    return again


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_what_comes_back_is_what_django_redis_gave(url: str, serializer: str) -> None:
    writer, reader = backend(url, serializer), backend(url, serializer, machine=2)
    record = json.loads(RECORD.read_text())
    seen = set()
    for number, (source, answers) in enumerate(record.items()):
        # A key of its own: for a moment another machine may still have the value before.
        key = f"k{number}"
        value, expected = eval(source, dict(NAMES)), answers[serializer]
        if expected in ("refused", "unreadable"):
            # What could be stored and never be read is refused at once here.
            with pytest.raises(TypeError):
                writer.set(key, value)
            with pytest.raises(TypeError):
                writer.set_many({key: value})
        else:
            writer.set(key, value)
            got = {repr(one) for cache in (writer, reader) for one in (cache.get(key, "missing"), cache.get(key))}
            assert got == {expected}, source
        seen.add(expected if expected in ("refused", "unreadable") else "kept")
    # The record has what it is there for.
    assert len(record) > 200 and seen >= {"refused", "kept"} and ("unreadable" in seen) == (serializer == "msgpack")


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@limits(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=values())
def test_a_copy_is_as_what_the_server_has(url: str, serializer: str, value: Any) -> None:
    cache = backend(url, serializer)
    try:
        expected = through(serializer, value)
    except (TypeError, ValueError, OverflowError):
        with pytest.raises(TypeError):
            cache.set("k", value)
        return
    cache.set("k", value)
    assert {repr(one) for one in read_twice(cache)} == {repr(expected)}


def through(serializer: str, value: Any) -> Any:
    """As django-redis has it: it hands whole numbers to the server as they are."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if serializer == "json":
        return json.loads(json.dumps(value, cls=DjangoJSONEncoder))
    return msgpack.unpackb(msgpack.packb(value), raw=False)


def test_whoever_stores_computes_or_reads_has_the_same(url: str) -> None:
    cache, other = backend(url, "json"), backend(url, "json", machine=2)
    given, expected = {1: (2, lazystr("three"), datetime.date(2026, 1, 2))}, {"1": [2, "three", "2026-01-02"]}
    calls: dict[str, Callable[[], Any]] = {
        "set": lambda: cache.set("k", given),
        "add": lambda: cache.add("k", given),
        "set_many": lambda: cache.set_many({"k": given}),
        "aset": lambda: asyncio.run(cache.aset("k", given)),
        "aadd": lambda: asyncio.run(cache.aadd("k", given)),
        "aset_many": lambda: asyncio.run(cache.aset_many({"k": given})),
        "get_or_set": lambda: cache.get_or_set("k", lambda: given),
        "aget_or_set": lambda: asyncio.run(cache.aget_or_set("k", given)),
    }
    for name, call in calls.items():
        cache.delete("k")
        result = call()
        assert cache.get("k") == other.get("k") == expected, name
        if "get_or_set" in name:
            assert result == expected

    # Nothing was stored, and the one who computed it has what all others would.
    def compute() -> Any:
        other.delete("k")
        return given

    cache.delete("k")
    assert cache.get_or_set("k", compute) == expected and other.get("k") is None


def test_numbers_count(url: str) -> None:
    for serializer in ("json", "msgpack"):
        cache = backend(url, serializer)
        cache.set_many({"n": 2**70, "f": 1.5, "t": True})
        assert cache.incr("n") == 2**70 + 1 and cache.incr("f") == 2.5 and cache.get("f") == 2.5
        assert cache.get("t") is True
        with pytest.raises(TypeError):
            cache.incr("f", decimal.Decimal(1))


def test_what_is_nested_deeper_than_is_kept_is_refused(url: str) -> None:
    cache = backend(url, "json")
    deep: list[Any] = []
    for _ in range(90):
        deep = [deep]
    cache.set("k", deep)
    assert cache.get("k") == deep and cache.get("k") == deep
    for _ in range(20):
        deep = [deep]
    with pytest.raises(TypeError, match="nested deeper than 100"):
        cache.set("k", deep)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(TypeError, match="JSON cannot hold"):
        cache.set("k", circle)


class Bomb:
    went_off = False

    def __reduce__(self) -> Any:
        return set_off, ()


def set_off() -> str:
    Bomb.went_off = True
    return "boom"


def test_no_pickle_is_ever_read(url: str) -> None:
    # Whoever can write to the server, without any signature.
    attacker = backend(url, "pickle", machine=3, SIGN=False)
    for serializer in ("json", "msgpack"):
        attacker.set("k", Bomb())
        assert backend(url, serializer, SIGN=False).get("k", "missing") == "missing"
        assert not Bomb.went_off
    # And this is what it would have been.
    assert backend(url, "pickle", SIGN=False).get("k") == "boom"
    assert Bomb.went_off
    Bomb.went_off = False


def test_what_another_serializer_left_is_not_there(url: str) -> None:
    # A tuple, which JSON never gives.
    backend(url, "pickle").set("k", (1, "a"))
    assert backend(url, "json").get("k", "missing") == "missing"
    backend(url, "json").delete("k")
    backend(url, "json").set("k", (1, "a"))
    assert backend(url, "msgpack").get("k", "missing") == "missing"
    assert backend(url, "pickle").get("k") == [1, "a"]


def test_the_extension_stores_nothing_that_it_was_not_told_of(url: str) -> None:
    store = SharedStore(url, serializer="json", namespace="direct")
    for value in (decimal.Decimal(1), {"a": {1: object()}}, Bomb()):
        with pytest.raises(TypeError, match="without pickle"):
            store.set("k", value)
    assert store.get("k") is None


class Counting(Cache):
    """As projects derive one."""

    stored = 0

    def set(self, *args: Any, **options: Any) -> Any:
        type(self).stored += 1
        return super().set(*args, **options)


def test_a_class_of_the_project_stays_one(url: str) -> None:
    cache = backend(url, "json", of=Counting)
    cache.set("k", (1,))
    assert isinstance(cache, Counting) and type(cache).stored == 1
    assert type(cache).__qualname__ == "Counting"

    copy = pickle.loads(pickle.dumps(cache))

    assert isinstance(copy, Counting) and copy.get("k") == [1]
    copy.set("k", (2,))
    assert cache.get("k") == [2]
    # Pickled values need no step of their own.
    assert type(backend(url, "pickle", of=Counting)) is Counting


def test_a_package_that_is_missing_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    monkeypatch.setattr(serializers, "_DERIVED", {})
    with pytest.raises(ImproperlyConfigured, match="pip install msgpack"):
        backend(url, "msgpack")
