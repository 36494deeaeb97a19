"""Values that cannot be read, their class or their secret being gone: misses that are said once, and in nobody's way."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import OURS
from django.conf import settings
from django.test import override_settings

from tierkeep.django import Cache

sys.path.insert(0, str(Path(__file__).parents[1] / "coherence"))

from coherence_servers import Server

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server("redis") as server:
        yield server.url


def make(location: str, tmp_path: Path, prefix: str, secret: str = settings.SECRET_KEY) -> Cache:
    options = {**OURS["OPTIONS"], "GENERATIONS": str(tmp_path / "table")}  # type: ignore[dict-item]
    with override_settings(SECRET_KEY=secret):
        return Cache(location, {"KEY_PREFIX": prefix, "TIMEOUT": None, "OPTIONS": options})


@pytest.fixture(params=["memory", "server"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    prefix = f"unreadable-{next(NUMBERS)}"
    return make(prefix if request.param == "memory" else request.getfixturevalue("url"), tmp_path, prefix)


@pytest.fixture
def gone(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache in which `k` was stored for ever by a version of the program that had a class which this one has not."""
    monkeypatch.setitem(globals(), "Gone", type("Gone", (), {"__module__": __name__, "__qualname__": "Gone"}))
    cache.set("k", globals()["Gone"]())
    cache.set("l", globals()["Gone"]())
    monkeypatch.delitem(globals(), "Gone")
    return cache


async def awaited(cache: Cache) -> Any:
    return await cache.aget_or_set("k", lambda: 1)


def set_after_a_miss(cache: Cache) -> int | None:
    return None if cache.get("k") is not None else cache.set("k", 1) or 1


STORES: dict[str, Callable[[Cache], Any]] = {
    "get_or_set": lambda cache: cache.get_or_set("k", lambda: 1),
    "aget_or_set": lambda cache: asyncio.run(awaited(cache)),
    "set": lambda cache: cache.set("k", 1),
    "set after a miss": set_after_a_miss,
    "add after a miss": lambda cache: cache.get("k") is None and cache.add("k", 1),
}


@pytest.mark.parametrize("store", STORES)
def test_value_of_a_class_that_is_gone_is_replaced_by_what_is_stored_next(gone: Cache, store: str) -> None:
    STORES[store](gone)

    assert gone.get("k") == 1
    assert gone.ttl("k") is None
    assert not gone.add("k", 2)


def test_value_of_another_secret_is_in_the_way_of_no_add(url: str, tmp_path: Path) -> None:
    # Without a look before: as locks are taken.
    cache, theirs = (make(url, tmp_path, "unreadable-add", secret) for secret in ("a", "b"))
    theirs.set("k", 0.5)
    assert cache.get("k") is None and theirs.get("k") == 0.5

    assert cache.add("k", 1) and not cache.add("k", 2)
    assert cache.get("k") == 1


def test_value_of_a_class_that_is_gone_is_said_once(gone: Cache, caplog: pytest.LogCaptureFixture) -> None:
    assert [gone.get(key) for key in "kkll"] == [None] * 4
    assert gone.get_many(["k", "l"]) == {}

    assert sum("Gone" in record.getMessage() for record in caplog.records) <= 1


def test_reason_is_in_the_log_of_the_first_reader(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = (make(url, tmp_path, "unreadable-log", secret) for secret in ("a", "b"))
    theirs.set_many({"k": 0.5, "l": 0.5})

    assert [ours.get(key) for key in "kkl"] == [None] * 3

    assert [record.getMessage() for record in caplog.records] == [
        "stored values are not used: the signature of the value does not hold"
    ]
